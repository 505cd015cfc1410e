"""Rows as they are aligned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aez.daemon.rows.columns import Flags, Float, Ints

__all__ = ["Aligned"]


@dataclass(frozen=True)
class Aligned:
    """Rows that are complete or overdue, by stream, rising: `stream`, `row` and `time` int64 [n], `values` [n, C].

    made_up: which of them nobody sent, for they lie in a gap, [n]; None where all of them came, if only with nulls.
    """

    stream: Ints
    row: Ints
    time: Ints
    values: Float
    made_up: Flags | None = None

    def __len__(self) -> int:
        return len(self.stream)

    def part(self, start: int, end: int) -> Aligned:
        """The rows from one place to another, as views."""
        return self._of(slice(start, end))

    def at(self, places: Ints) -> Aligned:
        """The rows at these places."""
        return self._of(places)

    def _of(self, which: slice | Ints) -> Aligned:
        made_up = None if self.made_up is None else self.made_up[which]
        return Aligned(self.stream[which], self.row[which], self.time[which], self.values[which], made_up)

    @property
    def came(self) -> Flags:
        """Which of them somebody sent, [n]."""
        return np.ones(len(self), bool) if self.made_up is None else ~self.made_up
