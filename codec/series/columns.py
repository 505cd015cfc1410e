"""Columns of a table as they are stored, and as numbers.

A column is one of: a float64 array (NaN where missing), an int64 array (nothing missing), a datetime64[ns] array in UTC
(NaT where missing), or a pyarrow string array (null where missing). Text of few words is numbers, too: the places of
its words in a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.codec.errors import AezError, UnsupportedInput

__all__ = [
    "MISSING",
    "Column",
    "Wordbook",
    "Words",
    "arrow",
    "excerpt",
    "from_arrow",
    "from_numpy",
    "is_category",
    "is_nested",
    "numbers",
    "strings",
    "texts_of",
]

Column: TypeAlias = Any  # pyarrow has no types, so the union with its arrays would be this anyway
Flags = NDArray[np.bool_]

#: Texts that stand for a missing sample, in lower case.
MISSING = frozenset({"", "nan", "-nan", "null", "none", "nil", "na", "n/a", "#n/a", "-", "--", "?"})
#: Whole days that int64 nanoseconds since 1970 can count.
_FIRST_DAY, _LAST_DAY = np.datetime64("1677-09-22"), np.datetime64("2262-04-11")
#: The words of each channel that holds text; a sample is the place of its word in them.
Words = Mapping[str, tuple[str, ...]]
#: A category has so many words at most; a text column is one by itself where it has no more than `_FOUND`, each in so
#: many rows on average.
WORDS_MOST, _FOUND, _ROWS_EACH = 64, 32, 8
_TRUTH = {"true": 1.0, "false": 0.0}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII)


def arrow(module: str = "pyarrow") -> Any:
    """A module of pyarrow; raises UnsupportedInput that says what to install where it is not."""
    try:
        return library(module, "monitor")
    except AezError as error:
        raise UnsupportedInput(str(error)) from error


def from_arrow(array: Any) -> Column:
    """The column of a pyarrow Array; None for a type that is neither number, time nor text."""
    pa = arrow()
    types, kind = pa.types, array.type
    if types.is_dictionary(kind):
        return from_arrow(array.dictionary_decode())
    if types.is_timestamp(kind) or types.is_date(kind):
        return _nanoseconds(array.to_numpy(zero_copy_only=False))
    if types.is_integer(kind) and not array.null_count and not types.is_uint64(kind):
        return array.cast(pa.int64()).to_numpy()
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind):
        return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if types.is_null(kind):
        return np.full(len(array), np.nan)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return array.cast(pa.string())
    return None


def from_numpy(array: NDArray[Any]) -> Column:
    """The column of a one-dimensional array; None for a type that is neither number, time nor text."""
    if array.dtype.kind == "M":
        return _nanoseconds(array)
    if array.dtype.kind == "i" or (array.dtype.kind == "u" and array.dtype.itemsize < 8):
        return array.astype(np.int64)
    if array.dtype.kind in "ufb":
        return array.astype(np.float64)
    if array.dtype.kind == "U":
        return arrow().array(array.tolist(), arrow().string())
    return None


def numbers(column: Column) -> tuple[NDArray[np.float64], Flags]:
    """Values in float64, NaN where missing, and flags where the column holds something that is no number.

    Texts are numbers with a decimal point and an optional exponent, `inf`, or `true` and `false` for 1 and 0, in any
    case and with blanks around them.
    """
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "M":
            return np.full(len(column), np.nan), ~np.isnat(column)
        return column.astype(np.float64), np.zeros(len(column), bool)
    pa = arrow()
    try:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return _parsed(column)
    return values, np.zeros(len(column), bool)


def strings(column: Column) -> Flags:
    """Flags where a text column holds something that is not one of the texts for a missing sample."""
    compute = arrow("pyarrow.compute")
    text = compute.utf8_lower(compute.utf8_trim_whitespace(column.fill_null("")))
    there = compute.invert(compute.is_in(text, value_set=arrow().array(sorted(MISSING))))
    return np.asarray(there.to_numpy(zero_copy_only=False), bool)


def excerpt(column: Column, row: int) -> str:
    """What a column holds in a row, quoted and short, for a message."""
    value = column[row] if isinstance(column, np.ndarray) else column[row].as_py()
    if value is None or value != value:
        return "nothing"
    text = str(value).strip()
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _nanoseconds(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Times in nanoseconds; those outside the years 1677 to 2262, which these cannot count, become NaT."""
    unit, _ = np.datetime_data(times.dtype)
    if unit in ("generic", "ns"):
        return times.astype("datetime64[ns]")
    inside = (times >= _FIRST_DAY) & (times < _LAST_DAY)
    return np.where(inside, times, np.datetime64("NaT")).astype("datetime64[ns]")


