"""Bytes without loss, of 8 bits beside other formats and of 16 beside PNG."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.bench.pictures.lossless import deep_pictures, measure_deep, measure_lossless
from aez.codec.errors import InvalidArgument, UnsupportedInput
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
    totals = {**dict.fromkeys(("PNG", "WebP", "JPEG XL")), "aez": eight.bytes["aez"] + sixteen.bytes["aez"]}  # type: ignore[operator]
    totals["PNG"] = eight.bytes["PNG"] + sixteen.bytes["PNG"]  # type: ignore[operator]
    told = json.loads(report.to_json())
    assert (told["times"]["JPEG XL"], told["totals"]) == (None, totals)
    lines = {line.split()[0]: line.split()[1:] for line in report.table().splitlines()}
    assert lines["eight"] == [
        "8",
        f"{eight.bytes['aez']:,}",
        f"{eight.bytes['PNG']:,}",
        f"{eight.bytes['WebP']:,}",
        "-",
    ]
    assert lines["all"] == [f"{totals['aez']:,}", f"{totals['PNG']:,}", "-", "-"]
    with pytest.raises(InvalidArgument, match="name one picture"):
        measure_lossless([])


def test_deep_pictures_are_made_and_measured(tmp_path: Path) -> None:
    Image.fromarray(photo(40, 50)).save(tmp_path / "eight.png")
    cube = np.arange(30 * 20 * 41, dtype=np.uint16).reshape(30, 20, 41) * 7
    np.savez(tmp_path / "scene.npz", cube=cube)
    made = dict(deep_pictures(tmp_path / "eight.png"))
    assert {name: values.shape for name, values in made.items()} == {
        "eight in light": (20, 24, 3),
        "eight enlarged": (40, 48, 3),
        "eight sums": (10, 12),
        "eight depth": (20, 24),
    }
    assert not (made["eight sums"] % 16).any()
    report = measure_deep([tmp_path / "eight.png", tmp_path / "scene.npz"])
    assert {one.picture: one.bits for one in report.pictures} == {
        "eight in light": 16,
        "eight enlarged": 16,
        "eight sums": 12,
        "eight depth": 12,
        "scene band 0": 16,
        "scene band 20": 16,
        "scene band 40": 16,
    }
    assert all(one.bytes["aez"] and one.bytes["PNG"] for one in report.pictures)
    assert report.times("WebP") is None


@pytest.mark.parametrize("name", ["none.npz", "flat.npz", "tiny.png"])
def test_what_gives_no_deep_picture_is_said(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "none.npz", other=np.zeros(3))
    np.savez(tmp_path / "flat.npz", cube=np.zeros((3, 3), np.uint16))
    Image.new("RGB", (3, 3)).save(tmp_path / "tiny.png")
    with pytest.raises(UnsupportedInput, match=r"cube|too small"):
        measure_deep([tmp_path / name])
