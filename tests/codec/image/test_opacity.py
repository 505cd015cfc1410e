"""Alpha in tiles: by itself, together with exact samples, and where nobody sees the colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import aez
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.errors import CorruptFile
from aez.codec.exact.samples import Form, decode_samples, encode_samples, encode_with_alpha, step_of
from aez.codec.image.decoding import decode_picture, describe
from aez.codec.image.tiles import parts_of
from tests.kit.golden_refused import PIXELS
from tests.kit.tiny_pictures import photo

GOLDEN = Path(__file__).parents[1] / "golden"
RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (20, 30), dtype=np.uint8)


def logo(side: int = 96) -> Image.Image:
    """Round shapes with soft edges on nothing, as design programs write them."""
    large = Image.new("RGBA", (4 * side, 4 * side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(large)
    for at, colour in ((0.1, (200, 30, 40)), (0.4, (20, 90, 200)), (0.5, (250, 200, 20))):
        draw.ellipse([at * 4 * side, at * 3 * side, (at + 0.4) * 4 * side, (at + 0.5) * 3 * side], fill=(*colour, 255))
    return large.resize((side, side), Image.Resampling.LANCZOS)


def forms(data: bytes) -> list[int | None]:
    """The form of each tile's exact samples."""
    reader = Reader(io.BytesIO(data), ImageHeader)
    exact = [parts_of(chunk.content, reader.header, chunk.tile).exact for chunk in reader.chunks() if chunk.tile >= 0]
    return [None if coded is None else coded[4 + len(_step(coded))] for coded in exact]


def _step(coded: bytes) -> bytes:
    return coded[4:5] if step_of(coded) < 128 else coded[4:6]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_samples_with_their_alpha(channels: int, step: int) -> None:
    samples = RGB[:, :, :channels]
    decoded = decode_samples(encode_with_alpha(samples, ALPHA, step), 20, 30, channels, 8, may_hold_alpha=True)
    alone = decode_samples(encode_samples(samples, 8, step), 20, 30, channels, 8)
    np.testing.assert_array_equal(decoded, np.dstack([alone, ALPHA]))


def test_every_flip_in_samples_with_alpha_is_an_error_or_harmless() -> None:
    whole = encode_with_alpha(RGB[:6, :7], ALPHA[:6, :7])
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 0x10
        try:
            samples = decode_samples(bytes(data), 6, 7, 3, 8, may_hold_alpha=True)
        except (CorruptFile, aez.VersionError):
            continue
        np.testing.assert_array_equal(samples, np.dstack([RGB[:6, :7], ALPHA[:6, :7]]))


def test_samples_hold_alpha_only_where_they_may() -> None:
    data = encode_with_alpha(RGB, ALPHA)
    with pytest.raises(CorruptFile, match="alpha where there is none"):
        decode_samples(data, 20, 30, 3, 8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (20, 30), (150, 70)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("how", [{"lossless": True}, {"quality": 30, "content": "photo"}, {"quality": 60}])
def test_alpha_is_exact_whatever_the_tiles_are(shape: tuple[int, int], mode: str, how: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (*shape, len(mode)), dtype=np.uint8)
    decoded = decode_picture(aez.encode(Image.fromarray(pixels), tile=64, **how)).array
    np.testing.assert_array_equal(decoded[:, :, -1], pixels[:, :, -1])
    if "lossless" in how:
        np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("narrow", [True, False])
def test_deep_alpha_is_exact(narrow: bool) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 65536, (40, 70, 4)).astype(np.uint16)
    if narrow:
        pixels[:, :, 3] = pixels[:, :, 3] // 257 * 257
    data = aez.encode(pixels, lossless=True)
    np.testing.assert_array_equal(decode_picture(data).array, pixels)
    parts = describe(data)["alpha_bytes"]
    assert parts == pytest.approx(2800 if narrow else 5600, rel=0.1)  # what has 8 bits takes no more


def test_opaque_tiles_take_a_byte() -> None:
    pixels = np.dstack([photo(64, 128), np.full((64, 128), 255, np.uint8)])
    pixels[0, 127, 3] = 0
    reader = Reader(io.BytesIO(aez.encode(pixels, tile=64, content="photo")), ImageHeader)
    held = [parts_of(reader.tile(number), reader.header, number).alpha for number in (0, 1)]
    assert held[0] == b""
    assert held[1]


def test_a_logo_takes_no_more_than_lossless_webp() -> None:
    image = logo()
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=100, method=6)
    lossless, usual = aez.encode(image, lossless=True), aez.encode(image)
    assert forms(lossless) == [Form.WITH_ALPHA]
    assert len(lossless) <= 1.01 * len(buffer.getvalue()) + 64
    assert len(usual) <= 1.01 * len(buffer.getvalue()) + 64
    np.testing.assert_array_equal(decode_picture(lossless).array, np.asarray(image))


def test_hidden_colours_cost_exact_tiles_nothing() -> None:
    image = logo()
    noisy = np.array(image)
    hidden = noisy[:, :, 3] == 0
    noisy[hidden, :3] = np.random.default_rng(5).integers(0, 256, (int(hidden.sum()), 3))
    assert abs(len(aez.encode(noisy)) - len(aez.encode(image))) <= 8
    kept = decode_picture(aez.encode(noisy, lossless=True)).array
    np.testing.assert_array_equal(kept, noisy)


def test_a_region_and_a_smaller_picture_have_their_alpha() -> None:
    pixels = np.array(logo(150))
    data = aez.encode(pixels, lossless=True, tile=64)
    np.testing.assert_array_equal(decode_picture(data, region=(50, 40, 70, 90)).array, pixels[40:130, 50:120])
    small = decode_picture(data, scale=2).array
    means = pixels.reshape(75, 2, 75, 2, 4).mean(axis=(1, 3))
    np.testing.assert_array_equal(small, np.floor(means + 0.5))


def test_where_alpha_is_damaged_the_picture_is_opaque() -> None:
    data = (GOLDEN / "refused" / "alpha_checksum.aez").read_bytes()
    with pytest.raises(CorruptFile, match="tile 0"):
        decode_picture(data)
    decoded = decode_picture(data, partial=True)
    assert [error.chunk for error in decoded.damage] == ["tile"]
    np.testing.assert_array_equal(decoded.array[:, :, :3], PIXELS)
    assert (decoded.array[:, :, 3] == 255).all()
