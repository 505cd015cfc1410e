"""Regular lines taken apart by NumPy: lines that differ only in their values have one skeleton.

A line falls into segments, each ending with a delimiter. A segment is a literal, or a value (a slot) between two
literals. Once one line has shown its skeleton, all lines of the same are found, proven to have it byte by byte, and
their values located, without a loop over lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Skeleton", "Spans", "Text"]

Indices = NDArray[np.int64]

_NEWLINE = 10
_WORD = 8


class Text:
    """Lines, and where each of their delimiters stands; `delimiters` are ASCII bytes, a newline is always one."""

    def __init__(self, data: bytes, delimiters: bytes) -> None:
        if not data.endswith(b"\n"):
            data += b"\n"
        self.data = data + bytes(_WORD)  # so that a word may be read anywhere
        self.buffer = np.frombuffer(self.data, np.uint8)
        found = self.buffer == _NEWLINE
        for byte in delimiters:
            found |= self.buffer == byte
        self.delimiters = np.flatnonzero(found)
        last = np.flatnonzero(self.buffer[self.delimiters] == _NEWLINE)
        #: Of each line: its first byte, its newline, the index of its first delimiter, the number of them.
        self.ends = self.delimiters[last]
        self.starts = np.concatenate([[0], self.ends[:-1] + 1])
        self.first = np.concatenate([[0], last[:-1] + 1])
        self.counts = last - self.first + 1

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The eight bytes from each position on, as a little-endian number."""
        shape = (len(self.data) - _WORD + 1,)
        return np.ndarray(shape, np.dtype("<u8"), self.data, strides=(1,))  # type: ignore[call-overload,no-any-return,unused-ignore]

    def line(self, index: int) -> bytes:
        """The line without its newline."""
        return self.data[self.starts[index] : self.ends[index]]

    def lines_at(self, positions: Indices) -> Indices:
        """Indices of the lines that hold these bytes."""
        return np.unique(np.searchsorted(self.ends, positions))


@dataclass(frozen=True)
class Spans:
    """The slots of the lines that have a skeleton: positions of the first byte and behind the last, [lines, slots]."""

    lines: Indices
    starts: Indices
    ends: Indices

    def rows(self, keep: NDArray[np.bool_]) -> Spans:
        return Spans(self.lines[keep], self.starts[keep], self.ends[keep])


@dataclass(frozen=True)
class _Segment:
    before: bytes
    after: bytes
    slot: bool
    delimiter: int


class Skeleton:
    """The skeleton of `line` (without newline), whose slots are the given spans, in order.

    Raises ValueError when a value holds a delimiter, or two share a segment: such lines have no skeleton.
    """

    def __init__(self, line: bytes, slots: Sequence[tuple[int, int]], delimiters: bytes) -> None:
        self._segments = list(_segments(line, slots, delimiters))
        if sum(segment.slot for segment in self._segments) != len(slots):
            raise ValueError("a value without a segment of its own")
        self.key = tuple(self._segments)
        self._slots = np.array([i for i, segment in enumerate(self._segments) if segment.slot], np.int64)
        self._before = np.array([len(segment.before) for segment in self._segments])
        self._after = np.array([len(segment.after) for segment in self._segments])
        self._delimiters = np.array([segment.delimiter for segment in self._segments], np.uint8)
        self._mixed = len(set(self._delimiters[:-1].tolist())) > 1
        self._literal = ~np.array([segment.slot for segment in self._segments])
        self._before_words = _words(segment.before for segment in self._segments)
        self._after_words = _words(segment.after for segment in self._segments)

    def find(self, text: Text, lines: Indices) -> Spans:
        """The slots of those of the given lines that have this skeleton."""
        count = len(self._segments)
        lines = lines[text.counts[lines] == count]
        if len(lines) * count == len(text.delimiters):  # all of them
            ends = text.delimiters.reshape(-1, count)
        else:
            ends = text.delimiters[text.first[lines][:, None] + np.arange(count)]
        starts = np.empty_like(ends)
        starts[:, 0] = text.starts[lines]
        starts[:, 1:] = ends[:, :-1] + 1

        # Lengths first: what follows reads no further than these.
        spare = ends - starts - (self._before + self._after)
        fits = (spare >= 0).all(axis=1)
        if self._literal.any():
            fits &= (spare[:, self._literal] == 0).all(axis=1)
        if not fits.all():
            lines, starts, ends = lines[fits], starts[fits], ends[fits]
        same = _same(text.words, starts, self._before_words)
        same &= _same(text.words, ends - self._after, self._after_words)
        if self._mixed:
            same &= (text.buffer[ends] == self._delimiters).all(axis=1)
        spans = Spans(lines, (starts + self._before)[:, self._slots], (ends - self._after)[:, self._slots])
        return spans if same.all() else spans.rows(same)


def _segments(line: bytes, slots: Sequence[tuple[int, int]], delimiters: bytes) -> Iterable[_Segment]:
    cuts = [i for i, byte in enumerate(line) if byte in delimiters]
    start, rest = 0, list(slots)
    for cut in [*cuts, len(line)]:
        delimiter = line[cut] if cut < len(line) else _NEWLINE
        if rest and rest[0][0] >= start and rest[0][1] <= cut:
            first, last = rest.pop(0)
            yield _Segment(line[start:first], line[last:cut], True, delimiter)
        else:
            yield _Segment(line[start:cut], b"", False, delimiter)
        start = cut + 1


@dataclass(frozen=True)
class _Words:
    """Literals cut into words: index of the segment, offset in the literal, the word, and a mask of its bytes."""

    segment: Indices
    offset: Indices
    word: NDArray[np.uint64]
    mask: NDArray[np.uint64]


def _words(literals: Iterable[bytes]) -> _Words:
    parts = [
        (index, offset, literal[offset : offset + _WORD])
        for index, literal in enumerate(literals)
        for offset in range(0, len(literal), _WORD)
    ]
    segment = np.array([part[0] for part in parts], np.int64)
    return _Words(
        segment,
        np.array([part[1] for part in parts], np.int64),
        np.array([int.from_bytes(part[2], "little") for part in parts], np.uint64),
        np.array([(1 << 8 * len(part[2])) - 1 for part in parts], np.uint64),
    )


def _same(words: NDArray[np.uint64], starts: Indices, wanted: _Words) -> NDArray[np.bool_]:
    """Rows whose literals are the wanted ones."""
    if not len(wanted.word):
        return np.ones(len(starts), bool)
    found = words[starts[:, wanted.segment] + wanted.offset]
    differs = ((found ^ wanted.word) & wanted.mask) != 0
    return np.asarray(~differs.any(axis=1))
