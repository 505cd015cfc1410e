"""From the samples of one model's streams to their rows: jumps are sifted, samples aligned, losses counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.aligner import LETTERS, Aligner
from aez.daemon.rows.bare import Bare
from aez.daemon.rows.clocks import Clocks
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, by_stream, column
from aez.daemon.rows.fronts import NEVER
from aez.daemon.rows.jumps import Jumps, Sifted
from aez.daemon.rows.losses import Losses

__all__ = ["Built", "Letter", "RowBuilder"]

_SECOND = 10**9
#: What was put aside is taken where nothing spoke against it for so long: seconds, and periods, at least.
_WAIT_SECONDS, _WAIT_PERIODS = 5, 3
#: Rows of a gap that are made up for values that stand for long, at most.
_MADE_UP = 4096
#: A sample that is not scored: reason, stream, time in ns, values float32 [channels].
Letter = tuple[str, int, int, Float]


class Built(NamedTuple):
    """What followed from some samples.

    heads: their streams. anew: those whose clock began anew before, so that what came before their rows is no past of
    theirs. newer: those whose newest time rose. quiet: see `Aligner.jumps`. rows: those that are due.
    """

    heads: Ints
    anew: list[int]
    newer: Ints
    quiet: list[tuple[int, int, int]]
    rows: Aligned


class RowBuilder(StreamColumns):
    """Builds the rows of one model's streams; the arguments are those of `Aligner`, and `Jumps` for the bound.

    held: rows that a value may stand for: then samples come on change only, so that a gap is made up for as far as a
    value reaches, and is no loss.

    letters: the first samples that were left out since somebody cleared it. future: how many were left out by `Jumps`.
    """

    misbegun = column(np.bool_)  #: its first time was wrong, and its clock began anew, which is to be told

    def __init__(
        self,
        channels: int,
        period: int | None,
        lateness: int | None,
        gap: int,
        quiet: int | None,
        bound: int | None,
        held: int = 0,
    ) -> None:
        super().__init__()
        self.aligner = Aligner(channels, period, lateness, max(gap, min(held, _MADE_UP)), quiet)
        self._held = held
        self.jumps, self.losses, self.bare = Jumps(channels, bound, period), Losses(), Bare(period)
        self.clocks = Clocks(period)
        self.letters: list[Letter] = []
        self.future = 0
        self._wait = max(_WAIT_SECONDS * _SECOND, _WAIT_PERIODS * (period or 0))
        self._tables: tuple[StreamColumns, ...] = (self.aligner, self.jumps, self.losses, self.bare, self.clocks)

    def grow(self, size: int) -> None:
        super().grow(size)
        for table in self._tables:
            table.grow(size)

    def move(self, last: int, number: int) -> None:
        for table in self._tables:
            table.move(last, number)
        super().move(last, number)  # it clears the last one

    def clear(self, number: int) -> None:
        super().clear(number)
        for table in self._tables:
            table.clear(number)

    @property
    def newest(self) -> Ints:
        """The highest time of each stream that counted, ns."""
        return self.aligner.newest

    def take(self, stream: Ints, time: Ints, values: Float, now: int, bare: Flags | None = None) -> Iterator[Built]:
        """Take samples in the order of arrival; `now` is ns of a clock that nobody sets.

        bare: which have none of the channels, see `Bare`; None for none. What comes is to be taken up before the next
        is asked for, and all of it.
        """
        heard = stream
        lost: dict[str, list[Ints]] = {} if bare is None else {"no_channel": [stream[bare]]}
        if (counts := self.bare.take(stream, time, bare, self.newest)) is not None:
            stream, time, values = stream[counts], time[counts], values[counts]
        stream, time, values = by_stream(stream, time, values)
        self.clocks.take(stream, time, values, now)
        went: list[Ints] = []
        for one in self.jumps.sift(stream, time, values, now):
            yield self._align(one, now)
            aligner = self.aligner
            for reason, streams in (*aligner.refused.items(), ("gaps", aligner.stepped)):
                if len(streams) and not (self._held and reason == "gaps"):
                    lost.setdefault(reason, []).append(streams)
            went.append(aligner.went)
            self.letters += aligner.letters[: max(0, LETTERS - len(self.letters))]
        if self.jumps.left_out:
            lost["future"] = [np.array([letter[0] for letter in self.jumps.left_out], np.int64)]
            self._leave_out(self.jumps.left_out)
        joined = {reason: np.concatenate(parts) for reason, parts in lost.items()}
        if not len(heard):
            return
        self.losses.take(heard, joined, self.newest, now, np.concatenate(went) if "gaps" in joined else None)

    def _align(self, one: Sifted, now: int) -> Built:
        for number in one.anew:
            self.future += self.aligner.begin_anew(number)
            self.bare.clear(number)
        self.misbegun[one.anew] = True
        present = np.zeros(self.size, bool)
        present[one.stream] = True
        heads = np.flatnonzero(present)
        before = self.newest[heads]
        rows = self.aligner.push(one.stream, one.time, one.values, now)
        return Built(heads, one.anew, heads[self.newest[heads] > before], self.aligner.jumps, rows)

    def overdue(self, now: int) -> Iterator[Built]:
        """What has waited for long enough, by the clock of `take`; to be taken up as there."""
        for one in self.jumps.overdue(now, self._wait):
            yield self._align(one, now)
        rows = self.aligner.give_up(now)
        if len(rows):
            none = rows.stream[:0]
            yield Built(rows.stream, [], none, [], rows)

    def flush(self, now: int) -> Iterator[Built]:
        """Everything that waits, for the data end here; what was put aside stays so, where a clock tells rows apart."""
        if not self.jumps.clocked:
            for one in self.jumps.overdue(None, 0):
                yield self._align(one, now)
        rows = self.aligner.flush()
        none = rows.stream[:0]
        yield Built(rows.stream, [], none, [], rows)

    def details(self, numbers: Ints) -> list[dict[str, Any]]:
        """What is known of streams beside their rows, as plain data for JSON; nothing of most of them."""
        lost = np.asarray(self.losses.count[numbers].any(axis=1))
        some = lost | ~self.jumps.settled(numbers) | (self.bare.other[numbers] > NEVER)
        each = zip(numbers.tolist(), some.tolist(), lost.tolist(), strict=True)
        return [self._details(number, lost=loses) if known else {} for number, known, loses in each]

    def _details(self, number: int, *, lost: bool) -> dict[str, Any]:
        """Of one stream; lost: whether it ever lost samples."""
        found = {
            "jumps": None if self.jumps.bound is None else self.jumps.state(number),
            "bare": self.bare.state(number),
            "lost": self.losses.state(number) if lost else None,
        }
        return {name: state for name, state in found.items() if state is not None}

    def begin_anew(self, number: int) -> None:
        """The stream's clock begins with its next sample; its rows' numbers go on, and what waited is left out."""
        self.aligner.begin_anew(number)
        self.bare.clear(number)
        self.clocks.clear(number)
        self._leave_out(self.jumps.begin_anew(number))

    def _leave_out(self, letters: list[tuple[int, int, Float]]) -> None:
        self.future += len(letters)
        room = max(0, LETTERS - len(self.letters))
        self.letters += [("future", *letter) for letter in letters[:room]]
