"""Limits on scores: where normal ends.

All of them are for strict comparison: a row is anomalous when its score is *above* the limit. Scores are raw, before
they are divided by the limit. NaN stands for a missing score and is left out everywhere.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.codec.detect.events import DEFAULT_RULE, EventRule, find_events
from aez.codec.errors import InvalidArgument

__all__ = [
    "LabelledThreshold",
    "StreamingPeaksOverThreshold",
    "alarm_budget",
    "best_f1",
    "peaks_over_threshold",
    "percentile",
    "share_limit",
]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Fewer values above the level say nothing about the tail.
_FEWEST_PEAKS = 10
#: Of shape to scale, in units of the mean excess: a tail far heavier than any that has a mean.
_LARGEST_RATIO = 20.0
_STATE_FORMAT = 1


def percentile(scores: npt.ArrayLike, q: float) -> float:
    """The smallest score that at most 100 - q percent of the scores exceed; q in 0..100.

    Raises InvalidArgument without a finite score and for q outside 0..100.
    """
    values = _finite(scores)
    if not 0 <= q <= 100:
        raise InvalidArgument(f"a percentile is a number in 0..100, not {q}")
    return float(np.percentile(values, q, method="higher"))


def share_limit(scores: npt.ArrayLike, share: float) -> float:
    """The limit that the score of a fresh normal row exceeds with a probability of at most `share`; share in 0..1.

    For rows that do not depend on each other: the k-th smallest of n scores, k = (n + 1)(1 - share) rounded up, as in
    split conformal prediction (Vovk et al. 2005). Where n is too small for that the largest, which a fresh score
    exceeds with a probability of 1 / (n + 1), and from there on as far as the share asks for if cube roots of scores
    scatter normally (those of sums of squares nearly do: Wilson, Hilferty 1931).

    Raises InvalidArgument without a finite score and for a share outside 0..1.
    """
    values = np.sort(_finite(scores))
    if not 0 <= share <= 1:
        raise InvalidArgument(f"a share of the rows is a number in 0..1, not {share}")
    count = values.size
    place = max(1, math.ceil((count + 1) * (1 - share) - 1e-9))
    if place <= count:
        return float(values[place - 1])
    highest = float(values[-1])
    if count < 2 or not share or values[0] < 0:
        return highest
    normal = NormalDist()
    further = normal.inv_cdf(1 - share) - normal.inv_cdf(count / (count + 1))
    return float(np.cbrt(highest) + further * np.cbrt(values).std(ddof=1)) ** 3


@dataclass(frozen=True)
class LabelledThreshold:
    """A limit chosen on labels, and what it reaches on them: F1, precision and recall, 0..1."""

    threshold: float
    f1: float
    precision: float
    recall: float


def best_f1(scores: npt.ArrayLike, labels: npt.ArrayLike) -> LabelledThreshold:
    """The limit with the highest point-wise F1 on labelled rows; of equal ones the highest limit.

    Args:
        scores: [time].
        labels: [time], 0 or 1. Rows without a score count as not flagged.

    The limit lies halfway between the lowest score that is flagged and the next lower one. A limit chosen on the rows
    that it is judged by is an upper bound of what can be reached, not a result.

    Raises InvalidArgument when the lengths differ, without a finite score, or when no row is labelled 1.
    """
    raw, marks = np.asarray(scores, np.float64), np.asarray(labels).astype(bool)
    if raw.shape != marks.shape or raw.ndim != 1:
        raise InvalidArgument(f"scores {raw.shape} and labels {marks.shape} must be two rows of one length")
    positives = int(marks.sum())
    if not positives:
        raise InvalidArgument("the best F1 needs labels, and no row is labelled as anomalous")
    values, marks = _finite(raw), marks[~np.isnan(raw)]
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(marks[order])
    # A limit can only lie between two different scores.
    last = np.append(np.flatnonzero(values[:-1] > values[1:]), values.size - 1)
    flagged, found = last + 1, hits[last]
    f1 = 2 * found / (flagged + positives)
    best = int(np.argmax(f1))
    return LabelledThreshold(
        threshold=_between(values, int(last[best])),
        f1=float(f1[best]),
        precision=float(found[best] / flagged[best]),
        recall=float(found[best] / positives),
    )


def peaks_over_threshold(scores: npt.ArrayLike, risk: float, level: float = 0.98) -> float:
    """The limit that a score of normal data exceeds with probability `risk`, extrapolated from the tail.

    The scores above their quantile `level` are fitted by a generalised Pareto distribution (Pickands 1975;
    Balkema and de Haan 1974), so that a limit far beyond the largest score seen can be stated. Neighbouring rows are
    taken as independent: where they are not, alarms come in clusters, and fewer of them.

    Args:
        scores: [time], normal data that did not train the model.
        risk: probability per row, between 0 and 1 - level.
        level: the quantile where the tail starts, 0..1.

    Raises InvalidArgument for a risk or level out of range and for less than 10 scores above the level.
    """
    values = _finite(scores)
    if not 0 < level < 1 or not 0 < risk < 1 - level:
        raise InvalidArgument(
            f"a tail that starts at the quantile {level} has room for a risk between 0 and {1 - level:.4g}, not {risk}"
        )
    start = float(np.quantile(values, level))
    peaks = values[values > start] - start
    if peaks.size < _FEWEST_PEAKS:
        raise InvalidArgument(
            f"{peaks.size} scores above the quantile {level} are too few for a tail; "
            f"give more rows than {values.size}, or a lower level"
        )
    return start + _ParetoTail.fit(peaks).exceeded_with(risk * values.size / peaks.size)


@dataclass(frozen=True)
class _ParetoTail:
    """A generalised Pareto distribution of the excess over the tail's start."""

    shape: float
    scale: float

    @classmethod
    def fit(cls, excess: Floats, censored: Flags | None = None) -> _ParetoTail:
        """The most likely one, of shape -1/2 and up; where `censored`, only "at least this excess" is known.

        For a given ratio t = shape / scale the most likely shape is sum(log(1 + t y)) / (number of uncensored y), which
        leaves a search over t alone (Grimshaw 1993, here with censoring): 25 times faster than a search over both, and
        the streaming limit makes it often. Below a shape of -1/2 the maximum is no longer a regular one.
        """
        exact = np.ones(excess.size, bool) if censored is None else ~censored
        unit = float(excess.mean())
        y, known = excess / unit, int(exact.sum())
        edge = 1 / float(y.max())
        # t runs from -1/max(y), where the distribution would end at the largest y; even steps in log(t + 1/max(y)).
        points = np.linspace(math.log(1e-4 * edge), math.log(_LARGEST_RATIO + edge), 65)
        for _ in range(4):
            ratio = np.exp(points) - edge
            ratio[np.abs(ratio) < 1e-9] = 1e-9
            logs = np.log1p(np.multiply.outer(ratio, y))
            shape = logs.sum(axis=1) / known
            scale = shape / ratio
            likelihood = -known * np.log(scale) - logs[:, exact].sum(axis=1)
            likelihood[shape < -0.5] = -np.inf
            best = int(np.argmax(likelihood))
            points = np.linspace(points[max(best - 1, 0)], points[min(best + 1, points.size - 1)], 17)
        return cls(float(shape[best]), float(scale[best]) * unit)

    def exceeded_with(self, probability: float) -> float:
        """The excess that a peak exceeds with this probability; 0 from 1 on."""
        if probability >= 1:
            return 0.0
        growth = -math.log(probability)
        if abs(self.shape) < 1e-8:
            return self.scale * growth
        return self.scale * math.expm1(self.shape * growth) / self.shape


