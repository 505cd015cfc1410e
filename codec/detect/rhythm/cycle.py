"""The phase of rows that have a period of so many rows and no clock: told by the rows before.

Each bin of the period has odds that the next row belongs to it: they move on by a bin with each row, forget within two
periods, and take a row's distance from what is usual in the bin as evidence. A row's phase is the likeliest bin before
that row is looked at, so that a strange row does not choose what it is held against; a period that is a little longer
or shorter is followed by slips of one bin, at a price.

Guarantee: phase and level of a row depend on the rows before it alone, not on how they were cut into calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CycleState", "backwards", "evidence", "moved_on", "nearest"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Periods within which evidence is forgotten; what a slip costs; squared widths beyond which a row tells no more.
_MEMORY, _SLIP, _CLIP = 2.0, 6.0, 9.0
#: Evidence is summed over channels as whole numbers, so that the order does not matter.
_UNIT = 1 << 20


@dataclass(eq=False)
class CycleState:
    """Of one stream: odds float64 [bins]; place of its last row, in bins since it began; seen, its rows."""

    odds: Floats
    place: int = -1
    seen: int = 0


def moved_on(odds: Floats) -> Floats:
    """The odds for the next row."""
    straight = np.concatenate([odds[-1:], odds[:-1]])
    slipped = np.maximum(odds, np.concatenate([straight[-1:], straight[:-1]]))
    found: Floats = np.maximum(straight, slipped - _SLIP)
    return found


def evidence(odds: Floats, away: Floats) -> Floats:
    """The odds once a row is known that is so many widths away from what is usual in each bin [bins, channels]."""
    squares = np.minimum(np.square(away), _CLIP)
    there = np.isfinite(squares)
    count = max(1, int(there[0].sum()))
    total = np.where(there, np.rint(squares * _UNIT), 0.0).sum(axis=1) / (2 * _UNIT * count)
    found: Floats = (1 - 1 / (_MEMORY * len(odds))) * odds - total
    return found


def nearest(place: int, phase: int, bins: int) -> int:
    """The place of this phase, 0 and up, that is nearest to the one behind `place`."""
    off = (phase - place - 1) % bins
    return place + 1 + (off - bins if off > bins // 2 else off)


def backwards(place: Ints, seen: Ints, window: int, bins: int) -> NDArray[np.float32]:
    """Phases [n, window, 1], 1 and up, of the rows of windows by place and number of their last row.

    0 for the rows of a stream's first period, of which too little is known.
    """
    back = np.arange(window - 1, -1, -1)
    phase = (place[:, None] - back) % bins + 1
    found: NDArray[np.float32] = np.where(seen[:, None] - back > bins, phase, 0).astype(np.float32)[:, :, None]
    return found
