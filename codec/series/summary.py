"""What a series is like before anything is learned from it: its clock, its gaps and what is missing, in one summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.words import NANOSECONDS, format_duration, is_elapsed, iso_time, listed
from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series, median_step

__all__ = ["SeriesSummarizer", "SeriesSummary"]

#: A step is irregular when it is off the median by more than this share, and a gap when it is so many medians long.
IRREGULAR, GAP = 0.1, 1.5
_DISTINCT_STEPS = 65_536
_STEP_BITS = 12
_NAMES_SHOWN, _DROPPED_SHOWN = 4, 8


@dataclass(frozen=True)
class SeriesSummary:
    """One series in numbers. Shares are 0..1; times are ns since 1970 UTC; all steps are between neighbouring rows."""

    rows: int
    channels: tuple[str, ...]
    name: str = ""
    timezone: str | None = None
    time_column: str | None = None
    start: int | None = None  #: the earliest time, None without a clock
    end: int | None = None  #: the latest time
    period_seconds: float | None = None  #: median of the steps that go forward
    duplicates: int = 0  #: rows with the time of the row before
    backwards: int = 0  #: rows earlier than the row before
    gaps: int = 0  #: steps longer than 1.5 periods
    largest_gap_seconds: float | None = None  #: None without a gap
    irregular: float = 0.0  #: share of the steps that differ from the period by more than 10 %
    missing: dict[str, float] = field(default_factory=dict)  #: share of missing values, for every channel
    infinite: dict[str, int] = field(default_factory=dict)  #: values taken as missing, being beyond float32
    rounded: dict[str, int] = field(default_factory=dict)  #: values beyond 2^53, where float64 skips integers
    dropped: dict[str, str] = field(default_factory=dict)  #: columns that are no channels, and why
    streams: dict[str, int] = field(default_factory=dict)  #: rows of each, where a column names several
    mixed: str | None = None  #: the column that seems to name several streams, whose rows stand as if they were one's

    def lines(self) -> list[str]:
        """The summary for a person, one fact a line, only those that matter, aligned."""
        facts = [
            ("rows", f"{self.rows:,}"),
            ("channels", f"{len(self.channels)}: {listed(self.channels, _NAMES_SHOWN)}"),
        ]
        if self.streams:
            fewest, most = min(self.streams.values()), max(self.streams.values())
            each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
            named = listed(self.streams, _NAMES_SHOWN)
            facts.append(("streams", f"{len(self.streams):,} of {each} rows: {named}"))
        if self.start is None or self.end is None:
            facts.append(("time", "no times; rows are taken as evenly spaced"))
        else:
            facts.append(("time", self._span(self.start, self.end)))
        if self.period_seconds is not None:
            uneven = f", {_percent(self.irregular)} of the steps are off by more than 10 %" if self.irregular else ""
            facts.append(("period", _duration(self.period_seconds) + uneven))
        if self.largest_gap_seconds is not None and self.period_seconds is not None:
            least = _duration(GAP * self.period_seconds)
            facts.append(("gaps", f"{self.gaps:,} above {least}, the longest {_duration(self.largest_gap_seconds)}"))
        if self.duplicates or self.backwards:
            facts.append(("clock", f"{self.duplicates:,} rows repeat a time, {self.backwards:,} go backwards"))
        lacking = {name: share for name, share in self.missing.items() if share}
        if lacking:
            total = sum(lacking.values()) / len(self.channels)
            worst = sorted(lacking, key=lambda name: -lacking[name])
            shares = [f"{name} {_percent(lacking[name])}" for name in worst]
            facts.append(("missing", f"{_percent(total)} of all values: {listed(shares, _NAMES_SHOWN)}"))
        for label, counts, what in (
            ("infinite", self.infinite, "taken as missing"),
            ("rounded", self.rounded, "beyond 2^53"),
        ):
            if counts:
                facts.append((label, f"{sum(counts.values()):,} values {what}: {listed(counts, _NAMES_SHOWN)}"))
        facts += [("left out", f"{name}: {self.dropped[name]}") for name in list(self.dropped)[:_DROPPED_SHOWN]]
        if len(self.dropped) > _DROPPED_SHOWN:
            facts.append(("", f"and {len(self.dropped) - _DROPPED_SHOWN} columns more"))
        return [f"{label:<9} {text}" for label, text in facts]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: times as ISO 8601 text in UTC, everything else as it is."""
        return {
            "name": self.name,
            "rows": self.rows,
            "channels": list(self.channels),
            "time_column": self.time_column,
            "timezone": self.timezone,
            "start": None if self.start is None else iso_time(self.start),
            "end": None if self.end is None else iso_time(self.end),
            "period_seconds": self.period_seconds,
            "duplicates": self.duplicates,
            "backwards": self.backwards,
            "gaps": self.gaps,
            "largest_gap_seconds": self.largest_gap_seconds,
            "irregular": self.irregular,
            "missing": dict(self.missing),
            "infinite": dict(self.infinite),
            "rounded": dict(self.rounded),
            "dropped": dict(self.dropped),
            "streams": dict(self.streams),
            "mixed": self.mixed,
        }

    def _span(self, start: int, end: int) -> str:
        column = f", column {self.time_column}" if self.time_column else ""
        if is_elapsed(start) and is_elapsed(end):
            return f"{start / NANOSECONDS:g} s to {end / NANOSECONDS:g} s, counted from a start of their own{column}"
        zone = "without a zone, taken as UTC" if self.timezone is None else f"zone {self.timezone}"
        return f"{iso_time(start)} to {iso_time(end)} ({zone}{column})"


