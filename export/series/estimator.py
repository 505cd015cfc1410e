"""`SeriesDetector`: the detector for people who have arrays, with the conventions of scikit-learn and of PyOD."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.detect.detector import Detector, load_detector
from aez.codec.detect.scaling import Scale, learned_scale
from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series
from aez.codec.series.windows import window_batches
from aez.export.series.covering import covering_of_runs, look_ahead
from aez.export.series.graph import Kind, Rule, ScoreOptions
from aez.export.series.pickling import from_plain_values, plain_values
from aez.export.series.streams import score_windows
from aez.export.series.train import (
    DEFAULT_FAMILY,
    MARGIN,
    DetectorConfig,
    Fitted,
    LimitOptions,
    Method,
    fit_detector,
    make_bundle,
)
from aez.export.series.windows import shortest_series

Floats = NDArray[np.float64]
Convention = Literal["sklearn", "pyod"]
CONVENTIONS: tuple[Convention, ...] = ("sklearn", "pyod")
_BATCH = 256


class RowScores(NamedTuple):
    """Scores of rows: `score` [time], `channel_score` [time, channels]; 1.0 is the limit."""

    score: Floats
    channel_score: Floats


class SeriesDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns what a series of normal rows looks like, and says where another one does not.

    `X` is always [time, channels] in the sensors' own units, rows in order of time, NaN where a sample is missing. The
    score of a row is that of the window that ends there; the rows before the first whole window get its score. Where
    the rows are those of several streams, `streams` [time] names each one's; then no window crosses from one stream
    into another, and the rows of each stand in order of time.

    Two conventions exist for outlier detectors, and they contradict each other in two methods:

    ==================  =======================================  =====================================
    .                   ``convention="sklearn"``                 ``convention="pyod"``
    ==================  =======================================  =====================================
    decision_function   positive is normal: threshold_ - score   the score: larger is more abnormal
    predict             1 normal, -1 outlier                     0 normal, 1 outlier
    ==================  =======================================  =====================================

    The rest means the same in both: `score_samples` is scikit-learn's (larger is more normal), `decision_scores_`,
    `labels_` and `threshold_` are PyOD's (scores of the training rows, 0 or 1 for each, and the limit, which is 1),
    `anomaly_score` is the score by its own name.

    Parameters:
        family: one of those that `aez train series --help` lists.
        window: rows of a window; None takes the data's dominant period, or 32.
        options: options of the family.
        score_kind: reconstruction, mahalanobis, elbo (variational only), or several joined by "+"; None takes
            reconstruction+mahalanobis, or reconstruction alone for families with long codes.
        rule: how the channels' errors become one score: mean, max or largest (mean of the largest three).
        tail: the last rows of a window whose errors count; None counts all.
        threshold: budget, percentile or pot; `alarms` a day (with `period`, in seconds; else in 1440 rows),
            `percentile` and `risk` belong to them in this order.
        margin: the limit of a budget is this times what the held-out rows say.
        held_out: share of the rows, the latest, that calibrates errors and threshold and trains nothing.
        robust: leave out training rows that plainly are faults, with a warning.
        per_stream_scale: one model for many alike streams: each is scaled by a centre and width of its own, those of a
            stream that was not in training by its first rows.
        steps, minutes: how long to train; None: as the data need, with early stopping.
        seed: of everything that is drawn at random; equal seeds give equal detectors.
        device: auto, cpu or cuda, for training.
        covering: a row gets the mean over the windows that cover it, which looks ahead, instead of the score of the
            window that ends there.
        convention: see above.
        verbose: show progress.

    Attributes, after `fit`: threshold_, covering_threshold_ (by which covering scores are divided so that 1 is their
    limit), decision_scores_, labels_, window_, n_features_in_ (and feature_names_in_ for a
    table with names), offset_ (-threshold_, as score_samples - offset_ is decision_function in scikit-learn), and
    held_out_scores_ (of the windows that set the limit, in order of time; 1 is the limit, as everywhere).
    """

    def __init__(
        self,
        family: str = DEFAULT_FAMILY,
        window: int | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        score_kind: str | None = None,
        rule: str = "mean",
        tail: int | None = None,
        threshold: str = "budget",
        alarms: float = 1.0,
        percentile: float = 99.9,
        risk: float = 1e-4,
        margin: float = MARGIN,
        period: float | None = None,
        held_out: float = 0.3,
        robust: bool = True,
        per_stream_scale: bool = False,
        steps: int | None = None,
        minutes: float | None = None,
        seed: int = 0,
        device: str = "auto",
        covering: bool = False,
        convention: str = "sklearn",
        verbose: bool = False,
    ) -> None:
        self.family, self.window, self.options = family, window, options
        self.score_kind, self.rule, self.tail = score_kind, rule, tail
        self.threshold, self.alarms, self.percentile, self.risk = threshold, alarms, percentile, risk
        self.margin = margin
        self.period, self.held_out, self.robust = period, held_out, robust
        self.per_stream_scale = per_stream_scale
        self.steps, self.minutes, self.seed, self.device = steps, minutes, seed, device
        self.covering, self.convention, self.verbose = covering, convention, verbose

    def fit(self, X: ArrayLike, y: object = None, *, streams: ArrayLike | None = None) -> Self:  # noqa: N803
        """Learn from normal rows [time, channels]; `y` is ignored, and `streams` [time] names the stream of each row.

        The latest part of each stream calibrates.

        Raises InvalidArgument (a ValueError) for parameters or data that cannot be learned from, UnsupportedInput for
        rows in which nothing moves.
        """
        del y
        if self.convention not in CONVENTIONS:
            raise InvalidArgument(f"convention {self.convention!r} is unknown; use {' or '.join(CONVENTIONS)}")
        config = self._config()
        values = self._validated(X, reset=True)
        fewest = shortest_series(self.window or 1, self.held_out)
        parts = _parts(streams, len(values))
        if max(map(len, parts.values()), default=0) < fewest:
            each = "" if len(parts) == 1 else " of the longest stream"
            longest = max(map(len, parts.values()), default=0)
            raise InvalidArgument(
                f"n_samples = {longest} rows{each} are too few for windows of {self.window or 1}; give {fewest} or more"
            )
        names = getattr(self, "feature_names_in_", range(values.shape[1]))
        channels = tuple(str(name) for name in names)
        series = [_series(values[rows], channels, self.period, name) for name, rows in parts.items()]
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit_detector(series, config, Path(folder), self._changes())
        for notice in fitted.notices:
            warnings.warn(notice, UserWarning, stacklevel=2)
        self._fitted: Fitted | None = fitted
        self._bundle: Bundle | None = None
        self.window_ = fitted.graph.window
        self.threshold_ = 1.0
        self.offset_ = -self.threshold_
        self.held_out_scores_ = fitted.scores.astype(np.float64) / float(fitted.graph.threshold)
        self.covering_threshold_ = fitted.covering_threshold
        if self.covering:
            covering = covering_of_runs(self.held_out_scores_, fitted.split.held_out).astype(np.float64)
            self.held_out_scores_ = covering / cast(float, self.covering_threshold_)
        self.decision_scores_ = self._both(values, parts).score
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(np.int64)
        return self

    def anomaly_score(self, X: ArrayLike, *, streams: ArrayLike | None = None) -> Floats:  # noqa: N803
        """Scores [time], 0 and up; above 1 is anomalous. Raises InvalidArgument for fewer rows than a window."""
        return self.explain(X, streams=streams).score

    def channel_scores(self, X: ArrayLike, *, streams: ArrayLike | None = None) -> Floats:  # noqa: N803
        """Scores [time, channels] on the same scale: which channels are to blame."""
        return self.explain(X, streams=streams).channel_score

    def explain(self, X: ArrayLike, *, streams: ArrayLike | None = None) -> RowScores:  # noqa: N803
        """`anomaly_score` and `channel_scores` in one pass."""
        check_is_fitted(self)
        values = self._validated(X, reset=False)
        return self._both(values, _parts(streams, len(values)))

    def score_samples(self, X: ArrayLike, *, streams: ArrayLike | None = None) -> Floats:  # noqa: N803
        """The negative scores [time]: larger is more normal."""
        return -self.anomaly_score(X, streams=streams)

    def decision_function(self, X: ArrayLike, *, streams: ArrayLike | None = None) -> Floats:  # noqa: N803
        """By `convention`: threshold_ - score (scikit-learn), or the score (PyOD); [time]."""
        scores = self.anomaly_score(X, streams=streams)
        return scores if self.convention == "pyod" else self.threshold_ - scores

    def predict(self, X: ArrayLike, *, streams: ArrayLike | None = None) -> NDArray[np.int64]:  # noqa: N803
        """By `convention`: 1 normal and -1 outlier (scikit-learn), or 0 normal and 1 outlier (PyOD); [time]."""
        outlier = self.anomaly_score(X, streams=streams) > self.threshold_
        normal, abnormal = (0, 1) if self.convention == "pyod" else (1, -1)
        return np.where(outlier, abnormal, normal).astype(np.int64)

    def save(self, path: str | os.PathLike[str], name: str | None = None) -> Bundle:
        """Write the detector as an `.aezm` bundle, which aez and any ONNX runtime open without torch.

        Raises OutputError where it cannot be written.
        """
        check_is_fitted(self)
        if self._bundle is None:
            fitted = cast(Fitted, self._fitted)
            data = f"{len(self.decision_scores_):,} rows of {self.n_features_in_} channels"
            self._bundle = make_bundle(fitted, name or Path(path).stem, data)
        save_bundle(self._bundle, path)
        return self._bundle

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """A saved detector, ready to score; `parameters` as for the constructor (they matter for another `fit`).

        It has no decision_scores_, labels_ and held_out_scores_, which belong to the training rows. Raises ModelError.
        """
        detector = load_detector(path)
        network = detector.bundle.manifest["provenance"].get("network", {})
        made = cls(**{"family": detector.bundle.manifest["family"], "window": network.get("window")} | parameters)
        made._fitted, made._bundle = None, detector.bundle
        made._detector_cache = detector
        made.window_, made.threshold_, made.offset_ = detector.window, 1.0, -1.0
        made.n_features_in_, made.covering_threshold_ = len(detector.channels), detector.covering_threshold
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "window_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Plain values alone: a pickle must outlive changes of what is inside."""
        state = dict(super().__getstate__())
        state.pop("_detector_cache", None)  # an open session cannot travel; it is opened again from the bundle
        if state.get("_fitted") is not None:
            state["_fitted"] = plain_values(state["_fitted"])
        if state.get("_bundle") is not None:
            state["_bundle"] = state["_bundle"].to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = dict(state)
        if opened.get("_fitted") is not None:
            opened["_fitted"] = from_plain_values(opened["_fitted"])
        if opened.get("_bundle") is not None:
            opened["_bundle"] = Bundle.open(opened["_bundle"])
        super().__setstate__(opened)

    def _config(self) -> DetectorConfig:
        kinds = tuple(self.score_kind.split("+")) if self.score_kind else ()
        return DetectorConfig(
            family=self.family,
            window=self.window,
            options=dict(self.options or {}),
            score=ScoreOptions(cast(tuple[Kind, ...], kinds), cast(Rule, self.rule), tail=self.tail),
            limit=LimitOptions(cast(Method, self.threshold), self.percentile, self.risk, self.alarms, self.margin),
            held_out=self.held_out,
            robust=self.robust,
            per_stream_scale=self.per_stream_scale,
        )

    def _changes(self) -> dict[str, Any]:
        changes: dict[str, Any] = {"seed": self.seed, "device": self.device, "quiet": not self.verbose}
        return changes | {
            key: value for key, value in (("steps", self.steps), ("minutes", self.minutes)) if value is not None
        }

    def _validated(self, X: ArrayLike, *, reset: bool) -> Floats:  # noqa: N803
        values = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return cast(Floats, values)

    def _both(self, values: Floats, parts: Mapping[str, NDArray[np.int64]]) -> RowScores:
        score, channel_score = np.empty(len(values)), np.empty(values.shape)
        for name, rows in parts.items():
            score[rows], channel_score[rows] = self._both_of(name, values[rows])
        return RowScores(score, channel_score)

    def _both_of(self, name: str, values: Floats) -> RowScores:
        """Of one stream."""
        if len(values) < self.window_:
            of = f" of stream {name}" if name else ""
            raise InvalidArgument(f"{len(values)} rows{of} are fewer than a window of {self.window_}; give more")
        score, channel_score = np.empty(len(values)), np.empty(values.shape)
        scale = self._scale(name, values)
        for row, windows, count in window_batches(values, self.window_, _BATCH):
            found, blame = self._run(windows, scale)
            score[row : row + count], channel_score[row : row + count] = found[:count], blame[:count]
        first = self.window_ - 1
        score[:first], channel_score[:first] = score[first], channel_score[first]
        if self.covering:
            score, channel_score = look_ahead(score, channel_score, self.window_, self.covering_threshold_)
        return RowScores(score, channel_score)

    def _scale(self, name: str, values: Floats) -> Scale | None:
        scales = self._detector().scales if self._fitted is None else self._fitted.scales
        if scales is None:
            return None
        return scales.known.get(name) or learned_scale(values[: scales.rows], scales.usual)

    def _run(
        self, windows: NDArray[np.float32], scale: Scale | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._fitted is None:
            found = self._detector().score_windows(windows, scale)
            return found.score, found.channel_score
        return score_windows(self._fitted.graph, windows, scale)

    def _detector(self) -> Detector:
        if not hasattr(self, "_detector_cache"):
            self._detector_cache = Detector(cast(Bundle, self._bundle))
        return self._detector_cache


for _public in (RowScores, SeriesDetector):
    _public.__module__ = "aez.export"  # where pickles find them, wherever this file lies


def _series(values: Floats, channels: tuple[str, ...], period: float | None, name: str) -> Series:
    time = None if period is None else np.round(np.arange(len(values)) * period * 1e9).astype(np.int64)
    return Series(np.ascontiguousarray(values), channels, time, name=name)


def _parts(streams: ArrayLike | None, rows: int) -> dict[str, NDArray[np.int64]]:
    """The rows of each stream by its name, which is "" where there is but one. Raises InvalidArgument."""
    if streams is None:
        return {"": np.arange(rows)}
    names = np.asarray(streams)
    if names.shape != (rows,):
        raise InvalidArgument(f"streams names the stream of each of {rows} rows, and has the shape {names.shape}")
    distinct, first, place = np.unique(names, return_index=True, return_inverse=True)
    return {str(distinct[number]): np.flatnonzero(place == number) for number in np.argsort(first).tolist()}
