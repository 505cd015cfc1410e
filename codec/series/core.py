"""A time series in memory: what every reader gives and every detector takes, and what changes its rows or columns."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.words import NANOSECONDS
from aez.codec.errors import InvalidArgument, UnsupportedInput

__all__ = [
    "Reordering",
    "Series",
    "holes",
    "in_order",
    "joined",
    "median_step",
    "nearest_names",
    "part_of",
    "pieces_of",
    "resample",
    "select_channels",
]

#: A step is a hole when it is so many times as long as `_USUAL` of the steps are at most, or `_LONG` times the median.
_HOLE, _USUAL, _LONG = 1.5, 0.99, 10.0
#: A resampled series may hold so many values (1 GiB), or four times as many as it is made from.
_RESAMPLED_MAX = 2**27


@dataclass(frozen=True, eq=False)
class Series:
    """Samples of several channels over time. Raises InvalidArgument when shapes, types or names do not agree.

    `values` are in the sensors' own units; NaN where a sample is missing. Rows stand in the order of the source, so
    that a clock may repeat or go backwards; `in_order` puts it right.
    """

    values: NDArray[np.float64] | NDArray[np.float32]  #: [time, channels]
    channels: tuple[str, ...]
    time: NDArray[np.int64] | None = None  #: [time], ns since 1970 UTC; None when the data have no clock
    timezone: str | None = None  #: as in the source: "UTC", "+02:00", "Europe/Berlin"; None: times without a zone
    name: str = ""  #: of the stream; by default its file's without the suffix
    cuts: NDArray[np.int64] | None = None  #: without a clock: the rows, ascending, before which others are left out
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: of channels of text, whose samples are places
    unknown: Mapping[str, int] = field(default_factory=dict)  #: of such, samples of words that count as the rarest

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype not in (np.float64, np.float32):
            raise InvalidArgument(
                f"a series is a float64 or float32 array [time, channels], not {self.values.dtype} {self.values.shape}"
            )
        if len(self.channels) != self.values.shape[1]:
            raise InvalidArgument(f"{self.values.shape[1]} columns cannot carry {len(self.channels)} channel names")
        repeated = {name for name in self.channels if self.channels.count(name) > 1}
        if repeated:
            raise InvalidArgument(f"two channels are called {min(repeated)!r}; rename one")
        if self.time is not None and (self.time.dtype != np.int64 or self.time.shape != self.values.shape[:1]):
            raise InvalidArgument(
                f"the times of {len(self.values)} rows are as many int64, not {self.time.dtype} {self.time.shape}"
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def period(self) -> float | None:
        """Sampling period in seconds: the median of the steps that go forward; None where there is no such step."""
        step = None if self.time is None else median_step(*np.unique(np.diff(self.time), return_counts=True))
        return None if step is None else step / NANOSECONDS


@dataclass(frozen=True)
class Reordering:
    """What `in_order` did: rows that stood behind a later one, and rows dropped for one of the same time."""

    moved: int
    duplicates: int


def median_step(steps: NDArray[np.int64], counts: NDArray[np.intp]) -> float | None:
    """Median of the positive steps (ns, ascending, each `counts` times); None without one."""
    forward = steps > 0
    total = np.cumsum(counts[forward])
    if not total.size:
        return None
    middle = np.searchsorted(total, [(total[-1] - 1) // 2, total[-1] // 2], side="right")
    low, high = steps[forward][middle]
    return (float(low) + float(high)) / 2


def holes(series: Series) -> NDArray[np.int64]:
    """The rows, ascending, that stand behind a hole in the clock of a series in order; without a clock its `cuts`.

    A hole is a step of more than 1.5 times what 99 % of the steps keep to, so that an uneven clock has none by itself,
    or of more than 10 times their median.
    """
    if series.time is None or len(series.time) < 3:
        return np.empty(0, np.int64) if series.cuts is None else series.cuts
    steps = np.diff(series.time)
    median, usual = float(np.median(steps)), float(np.quantile(steps, _USUAL, method="lower"))
    return np.flatnonzero(steps > min(_HOLE * max(usual, median), _LONG * median)) + 1


def in_order(series: Series) -> tuple[Series, Reordering]:
    """The series by ascending time; of rows that share a time, the last in the source stays.

    Raises InvalidArgument for a series without a clock.
    """
    time = _clock(series, "be put in order")
    if np.all(time[1:] > time[:-1]):
        return series, Reordering(0, 0)
    moved = int(np.count_nonzero(time < np.maximum.accumulate(time)))
    order = np.argsort(time, kind="stable")
    ordered = time[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    kept = order[last]
    return replace(series, values=series.values[kept], time=time[kept]), Reordering(moved, len(time) - len(kept))


def resample(series: Series, period_seconds: float, how: str = "mean") -> Series:
    """The series on an even clock of the given period: one row for each bin of time, NaN where a bin has no sample.

    `how` is "mean" of a bin's samples or "last", its latest, as always for words; missing samples count for neither.
    Bins at least twice as long as the series' own period begin at whole multiples of the new one since 1970 UTC (full
    minutes, full hours) and carry the time of their beginning. Shorter ones lie centred around a grid through the first
    sample, so that a clock that jitters by less than half a period leaves no bin empty. The rows may stand in any
    order.

    Raises InvalidArgument for a series without a clock or rows, another `how`, a period that is not positive, or one
    so short that the result would be unreasonably large.
    """
    if how not in ("mean", "last"):
        raise InvalidArgument(f"a series is resampled by 'mean' or 'last', not {how!r}")
    if not (math.isfinite(period_seconds) and round(period_seconds * NANOSECONDS) >= 1):
        raise InvalidArgument(f"a period of {period_seconds} seconds is not positive")
    time = _clock(series, "be resampled")
    if not len(time):
        raise InvalidArgument(f"{_label(series)} has no rows to resample")
    step, own = round(period_seconds * NANOSECONDS), series.period
    coarse = own is not None and step >= 2 * own * NANOSECONDS
    start = int(time.min()) // step * step if coarse else int(time.min())
    # Python's integers, as times near the ends of int64 would overflow; the offset fits before it is added.
    rows = (int(time.max()) - start + (0 if coarse else step // 2)) // step + 1
    if rows * max(1, series.values.shape[1]) > max(_RESAMPLED_MAX, 4 * series.values.size):
        raise InvalidArgument(
            f"{_label(series)} would have {rows:,} rows at a period of {period_seconds:g} s; "
            "take a longer one, or mend the times that lie far from the others"
        )
    offset = time - start
    row = offset // step if coarse else offset // step + (offset % step >= step - step // 2)
    order = np.argsort(time, kind="stable")
    pick = _mean if how == "mean" else _last
    columns = [
        (_last if name in series.words else pick)(series.values[order, c], row[order], rows)
        for c, name in enumerate(series.channels)
    ]
    values = np.stack(columns, axis=1) if columns else np.empty((rows, 0))
    return replace(series, values=values, time=start + step * np.arange(rows, dtype=np.int64))


def select_channels(series: Series, channels: Sequence[str]) -> Series:
    """The series with these channels in this order, found by name.

    Raises UnsupportedInput that names the channels it lacks and the nearest it has, InvalidArgument for a name twice.
    """
    missing = [name for name in channels if name not in series.channels]
    if missing:
        raise UnsupportedInput(f"{_label(series)} has no channel {nearest_names(missing, series.channels)}")
    places = [series.channels.index(name) for name in channels]
    words = {name: words for name, words in series.words.items() if name in channels}
    return replace(series, values=series.values[:, places], channels=tuple(channels), words=words)


def nearest_names(missing: Sequence[str], existing: Sequence[str], shown: int = 5) -> str:
    """The missing names as text for a message, each with the nearest existing one; those come whole when few."""
    folded = {name.casefold(): name for name in existing}
    parts = []
    for name in missing[:shown]:
        near = difflib.get_close_matches(name.casefold(), folded, n=1)
        parts.append(f"{name!r} (nearest: {folded[near[0]]!r})" if near else repr(name))
    if len(missing) > shown:
        parts.append(f"{len(missing) - shown} more")
    listed = [repr(name) for name in existing[:shown]] + ["..."] * (len(existing) > shown)
    return f"{', '.join(parts)}; it has {', '.join(listed) or 'none'}"


def _clock(series: Series, purpose: str) -> NDArray[np.int64]:
    if series.time is None:
        raise InvalidArgument(f"{_label(series)} has no times and cannot {purpose}; name its time column")
    return series.time


def _label(series: Series) -> str:
    return series.name or "the series"


def _mean(values: NDArray[np.float64], row: NDArray[np.int64], rows: int) -> NDArray[np.float64]:
    there = ~np.isnan(values)
    counts = np.bincount(row[there], minlength=rows)
    # Around one of the values, as the sum of many large ones would lose what they differ by.
    centre = values[there][0] if there.any() else 0.0
    sums = np.bincount(row[there], weights=values[there] - centre, minlength=rows)
    mean = np.full(rows, np.nan)
    np.divide(sums, counts, out=mean, where=counts > 0)
    return mean + centre


def _last(values: NDArray[np.float64], row: NDArray[np.int64], rows: int) -> NDArray[np.float64]:
    there = ~np.isnan(values)
    result = np.full(rows, np.nan)
    result[row[there]] = values[there]  # in the order of time: a later one replaces
    return result


def joined(parts: list[Series]) -> Series:
    """The parts, one after the other. The list is empty then: each part is let go once it was copied."""
    first, rows = parts[0], sum(len(part) for part in parts)
    if len(parts) == 1:
        return parts.pop()
    values = np.empty((rows, first.values.shape[1]), first.values.dtype)
    time = None if first.time is None else np.empty(rows, np.int64)
    parts.reverse()
    end = 0
    while parts:
        part = parts.pop()
        start, end = end, end + len(part)
        values[start:end] = part.values
        if time is not None and part.time is not None:
            time[start:end] = part.time
    return replace(first, values=values, time=time)


def part_of(series: Series, start: int, end: int) -> Series:
    """The rows start..end (exclusive)."""
    time = None if series.time is None else series.time[start:end]
    return replace(series, values=series.values[start:end], time=time)


def pieces_of(series: Series, rows: int) -> Iterator[Series]:
    """Pieces of so many rows, the last with what is left."""
    for start in range(0, len(series), rows):
        yield part_of(series, start, start + rows)
