"""The last rows of every stream of one model, and the way of the next ones through the scorer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from aez.daemon.alarms.levels import Shifts
from aez.daemon.engine.beside.table import BesideTable
from aez.daemon.engine.rows import UnderWay
from aez.daemon.engine.scorer import Scorer, Scores
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, behind, column, runs
from aez.daemon.signals.events import Signals

__all__ = ["Rings", "RowScoring", "leave_out"]

#: Values of the rows that are joined at once.
_JOINED = 1 << 24


class Rings(StreamColumns):
    """The `window - 1` rows that the next window of each stream begins with, float32 [streams, window - 1, channels].

    Rows are kept in order, the newest last, so that the past and what came lie side by side with one copy each; where a
    stream had fewer rows the first ones are NaN. `count` int64 [streams] says how many rows it had in all.
    """

    rows = column(np.float32, np.nan)
    count = column(np.int64)

    def __init__(self, window: int, channels: int) -> None:
        super().__init__(rows=(window - 1, channels))
        self.window, self.channels = window, channels

    def extend(self, rows: Aligned, first: Ints) -> tuple[Float, Ints, Ints]:
        """Take new rows, sorted by stream; `first` int64 [streams among them] tells where each stream's begin.

        Returns past and new rows behind each other, float32 [n + streams * (window - 1), channels]; for each new row
        where the window that ends with it begins there, int64 [n]; and how many rows its stream had before it [n].
        """
        past = self.window - 1
        heads = rows.stream[first]
        counts = behind(first, len(rows)) - first
        number = np.repeat(np.arange(len(first)), counts)
        starts = np.arange(len(rows)) + number * past
        joined = np.empty((len(rows) + len(first) * past, self.channels), np.float32)
        joined[starts + past] = rows.values
        before = self.count[heads][number] + np.arange(len(rows)) - first[number]
        if past:
            begins = starts[first]
            if len(first) == 1:
                joined[:past] = self.rows[heads[0]]
                self.rows[heads[0]] = joined[len(rows) :]
            else:
                joined[begins[:, None] + np.arange(past)] = self.rows[heads]
                self.rows[heads] = joined[(begins + counts)[:, None] + np.arange(past)]
        self.count[heads] += counts
        return joined, starts, before

    def state(self, stream: int) -> tuple[int, Float]:
        """Rows in all, and the last ones of them, at most window - 1."""
        count = int(self.count[stream])
        return count, self.rows[stream, max(0, self.window - 1 - count) :]

    def states(self, streams: Ints) -> list[tuple[int, Float]]:
        """As `state`, of some streams, as copies."""
        past = self.window - 1
        each = zip(self.count[streams].tolist(), self.rows[streams], strict=True)
        return [(count, rows if count >= past else rows[past - count :]) for count, rows in each]

    def restore(self, stream: int, count: int, rows: Float) -> None:
        """Go on from what `state` gave."""
        self.count[stream] = count
        self.rows[stream] = np.nan
        self.rows[stream, self.window - 1 - len(rows) :] = rows


class RowScoring:
    """Scores the rows of one model's streams; scored: rows that got a score.

    scales: what tells what the model takes beside windows, or None. signals: what tells channels that are to be left
    out; None for none.
    """

    def __init__(
        self, scorer: Scorer, rings: Rings, levels: Shifts, scales: BesideTable | None, signals: Signals | None
    ) -> None:
        self.scorer, self.rings, self.levels, self.scales, self.signals = scorer, rings, levels, scales, signals
        self.scored = 0

    def begin(self, rows: Aligned, names: Sequence[str]) -> list[UnderWay]:
        """Begin to score rows, sorted by stream, whose streams' names these are, by number."""
        if not len(rows):
            return []
        if self.signals is None:
            return self._begin_rows(rows, None)
        under_way: list[UnderWay] = []
        for part in self.signals.parts(rows, names):
            begun = self._begin_rows(part.rows, part.out)
            under_way += [begun[0]._replace(steps=part.steps), *begun[1:]]
        return under_way

    def _begin_rows(self, rows: Aligned, out: Flags | None) -> list[UnderWay]:
        """Begin to score rows, without the channels that are `out` of the windows that end with each, [n, channels]."""
        first = runs(rows.stream)
        # Streams at a time such that rows and what came before them stay within bounds.
        ends = behind(first, len(rows))
        if (len(rows) + len(first) * self.scorer.window) * self.scorer.channels < _JOINED:
            return [self._begin_part(rows, out, first)]
        load = np.cumsum(ends - first + self.scorer.window) * self.scorer.channels // _JOINED
        cuts = np.flatnonzero(np.diff(load)) + 1
        under_way: list[UnderWay] = []
        for firsts in np.split(first, cuts) if cuts.size else [first]:
            if under_way:  # one part's rows at a time
                under_way[-1] = under_way[-1]._replace(ending=partial(Scores, *under_way[-1].ending()))
            start = int(firsts[0])
            end = int(ends[np.searchsorted(first, firsts[-1])])
            part = rows if end - start == len(rows) else rows.part(start, end)
            under_way.append(self._begin_part(part, None if out is None else out[start:end], firsts - start))
        return under_way

    def _begin_part(self, rows: Aligned, out: Flags | None, first: Ints) -> UnderWay:
        seen = rows
        joined, starts, before = self.rings.extend(rows, first)
        if out is not None and out.any():
            seen = replace(rows, values=np.where(out, np.float32(np.nan), rows.values))
            leave_out(joined, out[first], behind(first, len(rows)) - first + self.scorer.window - 1)
        self.levels.apply(joined, starts, seen, first)
        valid = before >= self.scorer.window - 1
        scale, unscaled = (None, ~valid) if self.scales is None else self.scales.take(seen, first)
        if valid.all():
            ending = self.scorer.begin(joined, starts, scale)
        else:
            scored = np.flatnonzero(valid)
            inner = self.scorer.begin(joined, starts[scored], scale and scale.at(scored))

            def ending() -> Scores:
                score, blame = np.full(len(rows), np.nan, np.float32), np.full(rows.values.shape, np.nan, np.float32)
                score[scored], blame[scored] = inner()
                return Scores(score, blame)

        self.scored += int(np.count_nonzero(valid))
        return UnderWay(rows, first, before, valid, joined, starts, ending, scale, unscaled)


def leave_out(joined: Float, out: Flags, sizes: Ints) -> None:
    """Make channels of streams missing, in place: of `joined` rows, of each stream `sizes` [streams] side by side.

    out: which channels of each stream, [streams, channels].
    """
    number = np.repeat(np.arange(len(sizes)), sizes)
    places = np.flatnonzero(np.asarray(out.any(axis=1))[number])
    joined[places] = np.where(out[number[places]], np.float32(np.nan), joined[places])
