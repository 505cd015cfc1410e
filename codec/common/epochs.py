"""Times as numbers: seconds and finer since 1970, told apart by their size, and the days that spreadsheets count."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAYS", "are_likely_days", "days_or_count", "from_days", "told_unit", "told_units"]

#: Smallest magnitude of the times since 1970 in each unit, ns: from 1973 on, none is taken for another.
_EPOCHS = ((10**17, 1), (10**14, 10**3), (10**11, 10**6), (10**8, 10**9))
#: What the unit of days is called where one can be given.
DAYS = "days"
#: Day 0 of spreadsheets, by which 1 March 1900 and later are right, and its distance from 1970 in days.
_DAY_ZERO, _DAYS_TO_1970 = datetime(1899, 12, 30), 25_569
#: Numbers that may well be days of a spreadsheet: of the years 1982 to 2105.
_LIKELY = (30_000.0, 75_000.0)
_DAY_MS, _MS = 86_400_000, 10**6
#: Days that int64 ns since 1970 can count.
_FURTHEST = 106_000


def told_units(magnitude: NDArray[np.floating]) -> NDArray[np.int64]:
    """ns in the unit of each time since 1970; 0 of one that is too small to tell."""
    units = np.zeros(len(magnitude), np.int64)
    for least, ns in reversed(_EPOCHS):
        units[magnitude >= least] = ns
    return units


def told_unit(magnitude: float) -> int | None:
    """ns in the unit of times since 1970 that are about so large; None where that is too small to tell."""
    return next((ns for least, ns in _EPOCHS if magnitude >= least), None)


def from_days(days: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Local times of a spreadsheet's days as ns since 1970, and flags of those that are none.

    They are whole milliseconds, as spreadsheets keep them: what is finer was lost where they were written.
    """
    wrong = ~(np.abs(days) < _FURTHEST)
    kept = np.where(wrong, 0.0, days)
    whole = np.floor(kept)
    ms = (whole.astype(np.int64) - _DAYS_TO_1970) * _DAY_MS + np.rint((kept - whole) * _DAY_MS).astype(np.int64)
    return ms * _MS, wrong


def are_likely_days(values: NDArray[np.floating]) -> bool:
    """Whether all of these numbers, at least one, may be days of a spreadsheet."""
    return bool(len(values) and np.all((values >= _LIKELY[0]) & (values < _LIKELY[1])))


def days_or_count(value: float) -> str | None:
    """What a number may be as a time that is too small to be one since 1970; None where it is not too small."""
    if not abs(value) < _EPOCHS[-1][0]:
        return None
    if _LIKELY[0] <= value < _LIKELY[1]:
        day = (_DAY_ZERO + timedelta(milliseconds=round(value * _DAY_MS))).isoformat(" ", "seconds")
        return f"{value:.11g} is {day} in the days of spreadsheets, or counts seconds from a start of its own"
    return f"{value:.11g} is too small to be a time since 1970"
