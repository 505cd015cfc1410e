"""What files say and Pillow does not hand on."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aez.codec.image.pillow import Choices, read_image, take_apart
from aez.codec.pixels.facts import Facts, facts_of
from tests.kit.png_maker import make_png
from tests.kit.tiny_pictures import photo

DEEP = photo(20, 30).astype(np.uint16) * 257 + np.arange(30, dtype=np.uint16)[None, :, None]


def saved(picture_format: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo(20, 30)).convert(mode).save(buffer, picture_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((12, 13), (12, 13, 1)),
        ((9, 16), (9, 16, 1)),
        ((1, 13), None),
        ((1, 1), None),
        ((2, 2), None),
        ((1, 8), (1, 8, 1)),
    ],
)
def test_code_points_of_avif(points: tuple[int, int], expected: tuple[int, int, int] | None) -> None:
    data = saved("AVIF")
    box = data.index(b"colrnclx") + 8
    changed = data[:box] + struct.pack(">HH", *points) + data[box + 4 :]
    picture = take_apart(read_image(io.BytesIO(changed)))
    assert picture.meta.colour.cicp == expected
    assert picture.notices == []


def test_ten_bits_of_avif_are_said_to_be_eight() -> None:
    data = bytearray(saved("AVIF"))
    image = Image.open(io.BytesIO(bytes(data)))
    assert not facts_of(image).deep
    data[data.index(b"av1C") + 6] |= 0x40
    image.fp = io.BytesIO(bytes(data))  # Pillow would look for the pixels at once
    assert facts_of(image).deep


def test_bits_of_jpeg_2000() -> None:
    data = bytearray(saved("JPEG2000"))
    assert not facts_of(Image.open(io.BytesIO(bytes(data)))).deep
    data[data.index(b"\xff\x4f\xff\x51") + 42] = 11  # twelve
    with Image.open(io.BytesIO(bytes(data))) as image:
        assert facts_of(image).deep


@pytest.mark.parametrize("opened_first", [True, False])
def test_a_file_is_read_again_by_its_name(tmp_path: Path, opened_first: bool) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make_png(DEEP, 16, 2))
    with Image.open(path) as image:
        if opened_first:
            image.load()  # after which Pillow has closed the file
        picture = take_apart(image)
    assert (picture.bits, picture.notices) == (16, [])
    np.testing.assert_array_equal(picture.pixels, DEEP)


def test_a_file_that_is_another_one_now(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make_png(DEEP, 16, 2))
    with Image.open(path) as image:
        image.load()
        path.write_bytes(make_png(DEEP[::-1], 16, 2))
        picture = take_apart(image)
    assert (picture.bits, picture.notices) == (8, ["16-bit colour is kept as 8 bits a channel"])
    np.testing.assert_array_equal(picture.pixels, DEEP >> 8)


def test_what_is_made_of_a_picture_has_no_facts_of_its_file() -> None:
    image = read_image(io.BytesIO(make_png(DEEP, 16, 2)))
    assert facts_of(image).samples is not None
    assert facts_of(image.rotate(90)) == Facts()
    assert take_apart(image.rotate(90)).bits == 8


def test_words_that_are_left_out_are_named() -> None:
    data = saved("JPEG", comment=b"hello")
    assert take_apart(read_image(io.BytesIO(data))).notices == ["words beside the picture are left out: comment"]
    everything = Choices(frozenset({"gps", "exif", "xmp", "icc", "dpi"}))
    assert take_apart(read_image(io.BytesIO(data)), everything).notices == []
