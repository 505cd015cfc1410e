"""Colours that nobody sees, and alpha of fewer levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from aez.codec.errors import InvalidArgument
from aez.codec.exact.samples import encode_samples
from aez.codec.pixels.alpha import (
    fill_hidden,
    is_opaque,
    over_background,
    with_fewer_levels,
)
from tests.kit.tiny_pictures import photo


def disc(side: int = 120, soft: float = 0) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:side, 0:side] - side / 2
    edge = side / 3 - np.hypot(y, x)
    return np.clip(255 * (edge / soft + 0.5 if soft else edge > 0), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_hidden_colours_follow_from_those_that_are_seen(kind: type) -> None:
    alpha = disc()
    noise = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (120, 120, 3)).astype(kind)
    smooth = np.full_like(noise, 90)
    given = np.where(alpha[:, :, None] > 0, smooth, noise)
    filled = fill_hidden(given, alpha)
    assert (filled == 90).all()
    assert filled.dtype == kind
    np.testing.assert_array_equal(given[alpha > 0], filled[alpha > 0])


def test_what_is_seen_stays_whatever_it_is() -> None:
    pixels, alpha = photo(70, 90), np.random.default_rng(1).integers(0, 3, (70, 90)).astype(np.uint8)
    filled = fill_hidden(pixels, alpha)
    np.testing.assert_array_equal(filled[alpha > 0], pixels[alpha > 0])
    assert filled[alpha == 0].min() >= pixels[alpha > 0].min()
    assert fill_hidden(pixels, np.full_like(alpha, 1)) is pixels


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 2), (2100, 3)])
def test_sizes_of_what_is_hidden(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
    alpha = np.zeros(shape, np.uint8)
    assert (fill_hidden(pixels, alpha) == 0).all()
    alpha[-1, -1] = 7
    assert (fill_hidden(pixels, alpha) == pixels[-1, -1]).all()


def test_an_opaque_plane() -> None:
    assert is_opaque(np.full((3, 4), 255, np.uint8))
    assert not is_opaque(np.full((3, 4), 255, np.uint16))
    assert is_opaque(np.full((3, 4), 65535, np.uint16))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_fewer_levels_take_fewer_bytes_and_keep_what_is_clear_or_opaque(kind: type) -> None:
    top = np.iinfo(kind).max
    noise = np.random.default_rng(3).integers(-3, 4, (120, 120))
    alpha = np.clip(disc(soft=30) / 255 * top + noise * (top // 255), 0, top).astype(kind)
    sizes = []
    for quality in (100, 80, 50, 10):
        fewer = with_fewer_levels(alpha, quality)
        assert fewer.dtype == kind
        assert (fewer[alpha == 0] == 0).all()
        assert (fewer[alpha == top] == top).all()
        sizes.append(len(encode_samples(fewer[:, :, None], 8 * fewer.itemsize)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0] / 3
    assert np.abs(with_fewer_levels(alpha, 80) / top - alpha / top).max() < 0.03
    np.testing.assert_array_equal(with_fewer_levels(alpha, 100), alpha)


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_qualities_of_alpha_that_there_are_none_of(quality: int) -> None:
    with pytest.raises(InvalidArgument, match="alpha quality"):
        with_fewer_levels(disc(), quality)


@pytest.mark.parametrize(("mode", "colour", "expected"), [("LA", 255, "L"), ("RGBA", 255, "RGB"), ("LA", 9, "RGB")])
def test_a_background(mode: str, colour: int, expected: str) -> None:
    pixels: Any = np.dstack([np.full((4, 5, len(mode) - 1), 100, np.uint8), np.zeros((4, 5), np.uint8)])
    pixels[0, 0, -1] = 255
    image = Image.fromarray(pixels)
    image.info["exif"] = b"kept"
    result = over_background(image, (255, 255, colour))
    assert (result.mode, result.info) == (expected, {"exif": b"kept"})
    found = np.asarray(result).reshape(4, 5, -1)
    assert (found[0, 0] == 100).all()
    assert (found[1, 1, -1], found[1, 1, 0]) == (colour, 255)
