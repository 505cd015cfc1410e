"""How good a detector is: measures without a limit, by row, by event, and the scores of SKAB and NAB.

Labels are 0 or 1 by row. A row without a score (NaN) ranks with the lowest score. A measure that is not defined, as a
precision without alarms, is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument
from aez.codec.events import Event
from aez.codec.extras import library

__all__ = [
    "NAB_PROFILES",
    "Causes",
    "ChangepointScore",
    "EventMetrics",
    "NabScore",
    "PointMetrics",
    "average_precision",
    "changepoint_score",
    "changepoints_of",
    "event_metrics",
    "label_events",
    "nab_probation",
    "nab_score",
    "period_window",
    "point_metrics",
    "roc_auc",
    "vus_pr",
]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: (start row, end row exclusive, numbers of the channels behind the anomaly, from 0)
Causes = Sequence[tuple[int, int, Sequence[int]]]
Profile = Literal["standard", "low_fp", "low_fn"]

_DAY = 86400.0
#: What TSB-AD takes where a series has no period, and the lags it looks at.
_NO_PERIOD, _LAGS, _FIRST_LAG, _ROWS_FOR_PERIOD = 125, 400, 3, 20000


def label_events(labels: npt.ArrayLike) -> list[tuple[int, int]]:
    """The runs of labelled rows, (start, end exclusive)."""
    marks = np.asarray(labels).astype(bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """AUC-PR as the mean precision over the ranks of the labelled rows, 0..1; random scores get the labelled share.

    scikit-learn's. NaN where no row is labelled. Raises InvalidArgument when the lengths differ, AezError without
    scikit-learn.
    """
    marks, values = _ranked(labels, scores)
    if not marks.any():
        return math.nan
    return float(library("sklearn.metrics", "bench").average_precision_score(marks, values))


def roc_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The chance that a labelled row scores above an unlabelled one, 0..1; random scores get 0.5.

    scikit-learn's. NaN where all rows are labelled alike. Raises as `average_precision`.
    """
    marks, values = _ranked(labels, scores)
    if marks.all() or not marks.any():
        return math.nan
    return float(library("sklearn.metrics", "bench").roc_auc_score(marks, values))


def vus_pr(labels: npt.ArrayLike, scores: npt.ArrayLike, buffer: int) -> float:
    """VUS-PR, 0..1: the area under the range-based precision-recall curve, averaged over widths of the buffers.

    Around each labelled event lie two slopes of width/2 rows whose rows count in part; the width runs over
    0, 1 ... `buffer` rows (Paparrizos et al., PVLDB 15(11), 2022). The figure depends on `buffer`: TSB-AD, and
    `aez bench detect` after it, take twice `period_window` of the series. aeon's implementation, which samples 250
    limits; it takes about 30 ms times `buffer` for 24,000 rows.

    Scores that are all equal rank nothing, and get the labelled share as in `average_precision` (aeon would give 0,
    and interpolation between its two points more than a half). NaN where no row is labelled.

    Raises InvalidArgument when the lengths differ or `buffer` is negative, AezError without aeon.
    """
    marks, values = _ranked(labels, scores)
    if buffer < 0:
        raise InvalidArgument(f"a buffer of {buffer} rows is none; give 0 or more")
    if not marks.any():
        return math.nan
    if values.min() == values.max():
        return float(marks.mean())
    aeon = library("aeon.benchmarking.metrics.anomaly_detection", "bench")
    return float(aeon.range_pr_vus_score(marks.astype(np.int64), values, max_buffer_size=buffer))


