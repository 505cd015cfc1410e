"""The words of training data: one table for all series, by how often they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series

__all__ = ["shared_words"]


def shared_words(series: Sequence[Series]) -> tuple[list[Series], dict[str, tuple[str, ...]]]:
    """The series with one table of words for each channel of text, the most frequent word first; and the tables.

    Raises InvalidArgument for a channel that holds text in one series and numbers in another.
    """
    tables = {}
    given = list(series)
    for name in sorted({name for one in given for name in one.words}):
        having = [one for one in given if name in one.channels]
        if strange := next((one for one in having if name not in one.words), None):
            raise InvalidArgument(f"channel {name} holds text in one series and numbers in {strange.name or 'another'}")
        counts: dict[str, int] = {}
        for one in having:
            column = one.values[:, one.channels.index(name)]
            found = np.bincount(column[~np.isnan(column)].astype(np.int64), minlength=len(one.words[name]))
            for word, count in zip(one.words[name], found.tolist(), strict=True):
                counts[word] = counts.get(word, 0) + count
        tables[name] = tuple(sorted((word for word in counts if counts[word]), key=lambda word: -counts[word]))
        given = [_renumbered(one, name, tables[name]) if name in one.channels else one for one in given]
    return given, tables


def _renumbered(series: Series, name: str, words: tuple[str, ...]) -> Series:
    place, old = series.channels.index(name), series.words[name]
    column = series.values[:, place]
    here = ~np.isnan(column)
    values = series.values.copy()
    # A word that came in rows that were dropped on the way has no place, and no sample.
    table = np.array([words.index(word) if word in words else -1 for word in old], np.float64)
    values[here, place] = table[column[here].astype(np.int64)]
    return replace(series, values=values, words={**series.words, name: words})
