"""A picture's score in words, as a drawing, in a report and in tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.codec.detect.pictures import PictureDetector
from aez.codec.detect.score_pictures import FIELDS, ScoredPicture, score_picture
from aez.codec.errors import InvalidArgument, OutputError
from aez.codec.report import pictures_page as picture_report
from aez.codec.report.picture_plots import draw_panel, heat_map, panel_bytes
from aez.codec.report.picture_score_files import write_picture_scores
from aez.codec.report.pictures_page import PictureReport
from tests.kit.hand_made_picture_model import HEIGHT, WIDTH, bundle


@pytest.fixture(scope="module")
def detector() -> PictureDetector:
    return PictureDetector(bundle(), "cpu", 1)


def picture(level: int = 128, spot: int | None = None) -> np.ndarray:
    """Twice the model's size, of one level, with a spot of another at rows 4 to 5 and columns 16 to 19."""
    pixels = np.full((2 * HEIGHT, 2 * WIDTH, 3), level, np.uint8)
    if spot is not None:
        pixels[4:6, 16:20] = spot
    return pixels


def scored(
    detector: PictureDetector, folder: Path, pixels: np.ndarray | None = None, name: str = "a.png"
) -> ScoredPicture:
    Image.fromarray(picture() if pixels is None else pixels).save(folder / name)
    return score_picture(detector, folder / name)


def test_a_spot_is_found_where_it_lies_in_the_picture(detector: PictureDetector, tmp_path: Path) -> None:
    found = scored(detector, tmp_path, picture(128, 255))
    assert found.abnormal
    assert found.score == pytest.approx(127 / 64, rel=0.2)  # squeezing softens it
    assert found.peak == found.score
    x, y = found.peak_at
    assert (16 <= x <= 19, 4 <= y <= 5) == (True, True)
    assert found.share_above == pytest.approx(2 / (HEIGHT * WIDTH))
    assert found.severity == "warning"
    assert found.verdict == f"abnormal around x {x}, y {y} (2.1 % of the picture)"
    assert np.all(found.expected == 128)


def test_normal_pictures_and_those_abnormal_as_a_whole_say_so(detector: PictureDetector, tmp_path: Path) -> None:
    normal = scored(detector, tmp_path, picture(140))
    assert (normal.verdict, normal.severity, normal.abnormal, normal.notices) == ("normal", None, False, ())
    whole = replace(normal, score=6.0)
    assert (whole.verdict, whole.severity) == ("abnormal as a whole", "critical")


def test_a_picture_of_another_aspect_or_in_colour_is_noted(detector: PictureDetector, tmp_path: Path) -> None:
    tall = np.full((40, 20, 3), 128, np.uint8)
    tall[..., 0] = 200
    first, second = scored(detector, tmp_path, tall).notices
    assert "20 x 40 pixels and was squeezed to the 12 x 8" in first
    assert "it is in colour" in second


def test_plain_data_have_the_fields_in_order(detector: PictureDetector, tmp_path: Path) -> None:
    row = scored(detector, tmp_path, picture(128, 0)).as_dict()
    assert tuple(row) == FIELDS
    assert (row["verdict"], row["severity"], row["width"], row["height"]) == ("abnormal", "warning", 24, 16)
    assert json.loads(json.dumps(row)) == row


# -- drawings ---------------------------------------------------------------------------------------------------------


def test_heat_lies_where_the_map_is_high_and_nowhere_else() -> None:
    error_map = np.zeros((8, 12), np.float32)
    error_map[1:4, 8:11] = 3.0
    drawn = np.asarray(heat_map(Image.new("RGB", (240, 160), (90, 90, 90)), error_map)).astype(int)
    spread = drawn.max(axis=2) - drawn.min(axis=2)
    assert spread[120:, :].max() == 0
    assert spread[30:70, 175:215].min() > 100
    assert np.all(drawn[40, 190, 0] > drawn[40, 190, 2])


