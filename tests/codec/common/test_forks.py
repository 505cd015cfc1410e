"""Forked children of a process that has models open: they encode, open other models, and end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.kit.places import ROOT, TINY

CODE = """
import os, sys
import numpy as np
import aez
from aez.codec.image.model import open_model
from aez.codec.image.api import load

pixels = np.zeros((40, 40, 3), np.uint8)
data = aez.encode(pixels, model={tiny!r}, threads=2)
held = open_model(load({tiny!r}), "cpu", 2)
child = os.fork()
if child == 0:
    {task}
    print("done", flush=True)
    sys.exit(3)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "task",
    [
        "pass",
        "aez.encode(pixels, model={tiny!r}, threads=2)",
        "aez.decode(data, model={tiny!r}, threads=1, device='cpu')",
        "held.predict(np.zeros((held.geometry.hyper_channels, 1, 1), np.int32), 0).index()",
        "del held; aez.codec.common.caches.clear_caches()",
    ],
)
def test_a_forked_child_works_and_ends(task: str) -> None:
    code = "import aez.codec.common.caches" + CODE.format(tiny=str(TINY), task=task.format(tiny=str(TINY)))
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT.parent
    )
    assert found.stdout.split() == ["done", "3"], found.stderr
