"""The detectors that ours are measured against, behind one small interface: `fit(train)`, then `score(test)` by row.

Series are [time, channels], any unit, NaN where a value is missing. A peer that needs it standardises channels by mean
and standard deviation of the training rows, with missing values at the mean, so that all see the same. Scores are
float64 [time], larger is more anomalous; every row gets one. `window` makes a row the last of so many rows side by
side; the first rows of a test then look at its first row repeated.

scikit-learn and PyOD come with the extra `bench`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument
from aez.codec.series.windows import sliding_windows

__all__ = [
    "STANDARD_PEERS",
    "AllOnes",
    "IsolationForest",
    "PeerDetector",
    "PrincipalComponents",
    "PyodAutoEncoder",
    "Random",
    "Scaler",
    "WindowedGaussian",
    "rows_of",
    "side_by_side",
    "skab_isolation_forest",
]

Floats = npt.NDArray[np.float64]


class PeerDetector(Protocol):
    """A detector that is fitted once and then scores rows."""

    def fit(self, train: npt.ArrayLike) -> PeerDetector:
        """Learn from normal rows, [time, channels]; returns itself."""

    def score(self, test: npt.ArrayLike) -> Floats:
        """Scores [time] of rows [time, channels]; the same rows give the same scores whenever asked."""


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of the training rows, [channels]; a constant channel keeps its unit."""

    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, train: npt.ArrayLike) -> Scaler:
        """Of [time, channels]; a channel without any value gets mean 0. Raises InvalidArgument for other shapes."""
        rows = rows_of(train)
        present = ~np.isnan(rows)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, rows, 0.0).sum(axis=0) / count
        deviation = np.sqrt(np.square(np.where(present, rows - mean, 0.0)).sum(axis=0) / count)
        # A constant computed in floating point is one within rounding.
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, deviation))

    def filled(self, rows: npt.ArrayLike) -> Floats:
        """Rows in their own units, NaN as the mean; raises InvalidArgument for another number of channels."""
        values = rows_of(rows)
        if values.shape[1] != self.mean.size:
            raise InvalidArgument(f"the peer was fitted on {self.mean.size} channels and gets {values.shape[1]}")
        return np.where(np.isnan(values), self.mean, values)

    def __call__(self, rows: npt.ArrayLike) -> Floats:
        """Standardised rows, NaN as 0; raises InvalidArgument for another number of channels."""
        return (self.filled(rows) - self.mean) / self.deviation


@dataclass
class Random:
    """Scores that know nothing, uniform in 0..1: what a measure gives by chance."""

    seed: int = 0

    def fit(self, train: npt.ArrayLike) -> Random:
        rows_of(train)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        return np.random.default_rng(self.seed).random(len(rows_of(test)))


@dataclass
class AllOnes:
    """Calls everything anomalous: what a measure gives for that."""

    def fit(self, train: npt.ArrayLike) -> AllOnes:
        rows_of(train)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        return np.ones(len(rows_of(test)))


@dataclass
class PrincipalComponents:
    """PCA: the mean squared error of a row after projection on the components that hold most of the variance.

    variance: the share of the variance that the kept components hold, above 0 and below 1.
    window: rows side by side.
    """

    variance: float = 0.9
    window: int = 1
    _scaler: Scaler | None = field(default=None, init=False, repr=False)
    _mean: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)
    _components: Floats = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> PrincipalComponents:
        if not 0 < self.variance < 1:
            raise InvalidArgument(f"PCA keeps a share of the variance between 0 and 1, not {self.variance}")
        self._scaler = Scaler.fit(train)
        rows = side_by_side(self._scaler(train), self.window, pad=False)
        self._mean = rows.mean(axis=0)
        centred = rows - self._mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        values, vectors = values[::-1].clip(0), vectors[:, ::-1]
        total = values.sum()
        kept = int(np.searchsorted(np.cumsum(values), self.variance * total)) + 1 if total > 0 else 0
        self._components = vectors[:, :kept]
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        rows = side_by_side(_fitted(self._scaler)(test), self.window) - self._mean
        # Pythagoras: what the projection holds is missing from the error.
        error = np.square(rows).sum(axis=1) - np.square(rows @ self._components).sum(axis=1)
        return np.asarray(error.clip(0) / rows.shape[1], np.float64)


@dataclass
class IsolationForest:
    """scikit-learn's isolation forest of 100 trees (Liu, Ting, Zhou 2008), with its defaults.

    Trees do not see units, so that rows are not standardised: rounding would move a split now and then, and SKAB's
    published figures would be met to two digits instead of four.

    window: rows side by side; seed: of the trees.
    """

    window: int = 1
    seed: int = 0
    _scaler: Scaler | None = field(default=None, init=False, repr=False)
    _forest: Any = field(default=None, init=False, repr=False)
    _train_scores: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> IsolationForest:
        self._scaler = Scaler.fit(train)
        rows = side_by_side(self._scaler.filled(train), self.window, pad=False)
        self._forest = library("sklearn.ensemble", "bench").IsolationForest(random_state=self.seed).fit(rows)
        self._train_scores = -self._forest.score_samples(rows)
        return self

    def limit(self, contamination: float) -> float:
        """The score that the share `contamination` (0..1) of the training rows exceeds, as scikit-learn's `predict`."""
        _fitted(self._scaler)
        return float(np.quantile(self._train_scores, 1 - contamination))

    def score(self, test: npt.ArrayLike) -> Floats:
        rows = side_by_side(_fitted(self._scaler).filled(test), self.window)
        return np.asarray(-self._forest.score_samples(rows), np.float64)


