"""A file of a very large picture, without the time that encoding one takes."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import numpy.typing as npt

from aez.bench.pictures.value_noise import value_noise
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.writer import Writer
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import encode_picture
from aez.codec.image.model import ModelLike

__all__ = ["repeated_file", "texture"]

#: Of the values of noise: pixels from one to the next, and how far they go.
_CELLS = {128: 70, 48: 40, 16: 24, 6: 14, 2: 10}


def repeated_file(side: int, tile: int, model: ModelLike, quality: float) -> bytes:
    """The file of a square picture: nine tiles of noise are encoded, and stand at all places where they fit.

    Raises InvalidArgument for fewer than 3 x 3 tiles, and as `encode_picture`.
    """
    count = -(-side // tile)
    if count < 3:
        raise InvalidArgument(f"{side} pixels are fewer than three tiles of {tile}")
    few = side - (count - 3) * tile  # two tiles, and one that is cut off as the last one is
    encoded = encode_picture(texture(few), quality, model, tile=tile, content="photo")
    small = Reader(io.BytesIO(encoded.data), ImageHeader)
    contents = [small.tile(number) for number in range(9)]
    places = [number % 2 for number in range(count - 1)] + [2]
    out = io.BytesIO()
    writer = Writer(out, dataclasses.replace(small.header, width=side, height=side))
    for row in range(count):
        for column in range(count):
            writer.tile(row * count + column, contents[3 * places[row] + places[column]])
    writer.close()
    return out.getvalue()


def texture(side: int) -> npt.NDArray[np.uint8]:
    """Noise [side, side, 3] that is smooth at some scales and fine at others, a little as photographs are."""
    grey = sum(reach * (value_noise(side, side, cell, cell) - 0.5) for cell, reach in _CELLS.items())
    tints = [30 * (value_noise(side, side, 64, 1000 + channel) - 0.5) for channel in range(3)]
    return np.stack([np.clip(128 + grey + tint, 0, 255) for tint in tints], axis=2).astype(np.uint8)