def period_window(values: npt.ArrayLike) -> int:
    """The length in rows that TSB-AD takes as a series' window: the highest peak of its autocorrelation.

    Args:
        values: [time], the first channel of the series, train and test together. Of more than 20,000 rows the first.

    Peaks are sought at lags 4 to 399 (strict local maxima); 125 where there is none or the highest lies above lag 303.
    Missing values count as the mean. Raises InvalidArgument for anything but one row of numbers.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise InvalidArgument(f"a period is sought in one row of numbers, not in an array {x.shape}")
    x = x[:_ROWS_FOR_PERIOD]
    present = ~np.isnan(x)
    if not present.any():
        return _NO_PERIOD
    x = np.where(present, x - x[present].mean(), 0.0)
    spectrum = np.fft.rfft(x, 2 * x.size)
    lags = np.fft.irfft(spectrum * spectrum.conj())[: min(_LAGS + 1, x.size)][_FIRST_LAG:]
    inner = lags[1:-1]
    peaks = 1 + np.flatnonzero((inner > lags[:-2]) & (inner > lags[2:]))
    if not peaks.size:
        return _NO_PERIOD
    highest = int(peaks[np.argmax(lags[peaks])])
    return highest + _FIRST_LAG if 3 <= highest <= 300 else _NO_PERIOD


@dataclass(frozen=True)
class PointMetrics:
    """Rows counted by label and flag, pooled over series; rates are 0..1."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def false_alarm_rate(self) -> float:
        """FAR: the share of the unlabelled rows that are flagged."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def missed_alarm_rate(self) -> float:
        """MAR: the share of the labelled rows that are not flagged."""
        return _ratio(self.false_negatives, self.true_positives + self.false_negatives)


def point_metrics(series: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> PointMetrics:
    """Counts over (labels [time], flags [time]) of each series; raises InvalidArgument when their lengths differ."""
    counts = np.zeros(4, np.int64)
    for labels, flags in series:
        marks, alarms = _pair(labels, flags)
        counts += np.bincount(2 * marks + alarms, minlength=4)
    true_negatives, false_positives, false_negatives, true_positives = (int(count) for count in counts)
    return PointMetrics(true_positives, false_positives, true_negatives, false_negatives)


@dataclass(frozen=True)
class EventMetrics:
    """Events counted, of one series or (added with `+`) of several.

    labelled: events in the labels; found: those that an alarm overlaps.
    alarms: events that the detector raised; false_alarms: those that overlap no labelled one.
    days: time covered; None where a series has no period.
    delays: for each event found, rows from its start until its alarm was raised, 0 when one was standing; in seconds
        in `delays_seconds`, for series with a period.
    explainable: events found whose causes are labelled; explained: those where the alarm's first channel is one.
    """

    labelled: int
    found: int
    alarms: int
    false_alarms: int
    days: float | None
    delays: tuple[int, ...]
    delays_seconds: tuple[float, ...]
    explainable: int
    explained: int

    @property
    def precision(self) -> float:
        return _ratio(self.alarms - self.false_alarms, self.alarms)

    @property
    def recall(self) -> float:
        return _ratio(self.found, self.labelled)

    @property
    def false_alarms_per_day(self) -> float:
        return math.nan if not self.days else self.false_alarms / self.days

    @property
    def median_delay(self) -> float:
        """In rows."""
        return median(self.delays) if self.delays else math.nan

    @property
    def median_delay_seconds(self) -> float:
        return median(self.delays_seconds) if self.delays_seconds else math.nan

    @property
    def top_channel_share(self) -> float:
        """The share of the explainable events whose first channel is a labelled cause."""
        return _ratio(self.explained, self.explainable)

    def __add__(self, other: EventMetrics) -> EventMetrics:
        return EventMetrics(
            self.labelled + other.labelled,
            self.found + other.found,
            self.alarms + other.alarms,
            self.false_alarms + other.false_alarms,
            None if self.days is None or other.days is None else self.days + other.days,
            self.delays + other.delays,
            self.delays_seconds + other.delays_seconds,
            self.explainable + other.explainable,
            self.explained + other.explained,
        )


def event_metrics(
    labels: npt.ArrayLike,
    events: Sequence[Event],
    *,
    period_seconds: float | None = None,
    causes: Causes | None = None,
    channels: Sequence[str] = (),
    tolerance: int = 0,
) -> EventMetrics:
    """Compare a detector's events with the labelled ones; two belong together when they share a row.

    Args:
        labels: [time], 0 or 1; each run of labelled rows is one event.
        events: the detector's, of the same rows.
        period_seconds: time between rows, for alarms per day and delays in seconds.
        causes: the channels behind labelled events; one belongs to each labelled event that it overlaps.
        channels: the names of the channels by number, as they stand in `events`.
        tolerance: so many rows after a labelled event an alarm still belongs to it (where scores look back over a
            window, they stay high for that long).

    Several alarms within one labelled event are all true ones; the first counts for delay and cause.
    Raises InvalidArgument for a period that is not positive and for causes without the channels' names.
    """
    marks = np.asarray(labels)
    if period_seconds is not None and not period_seconds > 0:
        raise InvalidArgument(f"a period is a positive number of seconds, not {period_seconds}")
    if causes and not channels:
        raise InvalidArgument("labelled causes are channel numbers, and the channels' names are missing")
    alarms = sorted(events, key=lambda event: event.start)
    runs = label_events(marks)
    true_alarms: set[int] = set()
    delays: list[int] = []
    explainable = explained = 0
    for start, end in runs:
        matching = [at for at, alarm in enumerate(alarms) if alarm.start < end + tolerance and alarm.end > start]
        if not matching:
            continue
        true_alarms.update(matching)
        first = alarms[matching[0]]
        delays.append(max(0, first.opened - start))
        blamed = {channels[number] for low, high, by in causes or () if low < end and high > start for number in by}
        if blamed and first.channels:
            explainable += 1
            explained += first.channels[0][0] in blamed
    return EventMetrics(
        labelled=len(runs),
        found=len(delays),
        alarms=len(alarms),
        false_alarms=len(alarms) - len(true_alarms),
        days=None if period_seconds is None else marks.size * period_seconds / _DAY,
        delays=tuple(delays),
        delays_seconds=() if period_seconds is None else tuple(delay * period_seconds for delay in delays),
        explainable=explainable,
        explained=explained,
    )


def changepoints_of(flags: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Rows at which a prediction changes, [time] 0 or 1; the first row is one when it is flagged (SKAB's rule)."""
    marks = np.asarray(flags).astype(np.int8)
    return np.abs(np.diff(marks, prepend=np.int8(0))).astype(np.uint8)