def _parsed(column: Column) -> tuple[NDArray[np.float64], Flags]:
    """Text by text, each different one once."""
    encoded = column.fill_null("").dictionary_encode()
    texts = [text.strip().lower() for text in encoded.dictionary.to_pylist()]
    parsed = [_number(text) for text in texts]
    wrong = [value is None and text not in MISSING for value, text in zip(parsed, texts, strict=True)]
    table = np.array([np.nan if value is None else value for value in parsed])
    place = encoded.indices.to_numpy()
    return table[place], np.array(wrong, bool)[place]


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else _TRUTH.get(text)


def texts_of(column: Column) -> tuple[list[str], NDArray[np.int32]]:
    """The distinct values of a column as text, and the place of each row's among them; -1 where it is missing."""
    if isinstance(column, np.ndarray):
        there = np.ones(len(column), bool) if column.dtype.kind == "i" else column == column
        distinct, place = np.unique(column[there], return_inverse=True)
        codes = np.full(len(column), -1, np.int32)
        codes[there] = place
        numbers = column.dtype.kind in "if"
        return [f"{value:.15g}" if numbers else str(value) for value in distinct.tolist()], codes
    encoded = column.fill_null("").dictionary_encode()
    texts: list[str] = [text.strip() for text in encoded.dictionary.to_pylist()]
    own = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    missing = [text.lower() in MISSING for text in own]
    table = np.array([-1 if missing[own[text]] else own[text] for text in texts], np.int32)
    return list(own), table[encoded.indices.to_numpy()].astype(np.int32)


class Wordbook:
    """The words of the text channels of a file: those that a model knows, or gathered in the order in which they come.

    `known`: words by channel, the rarest last, for which any other word is taken.
    """

    def __init__(self, known: Words | None = None) -> None:
        self._known = known is not None
        self._places = {
            name: {word: place for place, word in enumerate(words)} for name, words in (known or {}).items()
        }
        #: Rows that held a word that is not known, by channel; and which of the column that was numbered last.
        self.unknown: dict[str, int] = {}
        self.strange: dict[str, NDArray[np.bool_]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def gather(self, name: str) -> None:
        """Take the column of this name as a category."""
        self._places.setdefault(name, {})

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """Of each channel, so far."""
        return {name: tuple(places) for name, places in self._places.items()}

    def numbers(self, name: str, column: Column) -> NDArray[np.float64]:
        """A column's words as their places in the table, NaN where one is missing.

        Raises UnsupportedInput where there are too many.
        """
        places = self._places[name]
        texts, codes = texts_of(column)
        table, strange = np.full(len(texts) + 1, np.nan), np.zeros(len(texts) + 1, np.bool_)
        here, first, counts = np.unique(codes, return_index=True, return_counts=True)
        for code, count in zip(here[np.argsort(first)].tolist(), counts[np.argsort(first)].tolist(), strict=True):
            if code < 0:
                continue
            word = texts[code]
            if self._known and word not in places:
                self.unknown[name] = self.unknown.get(name, 0) + count
                table[code], strange[code] = len(places) - 1, True
            else:
                table[code] = places.setdefault(word, len(places))
        if len(places) > WORDS_MOST:
            raise UnsupportedInput(f"column {name!r} has more than {WORDS_MOST} words, and is no category; ignore it")
        self.strange[name] = strange[codes]
        return table[codes]


def is_nested(column: Column) -> bool:
    """Whether the first value is an object or a list of JSON, as a text."""
    texts, codes = ([], np.full(1, -1)) if isinstance(column, np.ndarray) else texts_of(column)
    return bool(len(codes)) and int(codes[0]) >= 0 and texts[codes[0]].startswith(("{", "["))


def is_category(columns: Sequence[Column]) -> bool:
    """Whether the parts of a text column hold few words, each of them often."""
    words: set[str] = set()
    rows = 0
    for column in columns:
        texts, codes = texts_of(column)
        words |= {texts[code] for code in np.unique(codes[codes >= 0]).tolist()}
        rows += int((codes >= 0).sum())
    return 2 <= len(words) <= _FOUND and rows >= _ROWS_EACH * len(words)
