"""Pictures at a half, a quarter or an eighth of their size: means of blocks of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["SCALES", "THUMBNAIL", "check_scale", "reduced", "scale_for"]

#: One over these of the size.
SCALES = (1, 2, 4, 8)
#: The scale at which models have a graph that needs no synthesis.
THUMBNAIL = 8


def check_scale(scale: int) -> None:
    """Raise InvalidArgument for what is none of `SCALES`."""
    if scale not in SCALES:
        raise InvalidArgument(f"a scale of 1/{scale} is none of {', '.join(f'1/{one}' for one in SCALES)}")


def scale_for(width: int, height: int, side: int) -> int:
    """The largest scale at which the longer side of a picture still has `side` pixels; 1 where none has."""
    return max(scale for scale in SCALES if scale == 1 or -(-max(width, height) // scale) >= side)


def reduced(samples: NDArray[Any], scale: int) -> NDArray[Any]:
    """Means of blocks of scale x scale samples, unsigned integers [height, width, ...], rounded half up.

    Blocks at the lower and right edges are cut off there: [ceil(height / scale), ceil(width / scale), ...].
    """
    if scale == 1:
        return samples
    height, width = samples.shape[:2]
    rows, columns = np.arange(0, height, scale), np.arange(0, width, scale)
    sums = np.add.reduceat(np.add.reduceat(samples, rows, axis=0, dtype=np.uint32), columns, axis=1, dtype=np.uint32)
    counts = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width))).astype(np.uint32)
    counts = counts.reshape(*counts.shape, *[1] * (samples.ndim - 2))
    means: NDArray[Any] = ((sums + counts // 2) // counts).astype(samples.dtype)
    return means
