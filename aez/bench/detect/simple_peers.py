"""What anybody would write in twenty lines, as peers: distances of windows, one-liners, the residual of a season.

As in `aez.bench.detect.peers`: `fit(train)`, then `score(test)` by row, channels standardised by the training rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aez.bench.detect.data import Case
from aez.bench.detect.peers import PeerDetector, Scaler, rows_of, side_by_side
from aez.codec.common.extras import library

__all__ = ["SIMPLE_PEERS", "Deviation", "KMeans", "LargestStep", "NearestNeighbour", "RowNumber", "SeasonalResidual"]

Floats = npt.NDArray[np.float64]
Phases = npt.NDArray[np.int64]

WINDOW = 32
#: Windows that clusters are sought in, and among which the nearest one is.
_CLUSTERED, _NEIGHBOURS = 5_000, 2_000
_CLUSTERS = 32
_BATCH = 512
_DAY, _WEEK = 86_400.0, 7 * 86_400.0
#: A season is taken where the training rows hold it so many times, and has so many rows at most.
_SEASONS, _LONGEST = 4, 20_000
_NANOSECONDS = 1e9


def _spread(rows: Floats, most: int) -> Floats:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]


@dataclass
class _Distance(ABC):
    """Distance of a window, standardised, to the nearest of some that training found.

    window: rows side by side.
    """

    window: int = WINDOW
    _scaler: Scaler | None = field(default=None, init=False, repr=False)
    _places: Floats = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)

    @abstractmethod
    def places(self, windows: Floats) -> Floats:
        """What distances are taken to, [places, numbers], from the windows of training [n, numbers]."""

    def fit(self, train: npt.ArrayLike) -> PeerDetector:
        self._scaler = Scaler.fit(train)
        rows = self._scaler(train)
        self.window = min(self.window, max(1, len(rows) // 4))
        self._places = self.places(side_by_side(rows, self.window, pad=False))
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        assert self._scaler is not None
        rows = side_by_side(self._scaler(test), self.window)
        squares = np.square(self._places).sum(axis=1)
        found = np.empty(len(rows))
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            apart = np.square(part).sum(axis=1)[:, None] - 2 * part @ self._places.T + squares
            found[start : start + len(part)] = apart.min(axis=1)
        distance: Floats = np.sqrt(found.clip(0) / rows.shape[1])
        return distance


@dataclass
class KMeans(_Distance):
    """k-means on windows: the distance to the nearest of 32 clusters (scikit-learn's, on at most 5,000 windows)."""

    seed: int = 0

    def places(self, windows: Floats) -> Floats:
        some = _spread(windows, _CLUSTERED)
        made = library("sklearn.cluster", "bench").KMeans(min(_CLUSTERS, len(some)), n_init=1, random_state=self.seed)
        found: Floats = made.fit(some).cluster_centers_
        return found


@dataclass
class NearestNeighbour(_Distance):
    """The distance to the nearest of at most 2,000 training windows, evenly spread."""

    def places(self, windows: Floats) -> Floats:
        return _spread(windows, _NEIGHBOURS)


@dataclass
class Deviation:
    """|z|: how far a row lies from the training rows' mean in their deviations, the mean over the channels."""

    _scaler: Scaler | None = field(default=None, init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> PeerDetector:
        self._scaler = Scaler.fit(train)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        assert self._scaler is not None
        found: Floats = np.abs(self._scaler(test)).mean(axis=1)
        return found


@dataclass
class RowNumber:
    """The later, the more anomalous: what a test set gives for that whose anomalies stand at its end."""

    def fit(self, train: npt.ArrayLike) -> PeerDetector:
        rows_of(train)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        return np.arange(len(rows_of(test)), dtype=np.float64)


@dataclass
class LargestStep:
    """The largest step from the row before among the channels, in the training steps' deviations."""

    _scaler: Scaler | None = field(default=None, init=False, repr=False)
    _usual: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> PeerDetector:
        self._scaler = Scaler.fit(train)
        deviation = np.diff(self._scaler(train), axis=0).std(axis=0) if len(rows_of(train)) > 1 else np.ones(1)
        self._usual = np.where(deviation > 0, deviation, 1.0)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        assert self._scaler is not None
        rows = self._scaler(test)
        found: Floats = (np.abs(np.diff(rows, axis=0, prepend=rows[:1])) / self._usual).max(axis=1)
        return found


@dataclass
class SeasonalResidual:
    """Distance from the median of the same time of week, or of day, in robust deviations, the mean over the channels.

    The season is a week, or a day where the training rows hold fewer than four weeks, or none where they hold fewer
    than four days or nobody knows how far apart rows are. `phases`: of the training rows, then of those to score, in
    order, as `season_phases` gives them; None takes all rows as of one phase.
    """

    phases: Phases | None = None
    _profile: Floats = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)
    _width: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> PeerDetector:
        rows = rows_of(train)
        self._seen = len(rows)
        here = self._at(0, len(rows))
        whole = _median(rows)
        self._profile = np.tile(whole, (int(here.max()) + 1 if self.phases is None else int(self.phases.max()) + 1, 1))
        order = np.argsort(here, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(here[order])) + 1):
            middle = _median(rows[part])
            self._profile[here[part[0]]] = np.where(np.isnan(middle), whole, middle)
        spread = 1.4826 * _median(np.abs(rows - self._profile[here]))
        usual = np.nan_to_num(np.nanstd(rows - self._profile[here], axis=0))
        self._width = np.where(spread > 0, spread, np.where(usual > 0, usual, 1.0))
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        rows = rows_of(test)
        apart = np.abs(rows - self._profile[self._at(self._seen, len(rows))]) / self._width
        found: Floats = np.nan_to_num(apart).mean(axis=1)
        return found

    def _at(self, start: int, count: int) -> Phases:
        return np.zeros(count, np.int64) if self.phases is None else self.phases[start : start + count]


def _median(rows: Floats) -> Floats:
    """By column, NaN where one has no value."""
    with np.errstate(all="ignore"):
        empty = np.isnan(rows).all(axis=0)
        found: Floats = np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, rows), axis=0))
    return found


def season_phases(case: Case) -> Phases | None:
    """The phase of a case's training rows, then of its test rows; None where there is no season.

    By the clock where both have one, else by counting rows, as if the test came right after the training.
    """
    period = case.period_seconds
    if not period:
        return None
    spans = len(case.train) * period
    season = next((length for length in (_WEEK, _DAY) if spans >= _SEASONS * length), None)
    if season is None or not 2 <= season / period <= _LONGEST:
        return None
    if case.time is not None and case.train_time is not None:
        seconds: Floats = np.concatenate([case.train_time, case.time]) / _NANOSECONDS
    else:
        seconds = np.arange(len(case.train) + len(case.test), dtype=np.float64) * np.float64(period)
    found: Phases = np.floor_divide(np.mod(seconds, season), period).astype(np.int64)
    return found


#: By the names that the tables use.
SIMPLE_PEERS: dict[str, Callable[[], PeerDetector]] = {
    "k-means": KMeans,
    "nearest neighbour": NearestNeighbour,
    "|z|": Deviation,
    "largest step": LargestStep,
    "row number": RowNumber,
    "seasonal residual": SeasonalResidual,
}