@dataclass(frozen=True)
class ChangepointScore:
    """SKAB's NAB-type scores: 100 for every changepoint met at once and no other alarm, 0 for no alarm at all."""

    standard: float
    low_fp: float
    low_fn: float


#: SKAB's profiles as (hit at once, alarm outside a window, changepoint missed).
_CHANGEPOINT_COSTS: dict[Profile, tuple[float, float, float]] = {
    "standard": (1.0, -0.11, -1.0),
    "low_fp": (1.0, -0.22, -1.0),
    "low_fn": (1.0, -0.11, -2.0),
}
_TANH_STEPS = 1000


def changepoint_score(
    series: Iterable[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]], window_seconds: float = 60.0
) -> ChangepointScore:
    """SKAB's NAB-type score of changepoints, pooled over series of (time [n] ns, labelled [n], predicted [n]).

    Each labelled changepoint has a window [its time, + window_seconds]; where two overlap, the later one starts where
    the earlier one ends. The first prediction within a window, edges included, earns a tanh that falls from the hit's
    worth to that of a false alarm; later ones in it count nothing; a prediction outside all windows is a false alarm;
    a window without any is a miss. 100 (score - null) / (perfect - null), where null predicts nothing and perfect
    meets each changepoint at once. NaN where nothing is labelled.

    The tanh is read off in 1000 steps, as in SKAB's own scorer, so that its table is met to the last digit.

    Raises InvalidArgument when the lengths differ or times fall.
    """
    windows = false_alarms = misses = 0
    positions: list[int] = []
    width = round(window_seconds * 1e9)
    for time, labelled, predicted in series:
        clock = np.asarray(time, np.int64)
        marks, alarms = _pair(labelled, predicted)
        if clock.shape != marks.shape or np.any(np.diff(clock) < 0):
            raise InvalidArgument("changepoints need a time for each row, in rising order")
        hits = clock[alarms]
        inside = np.zeros(hits.size, bool)
        previous_end: int | None = None
        for changepoint in clock[marks].tolist():
            start, end = changepoint, changepoint + width
            if previous_end is not None and previous_end >= start:
                start = previous_end
            previous_end = end
            within = (hits >= start) & (hits <= end)
            inside |= within
            windows += 1
            if within.any():
                late = int(hits[np.argmax(within)]) - start
                step = int(late / (end - start) * _TANH_STEPS) if end > start else 0
                positions.append(min(step, _TANH_STEPS - 1))
            else:
                misses += 1
        false_alarms += int(np.count_nonzero(~inside))
    falling = -np.tanh(np.linspace(-np.pi / 2, np.pi / 2, _TANH_STEPS)) / np.tanh(np.pi / 2)
    scores = {}
    for profile, (hit, false_alarm, miss) in _CHANGEPOINT_COSTS.items():
        worth = (hit - false_alarm) / 2 * falling + (hit + false_alarm) / 2
        score = float(worth[positions].sum()) + false_alarms * false_alarm + misses * miss
        scores[profile] = 100 * _ratio(score - windows * miss, windows * (hit - miss))
    return ChangepointScore(scores["standard"], scores["low_fp"], scores["low_fn"])


