"""Times of messages, as numbers or texts or by their arrival, as int64 ns since 1970 UTC.

The result for one time does not depend on the others beside it, so that rows may be converted together or alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.daemon.parse.options import UNITS

__all__ = ["ArrivalClock", "from_floats", "from_integers", "from_objects", "from_texts"]

Times = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Smallest magnitude of the times since 1970 in each unit: from 1973 on, none is taken for another.
_EPOCHS = ((10**17, 1), (10**14, 10**3), (10**11, 10**6))
_LIMIT = 2.0**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE = (datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC))


class ArrivalClock:
    """Times of messages that have none: the time of arrival, rising by 1 ns from row to row.

    When the wall clock is set back, the times go on as if it had not been: else all rows were late until it caught up.
    """

    def __init__(self) -> None:
        self._last = self._ahead = 0

    def arrivals(self, rows: int, received: float) -> int:
        """The time of the first of so many rows, which came at `received` of the monotonic clock."""
        now = time.monotonic()
        self._ahead = max(self._ahead, time.time_ns() - int(now * 1e9))
        first = max(int(min(received, now) * 1e9) + self._ahead, self._last + 1)
        self._last = first + rows
        return first


def _units(magnitude: NDArray[Any], unit: str) -> NDArray[np.int64]:
    if unit != "auto":
        return np.full(len(magnitude), UNITS[unit], np.int64)
    units = np.full(len(magnitude), 10**9, np.int64)
    for least, ns in reversed(_EPOCHS):
        units[magnitude >= least] = ns
    return units


def from_integers(values: Times, unit: str) -> tuple[Times, Flags]:
    """Times, and flags of those beyond the years that int64 ns can count."""
    magnitude = np.abs(values.astype(np.float64))
    units = _units(magnitude, unit)
    wrong = ~(magnitude * units < _LIMIT)
    return np.where(wrong, 0, values) * units, wrong


def from_floats(values: NDArray[np.float64], unit: str) -> tuple[Times, Flags]:
    """Times, and flags of those that are not finite or too large.

    Of seconds since 1970 a float64 resolves a quarter of a microsecond: they are rounded to whole microseconds.
    """
    magnitude = np.abs(values)
    units = _units(np.nan_to_num(magnitude), unit)
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~(magnitude * units < _LIMIT)
    values = np.where(wrong, 0, values)
    base = np.floor(values)
    finest = np.where((units == 10**9) & (magnitude >= 10**8), 1000, 1)
    part = np.rint((values - base) * (units / finest)).astype(np.int64) * finest
    times = base.astype(np.int64) * units
    # The sum of a large base and its part may pass the end by less than one unit.
    wrong = wrong | (times > np.iinfo(np.int64).max - part)
    return np.where(wrong, 0, times) + np.where(wrong, 0, part), wrong


def from_texts(texts: Any) -> tuple[Times, Flags]:
    """Times of a pyarrow string array, and flags of those that are no ISO 8601 or missing."""
    whole = _cast(texts, zoned=True)
    if whole is None:
        whole = _cast(texts, zoned=False)
    if whole is not None:
        return whole, np.zeros(len(whole), bool)
    times, wrong = np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)
    for row, text in enumerate(texts.to_pylist()):
        moment = None if text is None else _one(text)
        if moment is None:
            wrong[row] = True
        else:
            times[row] = moment
    return times, wrong


def from_objects(values: Sequence[Any], unit: str) -> tuple[Times, Flags]:
    """Times of Python integers, floats and texts; anything else is wrong."""
    times, wrong = np.zeros(len(values), np.int64), np.ones(len(values), bool)
    integers = [row for row, value in enumerate(values) if type(value) is int and abs(value) < 2**63]
    floats = [row for row, value in enumerate(values) if type(value) is float]
    texts = [row for row, value in enumerate(values) if type(value) is str]
    if integers:
        times[integers], wrong[integers] = from_integers(np.array([values[r] for r in integers], np.int64), unit)
    if floats:
        times[floats], wrong[floats] = from_floats(np.array([values[r] for r in floats], np.float64), unit)
    for row in texts:  # a chunk of them comes by the way above
        moment = _one(values[row])
        if moment is not None:
            times[row], wrong[row] = moment, False
    return times, wrong


def _one(text: str) -> int | None:
    try:
        texts = library("pyarrow", "monitor").array([text], "string")
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    for zoned in (True, False):
        times = _cast(texts, zoned)
        if times is not None:
            return int(times[0])
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if _RANGE[0] <= moment < _RANGE[1]:
            return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        pass
    return None


def _cast(texts: Any, zoned: bool) -> Times | None:
    """Times of a string array of which none is missing and all are written the same way; None for others."""
    pa = library("pyarrow", "monitor")
    if texts.null_count:
        return None
    try:
        times = texts.cast(pa.timestamp("ns", "UTC" if zoned else None)).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return np.asarray(times, np.int64)
