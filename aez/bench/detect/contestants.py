"""What `aez bench detect` compares: our detectors and the peers, each of which learns from a case and scores it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from aez.bench.detect.data import Case, Values
from aez.bench.detect.peers import AllOnes, PeerDetector, skab_isolation_forest
from aez.bench.detect.simple_peers import SeasonalResidual, season_phases
from aez.codec.bundle.session import open_session
from aez.codec.detect.adaptive import adapt, alarm_levels
from aez.codec.detect.covering import covering_mean
from aez.codec.detect.detector import GRAPH
from aez.codec.detect.events import DEFAULT_RULE
from aez.codec.detect.rhythm.seasons import Beside
from aez.codec.detect.thresholds import alarm_budget
from aez.codec.errors import UnsupportedInput
from aez.export.common.int8 import int8_bundle
from aez.export.series.arrays.estimator import SeriesDetector
from aez.export.series.bundle import Learned
from aez.export.series.covering import look_ahead
from aez.export.series.train import MARGIN

Floats = npt.NDArray[np.float64]
Windows = npt.NDArray[np.float32]
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
    that our ranking is by how loud a score is beside those of its recent past; covering: whether scores that look ahead
    are judged as well, for those whose score of a row is that of a window.
    """

    ranking: bool = True
    limited: bool = True
    follows: bool = False
    drifting: bool = False
    covering: bool = False


@dataclass(frozen=True)
class Verdict:
    """A contestant's verdict on the test rows of a case; NaN where the task did not want it.

    ranking: [time], on any scale. score: [time], 1 is the limit, which saw neither test rows nor labels.
    channel_score: [time, channels], for those that blame channels, where the case knows who is to blame.
    flags: (rows flagged, rows flagged for changepoints), for those that have a rule of their own.
    held_out: [n], on the scale of `score`: of the training rows that set the limit, for ours.
    covering: the verdict of the scores that look ahead, where the task wants it and the contestant has windows.
    """

    ranking: Floats
    score: Floats
    channel_score: Floats | None = None
    flags: tuple[Flags, Flags] | None = None
    notices: tuple[str, ...] = ()
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    held_out: Floats | None = None
    covering: Verdict | None = None


class Contestant(Protocol):
    """Learns from a case's training rows, and scores its test rows."""

    @property
    def name(self) -> str:
        """As in the tables."""

    def judge(self, case: Case, task: Task) -> Verdict:
        """Raises AezError subclasses for a case that it cannot learn from."""


class Int8Detector(SeriesDetector):
    """Scores by the graph of `aez models export --int8`, window by window as on a small device.

    While `learning`, which no device does, by the network itself, in batches: a window by itself takes ten times as
    long.
    """

    learning = False

    def _run(self, windows: Windows, scale: Beside | None) -> tuple[Windows, Windows]:
        if self.learning:
            return super()._run(windows, scale)
        if scale is not None:
            raise UnsupportedInput("int8 is measured on models that take windows alone")
        if not hasattr(self, "_session"):
            bundle = int8_bundle(cast(Learned, self._fitted).pack("int8"))
            self._session = open_session(bundle.graph(GRAPH), "cpu", threads=1)
        found = [self._session.run({"window": windows[at : at + 1]}) for at in range(len(windows))]
        return np.concatenate([one["score"] for one in found]), np.concatenate([one["channel_score"] for one in found])


