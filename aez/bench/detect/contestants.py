"""What `aez bench detect` compares: our detectors and the peers, each of which learns from a case and scores it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aez.bench.detect.data import Case
from aez.bench.detect.peers import AllOnes, PeerDetector, skab_isolation_forest
from aez.codec.detect.adaptive import adapt, alarm_levels
from aez.codec.detect.events import DEFAULT_RULE
from aez.codec.detect.thresholds import alarm_budget
from aez.export.series.estimator import SeriesDetector
from aez.export.series.train import MARGIN

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: The peers' limit: so many alarms a day on the last part of the training rows, times MARGIN, as for ours.
ALARMS_PER_DAY, HELD_OUT = 1.0, 0.3
#: Rows of a day where there is no clock.
ROWS_PER_DAY = 1440.0
_DAY = 86_400.0


@dataclass(frozen=True)
class Task:
    """What a protocol wants of a contestant.

    ranking: scores for measures without a limit; limited: scores by the limit; follows: whether the test's rows come
    right after the training's, so that the first window may look back; drifting: whether streams change for good, so
    that our ranking is by how loud a score is beside those of its recent past.
    """

    ranking: bool = True
    limited: bool = True
    follows: bool = False
    drifting: bool = False


@dataclass(frozen=True)
class Verdict:
    """A contestant's verdict on the test rows of a case; NaN where the task did not want it.

    ranking: [time], on any scale. score: [time], 1 is the limit, which saw neither test rows nor labels.
    channel_score: [time, channels], for those that blame channels, where the case knows who is to blame.
    flags: (rows flagged, rows flagged for changepoints), for those that have a rule of their own.
    held_out: [n], on the scale of `score`: of the training rows that set the limit, for ours.
    """

    ranking: Floats
    score: Floats
    channel_score: Floats | None = None
    flags: tuple[Flags, Flags] | None = None
    notices: tuple[str, ...] = ()
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    held_out: Floats | None = None


class Contestant(Protocol):
    """Learns from a case's training rows, and scores its test rows."""

    @property
    def name(self) -> str:
        """As in the tables."""

    def judge(self, case: Case, task: Task) -> Verdict:
        """Raises AezError subclasses for a case that it cannot learn from."""


@dataclass(frozen=True)
class Own:
    """Our detector: `SeriesDetector` with the same settings for every case."""

    family: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"aez {self.family}"

    def judge(self, case: Case, task: Task) -> Verdict:
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            detector = SeriesDetector(self.family, period=case.period_seconds, **self.settings).fit(case.train)
        fitted = time.perf_counter()
        before = min(detector.window_ - 1, len(case.train)) if task.follows else 0
        rows = np.concatenate([case.train[len(case.train) - before :], case.test])
        found = detector.explain(rows)
        scored = time.perf_counter()
        score = ranking = found.score[before:]
        if task.drifting:
            ranking = alarm_levels(adapt(score, detector.decision_scores_[detector.window_ - 1 :]))
        blame = found.channel_score[before:] if task.limited and case.causes is not None else None
        notices = tuple(str(one.message) for one in caught if one.category is UserWarning)
        times = fitted - start, scored - fitted
        return Verdict(ranking, score, blame, None, notices, *times, held_out=detector.held_out_scores_)


@dataclass(frozen=True)
class Outsider:
    """A peer. For the ranking it learns from all training rows; for the limit from what comes before the held-out ones.

    The limit is the alarm budget on the held-out rows with the margin of ours. All ones, which no budget would let
    speak, flags all. adapted: its ranking follows a stream that drifts as ours does.
    """

    name: str
    make: Callable[[], PeerDetector]
    adapted: bool = False

    def judge(self, case: Case, task: Task) -> Verdict:
        nothing = np.full(len(case.test), np.nan)
        ranking = score = nothing
        fit_seconds = score_seconds = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the peers' libraries
            if task.ranking:
                peer = self.make()
                ranking, fit_seconds, score_seconds = _timed(peer, case.train, case.test)
                if self.adapted:
                    ranking = alarm_levels(adapt(ranking, peer.score(case.train)))
            if task.limited:
                cut = len(case.train) - max(1, round(HELD_OUT * len(case.train)))
                later = np.concatenate([case.train[cut:], case.test])
                scores, seconds, more = _timed(self.make(), case.train[:cut], later)
                if not task.ranking:
                    fit_seconds, score_seconds = seconds, more
                held_out, raw = scores[: len(case.train) - cut], scores[len(case.train) - cut :]
                score = raw / (0.5 if self.make is AllOnes else _limit(held_out, case.period_seconds))
        return Verdict(ranking, score, fit_seconds=fit_seconds, score_seconds=score_seconds)


@dataclass(frozen=True)
class SkabForest:
    """The isolation forest of SKAB's own table, with its hand-set limit: the row that shows the protocol is met."""

    name: str = "isolation forest, as in SKAB's table"

    def judge(self, case: Case, task: Task) -> Verdict:
        del task
        start = time.perf_counter()
        flags = skab_isolation_forest(case.train, case.test)
        nothing = np.full(len(case.test), np.nan)
        return Verdict(nothing, nothing, flags=flags, fit_seconds=time.perf_counter() - start)


def _timed(peer: PeerDetector, train: npt.ArrayLike, test: npt.ArrayLike) -> tuple[Floats, float, float]:
    """(scores, seconds to fit, seconds to score)."""
    start = time.perf_counter()
    peer.fit(train)
    fitted = time.perf_counter()
    scores = peer.score(test)
    return scores, fitted - start, time.perf_counter() - fitted


def _limit(held_out: Floats, period_seconds: float | None) -> float:
    rows = _DAY / period_seconds if period_seconds else ROWS_PER_DAY
    return max(MARGIN * alarm_budget(held_out, ALARMS_PER_DAY, rows, DEFAULT_RULE), 1e-12)