class SeriesSummarizer:
    """Gathers a SeriesSummary from the consecutive batches of one series, in bounded memory.

    Steps are counted exactly while they take at most 65,536 different lengths; beyond, each is rounded down to 12
    significant bits, so that period, gaps and irregular steps may be off by 0.05 % of a step.
    """

    def __init__(self) -> None:
        self._first: Series | None = None
        self._rows = 0
        self._missing: NDArray[np.int64] = np.zeros(0, np.int64)
        self._rounded: NDArray[np.int64] = np.zeros(0, np.int64)
        self._steps: NDArray[np.int64] = np.zeros(0, np.int64)
        self._counts: NDArray[np.intp] = np.zeros(0, np.intp)
        self._coarse = False
        self._last: int | None = None
        self._start: int | None = None
        self._end: int | None = None

    def add(self, batch: Series) -> None:
        """Count the next rows. Raises InvalidArgument when their channels are not those of the rows before."""
        if self._first is None:
            # Only the names stay: the rows themselves are not kept alive.
            self._first = Series(batch.values[:0].copy(), batch.channels, None, batch.timezone, batch.name)
            self._missing = np.zeros(len(batch.channels), np.int64)
            self._rounded = self._missing.copy()
        elif batch.channels != self._first.channels:
            raise InvalidArgument(f"a batch has the channels {batch.channels}, and those before {self._first.channels}")
        self._rows += len(batch)
        self._missing += np.isnan(batch.values).sum(axis=0)
        self._rounded += (np.abs(batch.values) > 2.0**53).sum(axis=0)
        if batch.time is not None and len(batch.time):
            self._add_times(batch.time)

    def summary(
        self,
        *,
        time_column: str | None = None,
        infinite: Mapping[str, int] | None = None,
        dropped: Mapping[str, str] | None = None,
    ) -> SeriesSummary:
        """The summary of everything added; the arguments are what only the reader of a file knows.

        Raises InvalidArgument before the first batch.
        """
        if self._first is None:
            raise InvalidArgument("there is nothing to summarize before the first batch")
        channels = self._first.channels
        period = median_step(self._steps, self._counts)
        gap = self._steps > GAP * period if period is not None else np.zeros(len(self._steps), bool)
        uneven = np.abs(self._steps - period) > IRREGULAR * period if period is not None else gap
        return SeriesSummary(
            rows=self._rows,
            channels=channels,
            name=self._first.name,
            timezone=self._first.timezone,
            time_column=time_column,
            start=self._start,
            end=self._end,
            period_seconds=None if period is None else period / NANOSECONDS,
            duplicates=int(self._counts[self._steps == 0].sum()),
            backwards=int(self._counts[self._steps < 0].sum()),
            gaps=int(self._counts[gap].sum()),
            largest_gap_seconds=float(self._steps[-1]) / NANOSECONDS if gap.any() else None,
            irregular=float(self._counts[uneven].sum()) / max(1, int(self._counts.sum())),
            missing={name: int(n) / max(1, self._rows) for name, n in zip(channels, self._missing, strict=True)},
            infinite={name: n for name, n in (infinite or {}).items() if n},
            rounded={name: int(n) for name, n in zip(channels, self._rounded, strict=True) if n},
            dropped=dict(dropped or {}),
        )

    def _add_times(self, time: NDArray[np.int64]) -> None:
        low, high = int(time.min()), int(time.max())
        self._start = low if self._start is None else min(low, self._start)
        self._end = high if self._end is None else max(high, self._end)
        steps = np.diff(time) if self._last is None else np.diff(time, prepend=np.int64(self._last))
        self._last = int(time[-1])
        if self._coarse:
            steps = _coarse(steps)
        self._count(steps, np.ones(len(steps), np.intp))
        if not self._coarse and len(self._steps) > _DISTINCT_STEPS:
            self._coarse = True
            steps, counts = _coarse(self._steps), self._counts
            self._steps, self._counts = steps[:0], counts[:0]
            self._count(steps, counts)

    def _count(self, steps: NDArray[np.int64], counts: NDArray[np.intp]) -> None:
        every = np.concatenate([self._counts, counts])
        self._steps, place = np.unique(np.concatenate([self._steps, steps]), return_inverse=True)
        total = np.zeros(len(self._steps), np.intp)
        np.add.at(total, place, every)
        self._counts = total


def _coarse(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps rounded towards zero to their upper bits."""
    shift = np.maximum(np.frexp(np.abs(steps).astype(np.float64))[1] - _STEP_BITS, 0).astype(np.int64)
    return np.asarray(np.sign(steps) * ((np.abs(steps) >> shift) << shift))


def _percent(share: float) -> str:
    percent = 100 * share
    return "less than 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


def _duration(seconds: float) -> str:
    return format_duration(seconds, digits=4, finest="ns")
