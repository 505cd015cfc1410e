"""Signals that stop again and again, told as one event: sparse sensors, and values that rest, move once and rest again.

What begins within `within` behind the end of a signal's event of the same kind and channels goes on with that event,
and from the second time on its end is told only once the channel has been well for so long. Of one kind and channels
`repeats` events begin within a day; the last of them goes on for as long as a day lies between two. It is the way of
the scores' events, see `aez.daemon.engine.follower`.

Guarantee: what is told depends on a stream's rows alone, not on how they were cut into calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from aez.daemon.rows.columns import Ints, StreamColumns, column, entries
from aez.daemon.signals.notes import Note, Step, StoppedSignal

__all__ = ["Damping", "OpenSignals"]

#: ns; and a time that no row has.
_DAY, _NEVER = 86_400 * 10**9, np.iinfo(np.int64).max
#: Beginnings of one signal that are remembered.
_MOST = 32
#: Signals of a stream, by `Note.key`.
OpenSignals = dict[tuple[str, int], StoppedSignal]


class Damping(StreamColumns):
    """The signals of streams that stopped, by kind and channel. within: ns, 0 for never. repeats: 0 for any number."""

    signals: dict[int, OpenSignals] = entries()
    next = column(
        np.int64, _NEVER
    )  #: the time from which on a stream's rows are to be looked at though nothing changes

    def __init__(self, channels: Sequence[str], within: int, repeats: int) -> None:
        super().__init__()
        self._channels, self._within, self._repeats = channels, within, repeats if within else 0

    def follow(
        self,
        number: int,
        time: Ints,
        row: Ints,
        notes: Mapping[int, Iterable[Note]],
        bound: Callable[[StoppedSignal], int],
        made: Callable[[Note, tuple[str, ...]], tuple[str, int]],
    ) -> dict[int, list[Step]]:
        """Take rows of a stream, and what changes before some of them; the steps that follow, by the row before which.

        bound: rows after which a signal would be found to have stopped again. made: id and first row of a new one.
        """
        found: dict[int, list[Step]] = {}
        at = 0
        for place in (*sorted(notes), len(time)):
            for due, step in self._quiet(number, time, row, slice(at, min(place + 1, len(time))), bound):
                found.setdefault(due, []).append(step)
            at = place
            for note in notes.get(place, ()):
                found.setdefault(place, []).extend(self._take(number, note, made))
        self.plan(number)
        return {place: steps for place, steps in sorted(found.items()) if steps}

    def plan(self, number: int) -> None:
        """Note when a stream's rows are to be looked at next."""
        self.next[number] = min((self._due(one) for one in self.signals.get(number, {}).values()), default=_NEVER)

    def _due(self, signal: StoppedSignal) -> int:
        if signal.ended is None:
            return _NEVER
        if signal.quiet is None:
            return signal.ended[0] + self._reach(signal)
        return signal.ended[0] if signal.told else signal.begun[-1] + _DAY

    def _reach(self, signal: StoppedSignal) -> int:
        return max(_DAY, self._within) if signal.often else self._within

    def _take(
        self, number: int, note: Note, made: Callable[[Note, tuple[str, ...]], tuple[str, int]]
    ) -> Iterable[Step]:
        mine = self.signals.setdefault(number, {})
        before = mine.get(note.key)
        if note.ended:
            if before is not None and before.ended is None:
                yield from self._end(number, before, note)
            return
        names = tuple(self._channels[channel] for channel in note.channels)
        if before is not None and before.ended is not None:
            if before.names == names and note.since - before.ended[0] <= self._reach(before):
                before.ended, before.quiet, before.reopened = None, None, before.reopened + 1
                before.note = before.note._replace(value=note.value, cause=note.cause)
                if not before.told:
                    before.told, before.sequence = True, before.sequence + 1
                    yield before.step(note.time, note.row)
                return
            yield from self._let_go(before, note.time, note.row)
        begun = [one for one in ([] if before is None else before.begun) if note.since - one < _DAY][1 - _MOST :]
        begun.append(note.since)
        id_, start = made(note, names)
        often = 0 < self._repeats <= len(begun)
        signal = mine[note.key] = StoppedSignal(id_, names, start, note, often=often, begun=begun)
        yield signal.step(note.time, note.row)

    def _end(self, number: int, signal: StoppedSignal, note: Note) -> Iterable[Step]:
        signal.ended = note.time, note.row
        if not self._within:
            self._drop(number, note.key)
        if not signal.reopened:  # else its end is told once it has been well for long enough
            yield from self._let_go(signal, note.time, note.row)

    @staticmethod
    def _let_go(signal: StoppedSignal, time: int, row: int) -> Iterable[Step]:
        """Its end, where it was not told."""
        if signal.told:
            signal.told, signal.sequence = False, signal.sequence + 1
            yield signal.step(time, row)

    def _drop(self, number: int, key: tuple[str, int]) -> None:
        del self.signals[number][key]
        if not self.signals[number]:
            del self.signals[number]

    def _quiet(
        self, number: int, time: Ints, row: Ints, part: slice, bound: Callable[[StoppedSignal], int]
    ) -> list[tuple[int, Step]]:
        """The ends that are told at some rows, for their signals have been well for long enough."""
        found: list[tuple[int, Step]] = []
        for key, signal in list(self.signals.get(number, {}).items()):
            if signal.ended is None:
                continue
            if signal.quiet is None:
                place = _first(time, part, signal.ended[0] + self._reach(signal) + 1)
                if place is None:
                    continue
                signal.quiet = int(row[place]) + bound(signal)
            place = _first(row, part, signal.quiet)
            if place is None:
                continue
            found += ((place, step) for step in self._let_go(signal, int(time[place]), int(row[place])))
            if _first(time, slice(place, part.stop), signal.begun[-1] + _DAY) is not None:
                self._drop(number, key)
        return sorted(found, key=lambda one: (one[0], one[1].note.key))


def _first(values: Ints, part: slice, least: int) -> int | None:
    """The first place in a part of values that rise where one is so high; None where none is."""
    place = part.start + int(np.searchsorted(values[part], least))
    return place if place < part.stop else None
