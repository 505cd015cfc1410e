"""Levels for targets: found in few trials, on curves of any bend, and kept to where nothing is near."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.image.targets import OutOfReach, Target, find_level


@given(
    bend=st.floats(0.3, 3),
    low=st.floats(-4, 0),
    rise=st.floats(0.5, 6),
    wanted=st.floats(-5, 7),
    at_least=st.booleans(),
    start=st.integers(0, LEVEL_MAX),
)
def test_it_keeps_to_the_target_wherever_it_can(
    bend: float, low: float, rise: float, wanted: float, at_least: bool, start: int
) -> None:
    tried: list[int] = []

    def attempt(level: int) -> tuple[float, int]:
        tried.append(level)
        return low + rise * (level / LEVEL_MAX) ** bend, level

    target = Target(wanted, wanted + 0.01, at_least, start, 3.0)
    try:
        level, found = find_level(target, attempt)
    except OutOfReach:
        assert not any(target.holds(attempt(end)[0]) for end in (0, LEVEL_MAX))
        return
    value = attempt(level)[0]
    assert found == level
    assert target.holds(value)
    if not target.low <= value <= target.high:
        beside = level - 1 if at_least else level + 1
        assert not 0 <= beside <= LEVEL_MAX or not target.holds(attempt(beside)[0])
    assert len(tried) <= 8 + 12 + 2


@pytest.mark.parametrize("wanted", [0.1, 0.25, 0.5, 1.0, 2.0])
def test_a_curve_like_those_of_photographs_takes_four_trials(wanted: float) -> None:
    tried: list[float] = []

    def attempt(level: int) -> tuple[float, int]:
        share = level / LEVEL_MAX
        tried.append(-2.7 + 2.6 * share + 0.6 * share**2)
        return tried[-1], level

    near = math.log(wanted)
    find_level(Target(near - 0.005, near, False, 1000, 3.0), attempt)
    assert len(tried) <= 4 or tried[-1] < near
