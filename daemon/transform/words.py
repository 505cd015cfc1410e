"""Columns of text that a model knows as categories: words become codes, and codes the places of the stream's model.

Which model a row is for is known behind its parser, so a parser gives each word a code that is no reading, and the
places of the words in the model's own table are looked up by the row's stream. Guarantee: a word that the model does
not know is its rarest, the last; a text of a stream whose model has no words for the column is a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from aez.daemon.common.records import Samples
from aez.daemon.transform.table import Transform

__all__ = ["ModelWords", "WordTables", "Words"]

#: Code number n is -n of these, exact as float32, from 1 on: no sensor has such a value, and 0 is told from it.
_STEP = 2.0**-110
_LARGEST = 2.0**-90
#: The words of a model's channels by the column that they come in, the rarest last.
ModelWords = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Words(Transform):
    """Texts of columns, by their new names, as codes; those of other words are `unknown`. Numbers stay as they are."""

    codes: Mapping[str, float] = field(default_factory=dict)
    unknown: float = math.nan

    def fits(self, name: str) -> bool:
        return name in self.columns

    @property
    def plain(self) -> bool:
        return False

    def read(self, text: str) -> float | None:
        word = text.strip()
        if word in self.codes:
            return self.codes[word]
        if not word:
            return math.nan
        try:
            return float(word)
        except ValueError:
            return self.unknown


class WordTables:
    """The words of all models. models: of each in turn; place: the number of the model that takes a stream."""

    def __init__(self, models: Sequence[ModelWords], place: Callable[[str], int | None]) -> None:
        self._place = place
        columns = sorted({column for words in models for column in words})
        every = {column: sorted({word for one in models for word in one.get(column, ())}) for column in columns}
        self.transforms = tuple(
            Words(
                columns=(column,),
                codes={word: -(number + 1) * _STEP for number, word in enumerate(words)},
                unknown=-(len(words) + 1) * _STEP,
            )
            for column, words in every.items()
        )
        self._tables = [
            {column: _places(every[column], list(known)) for column, known in words.items()} for words in models
        ]
        self._columns = frozenset(columns)

    def __bool__(self) -> bool:
        return bool(self._columns)

    def placed(self, samples: Samples) -> Samples:
        """The samples with the places of words by the model of each stream."""
        values: NDArray[np.floating] | None = None
        for at, column in enumerate(samples.columns):
            if column not in self._columns:
                continue
            found = samples.values[:, at]
            coded = np.flatnonzero((found < 0) & (found > -_LARGEST))
            if not len(coded):
                continue
            values = samples.values.copy() if values is None else values
            numbers = np.rint(found[coded].astype(np.float64) / -_STEP).astype(np.int64) - 1
            for stream in np.unique(samples.stream[coded]).tolist():
                mine = samples.stream[coded] == stream
                values[coded[mine], at] = self._table(samples.streams[stream], column)[numbers[mine]]
        return samples if values is None else replace(samples, values=values)

    def _table(self, stream: str, column: str) -> NDArray[np.float64]:
        """The places by the numbers of codes."""
        place = self._place(stream)
        known = None if place is None else self._tables[place].get(column)
        if known is not None:
            return known
        return np.full(1 + len(next(one for one in self.transforms if one.fits(column)).codes), np.nan)


def _places(every: Sequence[str], known: Sequence[str]) -> NDArray[np.float64]:
    places = {word: float(number) for number, word in enumerate(known)}
    rarest = float(len(known) - 1)
    return np.array([*(places.get(word, rarest) for word in every), rarest])
