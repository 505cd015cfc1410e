"""Items larger than a model's: cut into parts that overlap by half, run, and blended again."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["in_tiles"]

Float = NDArray[np.float32]


def in_tiles(whole: NDArray[np.generic], shape: tuple[int, ...], run: Callable[[Float], Float]) -> Float:
    """What `run` makes of a whole [..., colours] in tiles [n, *shape], float32 of the whole's shape.

    The tiles' axes are the whole's first ones; where tiles overlap their middles count most. Raises InvalidArgument for
    a whole that is smaller than a tile.
    """
    if whole.ndim != len(shape) or any(side < tile for side, tile in zip(whole.shape, shape, strict=True)):
        raise InvalidArgument(
            f"an item of {'x'.join(map(str, whole.shape))} is smaller than the model's {'x'.join(map(str, shape))}; "
            "give it at the model's size with --size, or train for smaller ones"
        )
    places = [_starts(side, tile) for side, tile in zip(whole.shape, shape, strict=True)]
    tiles = [tuple(slice(a, a + size) for a, size in zip(at, shape, strict=True)) for at in itertools.product(*places)]
    made = run(np.stack([whole[tile] for tile in tiles]).astype(np.float32))
    weight = _weight(shape)
    total, weights = np.zeros(whole.shape), np.zeros(whole.shape)
    for tile, part in zip(tiles, made, strict=True):
        total[tile] += weight * part
        weights[tile] += weight
    blended: Float = (total / weights).astype(np.float32)
    return blended


def _starts(side: int, tile: int) -> list[int]:
    step = max(1, tile // 2)
    return [*range(0, side - tile, step), side - tile]


def _weight(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Largest in the middle, never 0 at the border, as a whole's border has no other tile."""
    weight = np.ones(())
    for size in shape:
        ramp = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)) / size
        weight = weight[..., None] * ramp
    return weight
