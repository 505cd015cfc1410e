"""Items as pictures to look at: pixels of values, and sheets of originals above what became of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["interleaved", "pixels_of"]

Pixels = NDArray[np.uint8]
#: Tiny pictures are shown so large at least, each pixel as a square.
_SIDE = 64


def pixels_of(values: NDArray[np.generic], highest: float) -> list[Pixels]:
    """Pixels uint8 [h, w, 3] of pictures [n, height, width(, 3)] in 0..highest, enlarged where they are tiny."""
    levels = np.rint(np.clip(values.astype(np.float32) * np.float32(255 / highest), 0, 255)).astype(np.uint8)
    if levels.ndim == 3:
        levels = np.repeat(levels[..., None], 3, axis=3)
    factor = max(1, -(-_SIDE // max(levels.shape[1:3])))
    return list(levels.repeat(factor, axis=1).repeat(factor, axis=2))


def interleaved(rows: Sequence[Sequence[Pixels]], columns: int) -> list[Pixels]:
    """Several rows of as many pictures, cut after so many columns: the rows stand above each other in each part."""
    parts: list[Pixels] = []
    for start in range(0, len(rows[0]), columns):
        for row in rows:
            part = list(row[start : start + columns])
            blank = np.full_like(part[0], 255)
            parts += part + [blank] * (min(columns, len(row)) - len(part))
    return parts
