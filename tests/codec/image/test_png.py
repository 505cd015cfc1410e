"""Every PNG colour type, depth, interlacing and ancillary chunk."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from aez.codec.image.api import encode_picture
from aez.codec.image.decoding import decode_picture
from aez.codec.image.pillow import Choices, Picture, read_image, take_apart
from tests.kit.png_maker import CHANNELS, DEPTHS, make_png
from tests.kit.tiny_pictures import tiny

HEIGHT, WIDTH = 13, 19
RNG = np.random.default_rng(5)
PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]


def some_samples(colour: int, depth: int) -> NDArray[Any]:
    samples = RNG.integers(0, 1 << depth, (HEIGHT, WIDTH, CHANNELS[colour]))
    samples[0, :2] = [[0], [(1 << depth) - 1]]
    samples[1, 0] |= 1
    return samples


def palette(depth: int) -> list[tuple[str, bytes]]:
    return [("PLTE", PALETTE[: 1 << depth].tobytes())]


def read(data: bytes) -> Picture:
    """Taken apart, with what is hidden, whether the file was loaded before or not."""
    keep = Choices(keep_hidden=True)
    loaded, lazy = take_apart(read_image(io.BytesIO(data)), keep), take_apart(Image.open(io.BytesIO(data)), keep)
    np.testing.assert_array_equal(loaded.pixels, lazy.pixels)
    assert (loaded.mode, loaded.bits, loaded.meta, loaded.notices) == (lazy.mode, lazy.bits, lazy.meta, lazy.notices)
    return loaded


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_samples_are_those_of_the_file(colour: int, depth: int, interlaced: bool, clear: bool) -> None:
    if clear and colour in (4, 6):
        pytest.skip("colour types with alpha have no tRNS")
    samples = some_samples(colour, depth)
    chunks = palette(depth) if colour == 3 else []
    levels = RNG.integers(1, 255, 1 << min(depth, 8), dtype=np.uint8)
    if clear:
        content = levels.tobytes() if colour == 3 else struct.pack(f">{CHANNELS[colour]}H", *samples[2, 3].tolist())
        chunks.append(("tRNS", content))
    picture = read(make_png(samples, depth, colour, interlaced, chunks))
    top = (1 << max(depth, 8)) - 1
    if colour == 3:
        pixels, grey = PALETTE[samples[:, :, 0]], False
        alpha = levels[samples[:, :, 0]] if clear else None
    else:
        grey = colour in (0, 4)
        scaled = samples * (top // ((1 << depth) - 1))
        pixels = np.repeat(scaled[:, :, :1], 3, axis=2) if grey else scaled[:, :, :3]
        alpha = scaled[:, :, -1] if colour in (4, 6) else None
        if clear:
            alpha = np.where((samples == samples[2, 3]).all(axis=2), 0, 255)
    assert picture.bits == max(depth, 8)
    assert picture.mode == ("L" if grey else "RGB") + ("" if alpha is None else "A")
    np.testing.assert_array_equal(picture.pixels, pixels)
    if alpha is not None:
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, alpha)
    assert picture.notices == []


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 8, "a title"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
#: Chunks before the pixels, and what they change.
CHUNKS: dict[str, tuple[list[tuple[str, bytes]], dict[str, Any]]] = {
    "cHRM": (
        [("cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))],
        {"cicp": (12, 13, 1)},
    ),
    "gAMA": ([("gAMA", struct.pack(">I", 100000))], {"cicp": (1, 8, 1)}),
    "iCCP": ([("iCCP", b"name\0\0" + zlib.compress(SRGB))], {"cicp": (1, 13, 1)}),
    "iCCP damaged": ([("iCCP", b"name\0\0nothing")], {}),
    "sBIT": ([("sBIT", b"\5\6\5")], {}),
    "sRGB": ([("sRGB", b"\0")], {"cicp": (1, 13, 1)}),
    "cICP": ([("cICP", bytes([9, 18, 0, 1]))], {"cicp": (9, 18, 1)}),
    "cICP above iCCP": (
        [("cICP", bytes([9, 16, 0, 1])), ("iCCP", b"n\0\0" + zlib.compress(SRGB))],
        {"cicp": (9, 16, 1)},
    ),
    "cICP of YCbCr": ([("cICP", bytes([9, 16, 9, 1]))], {}),
    "cICP too long": ([("cICP", bytes(7))], {}),
    "mDCV": ([("mDCV", bytes(24))], {}),
    "cLLI": ([("cLLI", bytes(8))], {}),
    "bKGD": ([("bKGD", bytes(6))], {}),
    "hIST": ([("PLTE", PALETTE.tobytes()), ("hIST", bytes(512))], {}),
    "PLTE as a hint": ([("PLTE", PALETTE.tobytes())], {}),
    "pHYs": ([("pHYs", struct.pack(">IIB", 11811, 5906, 1))], {"resolution": (1181100, 590600)}),
    "pHYs of a ratio": ([("pHYs", struct.pack(">IIB", 2, 1, 0))], {}),
    "sPLT": ([("sPLT", b"name\0\x08" + bytes(6))], {}),
    "tIME": ([("tIME", struct.pack(">H5B", 2024, 1, 2, 3, 4, 5))], {}),
    "eXIf": ([("eXIf", EXIF.tobytes()[6:])], {"orientation": 8}),
    "eXIf damaged": ([("eXIf", b"II*\0")], {}),
    "tEXt": ([("tEXt", b"Comment\0hello")], {}),
    "zTXt": ([("zTXt", b"Comment\0\0" + zlib.compress(b"hello"))], {}),
    "tEXt of a program": ([("tEXt", b"Software\0gimp")], {}),
    "iTXt": ([("iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)], {"xmp": XMP}),
    "private": ([("teSt", b"whatever")], {}),
    "acTL": (
        [("acTL", struct.pack(">II", 1, 0)), ("fcTL", struct.pack(">5I2H2B", 0, WIDTH, HEIGHT, 0, 0, 1, 1, 0, 0))],
        {},
    ),
}
WORDS = ["words beside the picture are left out: Comment"]
#: What is said of chunks that have no place in the file; what says nothing that a viewer would show needs no word.
LOST = {
    **{name: [f"not kept: the chunks {name}"] for name in ("mDCV", "cLLI", "sPLT")},
    "private": ["not kept: the chunks teSt"],
    "tEXt": WORDS,
    "zTXt": WORDS,
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("depth", [8, 16])
def test_ancillary_chunks(name: str, depth: int) -> None:
    chunks, said = CHUNKS[name]
    samples = some_samples(2, depth)
    picture = read(make_png(samples, depth, 2, before=chunks))
    np.testing.assert_array_equal(picture.pixels, samples)
    assert picture.bits == depth
    found = {
        "cicp": picture.meta.colour.cicp,
        "resolution": picture.meta.resolution,
        "orientation": picture.meta.orientation,
        "xmp": picture.metadata.get("m"),
    }
    assert found == {"cicp": None, "resolution": None, "orientation": 1, "xmp": None, **said}
    assert picture.notices == LOST.get(name, [])


@pytest.mark.parametrize("name", ["tIME", "tEXt", "iTXt", "eXIf"])
def test_chunks_behind_the_pixels(name: str) -> None:
    chunks, said = CHUNKS[name]
    samples = some_samples(6, 8)
    picture = read(make_png(samples, 8, 6, after=chunks))
    np.testing.assert_array_equal(picture.pixels, samples[:, :, :3])
    assert picture.meta.orientation == said.get("orientation", 1)
    assert picture.metadata.get("m") == said.get("xmp")


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_each_goes_through_the_codec(colour: int, depth: int) -> None:
    data = make_png(some_samples(colour, depth), depth, colour, True, palette(depth) if colour == 3 else [])
    decoded = decode_picture(encode_picture(read_image(io.BytesIO(data)), 60, tiny()).data, model=tiny())
    assert (decoded.image.width, decoded.image.height) == (WIDTH, HEIGHT)
    assert decoded.values.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert decoded.image.mode == {(0, 16): "I;16"}.get((colour, depth), {0: "L", 4: "LA", 6: "RGBA"}.get(colour, "RGB"))
