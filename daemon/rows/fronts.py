"""How far each channel of a stream has come, and which rows need wait for nothing more.

What a stream knows of each channel's last sample stands here, `Fronts`: one entry for each stream and channel.

The rule: a row is given out once each channel has a value for it, or for a later row: channels bring their own samples
in order, whatever the order between them. So rows do not depend on how the samples of one row come, in one message or
in many, channel by channel or time by time. Not waited for are channels that are *given up*: they stayed behind for
`PATIENCE` rows, or held rows up for too long by the clock of the wall (`overdue`); they count again with their next
value. Where a stream's rows come whole, each in one message, a row that lacks something waits for the next one and no
longer; where they come in pieces and a channel is given up, a row waits for the first sample of the next one, so that
the channel may come back in any place among them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, any_of, behind, column

__all__ = ["NEVER", "PATIENCE", "Closing", "FrontState", "Fronts", "highest_before"]

NEVER = np.iinfo(np.int64).min // 4
#: A channel that is so many rows behind is given up; without a clock so many ns.
PATIENCE, _PATIENCE_NS = 16_384, 3600 * 10**9
#: Rows wait at least so long by the wall's clock, ns, and at least so many periods.
_WAIT_NS, _WAIT_PERIODS = 5 * 10**9, 3
#: A stream whose time runs faster than that of the wall by this factor catches up; then rows wait so much longer.
_PACE, _LONGER = 4, 12


class Closing(NamedTuple):
    """What became of samples.

    shut, top: before each the last slot that was given out, and the highest that had come, int64 [n]. due: behind the
    last of each stream the last slot that is due, int64 [streams].
    """

    shut: Ints
    top: Ints
    due: Ints


class FrontState(NamedTuple):
    """Of one stream: the highest slot of each channel, int64 [C], which are given up, [C], and how its rows come."""

    slot: Ints
    given: Flags
    begun: int
    scattered: bool
    whole: bool


class Fronts(StreamColumns):
    """The channels of the streams of one model. period: ns between rows, None without a clock."""

    slot = column(np.int64, NEVER)  #: [streams, channels] the highest slot that a channel had a value for
    given = column(np.bool_)  #: [streams, channels] it is not waited for until it has a value again
    begun = column(np.int64)  #: the slot of the stream's first sample
    scattered = column(np.bool_)  # values of one row came apart
    whole = column(np.bool_)  # a row came at once
    _since = column(np.int64)  # when the rows that wait began to, or the first of them went last; a steady clock's ns
    _since_newest = column(np.int64)  # the stream's newest time then
    _heard = column(np.int64)  # when a sample came, by the steady clock

    def __init__(self, channels: int, period: int | None) -> None:
        super().__init__(slot=(channels,), given=(channels,))
        self.patience = _PATIENCE_NS if period is None else PATIENCE
        self.wait = max(_WAIT_NS, _WAIT_PERIODS * (period or 0))
        self._clocked = period is not None

    def take(self, heads: Ints, first: Ints, slot: Ints, values: Float, top: Ints, shut: Ints, waits: Flags) -> Closing:
        """Take samples, sorted by stream and in the order of arrival within each.

        heads: the streams, and first: where each one's samples begin, int64 [streams]. slot int64 [n], values float32
        [n, channels]. top: the highest slot before, NEVER for a new stream; shut: the last that was given out; waits:
        whether rows wait; all [streams].
        """
        new = top == NEVER
        if new.any():
            self.begun[heads[new]] = slot[first[new]]
        last = behind(first, len(slot)) - 1
        level = ~waits & (new | (self.slot[heads] == top[:, None]).all(axis=1))
        if np.isnan(values.min()):
            level &= ~any_of(np.isnan(values), first)
        shut_before = highest_before(slot, shut, first)
        closing = Closing(shut_before, shut_before.copy(), np.maximum(shut_before[last], slot[last]))
        if level.all():
            self._take_level(heads, closing.due, top)
            return closing
        if level.any():
            self._take_level(heads[level], closing.due[level], top[level])
        uneven = np.flatnonzero(~level)
        mine = np.repeat(~level, behind(first, len(slot)) - first)
        starts = np.cumsum(np.append(0, (last - first + 1)[uneven]))[:-1]
        found = self._take_uneven(heads[uneven], starts, slot[mine], values[mine], top[uneven], shut[uneven])
        closing.shut[mine], closing.top[mine], closing.due[uneven] = found
        return closing

    def _take_level(self, heads: Ints, due: Ints, top: Ints) -> None:
        """Whole rows, where nothing waits and no channel is behind."""
        self.slot[heads] = due[:, None]
        self.whole[heads] |= due > top

    def _take_uneven(self, heads: Ints, first: Ints, slot: Ints, values: Float, top: Ints, shut: Ints) -> Closing:
        count = len(slot)
        ends = behind(first, count)
        number = np.repeat(np.arange(len(heads)), ends - first)
        present = ~np.isnan(values)
        before = np.empty((count, values.shape[1]), np.int64)
        came = np.where(present, slot[:, None], NEVER)
        before[1:], before[first] = came[:-1], self.slot[heads]
        for start, end in zip(first.tolist(), ends.tolist(), strict=True):
            np.maximum.accumulate(before[start:end], axis=0, out=before[start:end])
        after = np.maximum(before, came, out=came)
        top_before = highest_before(slot, top, first)
        highest = np.maximum(top_before, slot)
        given = self.given[heads][number] & (after == self.slot[heads][number])
        given |= highest[:, None] - np.maximum(after, self.begun[heads][number][:, None]) > self.patience
        fresh = slot > top_before
        apart = ~fresh & (present & (before < slot[:, None])).any(axis=1)
        scattered = _begun(apart, self.scattered[heads], first, number)
        full = fresh & present.any(axis=1) & (present | given).all(axis=1)
        whole = _begun(full, self.whole[heads], first, number)
        front = np.where(given, highest[:, None], after).min(axis=1)
        held_back = np.where(given.any(axis=1), np.minimum(front, highest - 1), front)
        front = np.where(whole & ~scattered, np.maximum(front, highest - 1), held_back)
        last = ends - 1
        self.slot[heads], self.given[heads] = after[last], given[last]
        self.scattered[heads], self.whole[heads] = scattered[last], whole[last]
        shut_before = highest_before(front, shut, first)
        return Closing(shut_before, top_before, np.maximum(shut_before[last], front[last]))

    def note(self, heads: Ints, moved: Flags, waits: Flags, newest: Ints, now: int) -> None:
        """After `take`: whether rows of these streams went out, and wait; `now` is a steady clock's ns."""
        self._heard[heads] = now
        fresh = heads[moved | ~waits]
        self._since[fresh], self._since_newest[fresh] = now, newest[fresh]

    def overdue(self, streams: Ints, top: Ints, newest: Ints, now: int) -> Ints:
        """Which of these streams, of which rows wait, have waited for long enough; gives up what they wait for.

        They do once nothing came for `wait` ns, or rows have waited so long while the stream kept the wall's pace; a
        stream that catches up, as with a backlog, is given several times that. top, newest: of all streams.
        """
        waited, idle = now - self._since[streams], now - self._heard[streams]
        paced = newest[streams] - self._since_newest[streams] <= _PACE * waited
        due = streams[(idle >= self.wait) | ((waited >= self.wait) & (paced | (waited >= _LONGER * self.wait)))]
        self.given[due] |= self.slot[due] < top[due, None]
        if not self._clocked:
            self.whole[due] = True  # each sample has a time of its own, as it seems
        return due

    def states(self, streams: Ints) -> list[FrontState]:
        begun, scattered, whole = (one[streams].tolist() for one in (self.begun, self.scattered, self.whole))
        return list(map(FrontState, self.slot[streams], self.given[streams], begun, scattered, whole))

    def restore(self, stream: int, state: FrontState, newest: int, now: int) -> None:
        """Go on from what `state` gave."""
        self.slot[stream], self.given[stream], self.begun[stream] = state.slot, state.given, state.begun
        self.scattered[stream], self.whole[stream] = state.scattered, state.whole
        self._since[stream] = self._heard[stream] = now
        self._since_newest[stream] = newest


def highest_before(values: Ints, start: Ints, first: Ints) -> Ints:
    """Of each value the highest before it in its stream, int64 [n]; `start` int64 [streams] is what each had before."""
    before: Ints = np.empty_like(values)
    before[1:], before[first] = values[:-1], start
    fell = values < before
    if fell.any():
        # A running maximum, only in the streams that are out of order.
        ends = behind(first, len(values))
        for place in np.flatnonzero(np.logical_or.reduceat(fell, first)).tolist():
            part = slice(first[place], ends[place])
            before[part] = np.maximum.accumulate(before[part])
    return before


def _begun(flags: Flags, start: Flags, first: Ints, number: Ints) -> Flags:
    """Whether a flag of the same stream was up, at each of its samples or before, or at the start."""
    count = np.cumsum(flags)
    begun: Flags = (count - (count - flags)[first][number] > 0) | start[number]
    return begun
