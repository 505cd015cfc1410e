"""Pages around a photograph, and bytes at equal scores."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from aez.bench.pictures.codecs import PictureCodec
from aez.bench.weak import page_scores
from aez.bench.weak.page import PHOTO_BOX, make_page
from aez.bench.weak.page_scores import bytes_at, measure_pages
from aez.cli import main
from aez.codec.errors import InvalidArgument
from tests.kit.tiny_pictures import photo


def test_a_page_is_text_around_a_photograph_on_three_tenths() -> None:
    page = make_page(photo(64, 96))
    assert page.shape == (1754, 1240, 3)
    left, top, right, bottom = PHOTO_BOX
    assert 0.29 < (right - left) * (bottom - top) / (1754 * 1240) < 0.31
    white = (page == 255).all(axis=2)
    assert white[:top].mean() > 0.8 > white[top:bottom, left:right].mean()
    assert not white[1200:1680, 90:605].all()
    assert np.array_equal(page, make_page(photo(64, 96)))


def test_bytes_at_a_score_lie_between_two_points() -> None:
    points = [(80.0, 300), (60.0, 100)]
    assert bytes_at(points, 70) == 200
    assert bytes_at(points, 59) is bytes_at(points, 81) is bytes_at([], 70) is None


def jpeg(name: str, *qualities: float) -> PictureCodec:
    def encode(image: np.ndarray, quality: float) -> bytes:
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=round(quality))
        return buffer.getvalue()

    return PictureCodec(name, encode, lambda data: np.asarray(Image.open(BytesIO(data))), qualities, 1, 100)


def test_pages_are_compared_at_equal_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(photo(64, 96)).save(tmp_path / "blobs.png")
    monkeypatch.setattr(page_scores, "make_page", lambda pixels: pixels)
    monkeypatch.setattr(page_scores, "ssimulacra2", lambda _, decoded: 100.0 - float(decoded.std() > 1) * 30)
    monkeypatch.setattr(page_scores, "SCORES", (70.0, 99.0))
    report = measure_pages([tmp_path / "blobs.png"], [jpeg("one", 90)], jpeg("other", 50))
    (page,) = report.pages
    assert page.bytes["one"]["99"] is None
    assert page.bytes["one"]["70"] > page.bytes["other"]["70"]  # type: ignore[operator]
    assert json.loads(report.to_json())["codecs"] == ["one", "other"]
    table = report.table()
    assert "times other" in table
    assert f"{page.bytes['one']['70']:,}" in table
    with pytest.raises(InvalidArgument, match="name a photograph"):
        measure_pages([], [])


def test_without_a_photograph_the_command_says_so() -> None:
    result = CliRunner().invoke(main, ["bench", "page"])
    assert result.exit_code == 2
    assert "name a photograph" in result.output + str(result.exception)
