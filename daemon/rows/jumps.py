"""Samples whose time lies far ahead of their stream's: put aside until others follow.

One wrong clock must not make a stream deaf: its rows rise, so that a single sample from the day after tomorrow would
make all that come behind it late. One
that lies more than a bound ahead of its stream's newest is therefore put aside. It is taken once the stream goes on
from there: samples of `CONFIRM` rows lie within the bound of one another, and none of the stream's old time came
between so many; or nothing else of the stream came for a while (`overdue`). It is left out where the stream goes on as
before for `AGAINST` rows, or another jump elsewhere follows. The machine's own clock plays no part in it.

Where a stream has just begun, its beginning needs others to follow as well: before it had `CONFIRM` rows, a jump back
by more than the bound, or one ahead that others follow, says that the beginning was wrong, and the clock begins anew
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, behind, by_stream, column, entries, runs
from aez.daemon.rows.fronts import highest_before

__all__ = ["AGAINST", "CONFIRM", "Jumps", "Sifted"]

#: Rows that make a jump the stream's new time, and rows of the old time that make it an error.
CONFIRM, AGAINST = 3, 8
#: Samples that are put aside of one stream at most, for each of its channels and in all.
_ROOM, _ROOM_LEAST = 8, 64
#: A stream that comes seldom began with a wrong time where what follows lies so many of its pauses away.
_FAR = 30
#: What follows from a sample.
_THIS, _KEEP, _ANEW = object(), object(), object()


class Sifted(NamedTuple):
    """Samples in the order in which they count, by stream. anew: the streams whose clock begins anew before them."""

    stream: Ints
    time: Ints
    values: Float
    anew: list[int]


@dataclass
class _Aside:
    """What was put aside of one stream. against: rows of the stream that came since, as if nothing had been."""

    times: list[int] = field(default_factory=list)
    values: list[Float] = field(default_factory=list)
    against: int = 0

    def letters(self, stream: int) -> list[tuple[int, int, Float]]:
        """(Stream, time, values) of each sample."""
        return [(stream, time, row) for time, row in zip(self.times, self.values, strict=True)]


class Jumps(StreamColumns):
    """The jumps of one model's streams.

    channels: how many. bound: ns ahead from which a sample is put aside; None for never. period: ns between rows, None
    without a clock.

    left_out: of the last `sift`, the samples that were left out at last, as (stream, time, values).
    """

    newest = column(np.int64)  # the highest time that was taken, ns
    rows = column(np.int8)  # so many rows were taken, up to CONFIRM
    _heard = column(np.int64)  # when a sample came, by a steady clock
    _aside: dict[int, _Aside] = entries()

    def __init__(self, channels: int, bound: int | None, period: int | None) -> None:
        super().__init__()
        self.bound, self.clocked, self.apart = bound, period is not None, (period or 2) // 2
        self.left_out: list[tuple[int, int, Float]] = []
        self._room = max(_ROOM_LEAST, _ROOM * channels)

    @property
    def waiting(self) -> int:
        """Samples that are put aside."""
        return sum(len(aside.times) for aside in self._aside.values())

    def sift(self, stream: Ints, time: Ints, values: Float, now: int) -> Iterator[Sifted]:
        """What counts of samples in the order of arrival; `now` is a steady clock's ns."""
        self.left_out = []
        if self.bound is None or not len(stream):
            yield Sifted(stream, time, values, [])
            return
        stream, time, values = by_stream(stream, time, values)
        first = runs(stream)
        heads = stream[first]
        self._heard[heads] = now
        odd = self._odd(heads, first, time)
        plain = heads[~odd]
        self.newest[plain] = np.maximum(self.newest[plain], np.maximum.reduceat(time, first)[~odd])
        if not odd.any():
            yield Sifted(stream, time, values, [])
            return
        yield from self._sift_odd(stream, time, values, first, odd)

    def _odd(self, heads: Ints, first: Ints, time: Ints) -> Flags:
        """Streams whose samples have to be looked at one by one; counts the rows of the other young ones."""
        assert self.bound is not None
        new = heads[self.rows[heads] == 0]
        if new.size:
            self.newest[new] = time[first[self.rows[heads] == 0]] - self.apart
        ahead = np.empty(len(time), bool)
        ahead[1:], ahead[first] = time[1:] - time[:-1] > self.bound, time[first] - self.newest[heads] > self.bound
        odd: Flags = np.logical_or.reduceat(ahead, first)
        if self._aside:
            odd |= [number in self._aside for number in heads.tolist()]
        young = self.rows[heads] < CONFIRM
        if young.any():
            before = highest_before(time, self.newest[heads], first)
            odd |= young & np.logical_or.reduceat(before - time > self.bound, first)
            steps = np.add.reduceat((time - before >= self.apart).astype(np.int64), first)
            counted = young & ~odd
            self.rows[heads[counted]] = np.minimum(CONFIRM, self.rows[heads[counted]] + steps[counted])
        return odd

    def _sift_odd(self, stream: Ints, time: Ints, values: Float, first: Ints, odd: Flags) -> Iterator[Sifted]:
        ends = behind(first, len(stream))
        moments = time.tolist()
        #: Places of what is taken, one list for each beginning of a clock; what had been put aside has places behind.
        chosen: list[list[int]] = [[]]
        anew: list[list[int]] = [[]]
        more_streams: list[int] = []
        more_times: list[int] = []
        more_values: list[Float] = []
        for place in range(len(first)):
            start, end = int(first[place]), int(ends[place])
            if not odd[place]:
                chosen[0] += range(start, end)
                continue
            number, turn = int(stream[start]), 0
            walk = _Walk(self, number)
            for at in range(start, end):
                for one in walk.step(moments[at]):
                    if one is _ANEW:
                        turn += 1
                        if turn == len(chosen):
                            chosen.append([])
                            anew.append([])
                        anew[turn].append(number)
                    elif one is _THIS:
                        chosen[turn].append(at)
                    elif one is _KEEP:
                        walk.aside.values.append(values[at].copy())
                    else:
                        chosen[turn].append(len(stream) + len(more_times))
                        more_streams.append(number)
                        more_times.append(one[0])
                        more_values.append(one[1])
            walk.end()
        if more_times:
            stream = np.concatenate([stream, more_streams])
            time = np.concatenate([time, more_times])
            values = np.concatenate([values, np.stack(more_values)])
        for places, numbers in zip(chosen, anew, strict=True):
            if places:
                yield Sifted(stream[places], time[places], values[places], numbers)

    def overdue(self, now: int | None, wait: int) -> Iterator[Sifted]:
        """What was put aside and nothing spoke against for `wait` ns by the clock of `sift`; all of it for None."""
        for stream in list(self._aside):
            late = now is None or now - int(self._heard[stream]) >= wait
            if late and not self._aside[stream].against:
                yield self._released(stream)

    def _released(self, stream: int) -> Sifted:
        aside = self._aside.pop(stream)
        anew = [stream] if self.clocked and self.rows[stream] < CONFIRM else []
        self.newest[stream], self.rows[stream] = max(int(self.newest[stream]), *aside.times), CONFIRM
        times = np.array(aside.times, np.int64)
        return Sifted(np.full(len(times), stream), times, np.stack(aside.values), anew)

    def begin_anew(self, stream: int) -> list[tuple[int, int, Float]]:
        """Forget the stream's time; the samples that were put aside, and go with it."""
        gone = self._aside[stream].letters(stream) if stream in self._aside else []
        self.clear(stream)
        return gone

    def settled(self, streams: Ints) -> Flags:
        """Of which streams `state` has nothing to tell, [streams]."""
        found = np.asarray(self.rows[streams] >= CONFIRM)
        return found & [number not in self._aside for number in streams.tolist()] if self._aside else found

    def state(self, stream: int) -> dict[str, Any] | None:
        """What was put aside, as plain data; None where nothing was and the stream has its first rows."""
        aside = self._aside.get(stream)
        if aside is None and self.rows[stream] >= CONFIRM:
            return None
        aside = aside or _Aside()
        values = [[None if np.isnan(one) else float(one) for one in row] for row in aside.values]
        return {"rows": int(self.rows[stream]), "times": aside.times, "values": values, "against": aside.against}

    def restore(self, stream: int, newest: int, state: Mapping[str, Any] | None, channels: int, now: int) -> None:
        """Go on from what `state` gave. Raises InvalidArgument."""
        self.newest[stream], self._heard[stream], self.rows[stream] = newest, now, CONFIRM
        if state is None:
            return
        try:
            times = [int(one) for one in state["times"]]
            values = [np.array([np.nan if one is None else one for one in row], np.float32) for row in state["values"]]
            rows, against = int(state["rows"]), int(state["against"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved state of a stream's clock cannot be read: {error!r}") from error
        if len(times) != len(values) or any(row.shape != (channels,) for row in values):
            raise InvalidArgument("the saved state of a stream's clock contradicts itself")
        self.rows[stream] = min(CONFIRM, max(0, rows))
        if times:
            self._aside[stream] = _Aside(times, values, against)


class _Walk:
    """One stream's samples one by one: what follows from each, with plain numbers, for that is quick."""

    def __init__(self, jumps: Jumps, stream: int) -> None:
        assert jumps.bound is not None
        self._jumps, self._stream, self._bound = jumps, stream, jumps.bound
        self.aside = jumps._aside.pop(stream) if stream in jumps._aside else _Aside()
        self._newest, self._rows = int(jumps.newest[stream]), int(jumps.rows[stream])

    def step(self, moment: int) -> Iterator[Any]:
        """What follows, in order.

        `_ANEW`: the clock begins anew. `_THIS`: the sample is taken. `_KEEP`: it is put aside; whoever asks adds its
        values at once. (time, values): what had been put aside is taken.
        """
        if moment - self._newest > self._bound:
            yield from self._put_aside(moment)
            return
        if self._rows < CONFIRM and self._newest - moment > self._bound:
            yield _ANEW
            self._rows, self._newest = 1, moment
        elif moment > self._newest:
            row = moment - self._newest >= self._jumps.apart
            self._newest = moment
            if row:
                self._rows = min(CONFIRM, self._rows + 1)
                self.aside.against += bool(self.aside.times)
                if self.aside.against >= AGAINST:
                    self._drop()
        yield _THIS

    def _put_aside(self, moment: int) -> Iterator[Any]:
        aside, apart = self.aside, self._jumps.apart
        if aside.times and abs(moment - aside.times[-1]) > self._bound:
            if not self._jumps.clocked and moment > aside.times[-1] and not aside.against:
                far = aside.times[0] - self._newest > _FAR * (moment - aside.times[-1])
                yield from self._taken(anew=far)  # it comes so seldom
                yield from self.step(moment)
                return
            self._drop()
        self.aside.times.append(moment)
        yield _KEEP
        rows, begun = 0, None
        for one in sorted(self.aside.times):
            if begun is None or one - begun >= apart:
                rows, begun = rows + 1, one
        if rows >= CONFIRM:
            yield from self._taken(anew=True)
        elif len(self.aside.times) > self._jumps._room:
            self._jumps.left_out.append((self._stream, self.aside.times.pop(0), self.aside.values.pop(0)))

    def _taken(self, *, anew: bool) -> Iterator[Any]:
        """What was put aside counts; `anew`: and what came before it does not, where the stream had just begun."""
        if anew and self._rows < CONFIRM:
            yield _ANEW
        self._newest = max(self._newest, *self.aside.times)
        self._rows = CONFIRM
        yield from zip(self.aside.times, self.aside.values, strict=True)
        self.aside = _Aside()

    def _drop(self) -> None:
        self._jumps.left_out += self.aside.letters(self._stream)
        self.aside = _Aside()

    def end(self) -> None:
        """Note where the stream stands."""
        self._jumps.newest[self._stream], self._jumps.rows[self._stream] = self._newest, self._rows
        if self.aside.times:
            self._jumps._aside[self._stream] = self.aside
