"""The streams of one model: its scorer, its rows under way, the state of each stream in arrays."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.events import EventTracker
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.aligner import Aligned, Aligner, grown
from aez.daemon.engine.follow import Follower, Limit
from aez.daemon.engine.learned_limit import LearnedLimit
from aez.daemon.engine.ring import Rings
from aez.daemon.engine.routing import Columns, Router
from aez.daemon.engine.scorer import Scorer, Scores
from aez.daemon.engine.stream_state import StreamState, pack
from aez.daemon.engine.stream_table import StreamTable
from aez.daemon.engine.types import JOINED, SECOND, Float, Ints, Recent, Scored, Watched

_FIRST_ROOM = 64
_LARGEST = float(np.finfo(np.float32).max)


class _UnderWay(NamedTuple):
    """Rows that are being scored, sorted by stream; `first` [streams] tells where each stream's begin.

    before: rows that their stream had before [n]. valid: whether there was a whole window [n]. ending: waits for the
        scores.
    """

    rows: Aligned
    first: Ints
    before: Ints
    valid: NDArray[np.bool_]
    ending: Callable[[], Scores]


class Kind:
    """The streams of one model; a stream is a number here."""

    def __init__(
        self, watched: Watched, sizes: tuple[int, ...], workers: int, steady: Callable[[], int] = time.monotonic_ns
    ) -> None:
        detector = watched.detector
        self.watched, self.model_id = watched, detector.bundle.id
        self.rule = watched.rule or detector.event_rule
        self.columns = Columns(detector.channels, dict(watched.columns))
        self.scorer = Scorer(detector, sizes, workers)
        self.scorer.warm_up()
        self.scorer.batches = self.scorer.windows = 0
        self.scorer.seconds = 0.0
        self.period = watched.period_ns
        # Behind so many NaN rows every window is empty and an open event has had its quiet rows.
        gap = detector.window - 1 + self.rule.close_after
        self._quiet = None if watched.silent_after is None else int(watched.silent_after * SECOND)
        self.aligner = Aligner(len(detector.channels), self.period, round(watched.lateness * SECOND), gap, self._quiet)
        self.rings = Rings(detector.window, len(detector.channels))
        self.names: list[str] = []
        self.followers: dict[int, Follower] = {}
        self.limits: dict[int, Limit | LearnedLimit] = {}
        self.scored = 0
        self._fixed = [(Router([[pattern]]), limit) for pattern, limit in watched.limits.items()]
        self.limit = np.empty(0, np.float32)
        self.last = np.empty(0, np.float32)
        self.busy, self.silent, self._changed = (np.empty(0, bool) for _ in range(3))
        self.heard, self.since = np.empty(0, np.int64), np.empty(0, np.int64)
        self._steady = steady
        self.seen = np.empty(0, np.int64)  # as `heard`, by a clock that nobody sets

    def add(self, name: str, most: int) -> int:
        """A new stream's number; `most` streams there may be."""
        number = len(self.names)
        self.names.append(name)
        if number >= len(self.limit):
            size = min(max(_FIRST_ROOM, 2 * number), max(most, number + 1))
            self.aligner.grow(size)
            self.rings.grow(size)
            self.limit, self.last = grown(self.limit, size, 1), grown(self.last, size, np.nan)
            self.busy, self.silent = grown(self.busy, size, 0), grown(self.silent, size, 0)
            self._changed = grown(self._changed, size, 0)
            self.heard, self.since = grown(self.heard, size, 0), grown(self.since, size, 0)
            self.seen = grown(self.seen, size, 0)
        self.seen[number] = self._steady()
        self.limit[number] = next((limit for router, limit in self._fixed if router.model(name) == 0), 1.0)
        if self.watched.learn:
            self.limits[number] = LearnedLimit(self.watched.learn, float(self.limit[number]))
            self.limit[number] = 1
        elif self.watched.adapt:
            self.limits[number] = Limit(self.watched.risk, self.watched.reach)
        return number

    def advance(
        self, stream: Ints, moments: Ints, values: Float, now: int, listener: Callable[[Scored], None] | None
    ) -> Callable[[], list[EventRecord]]:
        """Take samples in the order of arrival; what comes back tells what follows, once all before it were asked."""
        present = np.zeros(len(self.silent), bool)
        present[stream] = True
        heads = np.flatnonzero(present)
        before = self.aligner.newest(heads)
        rows = self.aligner.push(stream, moments, values)
        self._changed[heads] = True
        self.seen[heads] = self._steady()
        newer = heads[self.aligner.newest(heads) > before]
        self.heard[newer] = np.maximum(self.heard[newer], now)
        self.heard[heads[self.heard[heads] == 0]] = now
        noises, under_way = self._noises(newer), self._begin(rows)
        return lambda: noises + self._end(under_way, listener)

    def flush(self, listener: Callable[[Scored], None] | None) -> list[EventRecord]:
        rows = self.aligner.flush()
        self._changed[rows.stream] = True
        return self._end(self._begin(rows), listener)

    def _begin(self, rows: Aligned) -> list[_UnderWay]:
        """Begin to score rows, sorted by stream."""
        if not len(rows):
            return []
        first = np.flatnonzero(np.append(True, rows.stream[1:] != rows.stream[:-1]))
        # Streams at a time such that rows and what came before them stay within bounds.
        ends = np.append(first[1:], len(rows))
        load = np.cumsum(ends - first + self.scorer.window) * self.scorer.channels // JOINED
        cuts = np.flatnonzero(np.diff(load)) + 1
        under_way: list[_UnderWay] = []
        for firsts in np.split(first, cuts) if cuts.size else [first]:
            if under_way:  # one part's rows at a time
                under_way[-1] = under_way[-1]._replace(ending=partial(Scores, *under_way[-1].ending()))
            start = int(firsts[0])
            end = int(ends[np.searchsorted(first, firsts[-1])])
            part = rows if end - start == len(rows) else _part(rows, start, end)
            under_way.append(self._begin_part(part, firsts - start))
        return under_way

    def _begin_part(self, rows: Aligned, first: Ints) -> _UnderWay:
        joined, starts, before = self.rings.extend(rows, first)
        valid = before >= self.scorer.window - 1
        if valid.all():
            ending = self.scorer.begin(joined, starts)
        else:
            scored = np.flatnonzero(valid)
            inner = self.scorer.begin(joined, starts[scored])

            def ending() -> Scores:
                score, blame = np.full(len(rows), np.nan, np.float32), np.full(rows.values.shape, np.nan, np.float32)
                score[scored], blame[scored] = inner()
                return Scores(score, blame)

        self.scored += int(np.count_nonzero(valid))
        return _UnderWay(rows, first, before, valid, ending)

    def _end(self, under_way: Sequence[_UnderWay], listener: Callable[[Scored], None] | None) -> list[EventRecord]:
        """Wait for the scores, and follow the events."""
        records: list[EventRecord] = []
        for rows, first, before, valid, ending in under_way:
            score, blame = ending()
            np.minimum(score, _LARGEST, out=score)
            heads = rows.stream[first]
            self.last[heads] = score[np.append(first[1:], len(rows)) - 1]
            limit = self.limit[rows.stream]
            records += self._events(rows, first, heads, Scores(score, blame), valid, before, limit)
            if listener is not None:
                channels = self.watched.detector.channels
                listener(Scored(self.watched.name, self.names, rows, score, blame, limit, channels))
        return records

    def _events(
        self,
        rows: Aligned,
        first: Ints,
        heads: Ints,
        scores: Scores,
        valid: NDArray[np.bool_],
        before: Ints,
        limit: Float,
    ) -> list[EventRecord]:
        """What opens, grows and closes; `limit` is set to what applied, where limits adapt."""
        ends = np.append(first[1:], len(rows))
        cold = before < self.scorer.window - 1 + max(self.watched.warm_up, self.watched.learn)
        records: list[EventRecord] = []
        if self.watched.adapt or self.watched.learn:
            for number, start, end in zip(heads.tolist(), first.tolist(), ends.tolist(), strict=True):
                records += self._adapt(number, rows, slice(start, end), scores, valid, cold, limit)
            return records
        relative = scores.score / limit
        relative[cold] = np.nan
        wanted = np.logical_or.reduceat(relative > 1, first) | self.busy[heads]
        for place in np.flatnonzero(wanted).tolist():
            part = slice(int(first[place]), int(ends[place]))
            records += self._follow(int(heads[place]), rows, part, relative[part], scores.channel_score)
        return records

    def _adapt(
        self,
        number: int,
        rows: Aligned,
        part: slice,
        scores: Scores,
        valid: NDArray[np.bool_],
        cold: NDArray[np.bool_],
        limit: Float,
    ) -> list[EventRecord]:
        """As `_follow`, in blocks between which the stream's limit may change."""
        follows, base = self.limits[number], float(self.limit[number])
        records: list[EventRecord] = []
        at = part.start
        while at < part.stop and not valid[at]:
            at += 1
        while at < part.stop:
            block = slice(at, min(part.stop, at + follows.room))
            limit[block] = base * follows.value
            relative = scores.score[block] / limit[block]
            relative[cold[block]] = np.nan
            frozen = number in self.followers and self.followers[number].open
            if self.busy[number] or (relative > 1).any():
                found = self._follow(number, rows, block, relative, scores.channel_score)
                records += found
                frozen |= bool(found)
            follows.take((scores.score[block] / base).tolist(), frozen)
            at = block.stop
        return records

    def _follow(self, number: int, rows: Aligned, part: slice, relative: Float, blame: Float) -> list[EventRecord]:
        follower = self.followers.get(number)
        if follower is None:
            tracker = EventTracker(self.rule, self.watched.detector.channels, self.names[number], self.model_id)
            follower = self.followers[number] = Follower(tracker, self.watched.name, self.watched.update_every)
        records = follower.update(rows.row[part], relative, blame[part], rows.time[part])
        if self.watched.illustrate is not None:
            open_now = follower.tracker.current
            records = self.watched.illustrate(self.names[number], rows.time[part], relative, records, open_now)
        self.busy[number] = not follower.idle
        if follower.idle:
            del self.followers[number]
        return records

    def tick(self, now: int) -> list[EventRecord]:
        """Streams that are silent at this time."""
        if self._quiet is None:
            return []
        count = len(self.names)
        # A clock that was set back must not make everything late, or nothing for ever.
        np.minimum(self.heard, now, out=self.heard)
        fell = np.flatnonzero(
            ~self.silent[:count] & (self.heard[:count] > 0) & (now - self.heard[:count] > self._quiet)
        )
        records = []
        for number, since in zip(fell.tolist(), self.aligner.newest(fell).tolist(), strict=True):
            self.silent[number], self.since[number], self._changed[number] = True, since, True
            records.append(self._silence(number, since, None, since + self._quiet))
        return records

    def _noises(self, newer: Ints) -> list[EventRecord]:
        """Streams that are heard again, and gaps that were as long as silence."""
        records = []
        jumps = self.aligner.jumps
        for number in newer[self.silent[newer]].tolist():
            since = int(self.since[number])
            heard = next((moment for stream, _, moment in jumps if stream == number), int(self.aligner.newest(number)))
            jumps = [jump for jump in jumps if jump[0] != number or jump[1] != since]
            self.silent[number] = False
            records.append(self._silence(number, since, heard, heard))
        for number, since, heard in jumps:
            assert self._quiet is not None
            records.append(self._silence(number, since, None, since + self._quiet))
            records.append(self._silence(number, since, heard, heard))
        return records

    def _silence(self, number: int, since: int, heard: int | None, moment: int) -> EventRecord:
        named = json.dumps(["silence", self.watched.name, self.names[number], since])
        event = {
            "id": hashlib.sha256(named.encode()).hexdigest()[:32],
            "stream": self.names[number],
            "start_time": since,
            "end_time": heard,
            "channels": [],
            "ongoing": heard is None,
            "severity": "warning",
        }
        action, sequence = ("silent", 0) if heard is None else ("heard", 1)
        return EventRecord(str(event["id"]), sequence, action, self.names[number], self.watched.name, moment, event)

    def touched(self) -> list[tuple[str, bytes]]:
        numbers = np.flatnonzero(self._changed)
        self._changed[:] = False
        return self.states(numbers)

    def states(self, numbers: Ints) -> list[tuple[str, bytes]]:
        """(Name, bytes) of these streams, but for those that had no sample."""
        found = []
        for number, aligner in zip(numbers.tolist(), self.aligner.states(numbers), strict=True):
            count, ring = self.rings.state(number)
            details: dict[str, Any] = {}
            if number in self.followers:
                details["events"] = self.followers[number].state()
                details["model"] = self.watched.name
            if number in self.limits:
                details["limit"] = self.limits[number].state()
            state = StreamState(
                self.model_id,
                self.period or 0,
                self.scorer.window,
                aligner,
                count,
                ring,
                int(self.since[number]) if self.silent[number] else None,
                details,
            )
            found.append((self.names[number], pack(state)))
        return found

    def restore(self, number: int, state: StreamState, now: int) -> str:
        """Go on from a state; returns why not, where the stream starts afresh."""
        if state.silent is not None:
            self.silent[number], self.since[number] = True, state.silent
        self.heard[number] = now
        if state.model != self.model_id:
            return f"its state is of model {state.model[:16]}, and it is scored by {self.model_id[:16]} now"
        if state.period != (self.period or 0):
            return "its model has another period now"
        if state.window != self.scorer.window or state.ring.shape[1] != self.scorer.channels:
            return "its state has another window"
        follower: Follower | None = None
        limit: Limit | LearnedLimit | None = None
        try:
            if "events" in state.details:
                follower = Follower.from_state(
                    state.details["events"], self.watched.name, self.watched.update_every, self.rule
                )
            if "limit" in state.details:
                limit = self._limit_from(number, state.details["limit"])
        except InvalidArgument as error:
            return str(error)
        self.aligner.restore(number, state.aligner)
        self.rings.restore(number, state.count, state.ring)
        if follower is not None:
            self.followers[number] = follower
            self.busy[number] = not follower.idle
        if limit is not None:
            self.limits[number] = limit
        return ""

    def _limit_from(self, number: int, state: Mapping[str, Any]) -> Limit | LearnedLimit | None:
        """The limit of a state; None where this model's stand still. Raises InvalidArgument."""
        fresh = self.limits.get(number)
        if isinstance(fresh, LearnedLimit):
            return LearnedLimit.from_state(state, fresh.rows, fresh.factor)
        return None if fresh is None else Limit.from_state(state, self.watched.risk, self.watched.reach)

    def forget(self, age: int, most: int, now: int) -> tuple[list[str], list[EventRecord], dict[str, int]]:
        """Names of streams without a sample for `age` ns, what closes then, and the streams that got another number."""
        stale = np.flatnonzero(self._steady() - self.seen[: len(self.names)] > age)[: max(0, most)]
        gone: list[str] = []
        records: list[EventRecord] = []
        moved: dict[str, int] = {}
        names = list(self.names)  # who holds the old list finds the old names in it
        for number in stale.tolist()[::-1]:  # so that the last one is none of those
            if number in self.followers:
                records += self.followers[number].close(int(self.aligner.newest(number)))
            if self.silent[number]:
                record = self._silence(number, int(self.since[number]), now, now)
                records.append(replace(record, event={**record.event, "forgotten": True}))
            last = len(names) - 1
            gone.append(names[number])
            moved.pop(names[number], None)
            if number != last:
                names[number] = names[last]
                moved[names[number]] = number
            names.pop()
            self._move(last, number)
        if gone:
            self.names = names
        return gone[::-1], records, moved

    def _move(self, last: int, number: int) -> None:
        """Give the last stream the number of one that goes; its own one is as if it had never been used."""
        self.aligner.move(last, number)
        self.rings.move(last, number)
        for array, empty in (
            (self.limit, 1),
            (self.last, np.nan),
            (self.busy, False),
            (self.silent, False),
            (self._changed, False),
            (self.heard, 0),
            (self.since, 0),
            (self.seen, 0),
        ):
            array[number] = array[last]
            array[last] = empty
        for table in (self.followers, self.limits):
            table.pop(number, None)
            if last in table:
                table[number] = table.pop(last)  # type: ignore[assignment]

    def totals(self) -> dict[str, float]:
        """What it counted."""
        counts, scorer = self.aligner.counts, self.scorer
        return {
            "scored": self.scored,
            f"scored.{self.watched.name}": self.scored,
            "batches": scorer.batches,
            "windows": scorer.windows,
            "inference_seconds": scorer.seconds,
            "gap_rows": counts["gap_rows"],
            "overflow": counts["overflow"],
            "dropped.late": counts["late"],
            "dropped.duplicate": counts["duplicate"],
        }

    def table(self) -> StreamTable:
        count = len(self.names)
        limit = self.limit[:count].copy()
        for number, follows in self.limits.items():
            limit[number] *= follows.value
        return StreamTable(
            self.watched.name,
            self.names,
            self.rings.count[:count].copy(),
            self.aligner.newest(np.arange(count)),
            self.last[:count].copy(),
            limit,
            self.silent[:count].copy(),
            {number: follower.event_id for number, follower in self.followers.items() if follower.open},
        )

    def recent(self, number: int) -> Recent:
        (state,) = self.aligner.states(np.array([number]))
        time = state.anchor + state.slot * self.period if self.period is not None else state.slot
        return Recent(self.watched.name, self.rings.state(number)[1].copy(), state.row - 1, time, self.period)


def _part(rows: Aligned, start: int, end: int) -> Aligned:
    return Aligned(rows.stream[start:end], rows.row[start:end], rows.time[start:end], rows.values[start:end])
