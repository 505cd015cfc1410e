"""A candidate: it scores the rows that a model scored, and the events that it would have opened are counted.

The rows are the engine's own, aligned on their streams' clocks, so that both see the same, with what was taken from the
values of streams that moved for good. The candidate tells by its own figures which channels are missing or stuck, and
does without them; events are counted as people would hear of them, see `aez.daemon.alarms.habits`. What it needs of a
stream is kept here, and begins anew with the process: it scores a stream once it saw a whole window of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aez.codec.detect.events import EventRule, EventTracker
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.levels import Shifts
from aez.daemon.alarms.repeats import Repeats
from aez.daemon.engine.beside.table import beside_table
from aez.daemon.engine.follower import Follower
from aez.daemon.engine.ring import Rings, RowScoring
from aez.daemon.engine.routing import Router
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.scorer import Scorer, Scores
from aez.daemon.engine.watched import StreamModel, Watched
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, Ints, StreamColumns, runs
from aez.daemon.shadow.figures import MODEL, SHADOW, SIDES, Comparison
from aez.daemon.signals.events import Signals
from aez.daemon.signals.rules import SignalRules

__all__ = ["Candidate", "fits"]

_NEVER_UPDATED = 1 << 40  # rows between two records of an event that goes on
_FIRST_ROOM = 64


def fits(watched: Watched, candidate: StreamModel) -> str:
    """Why a candidate cannot score the rows of a model, in a clause; empty where it can."""
    mine, other = set(watched.detector.channels), set(candidate.channels)
    if lacks := sorted(mine - other):
        return f"it has no channel {lacks[0]!r}, which model {watched.name} has"
    if more := sorted(other - mine):
        return f"it has a channel {more[0]!r}, which model {watched.name} has not"
    period = watched.period_ns
    own = None if candidate.period is None else max(1, round(candidate.period * 1e9))
    if watched.period is None and own != period:
        rows = [f"{one / 1e9:g} s" if one else "no clock" for one in (own, period)]
        return f"its period is {rows[0]}, and that of model {watched.name} {rows[1]}"
    return ""


class Candidate:
    """One candidate beside the model `watched`; one thread calls it.

    rule: when its events would open and close. comparison: goes on from these figures. signals: when its channels count
    as missing or stuck; None for never.
    Raises InvalidArgument where it does not fit (see `fits`).
    """

    def __init__(
        self,
        watched: Watched,
        candidate: StreamModel,
        rule: EventRule,
        comparison: Comparison,
        signals: SignalRules | None = None,
    ) -> None:
        if reason := fits(watched, candidate):
            raise InvalidArgument(f"it cannot stand in for model {watched.name}: {reason}")
        self.watched, self.detector, self.comparison = watched, candidate, comparison
        self.rules: Mapping[str, EventRule] = {MODEL: watched.rule or watched.detector.event_rule, SHADOW: rule}
        channels = watched.detector.channels
        self._order = np.array([channels.index(name) for name in candidate.channels], np.int64)
        self._rings = Rings(candidate.window, len(candidate.channels))
        self._shifts = Shifts(candidate.window)
        self._scales = beside_table(candidate, watched.period_ns, watched.warm_up)
        self._signals: Signals | None = None
        if signals is not None:
            self._signals = Signals(watched.name, signals, watched.period_ns, candidate.window, filled=True)
        tables = (self._rings, self._shifts, self._scales, self._signals)
        self._tables: tuple[StreamColumns, ...] = tuple(table for table in tables if table is not None)
        self._scoring = RowScoring(Scorer(candidate), self._rings, self._shifts, self._scales, self._signals)
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._limits: list[float] = []
        self._next: dict[int, int] = {}  # the row that a stream's rows go on with
        self._followers: dict[tuple[str, int], Follower] = {}
        self._repeats: dict[tuple[str, int], Repeats] = {}
        self._fixed = [(Router([[pattern]]), limit) for pattern, limit in watched.limits.items()]

    def take(self, scored: ScoredRows) -> None:
        """Score the rows that the model scored, and follow what both would tell."""
        rows = scored.rows
        if not len(rows):
            return
        first = runs(rows.stream)
        ends = np.append(first[1:], len(rows))
        heads = np.array([self._number(scored.names[number]) for number in rows.stream[first].tolist()], np.int64)
        for number, start, end in zip(heads.tolist(), first.tolist(), ends.tolist(), strict=True):
            if self._next.get(number) != rows.row[start]:
                self._afresh(number)
            self._next[number] = int(rows.row[end - 1]) + 1
            self._shift(number, scored.shifts.get(int(rows.stream[start])))
        shadow, blame = self._score(rows, np.repeat(heads, ends - first))
        shadow /= np.array([self._limits[number] for number in heads.tolist()], np.float32)[
            np.repeat(np.arange(len(first)), ends - first)
        ]
        model = scored.score / scored.limit
        both = ~(np.isnan(model) | np.isnan(shadow))
        self.comparison.scored(model[both], shadow[both], rows.time[both])
        model, shadow = np.where(both, model, np.nan), np.where(both, shadow, np.nan)
        for side, scores, blamed in ((MODEL, model, scored.channel_score), (SHADOW, shadow, blame)):
            self._follow(side, scores.astype(np.float32), blamed, rows, heads, first, ends)

    def _score(self, rows: Aligned, stream: Ints) -> Scores:
        """The candidate's scores of rows, NaN where it has none; stream: their numbers here."""
        count, channels = len(rows), len(self.detector.channels)
        found = Scores(np.full(count, np.nan, np.float32), np.full((count, channels), np.nan, np.float32))
        values = np.ascontiguousarray(rows.values[:, self._order])
        # In place of their numbers their places, so that each score finds its row.
        mine = Aligned(stream, np.arange(count), rows.time, values, rows.made_up)
        for part in self._scoring.begin(mine, self._names):
            score, channel_score = part.ending()
            score[part.unscaled] = np.nan
            found.score[part.rows.row], found.channel_score[part.rows.row] = score, channel_score
        return found

    def _shift(self, number: int, shift: Float | None) -> None:
        """What is taken from a stream's values from now on, in the model's order of channels."""
        if shift is not None:
            self._shifts.shifts[number] = shift[self._order]
        else:
            self._shifts.shifts.pop(number, None)

    def _number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self._names)
            self._names.append(name)
            self._limits.append(next((limit for router, limit in self._fixed if router.model(name) == 0), 1.0))
            for table in self._tables if found >= self._rings.size else ():
                table.grow(max(_FIRST_ROOM, 2 * found))
            if self._scales is not None:
                self._scales.begin(found, name)
        return found

    def _afresh(self, number: int) -> None:
        """Rows are missing, or count from the beginning again: windows do not reach across."""
        for table in self._tables:
            table.clear(number)
        if self._scales is not None:
            self._scales.begin(number, self._names[number])
        for side in SIDES:
            self._followers.pop((side, number), None)
        self.comparison.afresh(self._names[number])

    def _follow(
        self, side: str, scores: Float, blame: Float, rows: Aligned, heads: Ints, first: Ints, ends: Ints
    ) -> None:
        """Count events as the engine would tell them."""
        loud = np.logical_or.reduceat(scores > 1, first)
        for place, number in enumerate(heads.tolist()):
            follower = self._followers.get((side, number))
            if follower is None:
                if not loud[place]:
                    continue
                follower = self._followers[side, number] = self._follower(side, number)
            part = slice(int(first[place]), int(ends[place]))
            for record in follower.update(rows.row[part], scores[part], blame[part], rows.time[part]):
                if record.action == "open":
                    self._repeats[side, number] = follower.repeats
                    self.comparison.opened(side, self._names[number])
                elif record.action == "close":
                    event = record.event
                    self.comparison.ended(side, self._names[number], int(event["start"]), int(event["end"]))
            if follower.idle:
                del self._followers[side, number]

    def _follower(self, side: str, number: int) -> Follower:
        watched = self.watched
        channels = (watched.detector if side == MODEL else self.detector).channels
        tracker = EventTracker(self.rules[side], channels, self._names[number])
        repeats = self._repeats.get((side, number))
        return Follower(tracker, watched.name, _NEVER_UPDATED, watched.habits, None, repeats)