@dataclass(frozen=True)
class Own:
    """Our detector: `SeriesDetector` with the same settings for every case; `int8`: its weights are in int8."""

    family: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    int8: bool = False

    @property
    def name(self) -> str:
        return f"aez {self.family}{' int8' if self.int8 else ''}"

    def judge(self, case: Case, task: Task) -> Verdict:
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            detector = self._made(case, task).fit(case.train)
        if isinstance(detector, Int8Detector):
            detector.learning = False
        fitted = time.perf_counter()
        before = min(detector.window_ - 1, len(case.train)) if task.follows else 0
        rows = np.concatenate([case.train[len(case.train) - before :], case.test])
        found = detector.explain(rows)
        scored = time.perf_counter()
        score = ranking = found.score[before:]
        if task.drifting:
            ranking = alarm_levels(adapt(score, detector.decision_scores_[detector.window_ - 1 :]))
        blamed = task.limited and case.causes is not None
        notices = tuple(str(one.message) for one in caught if one.category is UserWarning)
        verdict = Verdict(
            ranking,
            score,
            found.channel_score[before:] if blamed else None,
            notices=notices,
            fit_seconds=fitted - start,
            score_seconds=scored - fitted,
            held_out=detector.held_out_scores_,
        )
        if not task.covering:
            return verdict
        score, blame = look_ahead(*found, detector.window_, detector.covering_threshold_)
        ahead = replace(verdict, ranking=score, score=score, channel_score=blame if blamed else None, held_out=None)
        return replace(verdict, covering=ahead)

    def _made(self, case: Case, task: Task) -> SeriesDetector:
        settings = {"period": case.period_seconds, **self.settings}
        if not self.int8:
            return SeriesDetector(self.family, **settings)
        detector = Int8Detector(self.family, **settings)
        detector.learning = not task.drifting  # there a score is held against those of the training rows
        return detector


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the peers' libraries
            ranking = _Scored(self._made(case), case.train, case.test) if task.ranking else None
            cut = len(case.train) - max(1, round(HELD_OUT * len(case.train)))
            later = np.concatenate([case.train[cut:], case.test])
            limited = _Scored(self._made(case), case.train[:cut], later) if task.limited else None
            if ranking is not None and self.adapted:
                ranking.causal = alarm_levels(adapt(ranking.causal, ranking.peer.score(case.train)))
        found = self._verdict(case, ranking, limited, covering=False)
        first = ranking or limited
        if not task.covering or first is None or window_of(first.peer) == 1:
            return found
        return replace(found, covering=self._verdict(case, ranking, limited, covering=True))

    def _made(self, case: Case) -> PeerDetector:
        peer = self.make()
        if isinstance(peer, SeasonalResidual):
            peer.phases = season_phases(case)
        return peer

    def _verdict(self, case: Case, ranking: _Scored | None, limited: _Scored | None, *, covering: bool) -> Verdict:
        """From scores of the test rows, and of the held-out and the test rows."""
        score = nothing = np.full(len(case.test), np.nan)
        if limited is not None:
            held_out, raw = np.split(limited.scores(covering), [-len(case.test)])
            score = raw / (0.5 if self.make is AllOnes else _limit(held_out, case.period_seconds))
        ranks = nothing if ranking is None else ranking.scores(covering)
        timed = ranking or limited
        times = (0.0, 0.0) if timed is None else (timed.fit_seconds, timed.score_seconds)
        return Verdict(ranks, score, fit_seconds=times[0], score_seconds=times[1])


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


class _Scored:
    """A peer that has learned from rows, and its scores of others."""

    def __init__(self, peer: PeerDetector, train: Values, test: Values) -> None:
        start = time.perf_counter()
        self.peer = peer.fit(train)
        fitted = time.perf_counter()
        self.causal = self.peer.score(test)
        self.fit_seconds, self.score_seconds = fitted - start, time.perf_counter() - fitted

    def scores(self, covering: bool) -> Floats:
        """Causal ones, or the means over the windows that cover each row."""
        if not covering:
            return self.causal
        window = min(window_of(self.peer), len(self.causal))
        means: Floats = covering_mean(self.causal[window - 1 :, None], window)[:, 0]
        return means


def window_of(peer: PeerDetector) -> int:
    """Rows that the score of one looks at, 1 for peers without windows."""
    return int(getattr(peer, "window", 1))


def _limit(held_out: Floats, period_seconds: float | None) -> float:
    rows = _DAY / period_seconds if period_seconds else ROWS_PER_DAY
    return max(MARGIN * alarm_budget(held_out, ALARMS_PER_DAY, rows, DEFAULT_RULE), 1e-12)
