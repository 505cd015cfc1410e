"""A series in pieces: put together, and cut again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from aez.codec.series.core import Series

__all__ = ["joined", "part_of", "pieces_of"]


def joined(parts: Sequence[Series]) -> Series:
    """Consecutive pieces as one; all have times, or none is taken to have any."""
    times = [part.time for part in parts if part.time is not None]
    values = np.concatenate([part.values for part in parts])
    return replace(parts[0], values=values, time=np.concatenate(times) if times else None)


def part_of(series: Series, start: int, end: int) -> Series:
    """The rows start..end (exclusive)."""
    time = None if series.time is None else series.time[start:end]
    return replace(series, values=series.values[start:end], time=time)


def pieces_of(series: Series, rows: int) -> Iterator[Series]:
    """Pieces of so many rows, the last with what is left."""
    for start in range(0, len(series), rows):
        yield part_of(series, start, start + rows)
