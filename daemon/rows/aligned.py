"""Rows as they are aligned."""

from __future__ import annotations

from dataclasses import dataclass

from aez.daemon.rows.columns import Float, Ints

__all__ = ["Aligned"]


@dataclass(frozen=True)
class Aligned:
    """Rows that are complete or overdue, by stream, rising: `stream`, `row` and `time` int64 [n], `values` [n, C]."""

    stream: Ints
    row: Ints
    time: Ints
    values: Float

    def __len__(self) -> int:
        return len(self.stream)

    def part(self, start: int, end: int) -> Aligned:
        """The rows from one place to another, as views."""
        return Aligned(self.stream[start:end], self.row[start:end], self.time[start:end], self.values[start:end])
