"""The clock of a table: which column holds the times, how they are written, and their reading as ns since 1970 UTC."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.epochs import DAYS, are_likely_days, days_or_count, from_days, told_unit
from aez.codec.errors import UnsupportedInput
from aez.codec.series.columns import Column, arrow, numbers, strings

__all__ = ["TIME_UNITS", "TableClock", "find_clock", "names_time"]

Times = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Names of a time column, the likeliest first, without anything but letters and digits.
_NAMES = (
    *("timestamp", "datetime", "timestamputc", "datetimeutc", "utc", "time", "timeutc", "utctime", "dateandtime"),
    *("date", "epoch", "unixtime", "unixtimestamp", "epochtime", "ts", "t", "seconds", "elapsed", "elapsedtime"),
)
_HINTS = {"time", "timestamp", "datetime", "date", "epoch", "clock"}
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "sec": 10**9}
#: Units that may be said, and names that say that seconds are counted.
TIME_UNITS = ("s", "ms", "us", "ns", DAYS)
_COUNTS = ("t", "seconds", "elapsed", "elapsedtime")
_UNIT = re.compile(r"[\s_.(\[]+(ns|us|µs|ms|s|sec)[)\]]?$", re.IGNORECASE)
_YEAR_1990, _YEAR_2100 = 631_152_000, 4_102_444_800
_LIMIT = 2.0**63
_OFFSET = re.compile(r"\d\d:\d\d.*?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
_DATE = r"^\s*(\d{4}[-/]\d\d[-/]\d\d|\d\d\.\d\d\.\d{4})\s*$"
_TIME_OF_DAY = r"^\s*\d\d:\d\d(:\d\d([.,]\d{1,9})?)?\s*$"
#: What turns other spellings of ISO 8601 into the one that Arrow reads.
_SPELLINGS = (
    (r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", r"\1-\2-\3T\4:\5:\6"),
    (r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)", r"\1-\2-\3T\4:\5"),
    (r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3"),
    (r"^(\d\d)\.(\d\d)\.(\d{4}) ", r"\3-\2-\1 "),
    (r"(:\d\d),(\d)", r"\1.\2"),
    (r"\s*(Z|z|UTC|utc|GMT|gmt)$", "Z"),
    (r"(:\d\d(?:\.\d+)?)\s+([+-]\d\d)", r"\1\2"),
)


@dataclass(frozen=True)
class TableClock:
    """How a table's times are written; the same for all of its rows."""

    columns: tuple[str, ...]  #: one, or a column of dates and one of times of day
    timezone: str | None
    unit: int | None = None  #: ns in one unit of a number; None: texts, times by type, or days
    days: bool = False  #: numbers are days of a spreadsheet
    zoned: bool = False  #: texts end with a zone

    def read(self, table: Mapping[str, Column]) -> tuple[Times, Flags, Column]:
        """Times of some rows, flags where there is none that can be read, and the column as it was written."""
        if len(self.columns) > 1 and any(isinstance(table[name], np.ndarray) for name in self.columns):
            column = table[self.columns[0]]  # nothing but missing values, which have no type of their own
            return np.zeros(len(column), np.int64), np.ones(len(column), bool), column
        column = _joined(table, self.columns)
        if isinstance(column, np.ndarray) and column.dtype.kind == "M":
            return column.view(np.int64), np.isnat(column), column
        if self.days:
            values, wrong = numbers(column)
            times, none = from_days(values)
            return times, wrong | none, column
        if self.unit is not None:
            return *_from_numbers(column, self.unit), column
        if isinstance(column, np.ndarray):  # numbers or nothing, where the rows before have texts
            return np.zeros(len(column), np.int64), np.ones(len(column), bool), column
        return *_from_texts(column, self.zoned), column


