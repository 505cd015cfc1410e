"""The picture of a training run."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from aez.codec.errors import OutputError
from aez.export.common.plots import plot_training

LOG = [
    {"step": 100, "loss": 3.0, "bpp": 1.0},
    {"step": 100, "psnr@10": 25.0, "bpp@10": 0.1, "psnr@90": 35.0, "bpp@90": 1.0},
    {"step": 200, "loss": 2.0, "bpp": 0.9},
    {"step": 200, "psnr@10": 26.0, "bpp@10": 0.1, "psnr@90": 36.0, "bpp@90": 0.9},
]


@pytest.mark.parametrize("rows", [0, 1, 2, 4])
def test_a_curve_is_drawn_from_any_part_of_a_log(tmp_path: Path, rows: int) -> None:
    plot_training(LOG[:rows], tmp_path / "curve.png", (10, 90))
    with Image.open(tmp_path / "curve.png") as curve:
        assert curve.size == (1540, 440)
        colours = {colour for _, colour in curve.convert("RGB").getcolors(1 << 20) or []}
    assert ((31, 119, 180) in colours) == (rows > 1)  # a line needs two points or a marker


def test_a_curve_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"curve\.png cannot be written"):
        plot_training(LOG, tmp_path / "missing" / "curve.png", (10, 90))
