"""Text columns as categories: each word a number, by a table that a model keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import UnsupportedInput
from aez.codec.series.columns import Column
from aez.codec.series.streams import texts_of

__all__ = ["WORDS_MOST", "Wordbook", "Words", "is_category"]

#: The words of each channel that holds text; a sample is the place of its word in them.
Words = Mapping[str, tuple[str, ...]]
#: A category has so many words at most; a text column is one by itself where it has no more than `_FOUND`, each in so
#: many rows on average.
WORDS_MOST, _FOUND, _ROWS_EACH = 64, 32, 8


class Wordbook:
    """The words of the text channels of a file: those that a model knows, or gathered in the order in which they come.

    `known`: words by channel, the rarest last, for which any other word is taken.
    """

    def __init__(self, known: Words | None = None) -> None:
        self._known = known is not None
        self._places = {
            name: {word: place for place, word in enumerate(words)} for name, words in (known or {}).items()
        }
        #: Rows that held a word that is not known, by channel.
        self.unknown: dict[str, int] = {}

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
        table = np.full(len(texts) + 1, np.nan)
        here, first, counts = np.unique(codes, return_index=True, return_counts=True)
        for code, count in zip(here[np.argsort(first)].tolist(), counts[np.argsort(first)].tolist(), strict=True):
            if code < 0:
                continue
            word = texts[code]
            if self._known and word not in places:
                self.unknown[name] = self.unknown.get(name, 0) + count
                table[code] = len(places) - 1
            else:
                table[code] = places.setdefault(word, len(places))
        if len(places) > WORDS_MOST:
            raise UnsupportedInput(f"column {name!r} has more than {WORDS_MOST} words, and is no category; ignore it")
        return table[codes]


def is_category(columns: Sequence[Column]) -> bool:
    """Whether the parts of a text column hold few words, each of them often."""
    words: set[str] = set()
    rows = 0
    for column in columns:
        texts, codes = texts_of(column)
        words |= {texts[code] for code in np.unique(codes[codes >= 0]).tolist()}
        rows += int((codes >= 0).sum())
    return 2 <= len(words) <= _FOUND and rows >= _ROWS_EACH * len(words)
