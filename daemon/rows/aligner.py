"""Samples of many streams as they arrive, put into rows on each stream's own clock.

Guarantees: what comes out depends on the order of arrival alone, not on how it was cut into chunks; a stream's rows
rise, each number once; memory is bounded in streams, in rows that wait, and in rows that a gap is filled with.

With a period, a stream's clock starts at its first sample, and a sample belongs to the row whose time is nearest. The
clock follows a sensor whose own one runs a little faster or slower: the first sample of a row that is newer than all
before, where it lies a quarter of a period or more beside its row's time, moves the clock by an eighth of that. Rows
have each channel's first value; a later value for the same row and channel is a duplicate. Missing rows become NaN.
Without a period each time that occurs is a row, and there are no gaps.

Without a `lateness` a row is given out as soon as nothing more is to be expected for it, see `Fronts`. With one it is
once it has all channels and all rows before it are out, or once a sample came that is `lateness` newer than its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, behind, by_stream, column, entries, runs
from aez.daemon.rows.fronts import NEVER, Fronts, FrontState, highest_before

__all__ = ["Aligner", "AlignerState"]

#: Rows of one stream that wait for late samples; beyond it the oldest are given out. Where many streams wait, they
#: share so many values, but may have a few rows each.
PENDING_MAX, _PENDING_VALUES, _PENDING_FEW = 65_536, 1 << 26, 64
#: Samples of one call that are left out and remembered.
LETTERS = 100


def _complete(values: Float) -> Flags:
    """Whether rows [n, channels] lack nothing, [n]."""
    if not np.isnan(values.min()):  # several times faster than row by row
        return np.ones(len(values), bool)
    return np.logical_not(np.isnan(values).any(axis=1))


@dataclass(frozen=True)
class AlignerState:
    """What is known of one stream.

    anchor: time of slot 0. newest: the highest time, and top: the highest slot. closed: the last slot of which nothing
    may come any more. slot: the last one that went out, if one has (`started`). row: the number of the next one. slots,
    bases int64 [n], values float32 [n, channels]: the rows that wait, and what the anchor was when they began. fronts:
    how far its channels have come; None where that is not known.
    """

    anchor: int
    newest: int
    closed: int
    slot: int
    row: int
    started: bool
    slots: Ints
    bases: Ints
    values: Float
    top: int = NEVER
    fronts: FrontState | None = None


class Aligner(StreamColumns):
    """Aligns the streams of one model.

    channels: how many. period: ns between rows, None without a clock. lateness: ns that a sample may be older than the
    newest of its stream; None: rows wait for the channels that are due. gap: rows that a gap is filled with at most;
    the numbers of the others are skipped.

    quiet: ns between a stream's samples from which `jumps` tells of them; None for never.

    `counts` adds up what was left out: `late`, `duplicate` samples, `overflow` (rows that went out before their time
    because too many waited), `gap_rows` that were made up.
    """

    newest = column(np.int64, NEVER)  # the highest time that arrived, ns
    _begun = column(np.bool_)  # a sample came
    _started = column(np.bool_)  # a row was given out
    _anchor = column(np.int64)  # time of slot 0
    _closed = column(np.int64, NEVER)  # the last slot of which nothing may come any more; never falls
    _slot = column(np.int64, NEVER)  # the last one given out
    top = column(np.int64, NEVER)  # the highest one of which a sample came
    _row = column(np.int64)  # number of the next row
    #: Where rows wait: their slots, bases and values, by slot.
    _waiting: dict[int, tuple[Ints, Ints, Float]] = entries()

    def __init__(
        self, channels: int, period: int | None, lateness: int | None, gap: int, quiet: int | None = None
    ) -> None:
        if (period is not None and period < 1) or (lateness or 0) < 0 or gap < 0:
            raise InvalidArgument(f"period {period}, lateness {lateness} or gap {gap} is out of range")
        super().__init__()
        self.channels, self.clocked = channels, period is not None
        self.period, self.lateness, self.gap = period or 1, lateness or 0, gap
        self.quiet = quiet
        #: How far channels have come; None where a fixed lateness tells what is due.
        self.fronts = Fronts(channels, period) if lateness is None else None
        #: Of the last `push`: (stream, newest time before, time) where so long nothing had come.
        self.jumps: list[tuple[int, int, int]] = []
        #: Of the last `push`: by reason, the stream of each sample that was left out; the first of them themselves, as
        #: (reason, stream, time, values); the stream of each row that went out, and of each that stood behind a gap.
        self.refused: dict[str, Ints] = {}
        self.letters: list[tuple[str, int, int, Float]] = []
        self.went, self.stepped = np.empty(0, np.int64), np.empty(0, np.int64)
        self.counts: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Rows that wait for late samples or channels."""
        return sum(len(slots) for slots, _, _ in self._waiting.values())

    def grow(self, size: int) -> None:
        super().grow(size)
        if self.fronts is not None:
            self.fronts.grow(size)

    def move(self, last: int, number: int) -> None:
        if self.fronts is not None:
            self.fronts.move(last, number)
        super().move(last, number)  # it clears the last one

    def clear(self, number: int) -> None:
        super().clear(number)
        if self.fronts is not None:
            self.fronts.clear(number)

    def push(self, stream: Ints, time: Ints, values: Float, now: int = 0) -> Aligned:
        """Take samples in the order of arrival; `values` float32 [n, channels] without infinities is not kept.

        now: ns of a clock that nobody sets, for `give_up`.
        """
        self.jumps, self.refused, self.letters = [], {}, []
        self.went = self.stepped = np.empty(0, np.int64)
        if not len(stream):
            return self._nothing()
        stream, time, values = by_stream(stream, time, values)
        first = runs(stream)
        heads = stream[first]
        new = ~self._begun[heads]
        if new.any():
            fresh, moments = heads[new], time[first[new]]
            self._begun[fresh], self.newest[fresh] = True, moments
            self._anchor[fresh] = moments if self.clocked else 0
        before = highest_before(time, self.newest[heads], first)
        self._note_jumps(stream, time, before)
        slot, base, moved = self._placed(stream, time, before, first)
        self.newest[heads] = np.maximum(self.newest[heads], np.maximum.reduceat(time, first))
        if self.fronts is None:
            late, duplicate = self._left_out(stream, time, before, slot, base, moved, first)
        else:
            late, duplicate = self._left_out_by_fronts(self.fronts, stream, slot, values, first, now)
        self._refuse("late", late, stream, time, values)
        self._refuse("duplicate", duplicate, stream, time, values)
        out = late | duplicate
        self.top[heads] = np.maximum(self.top[heads], np.maximum.reduceat(slot, first))
        if out.any():
            kept = ~out
            stream, slot, base, values = stream[kept], slot[kept], base[kept], values[kept]
        rows = self._with_waiting(heads, stream, slot, base, values)
        return self._release(*self._merged(*rows))

    def give_up(self, now: int) -> Aligned:
        """Rows that have waited for their channels for long enough, by the clock that `push` was told of."""
        if self.fronts is None or not self._waiting:
            return self._nothing()
        waiting = np.sort(np.fromiter(self._waiting, np.int64, len(self._waiting)))
        due = self.fronts.overdue(waiting, self.top, self.newest, now)
        self._closed[due] = np.maximum(self._closed[due], self.top[due])
        none = self._nothing()
        return self._emit(*self._with_waiting(due, none.stream, none.row, none.time, none.values))

    def begin_anew(self, stream: int) -> int:
        """The stream's clock begins with its next sample, and its rows' numbers go on; rows that waited, which go."""
        row, waited = int(self._row[stream]), len(self._waiting.get(stream, ((), (), ()))[0])
        self.clear(stream)
        self._row[stream] = row
        return waited

    def flush(self) -> Aligned:
        """Everything that waits, as if the streams ended here."""
        streams = sorted(self._waiting)
        none = self._nothing()
        rows = self._with_waiting(np.array(streams, np.int64), none.stream, none.row, none.time, none.values)
        return self._emit(*rows)

    def _nothing(self) -> Aligned:
        none = np.empty(0, np.int64)
        return Aligned(none, none, none, np.empty((0, self.channels), np.float32))

    def _slot_of(self, time: Ints, base: Ints) -> Ints:
        return (time - base + self.period // 2) // self.period if self.clocked else time

    def _closed_by(self, newest: Ints, base: Ints) -> Ints:
        """The last slot of which nothing may come any more, as far as the newest time tells."""
        return self._slot_of(newest - self.lateness, base) - 1

    def _placed(self, stream: Ints, time: Ints, before: Ints, first: Ints) -> tuple[Ints, Ints, list[slice]]:
        """Of each sample its slot and the time of slot 0 for it; moves the clocks, and tells where it did."""
        base = self._anchor[stream]
        slot = self._slot_of(time, base)
        moved: list[slice] = []
        beside = 4 * np.abs(time - base - slot * self.period) >= self.period
        if self.clocked and beside.any():
            beside &= (time >= before) & (slot > highest_before(slot, self.top[stream[first]], first))
            ends = behind(first, len(time))
            for place in np.flatnonzero(np.logical_or.reduceat(beside, first)).tolist():
                moved.append(slice(int(first[place]), int(ends[place])))
                self._follow_clock(int(stream[first[place]]), time, before, slot, base, moved[-1])
        return slot, base, moved

    def _follow_clock(self, stream: int, time: Ints, before: Ints, slot: Ints, base: Ints, part: slice) -> None:
        """Place the samples of one stream one by one, its clock moving with them."""
        period, half, anchor, top = self.period, self.period // 2, int(self._anchor[stream]), int(self.top[stream])
        slots, bases = [], []
        for moment, newest in zip(time[part].tolist(), before[part].tolist(), strict=True):
            number = (moment - anchor + half) // period
            slots.append(number)
            bases.append(anchor)
            beside = moment - anchor - number * period
            if moment >= newest and number > top and 4 * abs(beside) >= period:
                anchor += beside // 8 if beside > 0 else -(-beside // 8)
            top = max(top, number)
        slot[part], base[part] = slots, bases
        self._anchor[stream] = anchor

    def _note_jumps(self, stream: Ints, time: Ints, before: Ints) -> None:
        if self.quiet is not None:
            jumps = np.flatnonzero(time - before > self.quiet)
            found = zip(stream[jumps].tolist(), before[jumps].tolist(), time[jumps].tolist(), strict=True)
            self.jumps = list(found)

    def _left_out(
        self, stream: Ints, time: Ints, before: Ints, slot: Ints, base: Ints, moved: Sequence[slice], first: Ints
    ) -> tuple[Flags, Flags]:
        """Samples that are too late by the fixed lateness, and those whose rows are out."""
        heads = stream[first]
        closed: Ints = np.maximum(self._closed_by(before, base), self._closed[stream])
        for part in moved:
            closed[part] = np.maximum.accumulate(closed[part])
        late: Flags = (time < before) & (slot <= closed)
        duplicate: Flags = self._started[stream] & (slot <= self._slot[stream]) & ~late
        last = self._closed_by(self.newest[heads], self._anchor[heads])
        self._closed[heads] = np.maximum(last, np.maximum.reduceat(closed, first))
        return late, duplicate

    def _left_out_by_fronts(
        self, fronts: Fronts, stream: Ints, slot: Ints, values: Float, first: Ints, now: int
    ) -> tuple[Flags, Flags]:
        """Samples whose rows were given out before them: such that others had passed, and the rest."""
        heads = stream[first]
        shut = np.maximum(self._closed[heads], np.where(self._started[heads], self._slot[heads], NEVER))
        waits = np.zeros(len(heads), bool)
        if self._waiting:
            waits[:] = [number in self._waiting for number in heads.tolist()]
        closing = fronts.take(heads, first, slot, values, self.top[heads], shut, waits)
        out: Flags = slot <= closing.shut
        late = out & (slot < closing.top)
        self._closed[heads] = closing.due
        highest = np.maximum(self.top[heads], np.maximum.reduceat(slot, first))
        fronts.note(heads, (closing.due > shut) | ~waits, closing.due < highest, self.newest, now)
        return late, out & ~late

    def _refuse(self, reason: str, which: Flags, stream: Ints, time: Ints, values: Float) -> None:
        """Note samples that are left out."""
        if not which.any():
            return
        found = np.flatnonzero(which)
        self.counts[reason] += len(found)
        self.refused[reason] = np.concatenate([self.refused.get(reason, found[:0]), stream[found]])
        for at in found[: max(0, LETTERS - len(self.letters))].tolist():
            self.letters.append((reason, int(stream[at]), int(time[at]), values[at].copy()))

    def _with_waiting(
        self, heads: Ints, stream: Ints, slot: Ints, base: Ints, values: Float
    ) -> tuple[Ints, Ints, Ints, Float]:
        """Put what waited in these streams before what came, and forget that it waited."""
        if not self._waiting:
            return stream, slot, base, values
        found = [(number, *self._waiting.pop(number)) for number in heads.tolist() if number in self._waiting]
        if not found:
            return stream, slot, base, values
        owners = np.repeat([number for number, _, _, _ in found], [len(slots) for _, slots, _, _ in found])
        return (
            np.concatenate([owners, stream]),
            np.concatenate([*(slots for _, slots, _, _ in found), slot]),
            np.concatenate([*(bases for _, _, bases, _ in found), base]),
            np.concatenate([*(rows for _, _, _, rows in found), values]),
        )

    def _merged(self, stream: Ints, slot: Ints, base: Ints, values: Float) -> tuple[Ints, Ints, Ints, Float]:
        """One row for each stream and slot, sorted: of each channel the value that came first."""
        same = stream[1:] == stream[:-1]
        if ((stream[1:] < stream[:-1]) | (same & (slot[1:] < slot[:-1]))).any():
            order = np.lexsort((slot, stream))  # stable: the order of arrival stays within a row
            stream, slot, base, values = stream[order], slot[order], base[order], values[order]
            same = stream[1:] == stream[:-1]
        again = same & (slot[1:] == slot[:-1])
        if not again.any():
            return stream, slot, base, values
        first = np.flatnonzero(np.append(True, ~again))
        group = np.cumsum(np.append(True, ~again)) - 1
        merged = values[first]
        useful = np.zeros(len(stream), bool)
        useful[first] = True
        sizes = behind(first, len(stream)) - first
        if sizes.max() <= self.channels + 1:
            for rank in range(1, int(sizes.max())):
                groups = np.flatnonzero(sizes > rank)
                at = first[groups] + rank
                held, more = merged[groups], values[at]
                fill = np.isnan(held) & ~np.isnan(more)
                merged[groups] = np.where(fill, more, held)
                useful[at] = fill.any(axis=1)
        else:
            for channel in range(self.channels):
                at = np.flatnonzero(~np.isnan(values[:, channel]))
                at = at[np.append(True, group[at][1:] != group[at][:-1])] if at.size else at
                merged[group[at], channel] = values[at, channel]
                useful[at] = True
        self._refuse("duplicate", ~useful, stream, base + slot * self.period if self.clocked else slot, values)
        return stream[first], slot[first], base[first], merged

    def _release(self, stream: Ints, slot: Ints, base: Ints, values: Float) -> Aligned:
        """Give out the rows that are due; the others wait."""
        if not len(stream):
            return self._nothing()
        closed = self._closed[stream]
        due = slot <= closed
        early = ~due & _complete(values) if self.fronts is None else np.zeros(len(stream), bool)
        if early.any():
            head = np.append(True, stream[1:] != stream[:-1])
            number = np.cumsum(head) - 1
            first = np.flatnonzero(head)
            begun = self._started[stream[first]] | np.logical_or.reduceat(due, first) | (self.lateness == 0)
            if self.clocked:
                behind = np.maximum(self._slot[stream], closed)
                # Rows behind that one, from 0 in each stream; `due` rows come first there, so that they count down.
                rank = np.arange(len(stream)) - (first + np.add.reduceat(due.astype(np.int64), first))[number]
                early &= slot == behind + 1 + rank
            elif self.lateness:
                early[:] = False
            blocked = np.cumsum(~(early | due))
            before: Ints = blocked[first] - ~(early | due)[first]
            early &= (blocked == before[number]) & begun[number]
            due |= early
        wait = ~due
        if wait.any():
            wait &= ~self._too_many(stream, wait)
            owners, slots, bases, rows = stream[wait], slot[wait], base[wait], values[wait]
            edges = runs(owners)
            numbers, starts = owners[edges].tolist(), edges.tolist()
            for number, start, end in zip(numbers, starts, [*starts[1:], len(owners)], strict=False):
                self._waiting[number] = slots[start:end].copy(), bases[start:end].copy(), rows[start:end].copy()
            due = ~wait
            stream, slot, base, values = stream[due], slot[due], base[due], values[due]
        return self._emit(stream, slot, base, values)

    def _too_many(self, stream: Ints, wait: Flags) -> Flags:
        """The oldest of the rows that wait, where a stream has more than it may."""
        over = np.zeros(len(stream), bool)
        waits = np.flatnonzero(wait)
        _, start, count = np.unique(stream[waits], return_index=True, return_counts=True)
        shared = _PENDING_VALUES // (self.channels * max(1, len(self._waiting), len(count)))
        most = min(PENDING_MAX, max(_PENDING_FEW, shared))
        for place in np.flatnonzero(count > most).tolist():
            surplus = count[place] - most
            over[waits[start[place] : start[place] + surplus]] = True
            self.counts["overflow"] += int(surplus)
        return over

    def _emit(self, stream: Ints, slot: Ints, base: Ints, values: Float) -> Aligned:
        """Number rows that go out, and put NaN rows where some are missing."""
        if not len(stream):
            return self._nothing()
        head = np.append(True, stream[1:] != stream[:-1])
        first = np.flatnonzero(head)
        heads = stream[first]
        step = np.ones(len(stream), np.int64)
        if self.clocked:
            step[1:] = slot[1:] - slot[:-1]
            step[first] = np.where(self._started[heads], slot[first] - self._slot[heads], 1)
        # A row's number: that of the next one, and the steps since.
        steps = np.cumsum(step)
        number = np.cumsum(head) - 1
        row = (self._row[heads] - 1 - steps[first] + step[first])[number] + steps
        last = behind(first, len(stream)) - 1
        self._slot[heads], self._row[heads], self._started[heads] = slot[last], row[last] + 1, True
        self.went, made_up = stream, None
        if (step > 1).any():
            self.stepped = stream[step > 1]
            missing = np.minimum(step - 1, self.gap)
            self.counts["gap_rows"] += int(missing.sum())
            stream, slot, row, base, values, made_up = _filled(stream, slot, row, base, values, step, missing)
        return Aligned(stream, row, base + slot * self.period if self.clocked else slot, values, made_up)

    def states(self, streams: Ints) -> list[AlignerState]:
        """What is known of these streams."""
        none = self._nothing()
        nothing = none.row, none.row, none.values
        waiting = [self._waiting.get(stream, nothing) for stream in streams.tolist()]
        numbers = (self._anchor, self.newest, self._closed, self._slot, self._row, self._started, self.top)
        fronts = [None] * len(streams) if self.fronts is None else self.fronts.states(streams)
        plain = zip(*(one[streams].tolist() for one in numbers), strict=True)
        return [
            AlignerState(anchor, newest, closed, slot, row, started, slots, bases, values, top, front)
            for (anchor, newest, closed, slot, row, started, top), (slots, bases, values), front in zip(
                plain, waiting, fronts, strict=True
            )
        ]

    def restore(self, stream: int, state: AlignerState, now: int = 0) -> None:
        """Go on from what `states` gave, for a stream that had no sample yet; `now` as for `push`."""
        if state.newest == NEVER:  # nor had it any then
            return
        self._begun[stream], self._started[stream] = True, state.started
        self._anchor[stream], self.newest[stream], self._closed[stream] = state.anchor, state.newest, state.closed
        self._slot[stream], self._row[stream] = state.slot, state.row
        self.top[stream] = top = state.top if state.top != NEVER else int(self._slot_of_newest(stream))
        if len(state.slots):
            self._waiting[stream] = state.slots, state.bases, state.values
        if self.fronts is not None:
            level = FrontState(np.full(self.channels, top), np.zeros(self.channels, bool), top, False, False)
            self.fronts.restore(stream, state.fronts or level, state.newest, now)

    def _slot_of_newest(self, stream: int) -> Ints:
        return self._slot_of(self.newest[stream], self._anchor[stream])


def _filled(
    stream: Ints, slot: Ints, row: Ints, base: Ints, values: Float, step: Ints, missing: Ints
) -> tuple[Ints, Ints, Ints, Ints, Float, Flags]:
    """`missing` NaN rows before each row, from behind the row before it on; and which rows these are."""
    place = np.arange(len(stream)) + np.cumsum(missing)
    total = int(place[-1]) + 1
    source = np.repeat(np.arange(len(stream)), missing + 1)
    # Place within the gap, from 1; the row itself stands at `step`.
    within = np.arange(total) - np.repeat(place - missing, missing + 1) + 1
    real = np.zeros(total, bool)
    real[place] = True
    back = np.where(real, 0, step[source] - within)
    filled = np.full((total, values.shape[1]), np.nan, np.float32)
    filled[place] = values
    return stream[source], slot[source] - back, row[source] - back, base[source], filled, ~real
