"""Files of series that are larger than memory, as even stretches of their rows; smaller ones come whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aez.codec.series.core import Series, joined
from aez.codec.series.reader import SeriesReader, read_batches
from aez.codec.series.streams import parted, summary_of
from aez.codec.series.summary import SeriesSummary

__all__ = ["VALUES_MOST", "Sampled", "Stretches", "read_sampled", "stitched"]

#: Values, rows times channels, that training holds at once: 512 MiB as float32, from which more than enough windows
#: are drawn.
VALUES_MOST = 2**27
#: Stretches that so many values are divided into, and rows of one at least: long beside a window.
_STRETCHES, _ROWS_LEAST = 64, 4096


@dataclass(frozen=True)
class Stretches:
    """Every `step`-th stretch of `length` rows, from the first."""

    length: int
    step: int = 1

    @classmethod
    def of(cls, rows: int, channels: int, most: int) -> Stretches:
        """Of a series so long, so that no more than about `most` values stay."""
        length = cls.for_channels(channels, most).length
        return cls(length, max(1, -(-rows * channels // most)))

    @classmethod
    def for_channels(cls, channels: int, most: int) -> Stretches:
        """All of a series, for a start."""
        return cls(max(_ROWS_LEAST, most // (_STRETCHES * max(1, channels))))

    def spans(self, rows: int) -> Iterator[tuple[int, int]]:
        """(Start, end exclusive) of the stretches of so many rows."""
        for start in range(0, rows, self.length * self.step):
            yield start, min(start + self.length, rows)


@dataclass(frozen=True)
class Sampled:
    """What was kept of a file: of each stream, of the only one as of several, the stretches of its rows, in order.

    One stretch is all of it. `kept` and `rows` count those of the file, `stretches` tells which were taken.
    """

    streams: list[list[Series]]
    summary: SeriesSummary
    stretches: Stretches
    kept: int
    rows: int


def read_sampled(path: str | Path, stream: str | None = None, *, most: int = VALUES_MOST, **known: Any) -> Sampled:
    """The series in a file, or of each stream that the column `stream` names; stretches where it has more than `most`.

    `most` counts rows times channels; what is in memory does not grow beyond that, however large the file. `known` are
    the other arguments of `read_batches`, and the errors are its and those of `read_streams`.
    """
    channels = len(read_batches(path, rows=1, stream=stream, **known).channels)
    stretches = Stretches.for_channels(channels, most)
    reader = read_batches(path, rows=stretches.length, stream=stream, **known)
    kept: list[tuple[int, Series]] = []
    rows = 0
    for number, batch in enumerate(reader):
        rows += len(batch)
        if number % stretches.step == 0:
            kept.append((number, replace(batch, values=batch.values.copy())))
        if sum(len(part) for _, part in kept) * channels > most and len(kept) > 1:
            stretches = replace(stretches, step=2 * stretches.step)
            kept = [(number, part) for number, part in kept if number % stretches.step == 0]
    whole = reader.summary()
    starts = [number * stretches.length for number, _ in kept]
    parts = [replace(part, words=reader.words) for _, part in kept]  # all words are known at the end alone
    count = sum(map(len, parts))
    kept.clear()
    if stretches.step == 1:
        starts, parts = [0], [joined(parts)]
    if stream is None:
        return Sampled([parts], whole, stretches, count, rows)
    streams = _of_streams(parts, starts, reader)
    return Sampled(streams, summary_of([stitched(list(one)) for one in streams], whole), stretches, count, rows)


def _of_streams(parts: Sequence[Series], starts: Sequence[int], reader: SeriesReader) -> list[list[Series]]:
    """The stretches of each stream."""
    assert reader.labels is not None
    codes, names = reader.labels.codes(), reader.labels.names
    found: dict[str, list[Series]] = {}
    for start, part in zip(starts, parts, strict=True):
        for one in parted(part, codes[start : start + len(part)], names):
            if len(one):
                found.setdefault(one.name, []).append(one)
    return list(found.values())


def stitched(parts: list[Series]) -> Series:
    """Stretches of a series as one, which knows where rows are left out: by its clock, or by its `cuts`.

    The list is empty then, so that no more than one stretch is in memory twice.
    """
    cuts = np.cumsum([len(part) for part in parts])[:-1].astype(np.int64)
    whole = joined(parts)
    return whole if whole.time is not None or not len(cuts) else replace(whole, cuts=cuts)
