"""Rows of streams on their way through the scorer: with what came before them, and without what stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from aez.daemon.engine.ring import Rings
from aez.daemon.engine.scorer import Scorer, Scores
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints, runs
from aez.daemon.signals.events import Signals
from aez.daemon.signals.notes import Note

__all__ = ["RowScoring", "UnderWay"]

#: Values of the rows that are joined at once.
_JOINED = 1 << 24


class UnderWay(NamedTuple):
    """Rows that are being scored, sorted by stream; `first` [streams] tells where each stream's begin.

    before: rows that their stream had before [n]. valid: whether there was a whole window [n]. ending: waits for the
        scores. notes: (stream, what changed of its channels before these rows).
    """

    rows: Aligned
    first: Ints
    before: Ints
    valid: Flags
    ending: Callable[[], Scores]
    notes: list[tuple[int, list[Note]]]


class RowScoring:
    """Scores the rows of one model's streams; `signals` None: whatever they say. scored: rows that got a score."""

    def __init__(self, scorer: Scorer, rings: Rings, signals: Signals | None) -> None:
        self.scorer, self.rings, self.signals = scorer, rings, signals
        self.scored = 0

    def begin(self, rows: Aligned) -> list[UnderWay]:
        """Begin to score rows, sorted by stream."""
        if not len(rows):
            return []
        if self.signals is None:
            return self._begin_rows(rows, rows.values)
        under_way: list[UnderWay] = []
        for part in self.signals.parts(rows):
            for number, changes in part.notes:
                for note in changes:
                    if note.kind == "stuck" and not note.ended:
                        self.rings.blank(number, range(self.scorer.channels) if note.whole else note.channels)
            begun = self._begin_rows(part.rows, part.values)
            under_way += [begun[0]._replace(notes=part.notes), *begun[1:]]
        return under_way

    def _begin_rows(self, rows: Aligned, values: Float) -> list[UnderWay]:
        """Begin to score rows with these values in place of their own."""
        first = runs(rows.stream)
        # Streams at a time such that rows and what came before them stay within bounds.
        ends = np.append(first[1:], len(rows))
        load = np.cumsum(ends - first + self.scorer.window) * self.scorer.channels // _JOINED
        cuts = np.flatnonzero(np.diff(load)) + 1
        under_way: list[UnderWay] = []
        for firsts in np.split(first, cuts) if cuts.size else [first]:
            if under_way:  # one part's rows at a time
                under_way[-1] = under_way[-1]._replace(ending=partial(Scores, *under_way[-1].ending()))
            start = int(firsts[0])
            end = int(ends[np.searchsorted(first, firsts[-1])])
            part = rows if end - start == len(rows) else rows.part(start, end)
            under_way.append(self._begin_part(part, values[start:end], firsts - start))
        return under_way

    def _begin_part(self, rows: Aligned, values: Float, first: Ints) -> UnderWay:
        joined, starts, before = self.rings.extend(replace(rows, values=values), first)
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
        return UnderWay(rows, first, before, valid, ending, [])
