"""Times of messages, as numbers or texts or by their arrival, as int64 ns since 1970 UTC.

The result for one time does not depend on the others beside it, so that rows may be converted together or alone.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.arrow import text_array, to_numpy
from aez.codec.common.epochs import DAYS, days_or_count, from_days, told_units
from aez.codec.common.extras import library
from aez.codec.series.zones import from_local
from aez.daemon.parse.options import UNITS

__all__ = ["ArrivalClock", "UnreadTime", "from_floats", "from_integers", "from_objects", "from_texts", "why_none"]

Times = NDArray[np.int64]
Flags = NDArray[np.bool_]
#: Times, flags of what is none, and of local ones that come twice how much later they may be.
Read = tuple[Times, Flags, Times | None]

_LIMIT = 2.0**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Local times beyond, ns, have no room for what their zone is off.
_EDGE = 2**63 - 1 - 2 * 86_400 * 10**9
_DIGITS = r"^[+-]?[0-9]{9,19}(\.[0-9]+)?$"
_DAY_DIGITS = r"^\s*[0-9]{1,6}([.,][0-9]+)?\s*$"
#: Dates that say as well which is the day: `31.12.2026 23:59:00` and `2026/12/31 23:59:00`.
_DATES = (
    (re.compile(r"^(\d\d)\.(\d\d)\.(\d{4}) +(\d\d:\d\d.*)$"), r"\3-\2-\1 \4"),
    (re.compile(r"^(\d{4})/(\d\d)/(\d\d) +(\d\d:\d\d.*)$"), r"\1-\2-\3 \4"),
)
_LEAP = re.compile(r"(.*\d\d:\d\d:)60((?:[.,]\d+)?(?:\s*(?:[Zz]|[+-]\d\d(?::?\d\d)?))?\s*)")
#: Messages that are looked at for a time, what such columns may be called, and times of our days.
_LOOKS = 8
_CALLED = re.compile(r"time|stamp|date|epoch|clock|zeit|datum|heure|fecha|hora|tijd|utc", re.IGNORECASE)
_OURS = (631_152_000 * 10**9, 4_102_444_800 * 10**9)
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


class UnreadTime:
    """Looks for a column that seems to hold the time, where messages have none that is read as such.

    column: its name, once one was found; empty before. A few messages are looked at, and it has to move on in them.
    """

    def __init__(self) -> None:
        self.column = ""
        self._before: dict[str, int] = {}
        self._left = _LOOKS

    def look(self, message: Mapping[str, Any]) -> None:
        """Look at a message, as names and what they hold; np.int64 are times by type, ns."""
        if self.column or not self._left:
            return
        self._left -= 1
        found = {name: time for name, value in message.items() if (time := _likely(name, value)) is not None}
        rising = [name for name, time in found.items() if time > self._before.get(name, time)]
        self.column = rising[0] if rising else ""
        self._before = found


def _likely(name: str, value: Any) -> int | None:
    """A time that a column may hold: a text with the time of day, or a number of our days that is called so."""
    if isinstance(value, np.int64):
        return int(value)
    if isinstance(value, str) and ":" in value:
        moment = _one(value, "auto", None)
        return None if moment is None else moment[0]
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not _CALLED.search(name):
        return None
    try:
        (time,), (wrong,), _ = from_floats(np.array([float(value)]), "auto")
    except (ValueError, OverflowError):
        return None
    return int(time) if not wrong and _OURS[0] <= time < _OURS[1] else None


def _units(magnitude: NDArray[Any], unit: str) -> NDArray[np.int64]:
    return told_units(magnitude) if unit == "auto" else np.full(len(magnitude), UNITS[unit], np.int64)


def from_integers(values: Times, unit: str, zone: str | None = None) -> Read:
    """Times of numbers, flags of those that are none, and what `from_local` tells.

    None are those beyond the years that int64 ns can count, and those too small for a unit to be told. Days of
    spreadsheets are local times of `zone`.
    """
    if unit == DAYS:
        return from_floats(values.astype(np.float64), unit, zone)
    magnitude = np.abs(values.astype(np.float64))
    units = _units(magnitude, unit)
    wrong = ~(magnitude * units < _LIMIT) | (units == 0)
    return np.where(wrong, 0, values) * units, wrong, None


def from_floats(values: NDArray[np.float64], unit: str, zone: str | None = None) -> Read:
    """As `from_integers`; none are those that are not finite, too.

    Of seconds since 1970 a float64 resolves a quarter of a microsecond: they are rounded to whole microseconds.
    """
    if unit == DAYS:
        local, wrong = from_days(values)
        times, _, later = _in_zone(local, zone)
        return times, wrong, later
    magnitude = np.abs(values)
    units = _units(np.nan_to_num(magnitude), unit)
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~(magnitude * units < _LIMIT) | (units == 0)
    values = np.where(wrong, 0, values)
    base = np.floor(values)
    finest = np.where((units == 10**9) & (magnitude >= 10**8), 1000, 1)
    part = np.rint((values - base) * (units / finest)).astype(np.int64) * finest
    times = base.astype(np.int64) * units
    # The sum of a large base and its part may pass the end by less than one unit.
    wrong = wrong | (times > np.iinfo(np.int64).max - part)
    return np.where(wrong, 0, times) + np.where(wrong, 0, part), wrong, None


def why_none(value: Any, unit: str) -> str:
    """What is wrong with what is no time, in words."""
    said = None
    if unit == "auto":
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            said = days_or_count(float(value.strip().replace(",", ".") if isinstance(value, str) else value))
    if said is None:
        return f"{str(value)[:100]!r} is no time"
    return f'{said}; set time_unit = "days" or "s"' + (", or what it is in" if "small" in said else "")


def from_texts(texts: Any, unit: str = "auto", zone: str | None = None) -> Read:
    """Times of a pyarrow string array, flags of those that are none or missing, and what `from_local` tells.

    ISO 8601 in any case, with leap seconds, `31.12.2026 23:59:00`, `2026/12/31 23:59:00`, or numbers since 1970 of 9
    digits and more in `unit`, or days of spreadsheets, perhaps with a decimal comma; local times of `zone` where one
    names no zone, UTC without.
    """
    found = _alike(texts, unit, zone)
    if found is not None:
        return found
    times, wrong = np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)
    later = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts.to_pylist()):
        moment = None if text is None else _one(text, unit, zone)
        if moment is None:
            wrong[row] = True
        else:
            times[row], later[row] = moment
    return times, wrong, later if later.any() else None


def _alike(texts: Any, unit: str, zone: str | None) -> Read | None:
    """As `from_texts`, of texts that are all written in one way; None for others."""
    if texts.null_count:
        return None
    found = _spelled(texts, zone)
    for pattern, replacement in _DATES if found is None and len(texts) else ():
        if pattern.match(texts[0].as_py()):
            compute = library("pyarrow.compute", "monitor")
            return _spelled(compute.replace_substring_regex(texts, pattern.pattern, replacement), zone)
    if found is None:
        found = _spelled(library("pyarrow.compute", "monitor").utf8_upper(texts), zone)
    return _from_digits(texts, unit, zone) if found is None else found


def _spelled(texts: Any, zone: str | None) -> Read | None:
    whole = _cast(texts, zoned=True)
    if whole is not None:
        return whole, np.zeros(len(whole), bool), None
    whole = _cast(texts, zoned=False)
    return None if whole is None else _in_zone(whole, zone)


def _in_zone(local: Times, zone: str | None) -> Read:
    if zone is None:
        return local, np.zeros(len(local), bool), None
    wrong = (local > _EDGE) | (local < -_EDGE)
    times, later = from_local(np.where(wrong, 0, local), zone)
    return times, wrong, later if later.any() else None


def _from_digits(texts: Any, unit: str, zone: str | None) -> Read | None:
    pa, compute = library("pyarrow", "monitor"), library("pyarrow.compute", "monitor")
    digits = _DAY_DIGITS if unit == DAYS else _DIGITS
    if not len(texts) or not compute.all(compute.match_substring_regex(texts, digits)).as_py():
        return None
    if unit == DAYS:
        points = compute.replace_substring(compute.utf8_trim_whitespace(texts), ",", ".")
        return from_floats(to_numpy(points.cast("float64")), unit, zone)
    for kind, read in (("int64", from_integers), ("float64", from_floats)):
        try:
            return read(to_numpy(texts.cast(kind)), unit)
        except pa.ArrowInvalid:
            pass
    return None


def from_objects(values: Sequence[Any], unit: str, zone: str | None = None) -> Read:
    """As `from_texts`, of Python integers, floats and texts; anything else is wrong."""
    times, wrong = np.zeros(len(values), np.int64), np.ones(len(values), bool)
    later = np.zeros(len(values), np.int64)
    integers = [row for row, value in enumerate(values) if type(value) is int and abs(value) < 2**63]
    floats = [row for row, value in enumerate(values) if type(value) is float]
    texts = [row for row, value in enumerate(values) if type(value) is str]
    for rows, kind, read in ((integers, np.int64, from_integers), (floats, np.float64, from_floats)):
        if rows:
            times[rows], wrong[rows], twice = read(np.array([values[row] for row in rows], kind), unit, zone)
            later[rows] = 0 if twice is None else twice
    if len(texts) > 1 and (found := _together([values[row] for row in texts], unit, zone)) is not None:
        times[texts], wrong[texts], twice = found
        later[texts] = 0 if twice is None else twice
        texts = []
    for row in texts:
        moment = _one(values[row], unit, zone)
        if moment is not None:
            (times[row], later[row]), wrong[row] = moment, False
    return times, wrong, later if later.any() else None


def _together(texts: Sequence[str], unit: str, zone: str | None) -> Read | None:
    """As `from_texts`, a hundred times faster than one by one; None where these are numbers, or not written alike."""
    if any(text.strip()[:9].isdigit() for text in texts):  # whole ones and others, side by side, would lose digits
        return None
    try:
        return _alike(text_array(texts), unit, zone)
    except UnicodeEncodeError:
        return None


def _one(text: str, unit: str, zone: str | None) -> tuple[int, int] | None:
    """The time of one text, and how much later it may be."""
    try:
        texts = text_array([text])
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    found = _alike(texts, unit, zone)
    if found is not None:
        times, wrong, later = found
        return None if wrong[0] else (int(times[0]), 0 if later is None else int(later[0]))
    if (leap := _LEAP.fullmatch(text)) is not None:  # the second that follows
        before = _one(f"{leap[1]}59{leap[2]}", unit, zone)
        return None if before is None else (before[0] + 10**9, before[1])
    try:
        moment = datetime.fromisoformat(text.strip().upper())
        local = moment.tzinfo is None
        moment = moment.replace(tzinfo=UTC) if local else moment
        if _RANGE[0] <= moment < _RANGE[1]:
            ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
            if not local or zone is None:
                return ns, 0
            times, later = from_local(np.array([ns]), zone)
            return int(times[0]), int(later[0])
    except (ValueError, OverflowError):
        pass
    return None


def _cast(texts: Any, zoned: bool) -> Times | None:
    """Times of a string array of which none is missing and all are written the same way; None for others."""
    pa = library("pyarrow", "monitor")
    try:
        times = to_numpy(texts.cast(pa.timestamp("ns", "UTC" if zoned else None)).cast(pa.int64()))
    except pa.ArrowInvalid:
        return None
    return np.asarray(times, np.int64)
