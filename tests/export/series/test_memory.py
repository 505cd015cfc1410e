"""How much memory training takes beside its rows, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Rows and channels: 61 MiB as float32. The window is short, so that what is taken whatever the size of the data (of
#: windows that a closed form sees, 64 MB a copy at the most) is small beside them.
ROWS, CHANNELS = 800_000, 20

SCRIPT = """
import json, resource, sys, warnings
import numpy as np
from aez.export import SeriesDetector

def table(rows, channels, kind):
    made = np.empty((rows, channels), kind)
    for start in range(0, rows, 10_000):
        part = made[start : start + 10_000]
        waves = np.sin(np.arange(start, start + len(part))[:, None] / 2.5 + np.arange(channels))
        part[:] = waves + 0.1 * np.random.default_rng(start).normal(size=part.shape)
    return made

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

warnings.simplefilter("error")
rows, channels, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
SeriesDetector().fit(table(1000, channels, kind))  # libraries are loaded, and their threads are there
before = peak()
SeriesDetector(window=8).fit(table(rows, channels, kind))
print(json.dumps((peak() - before) / (rows * channels * 4)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_training_takes_four_times_the_data_as_float32_at_most_the_data_included(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROWS), str(CHANNELS), kind],
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    assert json.loads(done.stdout) <= 4
