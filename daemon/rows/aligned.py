"""Rows as they are aligned."""

from __future__ import annotations

from dataclasses import dataclass

from aez.daemon.rows.columns import Flags, Float, Ints

__all__ = ["Aligned"]


@dataclass(frozen=True)
class Aligned:
    """Rows that are complete or overdue, by stream, rising: `stream`, `row` and `time` int64 [n], `values` [n, C].

    made_up: rows for which nothing came, bool [n]; None: those without a value, for nothing tells them apart.
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
        one = slice(start, end)
        made_up = None if self.made_up is None else self.made_up[one]
        return Aligned(self.stream[one], self.row[one], self.time[one], self.values[one], made_up)
