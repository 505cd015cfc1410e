"""The level at which a picture reaches a target, in few encodes: what is measured rises smoothly with the level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aez.codec.entropy.quality import LEVEL_MAX

__all__ = ["OutOfReach", "Target", "find_level"]

Found = TypeVar("Found")
#: Trials that are placed by interpolation; those after halve what is left.
_INTERPOLATED = 8


@dataclass(frozen=True)
class Target:
    """What is asked for: a measure between `low` and `high`, and how it rises.

    `at_least`: only `low` must be kept, and `high` says how far above is near enough; else only `high` must. `start` is
    the first level to try, `slope` the usual rise of the measure over all levels.
    """

    low: float
    high: float
    at_least: bool
    start: int
    slope: float

    def holds(self, value: float) -> bool:
        return value >= self.low if self.at_least else value <= self.high


class OutOfReach(Exception):
    """No level keeps to the target; `nearest` is the value that comes nearest."""

    def __init__(self, nearest: float) -> None:
        super().__init__(nearest)
        self.nearest = nearest


@dataclass(frozen=True)
class _Trial(Generic[Found]):
    level: int
    value: float
    found: Found


def find_level(target: Target, attempt: Callable[[int], tuple[float, Found]]) -> tuple[int, Found]:
    """A level that keeps to the target, and what `attempt` found there.

    `attempt` gives the measure at a level 0..LEVEL_MAX and what belongs to it. Of the levels that keep to the target it
    is one within low..high, or where there is none, the last one of those that do. Raises OutOfReach where none does.
    """
    below: _Trial[Found] | None = None
    above: _Trial[Found] | None = None
    level = target.start
    for count in range(1, LEVEL_MAX):
        value, found = attempt(level)
        trial = _Trial(level, value, found)
        if target.low <= value <= target.high:
            return level, found
        if value < target.low:
            below = trial
        else:
            above = trial
        lowest = -1 if below is None else below.level
        highest = LEVEL_MAX + 1 if above is None else above.level
        if highest - lowest <= 1:
            break
        # What is coded without an error has an infinite PSNR, which no line leads to.
        finite = all(math.isfinite(trial.value) for trial in (below, above) if trial is not None)
        level = _next(target, below, above) if finite and count < _INTERPOLATED else (lowest + highest) // 2
        level = min(max(level, lowest + 1), highest - 1)
    kept = above if target.at_least else below
    if kept is not None:
        return kept.level, kept.found
    other = below if target.at_least else above
    assert other is not None
    raise OutOfReach(other.value)


def _next(target: Target, below: _Trial[Found] | None, above: _Trial[Found] | None) -> int:
    """Where a straight line reaches the middle of the target."""
    wanted = (target.low + target.high) / 2
    if below is not None and above is not None and above.value > below.value:
        share = (wanted - below.value) / (above.value - below.value)
        return round(below.level + share * (above.level - below.level))
    trial = below or above
    assert trial is not None
    return round(trial.level + (wanted - trial.value) / target.slope * LEVEL_MAX)
