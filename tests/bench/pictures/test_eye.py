"""What people see: SSIMULACRA 2 by its package, and the hue of smooth areas by known colours."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

from aez.bench.pictures import eye
from aez.bench.pictures.eye import hue_error
from aez.codec.errors import AezError
from aez.codec.image.distortion import ssimulacra2
from tests.kit.toy_codecs import toy_decode, toy_encode, waves

Picture = npt.NDArray[np.uint8]

#: a and b in CIELAB (D65) of sRGB's corners, as tables have them.
CORNERS = {
    (255, 0, 0): (80.09, 67.20),
    (0, 255, 0): (-86.18, 83.18),
    (0, 0, 255): (79.19, -107.86),
    (255, 255, 0): (-21.55, 94.48),
    (255, 255, 255): (0.0, 0.0),
    (128, 128, 128): (0.0, 0.0),
    (0, 0, 0): (0.0, 0.0),
}


def plain(colour: tuple[int, int, int], height: int = 48, width: int = 64) -> Picture:
    return np.full((height, width, 3), colour, np.uint8)


def test_the_score_is_that_of_the_package(tmp_path: Path) -> None:
    picture = waves(200, 256)
    decoded = toy_decode(toy_encode(picture, 5))
    for name, pixels in (("a", picture), ("b", decoded)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    expected = compute_ssimulacra2(tmp_path / "a.png", tmp_path / "b.png")
    assert ssimulacra2(picture, decoded) == pytest.approx(expected)
    assert expected < 90
    assert ssimulacra2(picture, picture) == 100


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7)], ids=str)
def test_the_smallest_pictures_have_no_score(size: tuple[int, int]) -> None:
    assert ssimulacra2(waves(*size), 255 - waves(*size)) is None


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)  # as where it is not installed
    with pytest.raises(AezError, match=r"needs ssimulacra2, which is not installed: pip install 'aez\[bench\]'"):
        ssimulacra2(waves(), waves())


def test_colorvideovdp_falls_with_what_people_see() -> None:
    picture = waves(64, 96)
    weak, strong = (np.clip(picture.astype(int) + size, 0, 255).astype(np.uint8) for size in (2, 40))
    jods = [eye.colorvideovdp(picture, one) for one in (picture, weak, strong)]
    assert jods[0] == pytest.approx(10, abs=1e-3)
    assert jods == sorted(jods, key=lambda jod: -(jod or 0))
    assert eye.colorvideovdp(picture[:15], weak[:15]) is None


def test_without_torch_there_is_no_colorvideovdp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert eye.colorvideovdp(plain((9, 9, 9)), plain((7, 7, 7))) is None


@pytest.mark.parametrize("wanted", CORNERS, ids=str)
@pytest.mark.parametrize("found", CORNERS, ids=str)
def test_hue_is_the_distance_in_a_and_b(wanted: tuple[int, int, int], found: tuple[int, int, int]) -> None:
    expected = math.dist(CORNERS[wanted], CORNERS[found])
    assert hue_error(plain(wanted), plain(found)) == pytest.approx(expected, abs=0.1)


def test_hue_is_a_mean_over_smooth_blocks_of_distances() -> None:
    picture = plain((128, 128, 128))  # 3 x 4 blocks
    picture[:16, :32] = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)  # two that are busy
    decoded = picture.copy()
    decoded[:16, :32] = (255, 0, 0)
    assert hue_error(picture, decoded) == pytest.approx(0, abs=1e-6)
    decoded[32:, 48:] = (255, 0, 0)  # one of ten
    assert hue_error(picture, decoded) == pytest.approx(math.hypot(80.09, 67.20) / 10, abs=0.02)
    assert hue_error(decoded, picture) is not None  # whether a block is smooth, the original says


def test_hue_forgives_noise_and_lost_grain() -> None:
    rng = np.random.default_rng(0)
    grain = np.clip(np.rint(plain((120, 130, 140)) + rng.normal(0, 2, (48, 64, 3))), 0, 255).astype(np.uint8)
    for wanted, found in ((grain, plain((120, 130, 140))), (plain((120, 130, 140)), grain)):
        error = hue_error(wanted, found)
        assert error is not None
        assert error < 0.4


@pytest.mark.parametrize("size", [(15, 200), (200, 15), (1, 1)], ids=str)
def test_hue_needs_a_whole_block(size: tuple[int, int]) -> None:
    assert hue_error(plain((9, 9, 9), *size), plain((200, 9, 9), *size)) is None


def test_what_is_left_over_beside_whole_blocks_does_not_count() -> None:
    picture = plain((128, 128, 128), 40, 50)
    decoded = picture.copy()
    decoded[32:], decoded[:, 48:] = (255, 0, 0), (255, 0, 0)
    assert hue_error(picture, decoded) == pytest.approx(0, abs=1e-6)


def test_a_picture_that_is_busy_all_over_has_no_hue() -> None:
    busy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert hue_error(busy, busy) is None