def find_clock(
    table: Mapping[str, Column],
    *,
    named: str | None = None,
    unnamed: Collection[str] = (),
    timezones: Mapping[str, str] | None = None,
    unit: str | None = None,
) -> TableClock | None:
    """The clock of a table, judged by its first rows; None when it has none.

    By name: `timestamp`, `time`, `date`, `ts`, `t` and the like, holding ISO 8601 (with or without a zone), seconds,
    milli-, micro- or nanoseconds since 1970 (told apart by their magnitude), or small numbers that do not fall, which
    are seconds counted from some start, unless the name ends with another unit (`time_ms`). By type: times of a typed
    table and texts in ISO 8601 under any name. Numbers under a name that only hints at time (`sample_time`), or
    without a name in the first column, must all be there, not fall, and lie between 1990 and 2100. A column of dates
    goes together with one of times of day. `named` is a column that holds the times whatever its name, with numbers
    of any kind. `unit` is what numbers are in, one of TIME_UNITS; raises UnsupportedInput where it has to be said,
    because they may as well be days of a spreadsheet.
    """
    find = _Finder(table, timezones or {}, unit)
    if named is not None:
        return find.anyhow(named)
    ways: list[tuple[Callable[[str], TableClock | None], list[str]]] = [
        (find.by_name, sorted((n for n in table if _rank(n) is not None), key=lambda n: _rank(n) or 0)),
        (find.by_type, list(table)),
        (find.with_care, [n for n in table if _HINTS & set(re.split(r"[^a-z]+", n.lower()))]),
        (find.with_care, [n for n in list(table)[:1] if n in unnamed]),
    ]
    clocks = (clock for way, names in ways for name in names if (clock := way(name)) is not None)
    return next(clocks, None)


@dataclass(frozen=True)
class _Finder:
    table: Mapping[str, Column]
    timezones: Mapping[str, str]
    unit: str | None = None

    def anyhow(self, name: str) -> TableClock | None:
        return self.by_type(name) or self._numbers(name, lambda values: _epoch(values) or self._counted(name, values))

    def by_name(self, name: str) -> TableClock | None:
        def unit(values: NDArray[np.float64]) -> int | None:
            counted = self._counted(name, values)
            # 20240131 is not a number of seconds.
            return _epoch(values) or (counted if _plain(name) != "date" and _rising(values) else None)

        return self.by_type(name) or self._numbers(name, unit)

    def with_care(self, name: str) -> TableClock | None:
        clock = self._numbers(name, _recent_epoch, told=False)
        return None if clock is None or clock.read(self.table)[1].any() else clock

    def by_type(self, name: str) -> TableClock | None:
        column = self.table[name]
        if isinstance(column, np.ndarray):
            return TableClock((name,), self.timezones.get(name)) if column.dtype.kind == "M" else None
        columns: tuple[str, ...] = (name,)
        if _all_match(column, _DATE):
            times = (n for n, c in self.table.items() if not isinstance(c, np.ndarray) and _all_match(c, _TIME_OF_DAY))
            columns = (name, *list(times)[:1])
        return _text_clock(columns, _joined(self.table, columns))

    def _numbers(
        self, name: str, unit_of: Callable[[NDArray[np.float64]], int | None], told: bool = True
    ) -> TableClock | None:
        values, wrong = numbers(self.table[name])
        values = values[np.isfinite(values)]
        if not len(values) or wrong.sum() > len(values):
            return None
        if told and self.unit is not None:
            days = self.unit == DAYS
            zone = "UTC" if not days and _epoch(values) else None
            return TableClock((name,), zone, None if days else _UNITS[self.unit], days)
        unit = unit_of(values)
        if unit is None:
            return None
        return TableClock((name,), "UTC" if _epoch(values) else None, unit)

    def _counted(self, name: str, values: NDArray[np.float64]) -> int:
        """ns in a unit of a count. Raises UnsupportedInput for one that may as well be days of a spreadsheet."""
        if not (_UNIT.search(name) or _plain(name) in _COUNTS) and are_likely_days(values):
            raise UnsupportedInput(
                f"column {name!r}: {days_or_count(values[0])}; say which by the time unit, {DAYS} or s (--time-unit)"
            )
        return _counted(name)


def names_time(name: str) -> bool:
    """Whether a column of this name ought to hold times."""
    return _rank(name) is not None


def _rank(name: str) -> int | None:
    plain = _plain(name)
    return _NAMES.index(plain) if plain in _NAMES else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", _UNIT.sub("", name)).lower()


def _joined(table: Mapping[str, Column], columns: tuple[str, ...]) -> Column:
    parts = [table[name] for name in columns]
    if len(parts) == 1:
        return parts[0]
    compute = arrow("pyarrow.compute")
    return compute.binary_join_element_wise(*(compute.utf8_trim_whitespace(part) for part in parts), " ")


