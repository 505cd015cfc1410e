"""What people give as rows: an array, a data frame with its clock, a 3-D array or a list of series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series
from aez.export.series.windows import shortest_series

Times = NDArray[np.int64]
Values = NDArray[np.float64] | NDArray[np.float32]


@dataclass(frozen=True)
class Clocked:
    """A table without its clock: `time` [time] is ns since 1970 UTC, `timezone` as in `Series`; None without one.

    `left_out` names further columns of times.
    """

    table: ArrayLike
    time: Times | None = None
    timezone: str | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One stream of what was given, in order of time: `places` are those of its rows among all that were given."""

    name: str
    places: NDArray[np.int64] | slice
    values: Values
    time: Times | None
    timezone: str | None


@dataclass(frozen=True)
class Given:
    """All rows: stream by stream, and how the tables that they came in were arranged."""

    parts: tuple[Part, ...]
    lengths: tuple[int, ...]
    several: bool  #: a list of tables, or an array of them
    stacked: bool  #: an array of tables

    @property
    def rows(self) -> int:
        return sum(self.lengths)

    def arranged(self, flat: NDArray[Any]) -> Any:
        """Values of all rows [rows, ...] as the tables were: one array, [series, time, ...], or a list of arrays."""
        if self.stacked:
            return flat.reshape(len(self.lengths), -1, *flat.shape[1:])
        return np.split(flat, np.cumsum(self.lengths)[:-1]) if self.several else flat


def tables_of(given: Any) -> tuple[Sequence[Any], bool, bool]:
    """(Tables [time, channels] in what was given, whether they came as several, whether as one array)."""
    if isinstance(given, list | tuple):
        first = given[0] if given else None
        if getattr(first, "ndim", None) == 2 or (isinstance(first, list) and np.ndim(first[:1]) == 2):
            return given, True, False
        return [given], False, False
    if getattr(given, "ndim", None) == 3 and len(given):
        return [given[number] for number in range(len(given))], True, True
    return [given], False, False


def without_clock(table: Any) -> Clocked:
    """A table without the times in it: those of a frame's index, else of its first column of timestamps.

    Data frames of pandas and of polars have such; other tables come back as they are. Raises InvalidArgument for a
    time that is missing.
    """
    if not (hasattr(table, "columns") and hasattr(table, "dtypes") and hasattr(table, "drop")):
        return Clocked(table)
    stamps = [name for name, kind in zip(table.columns, table.dtypes, strict=True) if _is_time(kind)]
    index: Any = getattr(table, "index", None)
    if hasattr(index, "to_timestamp"):  # of periods
        index = index.to_timestamp()
    if _is_time(getattr(index, "dtype", None)):
        clock, zone, where, others = index, index.dtype, "the index", stamps
    elif stamps:
        clock, where, others = table[stamps[0]], f"column {stamps[0]!r}", stamps[1:]
        zone = clock.dtype
    else:
        return Clocked(table)
    rest = table.drop(columns=stamps) if hasattr(table, "iloc") else table.drop(stamps)
    return Clocked(rest if stamps else table, _nanoseconds(clock, where), _zone(zone), tuple(map(str, others)))


def given_parts(
    tables: Sequence[tuple[Values, Times | None, str | None]], several: bool, stacked: bool, streams: ArrayLike | None
) -> Given:
    """Tables (values, time, zone), with `streams` to name each row's stream, or each table's where they are several.

    Raises InvalidArgument for names that do not fit.
    """
    lengths = tuple(len(values) for values, _, _ in tables)
    parts: list[Part] = []
    if several:
        names = _names(streams, len(tables), "series") if streams is not None else [""] * len(tables)
        starts = np.cumsum([0, *lengths])
        for (values, time, zone), name, start in zip(tables, names, starts.tolist(), strict=False):
            parts.append(_part(str(name), slice(start, start + len(values)), values, time, zone))
    else:
        values, time, zone = tables[0]
        if streams is None:
            parts.append(_part("", slice(0, len(values)), values, time, zone))
        else:
            labels = np.asarray(_names(streams, len(values), "rows"))
            distinct, first, place = np.unique(labels, return_index=True, return_inverse=True)
            for number in np.argsort(first).tolist():
                rows = np.flatnonzero(place == number)
                own = None if time is None else time[rows]
                parts.append(_part(str(distinct[number]), rows, values[rows], own, zone))
    return Given(tuple(parts), lengths, several, stacked)


def _names(streams: ArrayLike, count: int, what: str) -> Any:
    names = np.asarray(streams)
    if names.shape != (count,):
        raise InvalidArgument(f"streams names the stream of each of {count} {what}, and has the shape {names.shape}")
    return names


def _part(name: str, places: NDArray[np.int64] | slice, values: Values, time: Times | None, zone: str | None) -> Part:
    """A stream, its rows put in order of time."""
    if time is None or bool(np.all(time[1:] >= time[:-1])):
        return Part(name, places, values, time, zone)
    order = np.argsort(time, kind="stable")
    placed = order + places.start if isinstance(places, slice) else places[order]
    return Part(name, placed, values[order], time[order], zone)


def _is_time(kind: Any) -> bool:
    """Whether a dtype of NumPy, pandas or polars is one of points in time."""
    if kind is None:
        return False
    return getattr(kind, "kind", "") == "M" or (type(kind).__module__.startswith("polars") and str(kind)[:4] == "Date")


def _nanoseconds(clock: Any, where: str) -> Times:
    if getattr(clock.dtype, "tz", None) is not None and hasattr(clock, "dt"):
        clock = clock.dt.tz_convert("UTC").dt.tz_localize(None)
    times = np.asarray(clock.to_numpy() if not hasattr(clock, "asi8") else clock.values).astype("datetime64[ns]")
    if np.isnat(times).any():
        row = int(np.argmax(np.isnat(times)))
        raise InvalidArgument(f"{where} has no time in row {row}; leave out the rows without one")
    return times.view(np.int64)


def _zone(kind: Any) -> str | None:
    """The zone of a dtype of times."""
    zone = getattr(kind, "tz", None) or getattr(kind, "time_zone", None)
    return None if zone is None else str(zone)


def series_of(part: Part, number: int, several: bool, channels: tuple[str, ...], period: float | None) -> Series:
    """The rows of one stream; where they have no times, with such of this `period` in seconds."""
    time, values = part.time, cast(Values, np.ascontiguousarray(part.values))
    if time is None and period is not None:
        time = np.round(np.arange(len(values)) * period * 1e9).astype(np.int64)
    name = part.name or (f"series {number}" if several else "")
    return Series(values, channels, time, part.timezone, name)


def refuse_short(given: Given, window: int, held_out: float) -> None:
    """Raise InvalidArgument where no stream is long enough for windows of so many rows."""
    fewest = shortest_series(window, held_out)
    longest = max((len(part.values) for part in given.parts), default=0)
    if longest < fewest:
        each = "" if len(given.parts) == 1 else " of the longest stream"
        raise InvalidArgument(
            f"n_samples = {longest} rows{each} are too few for windows of {window}; give {fewest} or more"
        )