@dataclass
class PyodAutoEncoder:
    """PyOD's AutoEncoder with its defaults: a dense network C-64-32-64-C, 10 epochs, error as the distance.

    It runs on torch: aez.codec never imports torch, PyOD does when `fit` is called, and PyOD seeds torch and NumPy for
    the whole process. Install the extras `bench` and `train`.

    window: rows side by side; epochs: passes over the training rows; seed: of weights and order.
    """

    window: int = 1
    epochs: int = 10
    seed: int = 0
    _scaler: Scaler | None = field(default=None, init=False, repr=False)
    _network: Any = field(default=None, init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> PyodAutoEncoder:
        self._scaler = Scaler.fit(train)
        rows = side_by_side(self._scaler(train), self.window, pad=False)
        with contextlib.redirect_stdout(StringIO()):  # PyOD prints what is missing before it fails
            pyod = library("pyod.models.auto_encoder", "bench,train")
        self._network = pyod.AutoEncoder(epoch_num=self.epochs, random_state=self.seed, device="cpu", verbose=0)
        self._network.fit(rows)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        rows = side_by_side(_fitted(self._scaler)(test), self.window)
        return np.asarray(self._network.decision_function(rows), np.float64)


@dataclass
class WindowedGaussian:
    """NAB's Windowed Gaussian for one channel: how far a value lies in the tail of the values before it.

    The score is 1 - Q(|z|), 0.5..1, with mean and deviation of all values so far until there are `memory` of them, and
    then of the last `memory`, renewed every `step` rows: NAB's settings, which were tuned on NAB. The training rows
    come before the test's. Missing values score 0 and are passed over.
    """

    memory: int = 6400
    step: int = 100
    _past: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)

    def fit(self, train: npt.ArrayLike) -> WindowedGaussian:
        self._past = _one_channel(train)
        return self

    def score(self, test: npt.ArrayLike) -> Floats:
        values = np.concatenate([self._past, _one_channel(test)])
        scores = np.zeros(values.size)
        present = np.flatnonzero(~np.isnan(values))
        seen = values[present]
        mean, deviation = 0.0, 1.0
        for at in range(1, seen.size):
            if at <= self.memory or (at - self.memory) % self.step == 0:
                window = seen[max(0, at - self.memory) : at]
                mean, deviation = float(window.mean()), float(window.std()) or 1e-6
            z = abs(float(seen[at]) - mean) / deviation
            scores[present[at]] = 1 - 0.5 * math.erfc(z / math.sqrt(2))
        return scores[self._past.size :]


def skab_isolation_forest(
    train: npt.ArrayLike, test: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The isolation forest of SKAB's own table, for one of its files: the row to reproduce before any is compared.

    A contamination of 0.0005 sets the limit on the training rows, and a row is flagged when at least two of the last
    three rows of the test exceed it. For changepoints each flag is held for 30 rows, from the 30th row of the test on.

    Returns (flags [time], flags held [time]), for `point_metrics` and, by `changepoints_of`, for `changepoint_score`.
    Over the 34 files: F1 0.29, FAR 2.56 %, MAR 82.89 %, NAB-type 26.16 / 19.50 / 30.82.
    """
    forest = IsolationForest().fit(train)
    loud = forest.score(test) > forest.limit(0.0005)
    flags, held = np.zeros(loud.size, bool), np.zeros(loud.size, bool)
    flags[2:] = np.convolve(loud, np.ones(3, np.int64), "valid") >= 2
    held[29:] = np.convolve(flags, np.ones(30, np.int64), "valid") > 0
    return flags, held


#: The peers of `aez bench detect`, by the names that its tables use.
STANDARD_PEERS: dict[str, Callable[[], PeerDetector]] = {
    "random": Random,
    "all ones": AllOnes,
    "PCA": PrincipalComponents,
    "isolation forest": IsolationForest,
    "PyOD AutoEncoder": PyodAutoEncoder,
}


def rows_of(values: npt.ArrayLike) -> Floats:
    """A series [time, channels] as float64. Raises InvalidArgument for another shape, and without a value."""
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise InvalidArgument(f"a series is an array [time, channels] with at least one value, not {rows.shape}")
    return rows


def _one_channel(values: npt.ArrayLike) -> Floats:
    rows = rows_of(values)
    if rows.shape[1] != 1:
        raise InvalidArgument(f"the Windowed Gaussian watches one channel, not {rows.shape[1]}")
    return rows[:, 0]


def side_by_side(rows: Floats, window: int, pad: bool = True) -> Floats:
    """[time, window * channels]; without padding [time - window + 1, window * channels]."""
    if window < 1 or (not pad and window > len(rows)):
        raise InvalidArgument(f"a window of {window} rows does not fit {len(rows)} training rows")
    if window == 1:
        return rows
    if pad:
        rows = np.concatenate([np.repeat(rows[:1], window - 1, axis=0), rows])
    windows = sliding_windows(rows, window)
    return windows.reshape(len(windows), -1)


def _fitted(scaler: Scaler | None) -> Scaler:
    if scaler is None:
        raise InvalidArgument("the peer has not been fitted; call fit(train) before score(test)")
    return scaler