@dataclass(frozen=True)
class NabScore:
    """NAB's score of a corpus, and the one limit for all its files that gave it.

    score: 100 for the first row of each window and nothing else, 0 for no alarm at all; negative below that cannot
        be, because the limit is the best one. found: windows with an alarm, of `windows`; false_alarms: rows.
    """

    score: float
    threshold: float
    windows: int
    found: int
    false_alarms: int


#: NAB's profiles as the weights of (true positive, false negative, false positive).
NAB_PROFILES: dict[Profile, tuple[float, float, float]] = {
    "standard": (1.0, 1.0, 0.11),
    "low_fp": (1.0, 1.0, 0.22),
    "low_fn": (1.0, 2.0, 0.11),
}


def nab_probation(rows: int) -> int:
    """How many rows at the start of a file NAB does not score: 15 %, at most 750."""
    return min(math.floor(0.15 * rows), 750)


def nab_score(
    files: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
    profile: Profile = "standard",
    probation: Iterable[int] | None = None,
) -> NabScore:
    """NAB's score of a corpus (Lavin and Ahmad 2015), by the rules of its own sweep over all limits.

    Args:
        files: (scores [n], labels [n]) of each file; a run of labelled rows is one window. Rows score >= the limit are
            alarms; NaN never is one.
        profile: the weights, of `NAB_PROFILES`.
        probation: rows at the start of each file that are not scored; none by default, for files whose probationary
            rows have been cut off (`nab_probation` says how many NAB takes).

    The earliest alarm in a window earns 2 / (1 + exp(5 x)) - 1, where x = -(rows to the window's end + 1) / width,
    scaled so that the first row earns 1. An alarm outside loses up to `false positive`: the same curve at the distance
    from the end of the window before, in widths less a row, and the whole weight from 3 widths on or before any window.
    A window without an alarm loses `false negative`. One limit serves the whole corpus: the one with the highest sum,
    which is chosen on the labels, as NAB does for every detector of its table. NaN where no row is labelled.

    Raises InvalidArgument for an unknown profile and when lengths differ.
    """
    if profile not in NAB_PROFILES:
        raise InvalidArgument(f"NAB has the profiles {', '.join(NAB_PROFILES)}, not {profile!r}")
    hit, miss, false_positive = NAB_PROFILES[profile]
    corpus = [(np.asarray(scores, np.float64), np.asarray(labels)) for scores, labels in files]
    skips = [0] * len(corpus) if probation is None else list(probation)
    if len(skips) != len(corpus):
        raise InvalidArgument(f"{len(corpus)} files need as many probationary lengths, not {len(skips)}")
    parts = [
        _nab_rows(scores, labels, skip, hit, false_positive)
        for (scores, labels), skip in zip(corpus, skips, strict=True)
    ]
    # The window's number within the corpus, -1 outside: one after the other.
    windows = 0
    for part in parts:
        part.window[part.window >= 0] += windows
        windows += part.windows
    if not windows:
        return NabScore(math.nan, math.nan, 0, 0, 0)
    values = np.concatenate([part.scores for part in parts])
    worth = np.concatenate([part.worth for part in parts])
    window = np.concatenate([part.window for part in parts])
    present = ~np.isnan(values)
    order = np.argsort(-values[present], kind="stable")
    values, worth, window = values[present][order], worth[present][order], window[present][order]
    gains = np.where(window < 0, worth, 0.0)
    first_hit = np.zeros(values.size, np.int64)
    best = np.full(windows, -miss)
    met = np.zeros(windows, bool)
    for at in np.flatnonzero(window >= 0).tolist():
        number = window[at]
        if not met[number] or worth[at] > best[number]:
            gains[at] = worth[at] - best[number]
            best[number] = worth[at]
            first_hit[at] = not met[number]
            met[number] = True
    last = np.append(np.flatnonzero(values[:-1] > values[1:]), values.size - 1) if values.size else np.empty(0, np.intp)
    totals = np.concatenate([[0.0], np.cumsum(gains)[last]])
    choice = int(np.argmax(totals))
    alarms = int(last[choice - 1]) + 1 if choice else 0
    return NabScore(
        score=float(100 * totals[choice] / (windows * (hit + miss))),
        threshold=float(values[alarms - 1]) if alarms else math.inf,
        windows=windows,
        found=int(first_hit[:alarms].sum()),
        false_alarms=int(np.count_nonzero(window[:alarms] < 0)),
    )


