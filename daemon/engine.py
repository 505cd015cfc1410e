"""Samples in, event records out: aligns streams, scores their rows and follows their events.

Guarantees: the records depend on the samples and their order alone, not on how they were cut into calls, and a stream
restored from `touched()` goes on as if nothing had happened. Memory is bounded by the number of streams and what each
may hold. One thread calls an engine.

The exception is silence: a stream is silent once `silent_after` seconds of the wall clock passed without a newer
sample, or where two of its samples lie so far apart. Both make the same record.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aez.codec.detector import WindowScores
from aez.codec.errors import InvalidArgument
from aez.codec.events import Event, EventRule, EventTracker
from aez.daemon.follow import Follower, Limit
from aez.daemon.learned_limit import LearnedLimit
from aez.daemon.records import EventRecord, Samples
from aez.daemon.ring import Rings
from aez.daemon.step import BATCHES, Scorer, Scores
from aez.daemon.stream_state import StreamState, pack, unpack
from aez.daemon.stream_table import StreamTable
from aez.daemon.streams import Aligned, Aligner, Columns, Router, grown

__all__ = ["Engine", "Recent", "Scored", "StreamModel", "Watched"]

_log = logging.getLogger(__name__)
Float = NDArray[np.float32]
Ints = NDArray[np.int64]

_SECOND = 1_000_000_000
#: Samples that are worked on at once; values of the rows that are joined at once.
_PART, _JOINED = 65_536, 1 << 24
_FIRST_ROOM = 64
_LARGEST = float(np.finfo(np.float32).max)


class Identified(Protocol):
    """What a model is known by: its bundle."""

    @property
    def id(self) -> str: ...


class StreamModel(Protocol):
    """What scores windows of channels: `aez.codec.detector.Detector`, or a model of `aez.daemon.frames`."""

    @property
    def bundle(self) -> Identified: ...

    window: int
    channels: tuple[str, ...]
    period: float | None
    event_rule: EventRule

    def score_batch(self, batch: Float, *, whole: bool = False) -> WindowScores: ...


@dataclass(frozen=True)
class Watched:
    """One model and the streams that it scores. Raises InvalidArgument for settings that make no sense.

    name: in records. detector: the model. streams: patterns (`*`, `?`, `[...]`) of names; a stream belongs to the first
        model with one that fits.
    columns: the column of a channel, where their names differ.
    period: seconds between rows; by default the model's; 0 for rows without a clock, one for each time that occurs.
    lateness: seconds that a sample may be older than the newest of its stream.
    silent_after: seconds without a newer sample until a stream is silent; None for never.
    warm_up: scored rows of a stream before its first event may begin.
    limits: pattern -> limit of its streams, in thresholds of the model; 1.0 where none fits.
    adapt: whether limits follow their streams, between 1 / reach and reach; `risk` is the probability that a normal row
        exceeds them (see `Limit`).
    rule: when events open and close; by default the model's.
    update_every: rows between two updates of an open event, at least.
    learn: rows of a stream that teach its limit, for models without a threshold, and open no event; 0 for none.
    illustrate: gets a stream, the times and scores (1 is its limit) of rows, the records that follow from them and the
        event that is open behind them; returns the records in full.
    """

    name: str
    detector: StreamModel
    streams: Sequence[str] = ("*",)
    columns: Mapping[str, str] = field(default_factory=dict)
    period: float | None = None
    lateness: float = 0.0
    silent_after: float | None = None
    warm_up: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)
    adapt: bool = False
    risk: float = 1e-4
    reach: float = 2.0
    rule: EventRule | None = None
    update_every: int = 60
    learn: int = 0
    illustrate: Callable[[str, Ints, Float, Sequence[EventRecord], Event | None], list[EventRecord]] | None = None

    def __post_init__(self) -> None:
        numbers = {"period": self.period, "lateness": self.lateness, "silent_after": self.silent_after}
        for name, value in numbers.items():
            if value is not None and not 0 <= value <= 1e9:
                raise InvalidArgument(f"{name} of model {self.name} is a number of seconds, not {value}")
        if self.warm_up < 0 or self.update_every < 1:
            raise InvalidArgument(f"warm_up of model {self.name} is 0 rows or more and update_every 1 or more")
        for pattern, limit in self.limits.items():
            if not 0 < limit < math.inf:
                raise InvalidArgument(f"the limit of {pattern} for model {self.name} is above 0, not {limit}")
        Limit(self.risk, self.reach)
        if self.learn:
            LearnedLimit(self.learn)

    @property
    def period_ns(self) -> int | None:
        """Nanoseconds between rows; None without a clock."""
        period = self.detector.period if self.period is None else self.period
        return max(1, round(period * _SECOND)) if period else None


@dataclass(frozen=True)
class Scored:
    """Rows that were scored, for whoever wants all of them; sorted by stream, then by row.

    names: the streams' names, by number; `rows.stream` indexes it. score: float32 [n], 1.0 is the model's threshold;
    channel_score: float32 [n, channels]. limit: float32 [n], the streams' own limits, on the same scale. Nobody changes
    any of it afterwards.
    """

    model: str
    names: Sequence[str]
    rows: Aligned
    score: Float
    channel_score: Float
    limit: Float
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Recent:
    """A stream's last rows: values float32 [at most window - 1, channels], in the sensors' units, NaN = missing.

    row, time: number and time (ns since 1970 UTC) of the last one. period: ns between rows; None without a clock.
    """

    model: str
    values: Float
    row: int
    time: int
    period: int | None


class Engine:
    """Scores the streams of several models.

    models: tried in this order for a stream's name. streams: how many there may be in all; samples of further ones are
    counted and dropped. future: seconds that a sample's time may lie ahead of the clock; it is dropped beyond. clock:
    ns since 1970 UTC. sizes: windows of a batch; workers: threads that score them (see `Scorer`). listener: gets all
    scores. steady: ns of a clock that never jumps.

    The sessions are warm once it is made. Raises InvalidArgument for settings that make no sense.
    """

    def __init__(
        self,
        models: Sequence[Watched],
        *,
        streams: int = 20_000,
        future: float = 86_400.0,
        clock: Callable[[], int] = time.time_ns,
        sizes: tuple[int, ...] = BATCHES,
        workers: int = 1,
        listener: Callable[[Scored], None] | None = None,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if streams < 1 or not 0 <= future <= 1e9:
            raise InvalidArgument(f"an engine takes 1 stream or more, not {streams}; future {future} is in seconds")
        self.streams, self.listener = streams, listener
        self._future, self._clock, self._sizes = int(future * _SECOND), clock, sizes
        self._workers, self._steady = workers, steady
        self._counts: dict[str, float] = defaultdict(int)
        self._waiting_records: list[EventRecord] = []
        self._under_way: deque[Callable[[], list[EventRecord]]] = deque()
        self._set_models(models)

    def _set_models(self, models: Sequence[Watched]) -> None:
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                raise InvalidArgument(f"two models are called {name}; give each a name of its own")
        kinds = [_Kind(model, self._sizes, self._workers, self._steady) for model in models]
        self.models = tuple(models)
        self._kinds, self._router = kinds, Router([model.streams for model in models])
        self._places: dict[str, tuple[int, int]] = {}

    def admit(self, stream: str) -> bool:
        """Whether there is room for a stream of this name."""
        return stream in self._places or len(self._places) < self.streams

    def process(self, samples: Iterable[Samples], *, ahead: bool = False) -> list[EventRecord]:
        """Take samples in the order of arrival; returns what follows from them.

        With `ahead`, rows may be left under way in other threads: what follows from those the next call returns, or
        `settle`.
        """
        now = self._clock()
        records = self._take_waiting()
        gathered: list[list[tuple[Ints, Ints, Float]]] = [[] for _ in self._kinds]
        waiting = 0
        for one in samples:
            for start in range(0, len(one), _PART):
                self._sort_out(one, slice(start, start + _PART), now, gathered)
                waiting += min(_PART, len(one) - start)
                if waiting >= _PART:
                    waiting = 0
                    records += self._advance(gathered, now)
        records += self._advance(gathered, now)
        return records if ahead else records + self.settle()

    def settle(self) -> list[EventRecord]:
        """Wait for what is under way; returns what follows from it."""
        records: list[EventRecord] = []
        while self._under_way:
            records += self._under_way.popleft()()
        return records

    def _sort_out(self, one: Samples, part: slice, now: int, gathered: list[list[tuple[Ints, Ints, Float]]]) -> None:
        """Put the samples of a part beside others for their models."""
        numbers, moments, values = one.stream[part], one.time[part], one.values[part]
        places = np.full((2, len(one.streams)), -1, np.int64)
        for number in np.flatnonzero(np.bincount(numbers, minlength=len(one.streams))).tolist():
            places[:, number] = self._place(one.streams[number])
        kind, index = places.take(numbers, axis=1)
        bad = (moments > now + self._future) | (moments < -now)
        if bad.any():
            self._counts["dropped.future"] += int(np.count_nonzero(bad))
            kind = np.where(bad, -3, kind)
        for code, reason in ((-1, "no_model"), (-2, "too_many_streams")):
            self._counts[f"dropped.{reason}"] += int(np.count_nonzero(kind == code))
        for place in range(len(self._kinds)):
            mine = kind == place
            if mine.all():
                taken = self._kinds[place].columns.take(one.columns, values)
                chosen: tuple[Ints, Ints] = index, moments
            elif mine.any():
                taken = self._kinds[place].columns.take(one.columns, values[mine])
                chosen = index[mine], moments[mine]
            else:
                continue
            if taken is None:
                self._counts["dropped.no_channel"] += len(chosen[0])
            else:
                gathered[place].append((*chosen, taken))

    def _place(self, name: str) -> tuple[int, int]:
        """(Model, number there) of a stream; the first is negative where it is not taken."""
        found = self._places.get(name)
        if found is not None:
            return found
        model = self._router.model(name)
        if model is None:
            return -1, -1
        if len(self._places) >= self.streams:
            return -2, -1
        self._places[name] = found = model, self._kinds[model].add(name, self.streams)
        return found

    def _advance(self, gathered: list[list[tuple[Ints, Ints, Float]]], now: int) -> list[EventRecord]:
        """Begin with what was gathered, and end what was begun before."""
        records: list[EventRecord] = []
        for kind, parts in zip(self._kinds, gathered, strict=True):
            if not parts:
                continue
            stream, moments, values = (
                parts[0] if len(parts) == 1 else (np.concatenate(each) for each in zip(*parts, strict=True))
            )
            parts.clear()
            self._under_way.append(kind.advance(stream, moments, values, now, self.listener))
            while len(self._under_way) > 1:
                records += self._under_way.popleft()()
        return records

    def _take_waiting(self) -> list[EventRecord]:
        records, self._waiting_records = self._waiting_records, []
        return records

    def _pause(self) -> None:
        """Leave nothing under way; what follows from it waits for the next call that returns records."""
        self._waiting_records += self.settle()

    def tick(self, now_ns: int) -> list[EventRecord]:
        """Look for streams that fell silent; `now_ns` is the wall clock's time."""
        self._pause()
        return self._take_waiting() + [record for kind in self._kinds for record in kind.tick(now_ns)]

    def flush(self, now_ns: int) -> list[EventRecord]:  # noqa: ARG002 - the data end where they end
        """Score the rows that wait for late samples; the data end here. Open events stay open."""
        self._pause()
        return self._take_waiting() + [record for kind in self._kinds for record in kind.flush(self.listener)]

    def touched(self) -> dict[str, bytes]:
        """The states of the streams that changed since the last call, by name; `settle` comes before."""
        assert not self._under_way
        return {name: state for kind in self._kinds for name, state in kind.touched()}

    def restore(self, stream: str, data: bytes, unheard: float = 0.0) -> str:
        """Let a stream go on from a state of `touched`; returns why it starts afresh, or nothing where it goes on.

        unheard: seconds since its last sample, for `forget`.
        It starts afresh under another model or period than the state's. An event that was open then is closed, by a
        record that the next call of `process`, `tick` or `flush` returns. Raises nothing for bytes that are no state.
        """
        self._pause()
        why = self._restore(stream, data, unheard)
        if why:
            _log.warning("stream %s starts afresh: %s", stream, why)
        return why

    def restore_all(self, states: Iterable[tuple[str, bytes, float]]) -> None:
        """`restore` for many (stream, data, unheard); one line of the log for each reason to start afresh."""
        self._pause()
        refused: dict[str, list[str]] = defaultdict(list)
        for stream, data, unheard in states:
            if why := self._restore(stream, data, unheard):
                refused[why].append(stream)
        for why, names in refused.items():
            _log.warning("%d streams start afresh (%s): %s", len(names), _first(names), why)

    def _restore(self, stream: str, data: bytes, unheard: float) -> str:
        try:
            state = unpack(data)
        except InvalidArgument as error:
            return self._afresh(stream, str(error), None)
        kind, number = self._place(stream)
        if kind < 0:
            why = "no model is made for it any more" if kind == -1 else "there are too many streams"
            return self._afresh(stream, why, state)
        why = self._kinds[kind].restore(number, state, self._clock())
        self._kinds[kind].seen[number] -= int(max(0.0, unheard) * _SECOND)
        return self._afresh(stream, why, state) if why else ""

    def forget(self, seconds: float, most: int = 1000) -> list[str]:
        """Let go of streams without a sample for so long, at most `most` at once; returns their names.

        What was open of them is closed, by records that the next call of `process`, `tick` or `flush` returns. A
        stream that comes again starts afresh.
        """
        self._pause()
        gone: list[str] = []
        for place, kind in enumerate(self._kinds):
            names, records, moved = kind.forget(int(seconds * _SECOND), most - len(gone), self._clock())
            gone += names
            self._waiting_records += records
            for name in names:
                del self._places[name]
            for name, number in moved.items():
                self._places[name] = place, number
        if gone:
            _log.info("%d streams are forgotten (%s): no sample for %g days", len(gone), _first(gone), seconds / 86_400)
        return gone

    def _afresh(self, stream: str, why: str, state: StreamState | None) -> str:
        self._counts["afresh"] += 1
        if state is not None and state.details.get("events"):
            try:
                follower = Follower.from_state(state.details["events"], str(state.details.get("model", "")), 1, None)
                self._waiting_records += follower.close(state.aligner.newest)
            except InvalidArgument:
                _log.warning("the event of stream %s that was open cannot be closed", stream)
        return why

    def replace_models(self, models: Sequence[Watched]) -> None:
        """Go on with other models; streams whose model and period stay the same keep their state.

        Raises InvalidArgument, and changes nothing, for models that an engine would not take.
        """
        self._pause()
        now = self._steady()
        states = [
            (name, state, (now - int(kind.seen[number])) / _SECOND)
            for kind in self._kinds
            for number, (name, state) in enumerate(kind.states(np.arange(len(kind.names))))
        ]
        before = self._kinds
        self._set_models(models)
        for kind in before:
            self._add(self._counts, kind.totals())
        self.restore_all(states)

    def stats(self) -> dict[str, float]:
        """Counters since the start, and as they are: `streams`, `open_events`, `silent`, `waiting` (rows).

        `scored` rows (`scored.<model>` those of one model), `gap_rows` that were made up, `afresh` streams, `batches`
        run with so many `windows`, fillers included, in `inference_seconds`; samples that were dropped as
        `dropped.<reason>`: late, duplicate, future (a time that cannot be), no_model, no_channel (none of the model's
        columns), too_many_streams.
        """
        found = dict(self._counts)
        for kind in self._kinds:
            self._add(found, kind.totals())
        found["streams"] = len(self._places)
        found["open_events"] = sum(follower.open for kind in self._kinds for follower in kind.followers.values())
        found["silent"] = sum(int(kind.silent.sum()) for kind in self._kinds)
        found["waiting"] = sum(kind.aligner.waiting for kind in self._kinds)
        return found

    @staticmethod
    def _add(counts: dict[str, float], more: Mapping[str, float]) -> None:
        for name, value in more.items():
            counts[name] = counts.get(name, 0) + value

    def describe(self) -> list[dict[str, Any]]:
        """Each stream as plain data: stream, model, rows, newest (ns), score, limit, state, event (its id, or None).

        `state` is "normal", "event" or "silent"; `score` that of the last row if this process scored it, or None.
        """
        return [table.entry(number) for table in self.tables() for number in range(len(table))]

    def tables(self) -> list[StreamTable]:
        """How the streams of each model stand: copies that the next call of this engine leaves alone."""
        return [kind.table() for kind in self._kinds]

    def recent(self, stream: str) -> Recent | None:
        """The stream's last rows, a copy; None for a stream that is not known."""
        if stream not in self._places:
            return None
        kind, number = self._places[stream]
        return self._kinds[kind].recent(number)


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


class _Kind:
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
        self._quiet = None if watched.silent_after is None else int(watched.silent_after * _SECOND)
        self.aligner = Aligner(len(detector.channels), self.period, round(watched.lateness * _SECOND), gap, self._quiet)
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
        load = np.cumsum(ends - first + self.scorer.window) * self.scorer.channels // _JOINED
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


def _first(names: Sequence[str]) -> str:
    """Some of many names, for the log."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _part(rows: Aligned, start: int, end: int) -> Aligned:
    return Aligned(rows.stream[start:end], rows.row[start:end], rows.time[start:end], rows.values[start:end])
