"""`SeriesDetector`: the detector for people who have arrays, with the conventions of scikit-learn and of PyOD."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.common.words import listed
from aez.codec.detect.detector import ROWS, Detector, load_detector
from aez.codec.detect.rhythm.seasons import Beside, SeasonStream, of_windows
from aez.codec.detect.scaling import Scale, learned_scale
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.windows import window_batches
from aez.export.series.arrays.parameters import plain_parameters, saved_parameters, training_config
from aez.export.series.arrays.pickling import from_plain_values, plain_values
from aez.export.series.arrays.tables import (
    Given,
    Part,
    Values,
    given_parts,
    refuse_short,
    series_of,
    tables_of,
    without_clock,
)
from aez.export.series.arrays.training_scores import TrainingScores, limit_factor
from aez.export.series.bundle import Learned
from aez.export.series.covering import covering_of_runs, look_ahead
from aez.export.series.streams import score_windows
from aez.export.series.train import MARGIN, fit_detector, without_rows

Floats = NDArray[np.float64]
Convention = Literal["sklearn", "pyod"]
CONVENTIONS: tuple[Convention, ...] = ("sklearn", "pyod")
_BATCH = 256
#: Above a limit like this the voices beside the network are heard alone.
_DEAF = 1e30
#: What belongs to the rows that were learned, and stays behind where a detector is pickled or saved.
_OF_ROWS = ("decision_scores_", "labels_", "held_out_scores_")


class RowScores(NamedTuple):
    """Scores of rows: `score` [time], `channel_score` [time, channels]; 1.0 is the limit."""

    score: Floats
    channel_score: Floats


class SeriesDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns what a series of normal rows looks like, and says where another one does not.

    `X` is [time, channels] in the sensors' own units, rows in order of time, NaN where a sample is missing. The score
    of a row is that of the window that ends there; the rows before the first whole window get its score. Where the
    rows are those of several streams, `streams` [time] names each one's; then no window crosses from one stream into
    another, and the rows of each stand in order of time. Several series may also come as an array [series, time,
    channels], or as a list of tables of any lengths, which `streams` [series] may name; what the methods return for
    rows then is arranged in the same way, and attributes have the rows of all, one after the other.

    A data frame of pandas or polars gives its columns' names to the channels. Its DatetimeIndex, or else its first
    column of timestamps, is the clock: rows are put in order of time, no window of training crosses a hole, and the
    period is known; further columns of timestamps are left out, with a warning.

    Two conventions exist for outlier detectors, and they contradict each other in two methods:

    ==================  =======================================  =====================================
    .                   ``convention="sklearn"``                 ``convention="pyod"``
    ==================  =======================================  =====================================
    decision_function   positive is normal: threshold_ - score   the score: larger is more abnormal
    predict             1 normal, -1 outlier                     0 normal, 1 outlier
    ==================  =======================================  =====================================

    The rest means the same in both: `score_samples` is scikit-learn's (larger is more normal), `decision_scores_`,
    `labels_` and `threshold_` are PyOD's (scores of the training rows, 0 or 1 for each, and the limit, which is 1), and
    so are `predict_proba` and `predict_confidence`; `anomaly_score` is the score by its own name.

    Parameters:
        family: one of those that `aez train series --help` lists; None takes pca, and gaussian for rows.
        window: rows of a window; None takes the data's dominant period, or 32.
        options: options of the family.
        score_kind: reconstruction, mahalanobis, elbo (variational only), or several joined by "+"; None takes
            reconstruction+mahalanobis, or reconstruction alone for families with long codes.
        rule: how the channels' errors become one score: mean, max or largest (mean of the largest three).
        tail: the last rows of a window whose errors count; None counts all.
        threshold: budget, percentile or pot; `alarms` a day (with `period`, in seconds; else in 1440 rows),
            `percentile` and `risk` belong to them in this order.
        margin: the limit of a budget is this times what the held-out rows say.
        contamination: the share of the training rows, above 0 and up to 0.5, that `predict` shall call outliers; the
            limit is set by it, and `threshold` and what belongs to it are not asked. "auto": by `threshold`.
        held_out: share of the rows, the latest, that calibrates errors and threshold and trains nothing.
        robust: leave out training rows that plainly are faults, with a warning.
        rows: rows are no series (payments, patients), and each is judged by itself: windows of 1 row, and for a budget
            of alarms, which means nothing there, a limit that 1 % of normal rows exceed. None: where there is no
            `period` or longer `window` given, and neighbouring rows are no more alike than others (with a warning).
        kinds: what channels are, by name (of an array "0", "1", ...), where it is not to be found: measured, state,
            counter or left-out.
        timezone: that of the days and weeks in the rows of a frame with a clock, such as Europe/Berlin; None: the
            clock's own, or UTC.
        holidays: dates that are as Sundays, as text such as 2025-12-25 or as dates.
        per_stream_scale: one model for many alike streams: each is scaled by a centre and width of its own, those of a
            stream that was not in training by its first rows.
        steps, minutes: how long to train; None: as the data need, with early stopping.
        random_state: of everything that is drawn at random; equal numbers give equal detectors. As in scikit-learn
            None draws from NumPy's global state, and a RandomState gives other numbers to each `fit`.
        device: auto, cpu or cuda, for training.
        covering: a row gets the mean over the windows that cover it, which looks ahead, instead of the score of the
            window that ends there.
        convention: see above.
        verbose: show progress.
        seed: the older name of `random_state`, which it overrides; it will go.

    Attributes, after `fit`: threshold_, covering_threshold_ (by which covering scores are divided so that 1 is their
    limit), decision_scores_, labels_, window_, n_features_in_ (and feature_names_in_ for a table with names), rows_
    (whether each row is judged by itself), offset_ (-threshold_, as score_samples - offset_ is decision_function in
    scikit-learn), and held_out_scores_ (of the windows that set the limit, in order of time; 1 is the limit, as
    everywhere). Those with a number for each row, decision_scores_, labels_ and held_out_scores_, do not go into
    pickles and files.
    """

    def __init__(
        self,
        family: str | None = None,
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
        contamination: float | Literal["auto"] = "auto",
        period: float | None = None,
        held_out: float = 0.3,
        robust: bool = True,
        per_stream_scale: bool = False,
        steps: int | None = None,
        minutes: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        device: str = "auto",
        covering: bool = False,
        convention: str = "sklearn",
        verbose: bool = False,
        seed: int | None = None,
        rows: bool | None = None,
        kinds: Mapping[str, str] | None = None,
        timezone: str | None = None,
        holidays: Sequence[str | date] | None = None,
    ) -> None:
        self.family, self.window, self.options = family, window, options
        self.score_kind, self.rule, self.tail = score_kind, rule, tail
        self.threshold, self.alarms, self.percentile, self.risk = threshold, alarms, percentile, risk
        self.margin, self.contamination = margin, contamination
        self.period, self.held_out, self.robust = period, held_out, robust
        self.per_stream_scale = per_stream_scale
        self.steps, self.minutes, self.device = steps, minutes, device
        self.random_state, self.seed = random_state, seed
        self.covering, self.convention, self.verbose = covering, convention, verbose
        self.rows, self.kinds = rows, kinds
        self.timezone, self.holidays = timezone, holidays

    def fit(self, X: Any, y: object = None, *, streams: ArrayLike | None = None) -> Self:  # noqa: N803
        """Learn from normal rows [time, channels]; `y` is ignored, and `streams` [time] names the stream of each row.

        The latest part of each stream calibrates.

        Raises InvalidArgument (a ValueError) for parameters or data that cannot be learned from, UnsupportedInput for
        rows in which nothing moves.
        """
        del y
        share = self._checked_share()
        config, seed = training_config(self.get_params(deep=False)), self._drawn_seed()
        given = self._given(X, streams, reset=True)
        refuse_short(given, self.window or 1, self.held_out)
        channels = tuple(str(name) for name in getattr(self, "feature_names_in_", range(self.n_features_in_)))
        series = [
            series_of(part, number, given.several, channels, self.period) for number, part in enumerate(given.parts)
        ]
        if any(part.time is None for part in given.parts):
            config = replace(config, seasons="none")  # without a clock nobody knows the hour of a later row
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit_detector(series, config, Path(folder), self._changes(seed))
        for notice in fitted.notices:
            warnings.warn(notice, UserWarning, stacklevel=2)
        self.window_, self.threshold_, self.offset_ = fitted.graph.window, 1.0, -1.0
        self.covering_threshold_ = fitted.covering_threshold
        named, data = [one.name for one in series], f"{given.rows:,} rows of {len(channels)} channels"
        self._bundle: Bundle | None = None
        self.rows_ = bool(fitted.config.rows)
        self._fitted: Learned | None = without_rows(fitted, data)
        scores = self._scores(given, named)
        limit = fitted.config.limit
        asked = 1 - limit.percentile / 100 if self.rows_ and limit.method == "percentile" else 0.0
        threshold = fitted.graph.threshold.clone()
        beside = None
        if share is not None:
            fitted.graph.threshold.fill_(_DEAF)
            beside = self._scores(given, named)
        if (factor := limit_factor(scores, share, asked, beside)) is not None:
            fitted.graph.threshold.copy_(threshold * max(factor, 1e-6))
            self._fitted, scores = without_rows(fitted, data), self._scores(given, named)
        self.decision_scores_, self.labels_ = scores, (scores > self.threshold_).astype(np.int64)
        self.held_out_scores_ = fitted.scores.astype(np.float64) / float(fitted.graph.threshold)
        if self.covering:
            covering = covering_of_runs(self.held_out_scores_, fitted.split.held_out).astype(np.float64)
            self.held_out_scores_ = covering / cast(float, self.covering_threshold_)
        self._training: TrainingScores | None = TrainingScores.of(scores, share or float(self.labels_.mean()))
        self._fitted = self._described(self._fitted, seed)
        return self

    def anomaly_score(self, X: Any, *, streams: ArrayLike | None = None) -> Any:  # noqa: N803
        """Scores [time], 0 and up; above 1 is anomalous. Raises InvalidArgument for fewer rows than a window."""
        given = self._asked(X, streams)
        return given.arranged(self._scores(given))

    def channel_scores(self, X: Any, *, streams: ArrayLike | None = None) -> Any:  # noqa: N803
        """Scores [time, channels] on the same scale: which channels are to blame."""
        return self.explain(X, streams=streams).channel_score

    def explain(self, X: Any, *, streams: ArrayLike | None = None) -> RowScores:  # noqa: N803
        """`anomaly_score` and `channel_scores` in one pass."""
        given = self._asked(X, streams)
        channel_score = np.empty((given.rows, self.n_features_in_))
        score = self._scores(given, blame=channel_score)
        return RowScores(given.arranged(score), given.arranged(channel_score))

    def score_samples(self, X: Any, *, streams: ArrayLike | None = None) -> Any:  # noqa: N803
        """The negative scores [time]: larger is more normal."""
        given = self._asked(X, streams)
        return given.arranged(-self._scores(given))

    def decision_function(self, X: Any, *, streams: ArrayLike | None = None) -> Any:  # noqa: N803
        """By `convention`: threshold_ - score (scikit-learn), or the score (PyOD); [time]."""
        given = self._asked(X, streams)
        scores = self._scores(given)
        return given.arranged(scores if self.convention == "pyod" else self.threshold_ - scores)

    def predict(
        self,
        X: Any,  # noqa: N803
        return_confidence: bool = False,
        *,
        streams: ArrayLike | None = None,
    ) -> Any:
        """By `convention`: 1 normal and -1 outlier (scikit-learn), or 0 normal and 1 outlier (PyOD); [time].

        With `return_confidence`, (that, what `predict_confidence` gives).
        """
        given = self._asked(X, streams)
        scores = self._scores(given)
        normal, abnormal = (0, 1) if self.convention == "pyod" else (1, -1)
        found = given.arranged(np.where(scores > self.threshold_, abnormal, normal).astype(np.int64))
        return (found, given.arranged(self._confidence(scores))) if return_confidence else found

    def predict_proba(
        self,
        X: Any,  # noqa: N803
        method: str = "linear",
        return_confidence: bool = False,
        *,
        streams: ArrayLike | None = None,
    ) -> Any:
        """Probabilities [time, 2] that a row is normal, and an outlier, as PyOD has it.

        `linear`: where the score lies between the lowest and the highest of the training rows; `unify`: the Gaussian
        scaling of their mean and deviation. With `return_confidence`, (that, what `predict_confidence` gives). Raises
        InvalidArgument for another method, UnsupportedInput for a detector whose training scores are not known.
        """
        given = self._asked(X, streams)
        scores = self._scores(given)
        outlier = self._known_training().probability(scores, method)
        found = given.arranged(np.stack([1 - outlier, outlier], axis=1))
        return (found, given.arranged(self._confidence(scores))) if return_confidence else found

    def predict_confidence(self, X: Any, *, streams: ArrayLike | None = None) -> Any:  # noqa: N803
        """How surely, 0..1, `predict` would say the same had it learned from other rows of the kind; [time].

        As PyOD has it, by Perini and others (2020). Raises as `predict_proba`.
        """
        given = self._asked(X, streams)
        return given.arranged(self._confidence(self._scores(given)))

    def save(self, path: str | os.PathLike[str], name: str | None = None) -> Bundle:
        """Write the detector as an `.aezm` bundle, which aez and any ONNX runtime open without torch.

        Raises OutputError where it cannot be written.
        """
        check_is_fitted(self)
        if self._bundle is None:
            self._bundle = cast(Learned, self._fitted).pack(name or Path(path).stem)
        save_bundle(self._bundle, path)
        return self._bundle

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """A saved detector, ready to score, with the parameters and the channels' names that it was saved with.

        `parameters` replace some, as for the constructor (those of training matter for another `fit`). It has no
        decision_scores_, labels_ and held_out_scores_, which belong to the training rows. Raises ModelError.
        """
        detector = load_detector(path)
        made = cls(**saved_parameters(detector.bundle, cls()._get_param_names()) | parameters)
        training = detector.bundle.manifest["figures"].get("training")
        made._fitted, made._bundle = None, detector.bundle
        made._training = None if training is None else TrainingScores.from_plain(training)
        made._detector_cache = detector
        made.window_, made.threshold_, made.offset_ = detector.window, 1.0, -1.0
        made.covering_threshold_ = detector.covering_threshold
        made.rows_ = detector.mode == ROWS
        made.n_features_in_ = len(detector.channels)
        if detector.channels != tuple(map(str, range(made.n_features_in_))):  # else they are those of an array
            made.feature_names_in_ = np.array(detector.channels, object)
        return made

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "window_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Plain values alone: a pickle must outlive changes of what is inside."""
        state = {key: value for key, value in super().__getstate__().items() if key not in _OF_ROWS}
        state.pop("_detector_cache", None)  # an open session cannot travel; it is opened again from the bundle
        if state.get("_fitted") is not None:
            state["_fitted"], state["_bundle"] = plain_values(state["_fitted"]), None
        elif state.get("_bundle") is not None:
            state["_bundle"] = state["_bundle"].to_bytes()
        if state.get("_training") is not None:
            state["_training"] = state["_training"].plain()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = dict(state)
        if opened.get("_fitted") is not None:
            opened["_fitted"] = from_plain_values(opened["_fitted"])
        if opened.get("_bundle") is not None:
            opened["_bundle"] = Bundle.open(opened["_bundle"])
        if opened.get("_training") is not None:
            opened["_training"] = TrainingScores.from_plain(opened["_training"])
        super().__setstate__(opened)

    def _checked_share(self) -> float | None:
        """`contamination`, None where the held-out rows set the limit. Raises InvalidArgument, for `convention` too."""
        if self.convention not in CONVENTIONS:
            raise InvalidArgument(f"convention {self.convention!r} is unknown; use {' or '.join(CONVENTIONS)}")
        share: Any = self.contamination
        if share == "auto":
            return None
        if not isinstance(share, Real) or not 0 < float(share) <= 0.5:
            raise InvalidArgument(f"contamination is 'auto', or above 0 and up to 0.5, not {share!r}")
        return float(share)

    def _drawn_seed(self) -> int:
        """The number that `random_state` stands for in this `fit`."""
        if self.seed is not None:
            warnings.warn("seed is called random_state now", FutureWarning, stacklevel=3)
            return self.seed
        state: Any = self.random_state
        if isinstance(state, Integral):
            return int(state)
        return int(check_random_state(state).randint(np.iinfo(np.int32).max))

    def _changes(self, seed: int) -> dict[str, Any]:
        changes: dict[str, Any] = {"seed": seed, "device": self.device, "quiet": not self.verbose}
        return changes | {
            key: value for key, value in (("steps", self.steps), ("minutes", self.minutes)) if value is not None
        }

    def _described(self, learned: Learned, seed: int) -> Learned:
        """With what a saved detector tells of its parameters and training scores."""
        described = learned.described
        parameters = plain_parameters(self.get_params(deep=False), seed)
        provenance = {**described.provenance, "parameters": parameters}
        figures = {**described.figures, "training": cast(TrainingScores, self._training).plain()}
        return replace(learned, described=replace(described, provenance=provenance, figures=figures))

    def _asked(self, X: Any, streams: ArrayLike | None) -> Given:  # noqa: N803
        check_is_fitted(self)
        return self._given(X, streams, reset=False)

    def _given(self, X: Any, streams: ArrayLike | None, *, reset: bool) -> Given:  # noqa: N803
        """The rows, checked by scikit-learn, in their streams. Raises InvalidArgument."""
        tables, several, stacked = tables_of(X)
        found: list[tuple[Values, NDArray[np.int64] | None, str | None]] = []
        left_out: dict[str, None] = {}
        for number, table in enumerate(tables):
            clocked = without_clock(table)
            left_out |= dict.fromkeys(clocked.left_out)
            values = validate_data(
                self,
                clocked.table,
                reset=reset and number == 0,
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan",
            )
            found.append((values, clocked.time, clocked.timezone))
        if left_out:
            warnings.warn(f"{listed(list(left_out))}: times beside the clock; left out", UserWarning, stacklevel=4)
        return given_parts(found, several, stacked, streams)

    def _scores(self, given: Given, named: Sequence[str] | None = None, blame: Floats | None = None) -> Floats:
        """Scores of all rows, as they were given; `named` are the streams' names where others than given.

        `blame` [rows, channels] is filled with the channels'.
        """
        score = np.empty(given.rows)
        for number, part in enumerate(given.parts):
            own, causes = self._scores_of(part, named[number] if named else part.name, blame is not None)
            score[part.places] = own
            if blame is not None:
                blame[part.places] = causes
        return score

    def _scores_of(self, part: Part, name: str, blamed: bool) -> tuple[Floats, Floats | None]:
        """Of one stream: [time], and where they are asked for those of the channels."""
        values = part.values
        if len(values) < self.window_:
            of = f" of stream {name}" if name else ""
            raise InvalidArgument(f"{len(values)} rows{of} are fewer than a window of {self.window_}; give more")
        score, causes = np.empty(len(values)), np.empty(values.shape) if blamed else None
        scale, first = self._beside(part, name), self.window_ - 1
        for row, windows, count in window_batches(values, self.window_, _BATCH):
            found, blame = self._run(windows, of_windows(scale, row, count, len(windows)))
            score[row : row + count] = found[:count]
            if causes is not None:
                causes[row : row + count] = blame[:count]
        for each in (score, causes):
            if each is not None:
                each[:first] = each[first]
        return look_ahead(score, causes, self.window_, self.covering_threshold_) if self.covering else (score, causes)

    def _confidence(self, scores: Floats) -> Floats:
        return self._known_training().confidence(scores, scores > self.threshold_)

    def _known_training(self) -> TrainingScores:
        if self._training is None:
            raise UnsupportedInput(
                "the scores of the training rows are not known, as this model was not trained by SeriesDetector; "
                "take anomaly_score, of which 1 is the limit"
            )
        return self._training

    def _beside(self, part: Part, name: str) -> Beside | None:
        """What the model takes beside a stream's windows: its scale, or phase and level of each row."""
        if self._fitted is None:
            seasons = self._detector().seasons
        else:
            seasons = None if self._fitted.seasons is None else self._fitted.seasons.seasons
        if seasons is None:
            return self._scale(name, part.values)
        stream = SeasonStream(seasons, self.window_, name, self._scale(name, part.values))
        return stream.take(part.values, part.time, part.timezone is None)

    def _scale(self, name: str, values: Values) -> Scale | None:
        scales = self._detector().scales if self._fitted is None else self._fitted.scales
        if scales is None:
            return None
        return scales.known.get(name) or learned_scale(values[: scales.rows], scales.usual)

    def _run(
        self, windows: NDArray[np.float32], scale: Beside | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._fitted is None:
            found = self._detector().score_windows(windows, scale)
            return found.score, found.channel_score
        return score_windows(self._fitted.graph, windows, scale, self._fitted.seasons)

    def _detector(self) -> Detector:
        if not hasattr(self, "_detector_cache"):
            self._detector_cache = Detector(cast(Bundle, self._bundle))
        return self._detector_cache


for _public in (RowScores, SeriesDetector):
    _public.__module__ = "aez.export"  # where pickles find them, wherever this file lies