@dataclass(frozen=True)
class _NabRows:
    """The scored rows of a file: their scores, what an alarm at each is worth, and the number of their window or -1."""

    scores: Floats
    worth: Floats
    window: npt.NDArray[np.int64]
    windows: int


def _nab_rows(
    scores: Floats, labels: npt.NDArray[np.generic], skip: int, hit: float, false_positive: float
) -> _NabRows:
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise InvalidArgument(f"scores {scores.shape} and labels {labels.shape} must be two rows of one length")
    rows = np.arange(scores.size)
    worth = np.full(scores.size, -false_positive)
    window = np.full(scores.size, -1, np.int64)
    runs = label_events(labels)
    scored = [run for run in runs if run[1] > skip]
    for start, end in runs:
        width = end - start
        inside, after = rows[start:end], rows[end:]
        worth[start:end] = hit * _scaled_sigmoid(-(end - inside) / width) / _scaled_sigmoid(np.array([-1.0]))
        worth[end:] = false_positive * _scaled_sigmoid((after - (end - 1)) / max(width - 1, 1))
    for number, (start, end) in enumerate(scored):
        window[start:end] = number
    return _NabRows(scores[skip:], worth[skip:], window[skip:], len(scored))


def _scaled_sigmoid(x: Floats) -> Floats:
    return np.where(x >= 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(x, 3.0))) - 1)


def _ranked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Flags, Floats]:
    values = np.asarray(scores, np.float64)
    marks = np.asarray(labels).astype(bool)
    if values.ndim != 1 or values.shape != marks.shape:
        raise InvalidArgument(f"scores {values.shape} and labels {marks.shape} must be two rows of one length")
    if np.isinf(values).any():
        raise InvalidArgument(f"the score of row {int(np.argmax(np.isinf(values)))} is infinite")
    missing = np.isnan(values)
    return marks, np.where(missing, 0.0 if missing.all() else np.nanmin(values), values)


def _pair(labels: npt.ArrayLike, flags: npt.ArrayLike) -> tuple[Flags, Flags]:
    marks, alarms = np.asarray(labels).astype(bool), np.asarray(flags).astype(bool)
    if marks.ndim != 1 or marks.shape != alarms.shape:
        raise InvalidArgument(f"labels {marks.shape} and flags {alarms.shape} must be two rows of one length")
    return marks, alarms


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
