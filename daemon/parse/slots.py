"""The bytes of slots as numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.daemon.parse.skeleton import Text

__all__ = ["integers", "is_integer", "numbers", "texts"]

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_ZERO, _MINUS = ord("0"), ord("-")
#: A number of JSON; what other formats allow beyond it goes the careful way.
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
INTEGER = r"^-?(0|[1-9][0-9]{0,18})$"


def texts(text: Text, starts: Indices, ends: Indices) -> Any:
    """A pyarrow string array of spans, in the order of rows; they must not overlap, and be UTF-8."""
    pa = library("pyarrow", "monitor")
    # One array whose odd elements are what lies between the spans, and the even ones picked out of it.
    offsets = np.empty(2 * starts.size, np.int32)
    offsets[0::2] = starts.ravel()
    offsets[1::2] = ends.ravel()
    every = pa.StringArray.from_buffers(max(len(offsets) - 1, 0), pa.py_buffer(offsets), pa.py_buffer(text.data))
    return every.take(pa.array(np.arange(0, len(offsets), 2, dtype=np.int32)))


def numbers(
    text: Text, starts: Indices, ends: Indices, words: Mapping[str, float]
) -> tuple[NDArray[np.float64], Flags]:
    """Values of spans [n, slots], and flags where one is neither a number nor one of `words` (NaN: a missing value)."""
    plain = _looks_like_number(text, starts, ends)
    if plain.all():
        values, wrong = _cast(texts(text, starts, ends), "float64", NUMBER)
        return values.reshape(starts.shape), wrong.reshape(starts.shape)
    values = np.full(starts.shape, np.nan)
    wrong = np.zeros(starts.shape, bool)
    values[plain], wrong[plain] = _cast(texts(text, starts[plain], ends[plain]), "float64", NUMBER)
    others = ~plain
    encoded = texts(text, starts[others], ends[others]).dictionary_encode()
    known = [words.get(word) for word in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy()
    values[others] = np.array([np.nan if value is None else value for value in known])[codes]
    wrong[others] = np.array([value is None for value in known])[codes]
    return values, wrong


def integers(text: Text, starts: Indices, ends: Indices) -> tuple[Indices, Flags]:
    """Whole numbers of spans, and flags where one is none of at most 19 digits."""
    plain = _looks_like_number(text, starts, ends) & (ends - starts <= 20)
    plain &= (text.buffer[starts + 1] | 0x20) != ord("x")  # Arrow would read `0x10`
    values = np.zeros(starts.shape, np.int64)
    wrong = ~plain
    values[plain], wrong[plain] = _cast(texts(text, starts[plain], ends[plain]), "int64", INTEGER)
    return values, wrong


def is_integer(text: Text, starts: Indices, ends: Indices) -> Flags:
    """Whether spans, which are numbers, have neither a point nor an exponent."""
    compute = library("pyarrow.compute", "monitor")
    matches = compute.match_substring_regex(texts(text, starts, ends), r"^-?[0-9]+$")
    return np.asarray(matches.to_numpy(zero_copy_only=False), bool).reshape(starts.shape)


def _cast(column: Any, kind: str, pattern: str) -> tuple[NDArray[Any], Flags]:
    pa = library("pyarrow", "monitor")
    try:
        values = column.cast(kind).to_numpy()
        return values, np.zeros(len(values), bool)
    except pa.ArrowInvalid:
        pass
    compute = library("pyarrow.compute", "monitor")
    good = np.asarray(compute.match_substring_regex(column, pattern).to_numpy(zero_copy_only=False), bool)
    values = np.zeros(len(column), kind)
    try:
        values[good] = column.filter(pa.array(good)).cast(kind).to_numpy()
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
