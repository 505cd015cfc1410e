"""A candidate: it scores the rows that a model scored, and the events that it would have opened are counted.

The rows are the engine's own, aligned on their streams' clocks, so that both see the same. What the candidate needs of
a stream is kept here, and begins anew with the process: it scores a stream once it saw a whole window of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aez.codec.detect.events import EventRule, EventTracker
from aez.codec.errors import InvalidArgument
from aez.daemon.engine.follower import Follower
from aez.daemon.engine.ring import Rings
from aez.daemon.engine.routing import Router
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.scorer import Scorer
from aez.daemon.engine.watched import StreamModel, Watched
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, Ints, runs
from aez.daemon.shadow.figures import MODEL, SHADOW, SIDES, Comparison

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

    rule: when its events would open and close. comparison: goes on from these figures.
    Raises InvalidArgument where it does not fit (see `fits`).
    """

    def __init__(self, watched: Watched, candidate: StreamModel, rule: EventRule, comparison: Comparison) -> None:
        if reason := fits(watched, candidate):
            raise InvalidArgument(f"it cannot stand in for model {watched.name}: {reason}")
        self.watched, self.detector, self.comparison = watched, candidate, comparison
        self.rules: Mapping[str, EventRule] = {MODEL: watched.rule or watched.detector.event_rule, SHADOW: rule}
        channels = watched.detector.channels
        self._order = np.array([channels.index(name) for name in candidate.channels], np.int64)
        self._scorer = Scorer(candidate)
        self._rings = Rings(candidate.window, len(candidate.channels))
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._limits: list[float] = []
        self._next: dict[int, int] = {}  # the row that a stream's rows go on with
        self._followers: dict[tuple[str, int], Follower] = {}
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
        stream = np.repeat(heads, ends - first)
        values = np.ascontiguousarray(rows.values[:, self._order])
        joined, starts, before = self._rings.extend(Aligned(stream, rows.row, rows.time, values), first)
        shadow = np.full(len(rows), np.nan, np.float32)
        whole = np.flatnonzero(before >= self._scorer.window - 1)
        if len(whole):
            shadow[whole] = self._scorer.score(joined, starts[whole]).score
        shadow /= np.array([self._limits[number] for number in heads.tolist()], np.float32)[
            np.repeat(np.arange(len(first)), ends - first)
        ]
        model = scored.score / scored.limit
        both = ~(np.isnan(model) | np.isnan(shadow))
        self.comparison.scored(model[both], shadow[both], rows.time[both])
        model, shadow = np.where(both, model, np.nan), np.where(both, shadow, np.nan)
        for side, scores in ((MODEL, model), (SHADOW, shadow)):
            self._follow(side, scores.astype(np.float32), rows, heads, first, ends)

    def _number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self._names)
            self._names.append(name)
            self._limits.append(next((limit for router, limit in self._fixed if router.model(name) == 0), 1.0))
            if found >= self._rings.size:
                self._rings.grow(max(_FIRST_ROOM, 2 * found))
        return found

    def _afresh(self, number: int) -> None:
        """Rows are missing, or count from the beginning again: windows do not reach across."""
        self._rings.restore(number, 0, np.empty((0, len(self.detector.channels)), np.float32))
        for side in SIDES:
            self._followers.pop((side, number), None)
        self.comparison.afresh(self._names[number])

    def _follow(self, side: str, scores: Float, rows: Aligned, heads: Ints, first: Ints, ends: Ints) -> None:
        """Count events as the engine would tell them."""
        loud = np.logical_or.reduceat(scores > 1, first)
        for place, number in enumerate(heads.tolist()):
            follower = self._followers.get((side, number))
            if follower is None:
                if not loud[place]:
                    continue
                tracker = EventTracker(self.rules[side])
                follower = self._followers[side, number] = Follower(tracker, self.watched.name, _NEVER_UPDATED)
            part = slice(int(first[place]), int(ends[place]))
            blame = np.empty((part.stop - part.start, 0), np.float32)
            for record in follower.update(rows.row[part], scores[part], blame, rows.time[part]):
                if record.action == "open":
                    self.comparison.opened(side, self._names[number])
                elif record.action == "close":
                    event = record.event
                    self.comparison.ended(side, self._names[number], int(event["start"]), int(event["end"]))
            if follower.idle:
                del self._followers[side, number]
