"""From the samples of one model's streams to their rows: jumps are sifted, samples aligned, losses counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.aligner import LETTERS, Aligner
from aez.daemon.rows.columns import Float, Ints, StreamColumns, column
from aez.daemon.rows.jumps import Jumps, Sifted
from aez.daemon.rows.losses import Losses

__all__ = ["Built", "Letter", "RowBuilder"]

_SECOND = 10**9
#: What was put aside is taken where nothing spoke against it for so long: seconds, and periods, at least.
_WAIT_SECONDS, _WAIT_PERIODS = 5, 3
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

    letters: the first samples that were left out since somebody cleared it. future: how many were left out by `Jumps`.
    """

    misbegun = column(np.bool_)  #: its first time was wrong, and its clock began anew, which is to be told

    def __init__(
        self, channels: int, period: int | None, lateness: int | None, gap: int, quiet: int | None, bound: int | None
    ) -> None:
        super().__init__()
        self.aligner = Aligner(channels, period, lateness, gap, quiet)
        self.jumps, self.losses = Jumps(channels, bound, period), Losses()
        self.letters: list[Letter] = []
        self.future = 0
        self._wait = max(_WAIT_SECONDS * _SECOND, _WAIT_PERIODS * (period or 0))
        self._tables: tuple[StreamColumns, ...] = (self.aligner, self.jumps, self.losses)

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

    def take(self, stream: Ints, time: Ints, values: Float, now: int) -> Iterator[Built]:
        """Take samples in the order of arrival; `now` is ns of a clock that nobody sets.

        What comes is to be taken up before the next is asked for, and all of it.
        """
        lost: dict[str, list[Ints]] = {}
        went: list[Ints] = []
        for one in self.jumps.sift(stream, time, values, now):
            yield self._align(one, now)
            aligner = self.aligner
            for reason, streams in (*aligner.refused.items(), ("gaps", aligner.stepped)):
                if len(streams):
                    lost.setdefault(reason, []).append(streams)
            went.append(aligner.went)
            self.letters += aligner.letters[: max(0, LETTERS - len(self.letters))]
        if self.jumps.left_out:
            lost["future"] = [np.array([letter[0] for letter in self.jumps.left_out], np.int64)]
            self._leave_out(self.jumps.left_out)
        joined = {reason: np.concatenate(parts) for reason, parts in lost.items()}
        self.losses.take(stream, joined, self.newest, now, np.concatenate(went) if "gaps" in joined else None)

    def _align(self, one: Sifted, now: int) -> Built:
        for number in one.anew:
            self.future += self.aligner.begin_anew(number)
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

    def lose_channels(self, stream: Ints, now: int) -> None:
        """Samples of these streams came, one each, that have none of the model's channels."""
        self.losses.take(stream, {"no_channel": stream}, self.newest, now)

    def begin_anew(self, number: int) -> None:
        """The stream's clock begins with its next sample; its rows' numbers go on, and what waited is left out."""
        self.aligner.begin_anew(number)
        self._leave_out(self.jumps.begin_anew(number))

    def _leave_out(self, letters: list[tuple[int, int, Float]]) -> None:
        self.future += len(letters)
        room = max(0, LETTERS - len(self.letters))
        self.letters += [("future", *letter) for letter in letters[:room]]
