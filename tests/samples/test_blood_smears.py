"""The drawn domain: the same pictures at every run, none in both folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.kit.places import SAMPLES

SCRIPT = SAMPLES / "blood_smears.py"


def drawn(out: Path) -> dict[str, np.ndarray]:
    subprocess.run([sys.executable, SCRIPT, out, "--train", "2", "--test", "2"], check=True, capture_output=True)
    return {path.relative_to(out).as_posix(): np.asarray(Image.open(path)) for path in sorted(out.rglob("*.png"))}


def test_smears_are_the_same_at_every_run_and_all_different(tmp_path: Path) -> None:
    first, second = drawn(tmp_path / "a"), drawn(tmp_path / "b")
    assert list(first) == ["test/00000.png", "test/00001.png", "train/00000.png", "train/00001.png"]
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert len({pixels.tobytes() for pixels in first.values()}) == 4
    for pixels in first.values():
        assert pixels.shape == (192, 256, 3)
        red, green = pixels[..., 0].astype(int), pixels[..., 1].astype(int)
        assert np.median(red - green) >= 0  # eosin takes green light
        assert 0.1 < (red - green > 40).mean() < 0.9  # cells, and light between them
