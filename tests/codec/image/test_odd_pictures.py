"""Hundreds of odd files: each is either kept as its reader shows it, or refused with one sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from aez.codec.errors import UnsupportedInput
from aez.codec.image.api import encode_picture
from aez.codec.image.decoded import Decoded, as_shown
from aez.codec.image.decoding import decode_picture
from aez.codec.image.pillow import Choices, read_image, take_apart
from aez.codec.pixels.depth import to_8_bits
from tests.kit.odd_pictures import LOSSLESS, odd_pictures
from tests.kit.tiny_pictures import tiny

NAMES = list(odd_pictures())
#: Of those in modes and formats, which hold just what they were made of.
EXACT = [name for name in NAMES if name.partition(" ")[2] in LOSSLESS and name.partition(" ")[0].isalnum()]


def test_there_are_many() -> None:
    assert len(NAMES) > 150
    assert len(EXACT) > 30


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own, of damaged files
@pytest.mark.parametrize("name", NAMES)
def test_each_goes_through_or_is_refused_with_one_sentence(name: str) -> None:
    data = odd_pictures()[name]
    try:
        encoded = encode_picture(read_image(io.BytesIO(data), "it"), 30, tiny())
    except UnsupportedInput as error:
        sentence = str(error)
    else:
        sentence = ""
    if sentence:
        assert "\n" not in sentence
        return
    decoded = decode_picture(encoded.data, model=tiny())
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert decoded.image.size == image.size
        assert ImageOps.exif_transpose(image).size == (decoded.array.shape[1], decoded.array.shape[0])
    assert all("\n" not in notice for notice in encoded.notices)


@pytest.mark.parametrize("name", EXACT)
def test_pixels_are_those_that_its_reader_shows(name: str) -> None:
    data = odd_pictures()[name]
    picture = take_apart(read_image(io.BytesIO(data)), Choices(keep_hidden=True))
    image = Image.open(io.BytesIO(data))
    if picture.bits > 8 or image.mode[0] in "IF":
        values = Decoded(picture.header(0, bytes(8), 64), picture.pixels).values
        np.testing.assert_allclose(values, np.asarray(image), atol=0.02)
        return
    shown = np.asarray(image.convert("RGBA"))
    found = to_8_bits(as_shown(picture.pixels, picture.mode), picture.bits)
    np.testing.assert_array_equal(found, shown[:, :, :3])
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, shown[:, :, 3])
