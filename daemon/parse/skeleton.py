"""Regular lines taken apart by NumPy: lines that differ only in their values (slots) have one skeleton.

A line falls into segments, each ending with a delimiter. A segment is a literal, or a value (a slot) between two
literals. Once one line has shown its skeleton, all lines of the same are found, proven to have it byte by byte, and
their values located and read as numbers or texts, without a loop over lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.arrow import from_numpy, to_numpy
from aez.codec.common.extras import library

__all__ = ["Skeleton", "Spans", "Text", "integers", "is_integer", "numbers", "texts"]

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_NEWLINE = 10
_WORD = 8
_ZERO, _MINUS = ord("0"), ord("-")
#: A number of JSON; what other formats allow beyond it goes the careful way.
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_INTEGER = r"^-?(0|[1-9][0-9]{0,18})$"


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


def texts(text: Text, starts: Indices, ends: Indices) -> Any:
    """A pyarrow string array of spans, in the order of rows; they must not overlap, and be UTF-8."""
    pa = library("pyarrow", "monitor")
    # One array whose odd elements are what lies between the spans, and the even ones picked out of it.
    offsets = np.empty(2 * starts.size, np.int32)
    offsets[0::2] = starts.ravel()
    offsets[1::2] = ends.ravel()
    every = pa.StringArray.from_buffers(max(len(offsets) - 1, 0), pa.py_buffer(offsets), pa.py_buffer(text.data))
    return every.take(from_numpy(np.arange(0, len(offsets), 2, dtype=np.int32)))


def numbers(
    text: Text, starts: Indices, ends: Indices, words: Mapping[str, float]
) -> tuple[NDArray[np.float64], Flags]:
    """Values of spans [n, slots], and flags where one is neither a number nor one of `words` (NaN: a missing value)."""
    plain = _looks_like_number(text, starts, ends)
    if plain.all():
        values, wrong = _cast(texts(text, starts, ends), "float64", _NUMBER)
        return values.reshape(starts.shape), wrong.reshape(starts.shape)
    values = np.full(starts.shape, np.nan)
    wrong = np.zeros(starts.shape, bool)
    values[plain], wrong[plain] = _cast(texts(text, starts[plain], ends[plain]), "float64", _NUMBER)
    others = ~plain
    encoded = texts(text, starts[others], ends[others]).dictionary_encode()
    known = [words.get(word) for word in encoded.dictionary.to_pylist()]
    codes = to_numpy(encoded.indices)
    values[others] = np.array([np.nan if value is None else value for value in known])[codes]
    wrong[others] = np.array([value is None for value in known])[codes]
    return values, wrong


def integers(text: Text, starts: Indices, ends: Indices) -> tuple[Indices, Flags]:
    """Whole numbers of spans, and flags where one is none of at most 19 digits."""
    plain = _looks_like_number(text, starts, ends) & (ends - starts <= 20)
    plain &= (text.buffer[starts + 1] | 0x20) != ord("x")  # Arrow would read `0x10`
    values = np.zeros(starts.shape, np.int64)
    wrong = ~plain
    values[plain], wrong[plain] = _cast(texts(text, starts[plain], ends[plain]), "int64", _INTEGER)
    return values, wrong


def is_integer(text: Text, starts: Indices, ends: Indices) -> Flags:
    """Whether spans, which are numbers, have neither a point nor an exponent."""
    compute = library("pyarrow.compute", "monitor")
    matches = compute.match_substring_regex(texts(text, starts, ends), r"^-?[0-9]+$")
    return to_numpy(matches).reshape(starts.shape)


def _cast(column: Any, kind: str, pattern: str) -> tuple[NDArray[Any], Flags]:
    pa = library("pyarrow", "monitor")
    try:
        values = to_numpy(column.cast(kind))
        return values, np.zeros(len(values), bool)
    except pa.ArrowInvalid:
        pass
    compute = library("pyarrow.compute", "monitor")
    good = to_numpy(compute.match_substring_regex(column, pattern))
    values = np.zeros(len(column), kind)
    try:
        values[good] = to_numpy(column.filter(from_numpy(good)).cast(kind))
    except pa.ArrowInvalid:  # Arrow is stricter than the pattern: leave all to the careful way
        good[:] = False
    return values, ~good


def _looks_like_number(text: Text, starts: Indices, ends: Indices) -> Flags:
    """Spans that, if Arrow reads them as a number, are one of JSON: no `inf`, no `.5`, no `1.`, no `007`.

    One hole is left, `1.e5`, which the caller closes: a text with `.e` goes the careful way.
    """
    buffer = text.buffer
    first = buffer[starts]
    plain = (ends > starts) & (first - np.uint8(_ZERO) <= 9)
    negative = (first == _MINUS) & (ends - starts > 1)
    after = first
    if negative.any():
        second = buffer[starts + negative]
        plain |= negative & (second - np.uint8(_ZERO) <= 9)
        after = second
    plain &= buffer[ends - 1] - np.uint8(_ZERO) <= 9
    zero = (after == _ZERO) & plain
    if zero.any():
        # A zero may be followed by the end, a point or an exponent, but not by another digit.
        follows = starts[zero] + negative[zero] + 1
        plain[zero] = (follows >= ends[zero]) | (buffer[follows] - np.uint8(_ZERO) > 9)
    return plain
