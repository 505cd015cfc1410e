"""Samples in, event records out: aligns streams, scores their rows and follows their events.

Guarantees: the records depend on the samples and their order alone, not on how they were cut into calls, and a stream
restored from `touched()` goes on as if nothing had happened. Memory is bounded by the number of streams and what each
may hold. One thread calls an engine.

The exception is silence: a stream is silent once `silent_after` seconds of the wall clock passed without a newer
sample, or where two of its samples lie so far apart. Both make the same record.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord, Malformed, Samples, few, first
from aez.daemon.engine.event_records import MODEL_CHANGED, NOT_WATCHED, Silence
from aez.daemon.engine.follower import Follower
from aez.daemon.engine.gathering import Part, concatenated, join
from aez.daemon.engine.losing import letters, losers, lost, note_sources, tell_clocks, warn
from aez.daemon.engine.model_streams import ModelStreams
from aez.daemon.engine.routing import DatedNames, Router
from aez.daemon.engine.rows import Recent, ScoredRows
from aez.daemon.engine.scorer import BATCHES
from aez.daemon.engine.stream_state import StreamState, unpack
from aez.daemon.engine.stream_table import StreamTable
from aez.daemon.engine.watched import SECOND, Watched
from aez.daemon.rows.columns import Flags, Ints
from aez.daemon.rows.fronts import NEVER
from aez.daemon.rows.losses import REASONS
from aez.daemon.signals.events import closed

__all__ = ["Engine"]

_log = logging.getLogger(__name__)
#: Samples that are worked on at once.
_PART = 65_536
#: Times beyond, ns since 1970 on either side, leave no room to calculate with them.
_FURTHEST = 1 << 62
#: Streams without a model whose names are kept for the log; bytes of a stream's name.
_NAMES, _LONGEST_NAME = 1000, 65_536


class Engine:
    """Scores the streams of several models.

    models: tried in this order for a stream's name. streams: how many there may be in all; samples of further ones are
    counted and dropped. future: seconds that a stream's time may lie ahead of the clock before the log says so. clock:
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
        listener: Callable[[ScoredRows], None] | None = None,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if streams < 1 or not 0 <= future <= 1e9:
            raise InvalidArgument(f"an engine takes 1 stream or more, not {streams}; future {future} is in seconds")
        self.streams, self.listener = streams, listener
        self._future, self._clock, self._sizes = int(future * SECOND), clock, sizes
        self._workers, self._steady = workers, steady
        self._counts: dict[str, float] = defaultdict(int, {"dropped.no_model": 0, "dropped.too_many_streams": 0})
        self._waiting_records: list[EventRecord] = []
        self._under_way: deque[Callable[[], list[EventRecord]]] = deque()
        self._without_model: dict[str, int] = {}  # how many samples came of each
        self._told = 0  # of those
        self._dated = DatedNames()
        #: Streams that lose samples just now, as of the last `tick`: reason, count, and the first of their names.
        self.losing: Sequence[Mapping[str, Any]] = ()
        self.stopped: Sequence[Mapping[str, Any]] = ()  # the first streams with missing or stuck channels
        self._set_models(models)

    def _set_models(self, models: Sequence[Watched]) -> None:
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                raise InvalidArgument(f"two models are called {name}; give each a name of its own")
        groups = [ModelStreams(model, self._sizes, self._workers, self._steady) for model in models]
        self.models = tuple(models)
        self._groups, self._router = groups, Router([model.streams for model in models])
        self._places: dict[str, tuple[int, int]] = {}

    def admit(self, stream: str) -> bool:
        """Whether there is room for a stream of this name."""
        return stream in self._places or len(self._places) < self.streams

    def newest(self, stream: str) -> int | None:
        """The newest time of a stream that counted, ns since 1970 UTC; None where none did. Any thread may ask."""
        place, number = self._places.get(stream, (-1, 0))
        try:
            found = int(self._groups[place].rows.newest[number]) if place >= 0 else NEVER
        except IndexError:  # models are being exchanged
            return None
        return None if found == NEVER else found

    def data_time(self) -> int | None:
        """The time of the data: the middle one of the streams' newest times, so that no single clock makes it wrong."""
        none = np.empty(0, np.int64)
        times = np.concatenate([none, *(group.rows.newest[: len(group.names)] for group in self._groups)])
        times = times[times > NEVER]
        return int(np.sort(times)[(len(times) - 1) // 2]) if times.size else None

    def process(self, samples: Iterable[Samples], *, ahead: bool = False) -> list[EventRecord]:
        """Take samples in the order of arrival; returns what follows from them.

        With `ahead`, rows may be left under way in other threads: what follows from those the next call returns, or
        `settle`.
        """
        now = self._clock()
        records = self._take_waiting()
        gathered: list[list[Part]] = [[] for _ in self._groups]
        together: list[list[Part]] = [[] for _ in self._groups]
        waiting = 0
        for one in samples:
            if one.order is not None:
                self._sort_out(one, slice(None), together)
                if not one.more:
                    join(together, gathered)
            for start in range(0, len(one), _PART) if one.order is None else ():
                self._sort_out(one, slice(start, start + _PART), gathered)
                waiting += min(_PART, len(one) - start)
                if waiting >= _PART:
                    waiting = 0
                    records += self._advance(gathered, now)
        join(together, gathered)
        records += self._advance(gathered, now)
        return records if ahead else records + self.settle()

    @property
    def closing(self) -> frozenset[str]:
        """Ids of events of which the next call of `process`, `tick` or `flush` returns a record."""
        return frozenset(record.id for record in self._waiting_records)

    def open_events(self) -> frozenset[str]:
        """Ids of the events that are open, of any kind."""
        return frozenset(one for group in self._groups for one in group.open_events())

    def settle(self) -> list[EventRecord]:
        """Wait for what is under way; returns what follows from it."""
        records: list[EventRecord] = []
        while self._under_way:
            records += self._under_way.popleft()()
        return records

    def _sort_out(self, one: Samples, part: slice, gathered: list[list[Part]]) -> None:
        """Put the samples of a part beside others for their models."""
        numbers, moments, values = one.stream[part], one.time[part], one.values[part]
        order = None if one.order is None else one.order[part]
        there = np.flatnonzero(np.bincount(numbers, minlength=len(one.streams)))
        places = np.full((len(one.streams), 2), -1, np.int64)
        places[there] = [self._place(one.streams[number]) for number in there.tolist()]
        note_sources(self._groups, one, part, places)
        index = places[:, 1].take(numbers)
        model = places[:, 0].take(numbers)
        bad = np.abs(moments) > _FURTHEST  # the least of int64 stays below 0
        bad |= moments == np.iinfo(np.int64).min
        if bad.any():
            self._counts["dropped.future"] += int(np.count_nonzero(bad))
            model = np.where(bad, -3, model)
        if places[there, 0].min(initial=0) < 0:
            self._count_dropped(one, part, model)
        for place, group in enumerate(self._groups):
            mine = model == place
            if not mine.any():
                continue
            if mine.all():
                taken, chosen = group.columns.take(one.columns, values), Part(index, moments, values, order)
            else:
                taken = group.columns.take(one.columns, values[mine])
                chosen = Part(index[mine], moments[mine], values, None if order is None else order[mine])
            if taken is None:  # none of its columns is a channel
                taken = np.full((len(chosen.stream), group.scorer.channels), np.nan, np.float32)
                bare: Flags = np.ones(len(taken), bool)
            else:
                bare = np.asarray(np.isnan(taken).all(axis=1)) if one.wide else np.zeros(0, bool)
            if bare.any():
                self._counts["dropped.no_channel"] += int(np.count_nonzero(bare))
            gathered[place].append(chosen._replace(values=taken, bare=bare if bare.any() else None))

    def _count_dropped(self, one: Samples, part: slice, model: Ints) -> None:
        """Count the samples of a part that no model takes; model: the place of each sample's, or why there is none."""
        for code, reason in ((-1, "no_model"), (-2, "too_many_streams")):
            self._counts[f"dropped.{reason}"] += int(np.count_nonzero(model == code))
        orphans = np.bincount(one.stream[part][model == -1], minlength=len(one.streams))
        for number in np.flatnonzero(orphans).tolist():
            if one.streams[number] in self._without_model:  # which holds so many names and no more
                self._without_model[one.streams[number]] += int(orphans[number])

    def _place(self, name: str) -> tuple[int, int]:
        """(Model, number there) of a stream; the first is negative where it is not taken."""
        found = self._places.get(name)
        if found is not None:
            return found
        model = self._router.model(name)
        if model is None:
            if len(self._without_model) < _NAMES:
                self._without_model.setdefault(name, 0)
            return -1, -1
        if len(self._places) >= self.streams:
            return -2, -1
        self._dated.note(name)
        self._places[name] = found = model, self._groups[model].add(name, self.streams)
        return found

    def _advance(self, gathered: list[list[Part]], now: int) -> list[EventRecord]:
        """Begin with what was gathered, and end what was begun before."""
        records: list[EventRecord] = []
        for group, parts in zip(self._groups, gathered, strict=True):
            if not parts:
                continue
            whole = concatenated(parts)
            parts.clear()
            self._under_way.append(group.advance(whole, now, self.listener))
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
        """Look for what has waited for long enough, for streams that fell silent, and for such that lose samples.

        `now_ns` is the wall clock's time.
        """
        self._pause()
        records = [record for group in self._groups for record in group.tick(now_ns, self.listener)]
        self._warn(now_ns)
        return self._take_waiting() + records

    def _warn(self, now: int) -> None:
        """Name in the log what streams lose samples, and note which they are."""
        for group in self._groups:
            warn(group, now, self._future, self._steady())
        self.losing = losers(self._groups, list(self._without_model))
        self.stopped = [one for group in self._groups if group.signals for one in group.signals.first(group.names)]
        fresh = list(self._without_model)[self._told :]
        self._told += len(fresh)
        if fresh:
            _log.warning("no model watches %s; its samples are dropped (no_model)", few(fresh))

    def take_letters(self) -> list[Malformed]:
        """The first of the samples that were not scored since the last call, with the reason."""
        return [letter for group in self._groups for letter in letters(group)]

    def flush(self, now_ns: int) -> list[EventRecord]:
        """Score the rows that wait for late samples; the data end here. Open events stay open."""
        self._pause()
        for group in self._groups:
            tell_clocks(group, now_ns, self._steady())  # what is read at once may have had no tick
        return self._take_waiting() + [
            record for group in self._groups for record in group.flush(now_ns, self.listener)
        ]

    def touched(self) -> dict[str, bytes]:
        """The states of the streams that changed since the last call, by name; `settle` comes before."""
        assert not self._under_way
        return {name: state for group in self._groups for name, state in group.touched()}

    def absent(self, since_ns: int, until_ns: int) -> None:
        """Nobody was here between these times of the wall clock: no stream is silent for that."""
        for group in self._groups:
            group.silence.absent(np.arange(len(group.names)), since_ns, until_ns)

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

    def restore_all(self, states: Iterable[tuple[str, bytes, float]], *, away: bool = False) -> None:
        """`restore` for many (stream, data, unheard); one line of the log for each reason to start afresh.

        away: nobody was here for as long as a stream was unheard, or may not have been.
        """
        self._pause()
        refused: dict[str, list[str]] = defaultdict(list)
        for stream, data, unheard in states:
            if why := self._restore(stream, data, unheard, away=away):
                refused[why].append(stream)
        for why, names in refused.items():
            if len(names) == 1:
                _log.warning("stream %s starts afresh: %s", names[0], why)
            else:
                _log.warning("%d streams start afresh (%s): %s", len(names), first(names), why)

    def _restore(self, stream: str, data: bytes, unheard: float, *, away: bool = False) -> str:
        try:
            state = unpack(data)
        except InvalidArgument as error:
            return self._afresh(stream, str(error), None)
        model, number = self._place(stream)
        if model < 0:
            why = "no model is made for it any more" if model == -1 else "there are too many streams"
            self._end_silence(stream, state, "", NOT_WATCHED)
            return self._afresh(stream, why, state, NOT_WATCHED)
        now, longest = self._clock(), int(max(0.0, unheard) * SECOND)
        if why := self._groups[model].restore(number, state, now):
            self._groups[model].touch(number)  # the state that is refused is not looked at again
        self._end_silence(stream, state, self._groups[model].watched.name, MODEL_CHANGED)
        self._groups[model].seen[number] -= longest
        if away and longest:
            self._groups[model].silence.absent(np.array([number]), now - longest, now)
        return self._afresh(stream, why, state) if why else ""

    def forget(self, seconds: float, most: int = 1000) -> list[str]:
        """Let go of streams without a sample for so long, at most `most` at once; returns their names.

        What was open of them is closed, by records that the next call of `process`, `tick` or `flush` returns. A
        stream that comes again starts afresh.
        """
        self._pause()
        gone: list[str] = []
        for place, group in enumerate(self._groups):
            gone += self._removed(place, group.forget(int(seconds * SECOND), most - len(gone), self._clock()))
        if gone:
            _log.info("%d streams are forgotten (%s): no sample for %g days", len(gone), first(gone), seconds / 86_400)
        return gone

    def adopt(self, stream: str, undo: bool = False) -> dict[str, float]:
        """Take a stream's level as its normal one from now on, or, with `undo`, as the model sees it again.

        Returns what is taken from its channels' values before they are scored. What was open of it closes, by records
        that the next call of `process`, `tick` or `flush` returns. Raises InvalidArgument.
        """
        place, number = self._known(stream)
        levels = self._groups[place].levels
        self._waiting_records += levels.take(number, None) if undo else levels.adopt(number)
        return levels.named(number)

    def _removed(self, place: int, found: tuple[list[str], list[EventRecord], dict[str, int]]) -> list[str]:
        """Take note of streams that a model has no more."""
        names, records, moved = found
        self._waiting_records += records
        for name in names:
            del self._places[name]
        for name, number in moved.items():
            self._places[name] = place, number
        return names

    def forget_stream(self, stream: str) -> list[str]:
        """Let go of one stream, as `forget` does; its name. Raises InvalidArgument for one that is not known."""
        place, number = self._known(stream)
        return self._removed(place, self._groups[place].remove(np.array([number]), self._clock()))

    def reset_stream(self, stream: str) -> list[str]:
        """Let a stream's clock and rows begin with its next sample; what is open of it is closed. No names.

        Raises InvalidArgument for one that is not known.
        """
        place, number = self._known(stream)
        self._waiting_records += self._groups[place].reset(number, self._clock())
        return []

    def rename_stream(self, stream: str, to: str) -> list[str]:
        """Let a stream go on under another name; the old one. What is open of it is closed, for it has the old name.

        Raises InvalidArgument for one that is not known, a name that a stream has, or that is another model's.
        """
        place, number = self._known(stream)
        if to in self._places:
            raise InvalidArgument(f"there is a stream {to!r} already; forget it first, or leave the names as they are")
        if not to.isprintable() or len(to.encode()) > _LONGEST_NAME:
            raise InvalidArgument(f"a stream cannot be called {to[:100]!r}")
        if (model := self._router.model(to)) != place:
            whose = "no model watches" if model is None else f"model {self.models[model].name} watches"
            raise InvalidArgument(f"{whose} a stream called {to!r}, and {stream!r} is {self.models[place].name}'s")
        self._waiting_records += self._groups[place].rename(number, to)
        del self._places[stream]
        self._places[to] = place, number
        return [stream]

    def _known(self, stream: str) -> tuple[int, int]:
        """Model and number of a stream. Raises InvalidArgument."""
        self._pause()
        if stream not in self._places:
            raise InvalidArgument(f"there is no stream {stream!r}")
        return self._places[stream]

    def _end_silence(self, stream: str, state: StreamState, model: str, reason: str) -> None:
        """Close the silence that a model of another name told: the one of this name would not end it."""
        told = str(state.details.get("silence", model))
        if state.silent is not None and told != model:
            self._waiting_records.append(Silence.closed(told, stream, state.silent, self._clock(), reason))

    def _afresh(self, stream: str, why: str, state: StreamState | None, reason: str = MODEL_CHANGED) -> str:
        self._counts["afresh"] += 1
        if state is not None and state.details.get("stopped"):
            with suppress(InvalidArgument):
                model = str(state.details.get("model", ""))
                self._waiting_records += closed(state.details, model, stream, state.aligner.newest, reason)
        if state is not None and state.details.get("events"):
            try:
                follower = Follower.from_state(state.details["events"], str(state.details.get("model", "")), 1, None)
                self._waiting_records += follower.close(state.aligner.newest, reason)
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
            (name, state, (now - int(group.seen[number])) / SECOND)
            for group in self._groups
            for number, (name, state) in enumerate(group.states(np.arange(len(group.names))))
        ]
        before = self._groups
        self._set_models(models)
        for group in before:
            self._add(self._counts, group.totals())
        self.restore_all(states)

    def stats(self) -> dict[str, float]:
        """Counters since the start, and as they are: `streams`, `open_events`, `silent`, `waiting` (rows).

        `scored` rows (`scored.<model>` those of one model), `gap_rows` that were made up, `afresh` streams, `batches`
        run with so many `windows`, fillers included, in `inference_seconds`; samples that were dropped as
        `dropped.<reason>`: late, duplicate, future (far ahead of its stream), no_model, no_channel (none of the model's
        columns), too_many_streams. `losing.<reason>`: streams that lose samples just now. `clocks.<kind>`: whose
        clocks are apart. `missing_channels`, `stuck_channels`: just now, of all streams.
        """
        found = dict(self._counts)
        for group in self._groups:
            self._add(found, group.totals())
        found["streams"] = len(self._places)
        found["open_events"] = sum(follower.open for group in self._groups for follower in group.followers.values())
        found["adopted"] = sum(group.levels.count for group in self._groups)
        found["silent"] = sum(int(group.silence.silent.sum()) for group in self._groups)
        found["waiting"] = sum(group.rows.aligner.waiting for group in self._groups)
        found |= {f"losing.{reason}": 0 for reason in REASONS}
        for group in self._groups:
            self._add(found, {} if group.signals is None else group.signals.counts())
            self._add(found, {f"losing.{reason}": count for reason, count in group.rows.losses.losers().items()})
            self._add(found, {f"clocks.{kind}": count for kind, count in group.rows.clocks.counts().items()})
        found["losing.no_model"] = len(self._without_model)
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

    def lost(self) -> dict[str, dict[str, int]]:
        """Samples that were not scored, by stream and reason, since each stream is known."""
        found = lost(self._groups)
        return found | {name: {"no_model": count} for name, count in self._without_model.items() if count}

    def tables(self) -> list[StreamTable]:
        """How the streams of each model stand: copies that the next call of this engine leaves alone."""
        return [group.table() for group in self._groups]

    def recent(self, stream: str) -> Recent | None:
        """The stream's last rows, a copy; None for a stream that is not known."""
        if stream not in self._places:
            return None
        model, number = self._places[stream]
        return self._groups[model].recent(number)
