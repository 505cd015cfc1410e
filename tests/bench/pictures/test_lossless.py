"""Bytes without loss, of 8 bits beside other formats and of 16 beside PNG."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.bench.pictures.lossless import measure_lossless
from aez.codec.errors import InvalidArgument
from tests.kit.tiny_pictures import photo


def test_every_format_is_measured_that_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    Image.fromarray(photo(40, 50)).save(tmp_path / "eight.png")
    deep = photo(40, 50)[:, :, 0].astype(np.uint16) * 256 + photo(40, 50, 1)[:, :, 0]
    Image.fromarray(deep).save(tmp_path / "deep.png")
    report = measure_lossless([tmp_path / "eight.png", tmp_path / "deep.png"])
    eight, sixteen = report.pictures
    assert (eight.bits, sixteen.bits) == (8, 16)
    assert all(eight.bytes[name] for name in ("aez", "PNG", "WebP"))
    assert sixteen.bytes["PNG"] == (tmp_path / "deep.png").stat().st_size
    assert sixteen.bytes["WebP"] is eight.bytes["JPEG XL"] is None
    assert report.times("WebP") == eight.bytes["aez"] / eight.bytes["WebP"]  # type: ignore[operator]
    assert report.times("JPEG XL") is None
    assert "JPEG XL is not measured: it needs pip install pillow-jxl-plugin" in report.table()
    assert json.loads(report.to_json())["times"]["JPEG XL"] is None
    with pytest.raises(InvalidArgument, match="name one picture"):
        measure_lossless([])
