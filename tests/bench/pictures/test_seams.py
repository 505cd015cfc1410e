"""Steps at the borders of tiles: toy pictures whose steps are known, and a model's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from aez.bench.pictures import seams as module
from aez.bench.pictures.seams import seams, step_errors
from aez.codec.errors import InvalidArgument
from tests.kit.commands import run
from tests.kit.places import TINY
from tests.kit.tiny_pictures import photo

Picture = npt.NDArray[np.uint8]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A codec whose picture is the original and `added`: what it was asked for, one entry each time."""
    calls = list[dict[str, Any]]()

    def encode(picture: Picture, quality: float, model: object, tile: int, content: str) -> SimpleNamespace:
        assert content == "photo"
        del model
        calls.append({"shape": picture.shape, "quality": quality, "tile": tile})
        return SimpleNamespace(data=picture)

    def decode(data: Picture, model: object) -> SimpleNamespace:
        del model
        height, width = data.shape[:2]
        return SimpleNamespace(image=Image.fromarray(data + ADDED[:height, :width, None]))

    monkeypatch.setattr(module, "encode_picture", encode)
    monkeypatch.setattr(module, "decode_picture", decode)
    return calls


#: Steps of 10 at 64 and of 2 at 80, downwards nothing.
ADDED = np.zeros((1000, 1000), np.uint8)
ADDED[:, 64:] += 10
ADDED[:, 80:] += 2


def save(path: Path, height: int, width: int) -> Path:
    Image.fromarray(photo(height, width) // 2).save(path)
    return path


def test_a_known_step_at_a_border(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    report = seams([save(tmp_path / "a.png", 64, 192)], TINY, [30, 50], tile=64, width=None)
    assert seen == [{"shape": (64, 192, 3), "quality": quality, "tile": 64} for quality in (30, 50)]
    # Borders at 64 and 128, others at 16, 32, 48, 80 and so on up to 176: nine.
    expected = {"border": 5, "elsewhere": pytest.approx(2 / 9), "ratio": pytest.approx(5 * 9 / 2)}
    assert report["qualities"] == {"30": expected, "50": expected}
    assert (report["model"], report["tile"]) == ("tiny", 64)
    assert json.loads(json.dumps(report)) == report


def test_borders_lie_along_both_axes_and_in_all_pictures(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    pictures = [save(tmp_path / "a.png", 64, 192), save(tmp_path / "b.png", 100, 64)]
    report = seams(pictures, TINY, [30], tile=64, width=None)
    # The second has a border at row 64, and rows 16, 32, 48, 80 and 96, all without a step.
    figures = report["qualities"]["30"]
    assert (figures["border"], figures["elsewhere"]) == (pytest.approx(10 / 3), pytest.approx(2 / 14))
    assert len(seen) == 2


def test_only_places_near_a_border_are_compared_with_it(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    report = seams([save(tmp_path / "a.png", 64, 600)], TINY, [30], tile=512, width=None)
    assert report["qualities"]["30"] == {"border": 0, "elsewhere": 0, "ratio": None}  # 64 and 80 are far from 512
    assert len(seen) == 1


def test_pictures_are_scaled_to_a_width_first(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    seams([save(tmp_path / "a.png", 50, 100)], TINY, [30], tile=64, width=300)
    assert seen[0]["shape"] == (150, 300, 3)


def test_pictures_of_one_tile_show_no_seams(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidArgument, match="no picture is larger than a tile of 64 pixels"):
        seams([save(tmp_path / "a.png", 64, 64)], TINY, [30], tile=64, width=None)
    assert seen


def test_a_step_is_the_difference_of_neighbours_and_signs_do_not_cancel() -> None:
    original = np.full((2, 4, 3), 100, np.uint8)
    decoded = original.copy()
    decoded[0, 2:] += 6
    decoded[1, 2:] -= 4
    assert step_errors(original, decoded, axis=1).tolist() == [0, 5, 0]
    assert step_errors(original, decoded, axis=0).tolist() == [(0 + 0 + 10 + 10) / 4]
    assert step_errors(decoded, decoded, axis=1).tolist() == [0, 0, 0]  # what the original has is no error


def test_the_command_shows_every_quality(tmp_path: Path) -> None:
    picture = str(save(tmp_path / "a.png", 150, 200))
    words = ("bench", "seams", picture, "--model", str(TINY), "--tile", "64", "--width", "0", "-q", "20", "-q", "60")
    shown = run(*words)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0] == "tiles of 64 pixels"
    assert [line.partition(":")[0] for line in lines[1:]] == ["quality  20", "quality  60"]
    figures = json.loads(run(*words, "--json").stdout)["qualities"]
    assert lines[1].endswith(f"ratio {figures['20']['ratio']:.2f}")
    for of in figures.values():
        assert of["ratio"] == pytest.approx(of["border"] / of["elsewhere"])
        assert 0.5 < of["ratio"] < 2


def test_the_command_says_so_where_nothing_is_wrong_elsewhere(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    picture = str(save(tmp_path / "a.png", 64, 600))
    shown = run("bench", "seams", picture, "--model", str(TINY), "--tile", "512", "--width", "0", "-q", "20")
    assert (shown.exit_code, shown.stdout.endswith("of 255, ratio -\n")) == (0, True)
    assert seen