def _text_clock(columns: tuple[str, ...], column: Any) -> TableClock | None:
    there = strings(column)
    if not there.any():
        return None
    start = int(np.argmax(there))
    first = _respelled(column[start : start + 1])[0].as_py()
    # Reading every text of a long column of words as a time would take its time.
    if not re.match(r"\d{4}-\d\d-\d\d", first):
        return None
    found = _OFFSET.search(first)
    wrong = _from_texts(column, zoned=found is not None)[1] & there
    if 2 * wrong.sum() > there.sum():
        return None
    zone = found.group(1) if found else None
    return TableClock(columns, "UTC" if zone and zone[0].isalpha() else zone, zoned=found is not None)


def _from_texts(column: Any, zoned: bool) -> tuple[Times, Flags]:
    times = _cast(column, zoned)
    if times is None:
        text = _respelled(column)
        times = _cast(text, zoned)
    if times is not None:
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
        return np.where(missing, 0, times), missing
    # One of them is wrong; row by row, to tell which.
    single = [_cast(text[row : row + 1].drop_null(), zoned) for row in range(len(text))]
    wrong = np.array([time is None for time in single], bool)
    return np.array([0 if time is None else time[0] for time in single], np.int64), wrong


def _cast(text: Any, zoned: bool) -> Times | None:
    """Times of a string array; None when one of them cannot be read. Missing ones come as anything."""
    pa = arrow()
    if not len(text):
        return None
    try:
        times = text.cast(pa.timestamp("ns", "UTC" if zoned else None))
    except pa.ArrowInvalid:
        return None
    return np.asarray(times.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)).view(np.int64)


def _respelled(column: Any) -> Any:
    compute = arrow("pyarrow.compute")
    text = compute.utf8_trim_whitespace(column)
    for pattern, replacement in _SPELLINGS:
        text = compute.replace_substring_regex(text, pattern=pattern, replacement=replacement)
    return text


def _all_match(column: Any, pattern: str) -> bool:
    there = strings(column)
    compute = arrow("pyarrow.compute")
    return bool(there.any()) and bool(compute.all(compute.match_substring_regex(column.filter(there), pattern)).as_py())


def _epoch(values: NDArray[np.float64]) -> int | None:
    """ns in a unit of these times since 1970; None when they are too small for that."""
    return told_unit(float(np.median(np.abs(values))))


def _rising(values: NDArray[np.float64]) -> bool:
    """Whether numbers go up and hardly ever down."""
    steps = np.diff(values)
    return bool(np.any(steps > 0)) and 100 * int(np.count_nonzero(steps < 0)) <= len(steps)


def _counted(name: str) -> int:
    unit = _UNIT.search(name)
    return _UNITS[unit.group(1).lower()] if unit else _UNITS["s"]


def _recent_epoch(values: NDArray[np.float64]) -> int | None:
    unit = _epoch(values)
    if unit is None or not _rising(values):
        return None
    first, last = values.min() * (unit / _UNITS["s"]), values.max() * (unit / _UNITS["s"])
    return unit if first >= _YEAR_1990 and last <= _YEAR_2100 else None


def _from_numbers(column: Column, unit: int) -> tuple[Times, Flags]:
    whole = _integers(column)
    if whole is not None and np.abs(whole.astype(np.float64)).max(initial=0) * unit < _LIMIT:
        return whole * unit, np.zeros(len(whole), bool)
    values, wrong = numbers(column)
    with np.errstate(over="ignore"):
        wrong = wrong | ~(np.abs(values) * unit < _LIMIT)
    values = np.where(wrong, 0, values)
    base = np.floor(values)
    # A float64 of seconds since 1970 resolves a quarter of a microsecond; what is finer would be noise.
    finest = 1000 if unit == _UNITS["s"] and _epoch(values) else 1
    part = np.rint((values - base) * (unit / finest)).astype(np.int64) * finest
    return base.astype(np.int64) * unit + part, wrong


def _integers(column: Column) -> Times | None:
    """The column as exact integers; None when it holds anything else."""
    if isinstance(column, np.ndarray):
        return column if column.dtype == np.int64 else None
    pa = arrow()
    if column.null_count:
        return None
    try:
        return np.asarray(column.cast(pa.int64()).to_numpy())
    except pa.ArrowInvalid:
        return None
