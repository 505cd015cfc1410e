"""Whether tiles show: steps of brightness that a decoded picture has at their borders and the original has not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from aez.bench.machine import describe_environment
from aez.bench.pictures.files import Picture, load_picture
from aez.codec.errors import InvalidArgument
from aez.codec.image.api import encode_picture, load
from aez.codec.image.decoding import decode_picture
from aez.codec.image.model import ModelLike
from aez.codec.image.tiles import TILE_DEFAULT

__all__ = ["QUALITIES", "seams", "step_errors"]

QUALITIES = (10.0, 30.0, 50.0)
WIDTH = 1920
#: The other places that a border is compared with: multiples of so many pixels, up to so far away.
EVERY, WITHIN = 16, 200


def seams(
    pictures: Iterable[Path],
    model: ModelLike = None,
    qualities: Sequence[float] = QUALITIES,
    tile: int = TILE_DEFAULT,
    width: int | None = WIDTH,
) -> dict[str, Any]:
    """Mean absolute error of steps across tile borders over that at the other multiples of 16 within 200 pixels.

    Pictures are scaled to `width` first, which makes smooth ones of small ones; None takes them as they are. A step is
    the difference of two neighbouring pixels. Figures are plain JSON values: for each quality `border`, `elsewhere`
    (in 1/255) and their `ratio`, None where there is no error elsewhere.

    Raises InvalidArgument where no picture is larger than a tile.
    """
    bundle = load(model)
    sums = {quality: np.zeros((2, 2)) for quality in qualities}  # [border or elsewhere, sum or count]
    for path in pictures:
        original = _scaled(load_picture(path), width)
        for quality in qualities:
            decoded = np.asarray(
                decode_picture(
                    encode_picture(original, quality, bundle, tile=tile, content="photo").data, model=bundle
                ).image
            )
            for axis in (0, 1):
                sums[quality] += _steps(original, decoded, tile, axis)
    if not all(figures[0, 1] for figures in sums.values()):
        raise InvalidArgument(f"no picture is larger than a tile of {tile} pixels; give larger ones or smaller tiles")
    figures = {}
    for quality, of in sums.items():
        border, elsewhere = (float(total / count) for total, count in of)
        ratio = border / elsewhere if elsewhere else None
        figures[f"{quality:g}"] = {"border": border, "elsewhere": elsewhere, "ratio": ratio}
    return {"machine": asdict(describe_environment()), "model": bundle.name, "tile": tile, "qualities": figures}


def step_errors(original: Picture, decoded: Picture, axis: int) -> npt.NDArray[np.float64]:
    """Mean absolute error of the step between pixels k and k + 1 along an axis, [side - 1], in 1/255."""
    error = np.diff(decoded.astype(np.int16), axis=axis) - np.diff(original.astype(np.int16), axis=axis)
    mean: npt.NDArray[np.float64] = np.abs(error).mean(axis=(1 - axis, 2))
    return mean


def _steps(original: Picture, decoded: Picture, tile: int, axis: int) -> npt.NDArray[np.float64]:
    """[[sum, count] at borders, [sum, count] elsewhere] of the means at each place along an axis."""
    errors = step_errors(original, decoded, axis)
    side = len(errors) + 1
    borders = np.arange(tile, side, tile)
    others = np.arange(EVERY, side, EVERY)
    others = others[others % tile != 0]
    near = [place for place in others if borders.size and np.abs(borders - place).min() <= WITHIN]
    return np.array([[errors[np.asarray(at, int) - 1].sum(), len(at)] for at in (borders, near)])


def _scaled(picture: Picture, width: int | None) -> Picture:
    if width is None:
        return picture
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