class StreamingPeaksOverThreshold:
    """A limit that follows normal data as it drifts: SPOT (Siffer et al., KDD 2017), with a bounded memory.

    It starts as `peaks_over_threshold` over a calibration set; each later score above the tail's start joins the peaks.
    Two things differ from SPOT. The oldest peak is forgotten, and the probability is taken over the rows since the
    oldest one that is kept; SPOT keeps all and so adapts ever more slowly. And a score above the limit, which is an
    alarm, enters as "at least the limit" instead of not at all: leaving out the largest normal scores makes the tail
    look lighter, and with a bounded memory the limit sinks by that, again and again.

    The limit stays between 1/`reach` and `reach` times its first value, so that a fault that creeps in cannot carry it
    away. Rows of an open event teach what is not normal: do not give them to `update`.

    calibration: normal scores that did not train the model; risk, level: as in `peaks_over_threshold`.
    memory: how many peaks are kept; by default those of the calibration set, at least 100.
    reach: the bound on adaptation, 1 or more (1 does not adapt).

    Raises InvalidArgument as `peaks_over_threshold` does, and for a memory below 10 or a reach below 1.
    """

    def __init__(
        self,
        calibration: npt.ArrayLike,
        risk: float,
        level: float = 0.98,
        memory: int | None = None,
        reach: float = 2.0,
    ) -> None:
        values = _finite(calibration)
        self._threshold = peaks_over_threshold(values, risk, level)
        if (memory is not None and memory < _FEWEST_PEAKS) or not reach >= 1:
            raise InvalidArgument(f"memory {memory} must be {_FEWEST_PEAKS} peaks or more and reach {reach} 1 or more")
        if self._threshold <= 0:
            raise InvalidArgument(f"scores with a limit of {self._threshold:.4g} are none; scores are positive")
        self.risk, self.reach = risk, reach
        self._first = self._threshold
        self._start = float(np.quantile(values, level))
        rows = np.flatnonzero(values > self._start)
        excess = values[rows] - self._start
        # (row, excess, whether more may have been behind it); the row tells how many rows the kept peaks stand for.
        self._peaks = deque(
            zip(rows.tolist(), excess.tolist(), [False] * rows.size, strict=True),
            maxlen=memory or max(100, int(rows.size)),
        )
        forgotten = rows.size - len(self._peaks)
        self._since = int(rows[forgotten - 1]) + 1 if forgotten else 0
        self._row = int(values.size)
        self._tail = _ParetoTail.fit(excess)
        self._fresh = 0

    @property
    def threshold(self) -> float:
        """The limit now."""
        return self._threshold

    def update(self, score: float) -> bool:
        """Take the score of one row and return whether it is an alarm; NaN is none and teaches nothing."""
        score = float(score)  # NumPy's numbers would not go into JSON
        if math.isnan(score):
            return False
        row, self._row = self._row, self._row + 1
        alarm = score > self._threshold
        if score > self._start:
            if len(self._peaks) == self._peaks.maxlen:
                self._since = self._peaks[0][0] + 1
            self._peaks.append((row, min(score, self._threshold) - self._start, alarm))
            self._fresh += 1
            # The tail is fitted anew when a twentieth of the peaks is new; the rate counts at once.
            if self._fresh * 20 >= len(self._peaks):
                self._fit()
            self._set_limit()
        elif row % 64 == 0:  # without peaks the rate falls slowly
            self._set_limit()
        return alarm

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {
            "format": _STATE_FORMAT,
            "risk": self.risk,
            "reach": self.reach,
            "memory": self._peaks.maxlen,
            "threshold": self._threshold,
            "first": self._first,
            "start": self._start,
            "since": self._since,
            "row": self._row,
            "peaks": [list(peak) for peak in self._peaks],
            "tail": asdict(self._tail),
            "fresh": self._fresh,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> StreamingPeaksOverThreshold:
        """What `state()` described; raises InvalidArgument when it is not such a description."""
        limit = cls.__new__(cls)
        try:
            if state["format"] != _STATE_FORMAT:
                raise ValueError(f"format {state['format']!r}")
            limit.risk, limit.reach = float(state["risk"]), float(state["reach"])
            limit._threshold, limit._first = float(state["threshold"]), float(state["first"])
            limit._start = float(state["start"])
            limit._since, limit._row = int(state["since"]), int(state["row"])
            peaks = ((int(row), float(excess), bool(alarm)) for row, excess, alarm in state["peaks"])
            limit._peaks = deque(peaks, maxlen=int(state["memory"]))
            limit._tail, limit._fresh = _ParetoTail(**state["tail"]), int(state["fresh"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved state of a streaming limit cannot be read: {error!r}") from error
        return limit

    def _fit(self) -> None:
        self._fresh = 0
        excess = np.array([peak[1] for peak in self._peaks])
        censored = np.array([peak[2] for peak in self._peaks])
        if np.count_nonzero(~censored) >= _FEWEST_PEAKS:
            self._tail = _ParetoTail.fit(excess, censored)

    def _set_limit(self) -> None:
        share = len(self._peaks) / (self._row - self._since)
        limit = self._start + self._tail.exceeded_with(min(self.risk / share, 1.0))
        self._threshold = min(max(limit, self._first / self.reach), self._first * self.reach)


def alarm_budget(scores: npt.ArrayLike, alarms: float, rows: float, rule: EventRule = DEFAULT_RULE) -> float:
    """The smallest limit from which on normal data raises at most `alarms` events in `rows` rows.

    `find_events` over scores / limit gives at most `alarms` times the rows that have a score by `rows` events (rounded
    down) for it and for every larger limit; smaller ones break the budget, or lie below the median, where no limit
    belongs. A budget of less than one event over the rows given lets none through.

    Args:
        scores: [time], normal data that did not train the model, in order of time; NaN where there is none.
        alarms: events, 0 or more.
        rows: the rows that the budget is for, as 86400 / period for one day.
        rule: how events open and close.

    Raises InvalidArgument without a finite score, for negative scores, and for a budget that makes no sense.
    """
    raw = np.asarray(scores, np.float64)
    values = _finite(raw)
    if not alarms >= 0 or not rows > 0:
        raise InvalidArgument(f"a budget is a number of alarms in a number of rows, not {alarms} in {rows}")
    if values.min() < 0:
        raise InvalidArgument(f"scores are 0 or more, not {values.min():.4g}")
    allowed = math.floor(alarms * values.size / rows + 1e-9)
    floor = float(np.median(values))
    distinct = np.unique(values)
    # As the limit falls, a new event can only appear where it passes one of these.
    candidates = distinct if rule.min_length > rule.open_after else _opening_levels(values, rule.open_after)
    for level in candidates[candidates > floor][::-1]:
        below = distinct[np.searchsorted(distinct, level) - 1]
        if len(find_events(_above(raw, float(below)), rule=rule)) > allowed:
            return float(level)
    return floor


def _opening_levels(values: Floats, run: int) -> Floats:
    """The limits below which a new run of `run` loud rows appears away from the others: local maxima, rising."""
    if values.size < run:
        return np.empty(0)
    lowest = np.lib.stride_tricks.sliding_window_view(values, run).min(axis=1)
    before = np.concatenate([[-np.inf], lowest[:-1]])
    after = np.concatenate([lowest[1:], [-np.inf]])
    return np.unique(lowest[(lowest >= before) & (lowest >= after)])


def _above(scores: Floats, limit: float) -> Floats:
    """Scores as 2 above the limit and 0 up to it: what scores / limit gives, also for a limit of 0."""
    loud = np.where(scores > limit, 2.0, 0.0)
    loud[np.isnan(scores)] = np.nan
    return loud


def _between(falling: Floats, at: int) -> float:
    """A limit below falling[at] and not below the next lower score."""
    lowest = float(falling[at])
    if at + 1 == falling.size:
        return math.nextafter(lowest, -math.inf)
    lower = float(falling[at + 1])
    middle = lower + (lowest - lower) / 2
    return middle if middle < lowest else lower


def _finite(scores: npt.ArrayLike) -> Floats:
    """The scores that are there, float64; raises InvalidArgument when there is none or one is infinite."""
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise InvalidArgument(f"scores are one row of numbers, not an array {values.shape}")
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise InvalidArgument(f"the score of row {infinite[0]} is infinite")
    present: Floats = values[~np.isnan(values)]
    if not present.size:
        raise InvalidArgument("a limit needs scores, and there is none")
    return present
