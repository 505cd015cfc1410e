"""The streams of one model: its scorer, its rows under way, the state of each stream in arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from aez.codec.common.plain import JsonText, json_text
from aez.codec.detect.events import EventTracker
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.learned_limit import LearnedLimit
from aez.daemon.alarms.levels import Levels
from aez.daemon.alarms.repeats import Repeats
from aez.daemon.alarms.witness import Witness
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.beside.season_levels import SeasonLevels
from aez.daemon.engine.beside.table import beside_table
from aez.daemon.engine.event_records import FORGOTTEN, RENAMED, RESET, Silence
from aez.daemon.engine.follower import Follower, Seen
from aez.daemon.engine.gathering import Part
from aez.daemon.engine.ring import Rings, RowScoring
from aez.daemon.engine.routing import Columns, Router
from aez.daemon.engine.rows import Recent, ScoredRows, UnderWay
from aez.daemon.engine.scorer import Scorer, Scores
from aez.daemon.engine.stream_state import StreamState, pack
from aez.daemon.engine.stream_table import Lost, StreamTable
from aez.daemon.engine.watched import SECOND, Watched
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.builder import Built, RowBuilder
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, behind, column, entries
from aez.daemon.rows.fronts import NEVER
from aez.daemon.signals.events import Signals
from aez.daemon.signals.rules import SignalRules

__all__ = ["ModelStreams"]

#: Streams that there is room for at first.
_FIRST_ROOM = 64
Listener = Callable[[ScoredRows], None]
_LARGEST = float(np.finfo(np.float32).max)


class ModelStreams(StreamColumns):
    """The streams of one model; a stream is a number here. `sizes`, `workers` and `steady` are those of `Engine`."""

    limit = column(np.float32, 1)  # in thresholds of the model; where it follows the stream, the factor before that
    last = column(np.float32, np.nan)  # the score of the last row
    busy = column(np.bool_)  # it has a follower
    seen = column(np.int64)  # when a sample came, by a clock that nobody sets
    _changed = column(np.bool_)  # since `touched`
    told_ahead = column(np.bool_)  # that its time is ahead of the clock
    followers: dict[int, Follower] = entries()
    repeats: dict[int, Repeats] = entries()  # of streams that had an event
    limits: dict[int, LearnedLimit] = entries()

    def __init__(
        self, watched: Watched, sizes: tuple[int, ...], workers: int, steady: Callable[[], int] = time.monotonic_ns
    ) -> None:
        super().__init__()
        detector = watched.detector
        self.watched, self.model_id = watched, detector.bundle.id
        self._written_name = json_text(watched.name)
        self.rule = watched.rule or detector.event_rule
        self.columns = Columns(detector.channels, dict(watched.columns))
        self.scorer = Scorer(detector, sizes, workers)
        self.scorer.warm_up()
        self.scorer.batches = self.scorer.windows = 0
        self.scorer.seconds = 0.0
        self.period = watched.period_ns
        # Behind so many NaN rows every window is empty and an open event has had its quiet rows.
        gap = detector.window - 1 + self.rule.close_after
        quiet = None if watched.silent_after is None else int(watched.silent_after * SECOND)
        lateness = None if watched.lateness is None else round(watched.lateness * SECOND)
        self.rows = RowBuilder(len(detector.channels), self.period, lateness, gap, quiet, watched.jump_ns, watched.held)
        self.rings = Rings(detector.window, len(detector.channels))
        self.silence = Silence(watched.name, quiet)
        self.levels = Levels(self, detector, watched.adopt_most)
        self.scales = beside_table(detector, self.period, watched.warm_up)
        self.signals = None if watched.signals is None else self._made_signals(watched.signals)
        self._tables: tuple[StreamColumns, ...] = (self.rows, self.rings, self.silence, self.levels)
        self._tables += tuple(table for table in (self.scales, self.signals) if table is not None)
        self.begun = RowScoring(self.scorer, self.rings, self.levels, self.scales, self.signals)
        self.names: list[str] = []
        self._fixed = [(Router([[pattern]]), limit) for pattern, limit in watched.limits.items()]
        self._steady = steady
        self.witness = Witness(detector)
        self._seen: Seen | None = None  # of the rows whose events are followed

    def _made_signals(self, rules: SignalRules) -> Signals:
        watched, habits = self.watched, self.watched.habits
        return Signals(watched.name, rules, self.period, watched.detector.window, habits.reopen_within, habits.repeats)

    def grow(self, size: int) -> None:
        super().grow(size)
        for table in self._tables:
            table.grow(size)

    def move(self, last: int, number: int) -> None:
        super().move(last, number)
        for table in self._tables:
            table.move(last, number)

    def add(self, name: str, most: int) -> int:
        """A new stream's number; `most` streams there may be."""
        number = len(self.names)
        self.names.append(name)
        if number >= self.size:
            self.grow(min(max(_FIRST_ROOM, 2 * number), max(most, number + 1)))
        self.seen[number] = self._steady()
        if self.scales is not None:
            self.scales.begin(number, name)
        self.limit[number] = self._fixed_limit(name)
        if self.watched.learn:
            self.limits[number] = LearnedLimit(self.watched.learn, float(self.limit[number]))
            self.limit[number] = 1
        return number

    def _fixed_limit(self, name: str) -> float:
        return next((limit for router, limit in self._fixed if router.model(name) == 0), 1.0)

    def advance(self, given: Part, now: int, listener: Listener | None) -> Callable[[], list[EventRecord]]:
        """Take samples in the order of arrival; what comes back tells what follows, once all before it were asked."""
        present = np.zeros(self.size, bool)
        present[given.stream] = True
        steady = self._steady()
        self._changed |= present
        self.seen[present] = steady
        return self._take_up(self.rows.take(*given[:3], steady, given.bare), now, listener)

    def _take_up(self, built: Iterable[Built], now: int, listener: Listener | None) -> Callable[[], list[EventRecord]]:
        """Begin to score rows; what comes back tells what follows."""
        taken = []
        for one in built:
            self._changed[one.heads] = True
            for number in one.anew:
                self.rings.clear(number)
            self.silence.hear(one.heads, one.newer, now)
            noises = self.silence.ended(one.newer, one.quiet, self.rows.newest, self.names)
            taken.append((noises, self.begun.begin(one.rows, self.names)))
        return lambda: [record for noises, under_way in taken for record in (*noises, *self._end(under_way, listener))]

    def flush(self, now: int, listener: Listener | None) -> list[EventRecord]:
        return self._take_up(self.rows.flush(self._steady()), now, listener)()

    def limit_of(self, number: int) -> float:
        """A stream's limit, in thresholds of the model."""
        follows = self.limits.get(number)
        return float(self.limit[number]) * (1.0 if follows is None else follows.value)

    @property
    def trailing(self) -> SeasonLevels | None:
        """The streams' trailing levels, of a model with seasons."""
        return self.scales if isinstance(self.scales, SeasonLevels) else None

    def last_rows(self, number: int) -> Float:
        """A stream's last rows as they are scored, [at most window - 1, channels]."""
        rows = self.rings.state(number)[1]
        return rows if self.signals is None else np.where(self.signals.out(number), np.float32(np.nan), rows)

    def let_go(self, number: int, reason: str) -> list[EventRecord]:
        """What closes where a stream's event is followed no more; the next row above the limit begins anew."""
        follower = self.followers.pop(number, None)
        records = [] if follower is None else follower.close(int(self.rows.newest[number]), reason)
        if self.signals is not None and reason in (FORGOTTEN, RENAMED, RESET):
            records += self.signals.close(number, self.names[number], int(self.rows.newest[number]), reason)
        self.witness.settle()
        self._changed[number], self.busy[number] = True, False
        return records

    def _end(self, under_way: Sequence[UnderWay], listener: Listener | None) -> list[EventRecord]:
        """Wait for the scores, and follow the events."""
        records: list[EventRecord] = []
        for rows, first, before, valid, joined, starts, ending, scale, unscaled, steps in under_way:
            if self.signals is not None:
                records += self.signals.records(steps, self.names, self._event_id)
            score, blame = ending()
            np.minimum(score, _LARGEST, out=score)
            heads = rows.stream[first]
            self.last[heads] = score[behind(first, len(rows)) - 1]
            limit = self.limit[rows.stream]
            cold = before < self.scorer.window - 1 + max(self.watched.warm_up, self.watched.learn)
            self._seen = Seen(joined, starts, self.scorer.window, None, self.period, scale)
            records += self._events(rows, first, heads, Scores(score, blame), valid, cold | unscaled, limit)
            if self.witness.waiting:
                self._ask_witness(self.followers)  # for the states are wanted next
            self._seen = None
            if listener is not None:
                names, channels, shifts = self.names, self.watched.detector.channels, dict(self.levels.shifts)
                listener(ScoredRows(self.watched.name, names, rows, score, blame, limit, channels, shifts, scale))
        return records

    def _ask_witness(self, numbers: Iterable[int]) -> None:
        """Have the worst rows of some streams' events explained, at once, because a few take as long as many."""
        for number in numbers:
            self.followers[number].ask()
        self.witness.settle()

    def _event_id(self, number: int) -> str:
        """Of the score's event that is open, or nothing."""
        return self.followers[number].event_id if number in self.followers else ""

    def _events(
        self,
        rows: Aligned,
        first: Ints,
        heads: Ints,
        scores: Scores,
        valid: Flags,
        cold: Flags,
        limit: Float,
    ) -> list[EventRecord]:
        """What opens, grows and closes; `limit` is set to what applied, where limits are learned."""
        ends = behind(first, len(rows))
        records: list[EventRecord] = []
        if self.watched.learn:
            for number, start, end in zip(heads.tolist(), first.tolist(), ends.tolist(), strict=True):
                records += self._learn(number, rows, slice(start, end), scores, valid, cold, limit)
            return records
        relative = scores.score / limit
        relative[cold] = np.nan
        wanted = np.logical_or.reduceat(relative > 1, first) | self.busy[heads]
        for place in np.flatnonzero(wanted).tolist():
            part = slice(int(first[place]), int(ends[place]))
            records += self._follow(int(heads[place]), rows, part, relative[part], scores.channel_score)
        return records

    def _learn(
        self,
        number: int,
        rows: Aligned,
        part: slice,
        scores: Scores,
        valid: Flags,
        cold: Flags,
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
            if self.busy[number] or (relative > 1).any():
                records += self._follow(number, rows, block, relative, scores.channel_score)
            follows.take((scores.score[block] / base).tolist())
            at = block.stop
        return records

    def _follow(self, number: int, rows: Aligned, part: slice, relative: Float, blame: Float) -> list[EventRecord]:
        follower = self.followers.get(number)
        if follower is None:
            tracker = EventTracker(self.rule, self.watched.detector.channels, self.names[number], self.model_id)
            follower = self.followers[number] = self._follower(number, tracker)
        assert self._seen is not None
        whole = self._seen.scale
        scale = None if whole is None else whole.at(part)
        seen = self._seen._replace(starts=self._seen.starts[part], scale=scale, shift=self.levels.shifts.get(number))
        records = follower.update(rows.row[part], relative, blame[part], rows.time[part], seen)
        if self.watched.illustrate is not None:
            open_now = follower.tracker.current
            records = self.watched.illustrate(self.names[number], rows.time[part], relative, records, open_now)
        if records and self.watched.habits.repeats:
            self.repeats[number] = follower.repeats
        self.busy[number] = not follower.idle
        if follower.idle:
            del self.followers[number]
        return records if self.signals is None else self.signals.join(number, records)

    def _follower(self, number: int, tracker: EventTracker) -> Follower:
        watched, repeats = self.watched, self.repeats.get(number)
        return Follower(tracker, watched.name, watched.update_every, watched.habits, self.witness, repeats)

    def tick(self, now: int, listener: Listener | None) -> list[EventRecord]:
        """What has waited for long enough, and streams that are silent at this time."""
        records = self._take_up(self.rows.overdue(self._steady()), now, listener)()
        if self.watched.adopt == "when_changed":
            records += self.levels.adopt_changed()
        fell, silences = self.silence.begun(now, self.rows.newest, self.names)
        self._changed[fell] = True
        return records + silences

    def open_events(self) -> list[str]:
        """Ids of the events that are open, of any kind."""
        signals = () if self.signals is None else self.signals.open_events()
        told = (one.event_id for one in self.followers.values() if one.open)
        return [*told, *signals, *self.silence.open_events(self.names)]

    def touch(self, number: int) -> None:
        """A stream's state is to be among those of the next `touched`."""
        self._changed[number] = True

    def touched(self) -> list[tuple[str, bytes]]:
        numbers = np.flatnonzero(self._changed)
        self._changed[:] = False
        return self.states(numbers)

    def states(self, numbers: Ints) -> list[tuple[str, bytes]]:
        """(Name, bytes) of these streams."""
        found = []
        self._ask_witness(number for number in numbers.tolist() if number in self.followers)
        built = self.rows.details(numbers)
        signals = [None] * len(numbers) if self.signals is None else self.signals.states(numbers)
        silent, since = self.silence.silent[numbers].tolist(), self.silence.since[numbers].tolist()
        aligners, rings = self.rows.aligner.states(numbers), self.rings.states(numbers)
        for place, number in enumerate(numbers.tolist()):
            details: dict[str, Any] = {}
            if number in self.followers:
                details["events"] = self.followers[number].text()
                details["model"] = self._written_name
            if number in self.repeats:
                details["repeats"] = self.repeats[number].text()
            if shift := self.levels.state(number):
                details["shift"] = shift
            if silent[place]:
                details["silence"] = self._written_name
            if number in self.limits:
                details["limit"] = self.limits[number].state()
            details |= built[place]
            if (stopped := signals[place]) is not None:
                details |= stopped
                details["signals"] = JsonText(f'"{stopped["signals"]}"')  # base64, as it is within JSON
                details["model"] = self._written_name
            if self.scales is not None:
                details["scale"] = self.scales.state(number)
            state = StreamState(
                self.model_id,
                self.period or 0,
                self.scorer.window,
                aligners[place],
                *rings[place],
                since[place] if silent[place] else None,
                details,
            )
            found.append((self.names[number], pack(state)))
        return found

    def restore(self, number: int, state: StreamState, now: int) -> str:
        """Go on from a state; returns why not, where the stream starts afresh."""
        if state.silent is not None and state.details.get("silence", self.watched.name) == self.watched.name:
            self.silence.silent[number], self.silence.since[number] = True, state.silent
        self.silence.heard[number] = now
        if state.model != self.model_id:
            return f"its state is of model {state.model[:16]}, and it is scored by {self.model_id[:16]} now"
        if state.period != (self.period or 0):
            return "its model has another period now"
        if state.window != self.scorer.window or state.ring.shape[1] != self.scorer.channels:
            return "its state has another window"
        limit: LearnedLimit | None = None
        try:
            repeats, follower = self._events_from(state.details)
            if "limit" in state.details:
                limit = self._limit_from(number, state.details["limit"])
            if self.scales is not None:
                self.scales.restore(number, state.details.get("scale"))
            if self.signals is not None:
                self.signals.restore(number, state.details)
            channels, aside = self.scorer.channels, state.details.get("jumps")
            if state.aligner.newest != NEVER:
                self.rows.jumps.restore(number, state.aligner.newest, aside, channels, self._steady())
        except InvalidArgument as error:
            for table in (self.rows.jumps, *((self.signals,) if self.signals else ())):
                table.clear(number)
            return str(error)
        self.rows.losses.restore(number, state.details.get("lost"))
        self.rows.bare.restore(number, state.details.get("bare"))
        self.levels.restore(number, state.details.get("shift"))
        self.rows.aligner.restore(number, state.aligner, self._steady())
        self.rings.restore(number, state.count, state.ring)
        if repeats is not None:
            self.repeats[number] = repeats
        if follower is not None:
            self.followers[number] = follower
            self.busy[number] = not follower.idle
        if limit is not None:
            self.limits[number] = limit
        return ""

    def _events_from(self, details: Mapping[str, Any]) -> tuple[Repeats | None, Follower | None]:
        """What a state says of the events of a stream. Raises InvalidArgument."""
        watched, repeats = self.watched, None
        if "repeats" in details:
            repeats = Repeats.from_state(details["repeats"])
        if "events" not in details:
            return repeats, None
        settings = watched.name, watched.update_every, self.rule, watched.habits, self.witness
        return repeats, Follower.from_state(details["events"], *settings, repeats)

    def _limit_from(self, number: int, state: Mapping[str, Any]) -> LearnedLimit | None:
        """The limit of a state; None where this model's stand still. Raises InvalidArgument."""
        fresh = self.limits.get(number)
        return None if fresh is None else LearnedLimit.from_state(state, fresh.rows, fresh.factor)

    def forget(self, age: int, most: int, now: int) -> tuple[list[str], list[EventRecord], dict[str, int]]:
        """Names of streams without a sample for `age` ns, what closes then, and the streams that got another number."""
        stale = np.flatnonzero(self._steady() - self.seen[: len(self.names)] > age)[: max(0, most)]
        return self.remove(stale, now)

    def remove(self, numbers: Ints, now: int) -> tuple[list[str], list[EventRecord], dict[str, int]]:
        """Names of these streams, which rise, what closes then, and the streams that got another number."""
        gone: list[str] = []
        records: list[EventRecord] = []
        moved: dict[str, int] = {}
        names = list(self.names)  # who holds the old list finds the old names in it
        for number in numbers.tolist()[::-1]:  # so that the last one is none of those
            records += self._closing(number, now, FORGOTTEN)
            last = len(names) - 1
            gone.append(names[number])
            moved.pop(names[number], None)
            if number != last:
                names[number] = names[last]
                moved[names[number]] = number
            names.pop()
            self.move(last, number)
        if gone:
            self.names = names
        return gone[::-1], records, moved

    def _closing(self, number: int, now: int, reason: str) -> list[EventRecord]:
        """What ends with a stream that is let go."""
        return [*self.let_go(number, reason), *self.silence.forgotten(number, now, self.names[number])]

    def reset(self, number: int, now: int) -> list[EventRecord]:
        """The stream's clock and rows begin with its next sample, limits and counts stay; returns what closes."""
        records = self._closing(number, now, RESET)
        self.rows.begin_anew(number)
        for table in (self.rings, self.silence, *((self.signals,) if self.signals else ())):
            table.clear(number)
        self.last[number] = np.nan
        self._changed[number] = True
        return records

    def rename(self, number: int, name: str) -> list[EventRecord]:
        """The stream has another name from now on; returns what closes, for events are known by the old one."""
        records = self.let_go(number, RENAMED)
        names = list(self.names)
        names[number] = name
        self.names = names
        if number not in self.limits:
            self.limit[number] = self._fixed_limit(name)
        self._changed[number] = True
        return records

    def totals(self) -> dict[str, float]:
        """What it counted."""
        counts, scorer = self.rows.aligner.counts, self.scorer
        return {
            "scored": self.begun.scored,
            f"scored.{self.watched.name}": self.begun.scored,
            "batches": scorer.batches,
            "windows": scorer.windows,
            "inference_seconds": scorer.seconds,
            "gap_rows": counts["gap_rows"],
            "overflow": counts["overflow"],
            "dropped.late": counts["late"],
            "dropped.duplicate": counts["duplicate"],
            "dropped.future": self.rows.future,
        }

    def table(self) -> StreamTable:
        count, losses = len(self.names), self.rows.losses
        limit = self.limit[:count].copy()
        for number, follows in self.limits.items():
            limit[number] *= follows.value
        return StreamTable(
            self.watched.name,
            self.names,
            self.rings.count[:count].copy(),
            self.rows.aligner.newest[:count].copy(),
            self.last[:count].copy(),
            limit,
            self.silence.silent[:count].copy(),
            {number: follower.event_id for number, follower in self.followers.items() if follower.open},
            Lost(
                losses.count[:count].copy(),
                losses.losing[:count].copy(),
                losses.interval[:count].copy(),
                losses.since[:count].copy(),
            ),
            self.period,
            {} if self.signals is None else self.signals.all_stopped(),
            {number: found.text for number, found in self.rows.clocks.found.items()},
        )

    def recent(self, number: int) -> Recent:
        (state,) = self.rows.aligner.states(np.array([number]))
        time = state.anchor + state.slot * self.period if self.period is not None else state.slot
        scale = None if self.scales is None else self.scales.of(number)
        return Recent(self.watched.name, self.rings.state(number)[1].copy(), state.row - 1, time, self.period, scale)