def test_the_outline_is_where_the_map_crosses_the_limit() -> None:
    picture_ = Image.new("RGB", (120, 80), (90, 90, 90))
    below, above = (np.asarray(heat_map(picture_, np.full((8, 12), v, np.float32))) for v in (0.99, 1.01))
    assert len(np.unique(below.reshape(-1, 3), axis=0)) == 1
    assert np.abs(below[40, 60].astype(int) - above[40, 60]).max() <= 3
    half = np.zeros((8, 12), np.float32)
    half[:, 6:] = 2.0
    dark = np.asarray(heat_map(picture_, half)).sum(axis=2) < 250
    assert np.all(dark[10:70].any(axis=1))
    assert not dark[:, :40].any()
    assert not dark[10:70, 80:118].any()


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (1200, 3), (640, 480)])
def test_pictures_of_all_sizes_are_drawn(detector: PictureDetector, tmp_path: Path, size: tuple[int, int]) -> None:
    found = scored(detector, tmp_path, np.full((*size, 3), 30, np.uint8), name="wi\nd$er \u0301\u96fb.png")
    panel = draw_panel(found)
    assert panel.height <= 480
    assert panel.width <= 1400
    with Image.open(io.BytesIO(panel_bytes(found))) as image:
        assert (image.format, image.size) == ("PNG", panel.size)


def test_infinite_errors_are_drawn_as_the_largest(detector: PictureDetector, tmp_path: Path) -> None:
    found = scored(detector, tmp_path)
    none, large, infinite = (
        np.asarray(draw_panel(replace(found, score=np.inf, error_map=np.full((8, 12), value, np.float32))))
        for value in (0, 1e6, np.inf)
    )
    assert np.array_equal(infinite, large)
    assert not np.array_equal(infinite, none)


# -- report -----------------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Tags that loads come from, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_shows_the_worst_first_and_escapes_names(detector: PictureDetector, tmp_path: Path) -> None:
    report = PictureReport(detector)
    names = ["fine.png", "<b>bad.png", "worse.png"]
    for name, spot in zip(names, (140, 210, 0), strict=True):
        report.add(scored(detector, tmp_path, picture(128, spot), name=name))
    html = report.html([("gone.png", "it does not exist")], "1.2")
    page = _Page(html)
    assert "2 of 3 pictures abnormal" in page.text
    assert page.text.index("worse.png") < page.text.index("<b>bad.png") < page.text.index("fine.png")
    assert "<b>" not in html
    assert "gone.png" in page.text
    assert "<b>nothing</b>" in page.text  # the model's own word for its data
    assert page.tags.count("img") == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "script" not in page.tags
    assert "default-src 'none'" in html


def test_the_report_keeps_only_the_highest_pictures(
    detector: PictureDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_report, "PICTURES_SHOWN", 2)
    monkeypatch.setattr(picture_report, "ROWS_SHOWN", 3)
    report = PictureReport(detector)
    levels = (128, 250, 160, 230, 140)
    for level in levels:
        report.add(scored(detector, tmp_path, picture(level), name=f"level{level}.png"))
    page = _Page(report.html())
    assert page.tags.count("img") == 2
    assert "The 3 highest of 5" in page.text
    assert "level250" in page.text
    assert "level128" not in page.text


def test_a_report_on_nothing_is_refused(detector: PictureDetector) -> None:
    with pytest.raises(InvalidArgument, match="at least one scored picture"):
        PictureReport(detector).html()


# -- tables -----------------------------------------------------------------------------------------------------------


def test_tables_hold_the_same_in_every_format(detector: PictureDetector, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    wide = np.full((10, 60, 3), 128, np.uint8)
    rows = [scored(detector, tmp_path, pixels).as_dict() for pixels in (picture(128, 0), picture(140), wide)]
    for suffix in ("csv", "json", "jsonl", "parquet"):
        write_picture_scores(tmp_path / f"scores.{suffix}", rows)
    assert json.loads((tmp_path / "scores.json").read_text()) == rows
    assert [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()] == rows
    assert parquet.read_table(tmp_path / "scores.parquet").to_pylist() == rows
    with (tmp_path / "scores.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["score"]) for row in read] == [row["score"] for row in rows]
    assert [row["severity"] for row in read] == ["warning", "", ""]
    assert "squeezed" in read[2]["notices"]


def test_tables_are_not_overwritten_nor_of_unknown_kinds(tmp_path: Path) -> None:
    write_picture_scores(tmp_path / "a.csv", [])
    with pytest.raises(OutputError, match="exists"):
        write_picture_scores(tmp_path / "a.csv", [])
    write_picture_scores(tmp_path / "a.csv", [], force=True)
    with pytest.raises(InvalidArgument, match="must end in"):
        write_picture_scores(tmp_path / "a.xlsx", [])
