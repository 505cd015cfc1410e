"""Items as small pictures of one size: pictures as they are, vectors as curves, differences in two colours.

Tiles are uint8 [height, width, 3].
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aez.codec.latent.drawing import contact_sheet, limit_side
from aez.codec.vectors.drawing import pixels_of
from aez.codec.vectors.model import Autoencoder

__all__ = ["ItemTiles", "sheet_png"]

Float = NDArray[np.float32]
Tiles = list[NDArray[np.uint8]]
#: Longest side of a picture's tile; a curve's tile, its margin, and the deviations that it spans.
_SIDE, _CURVE, _MARGIN, _SPAN = 160, (72, 120), 4, 3.0
_PAPER, _FAINT, _INK, _OVER = (246, 247, 249), (200, 205, 212), (31, 78, 121), (221, 107, 16)
_LOW, _HIGH = np.array([33, 102, 172]), np.array([178, 24, 43])


class ItemTiles:
    """Tiles of the items of a model; `values` [n, *shape] give the scale of vectors."""

    def __init__(self, model: Autoencoder, values: NDArray[np.generic]) -> None:
        self._model = model
        flat = values.astype(np.float32)
        self._mean, self._deviation = flat.mean(0), np.maximum(flat.std(0), 1e-12)

    def of(self, values: NDArray[np.generic], over: NDArray[np.generic] | None = None) -> Tiles:
        """One tile for each item; of vectors with the curve of the item of `over` in another colour."""
        if self._model.range is not None:
            return [limit_side(tile, _SIDE) for tile in pixels_of(values, self._model.range[1])]
        curves = [self._scaled(values)] + ([] if over is None else [self._scaled(over)])
        return [_curve([part[number] for part in curves]) for number in range(len(values))]

    def signed(self, differences: Float) -> Tiles:
        """Differences [n, *shape], each by its own largest: blue below nothing, red above; of vectors curves."""
        largest = np.abs(differences).reshape(len(differences), -1).max(1).clip(1e-12)
        scaled = differences / largest.reshape(-1, *[1] * (differences.ndim - 1))
        if self._model.range is None:
            return [_curve([one * _SPAN]) for one in scaled]
        if scaled.ndim == 4:
            scaled = scaled.mean(3)
        share = np.abs(scaled)[..., None]
        coloured = 255 * (1 - share) + np.where(scaled[..., None] < 0, _LOW, _HIGH) * share
        return [limit_side(tile, _SIDE) for tile in pixels_of(coloured, 255)]

    def _scaled(self, values: NDArray[np.generic]) -> Float:
        scaled: Float = ((values.astype(np.float32) - self._mean) / self._deviation).astype(np.float32)
        return scaled


def _curve(curves: Sequence[Float]) -> NDArray[np.uint8]:
    """Numbers in deviations from left to right, later curves over earlier ones."""
    height, width = _CURVE
    image = Image.new("RGB", (2 * width, 2 * height), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.line((0, height, 2 * width, height), _FAINT, 2)
    for curve, colour in zip(curves, (_INK, _OVER), strict=False):
        x = np.linspace(_MARGIN, width - _MARGIN, len(curve)) if len(curve) > 1 else np.array([width / 2])
        y = height / 2 - np.clip(curve, -_SPAN, _SPAN) / _SPAN * (height / 2 - _MARGIN)
        points = [(2 * float(a), 2 * float(b)) for a, b in zip(x, y, strict=True)]
        draw.line(points, colour, 3)
        if len(points) <= 16:
            for a, b in points:
                draw.ellipse((a - 4, b - 4, a + 4, b + 4), colour)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def sheet_png(tiles: Tiles, columns: int, gap: int = 4) -> bytes:
    """A contact sheet as the bytes of a PNG file."""
    buffer = io.BytesIO()
    contact_sheet(tiles, columns, gap).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
