"""A long scored series at the resolution of a picture: what plots are drawn from, in memory that does not grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.detector import SeriesScores
from aez.codec.series.core import Series

__all__ = ["BINS", "OverviewBuilder", "SeriesOverview"]

Floats = NDArray[np.float64]
#: About the points that a picture can show side by side.
BINS = 1500


@dataclass(frozen=True, eq=False)
class SeriesOverview:
    """Runs of rows, `width` in each but the last. NaN where a run has no value or no score."""

    rows: int  #: of the series
    width: int
    time: NDArray[np.int64] | None  #: [bins], ns since 1970 UTC of each run's first row; None without a clock
    end: int | None  #: the time of the last row
    low: Floats  #: [bins, channels], the lowest value of each run
    high: Floats  #: [bins, channels]
    score: Floats  #: [bins], the highest score of each run
    channel_score: Floats  #: [bins, channels], the highest


class OverviewBuilder:
    """Gathers an SeriesOverview of `rows` rows from consecutive pieces."""

    def __init__(self, rows: int, channels: int, bins: int = BINS) -> None:
        self.rows, self.width = rows, max(1, -(-rows // bins))
        count = -(-rows // self.width)
        self._low, self._high, self._blame = (np.full((count, channels), np.nan) for _ in range(3))
        self._score = np.full(count, np.nan)
        self._time: NDArray[np.int64] | None = None
        self._end: int | None = None
        self._next = 0

    def add(self, series: Series, scores: SeriesScores) -> None:
        """The next rows and their scores."""
        first, count = self._next, len(series)
        self._next += count
        if not count:
            return
        bins = np.arange(first // self.width, (first + count - 1) // self.width + 1)
        starts = np.maximum(bins * self.width - first, 0)
        place = slice(int(bins[0]), int(bins[-1]) + 1)
        for kept, values, join in (
            (self._low, series.values, np.fmin),
            (self._high, series.values, np.fmax),
            (self._blame, scores.channel_score, np.fmax),
            (self._score, scores.score, np.fmax),
        ):
            _join(join, kept[place], values, starts)
        if series.time is not None:
            if self._time is None:
                self._time = np.zeros(len(self._score), np.int64)
            fresh = bins * self.width >= first
            self._time[place][fresh] = series.time[starts[fresh]]
            self._end = int(series.time[-1])

    def overview(self) -> SeriesOverview:
        """What has been gathered."""
        return SeriesOverview(
            self.rows, self.width, self._time, self._end, self._low, self._high, self._score, self._blame
        )


def _join(join: np.ufunc, kept: Floats, values: NDArray[Any], starts: NDArray[np.int64]) -> None:
    """Join runs of values, which begin at `starts`, into what is kept of them; NaN gives way to any number."""
    join(kept, join.reduceat(values, starts, axis=0), out=kept)
