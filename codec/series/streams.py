"""Files that hold the rows of several streams: parted by a column that names them, and told where nobody named it.

`Labels` gathers whose row is whose while a file is read; `MixedStreams`
looks for a column that would explain a clock that goes backwards, repeats, or ticks for several machines in turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.series.columns import MISSING, Column
from aez.codec.series.core import Series
from aez.codec.series.summary import SeriesSummarizer, SeriesSummary

if TYPE_CHECKING:
    from aez.codec.series.table import TableBlock

__all__ = ["NAMES_STREAMS", "Labels", "MixedStreams", "parted", "summary_of"]

Codes = NDArray[np.int32]
Times = NDArray[np.int64]
#: Words in the names of columns that name streams.
_WORDS = re.compile(
    r"(^|[^a-z])(stream|machine|device|sensor|asset|unit|station|host|node|site|line|plant|pump|engine|turbine|vehicle|"
    r"robot|meter|satellite|tag|id|name|serial|instance)s?([^a-z]|$)"
)
#: Why the column that names the streams is no channel.
NAMES_STREAMS = "names the streams"
#: Rows that are looked at, and distinct names in them at most.
_ROWS, _NAMES = 1 << 20, 20_000
#: A name has so many rows on average, or it names no stream.
_ROWS_EACH = 8
#: The clocks of streams repeat or go back a tenth as often as that of the whole file, at most.
_CLEANER = 10
#: A column of another name than `_WORDS` explains so many backward steps, at least.
_BACKWARD = 8


def texts_of(column: Column) -> tuple[list[str], Codes]:
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


class Labels:
    """The stream of each row of a file, by the order in which their names come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._codes: list[Codes] = []
        self.rows = 0

    @property
    def names(self) -> list[str]:
        return list(self._numbers)

    def add(self, column: Column) -> Codes:
        """Take the next rows; their numbers, -1 where a row names no stream."""
        texts, codes = texts_of(column)
        table = np.full(len(texts) + 1, -1, np.int32)
        here, first = np.unique(codes, return_index=True)
        for place in here[np.argsort(first)].tolist():
            if place >= 0:
                table[place] = self._numbers.setdefault(texts[place], len(self._numbers))
        self._codes.append(table[codes])
        self.rows += len(codes)
        return self._codes[-1]

    def codes(self) -> Codes:
        """Of all rows so far."""
        return np.concatenate(self._codes) if self._codes else np.empty(0, np.int32)


def parted(series: Series, codes: Codes, names: Sequence[str]) -> list[Series]:
    """The rows of each stream, in their order, under its name; `codes` [time] is its place among the names."""
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    found = []
    for name, rows in zip(names, np.split(order, ends[:-1]), strict=True):
        time = None if series.time is None else series.time[rows]
        found.append(replace(series, values=series.values[rows], time=time, name=name))
    return found


def summary_of(streams: Sequence[Series], whole: SeriesSummary) -> SeriesSummary:
    """What a file of several streams is like: `whole` is of its rows as they stand, clocks are the streams' own."""
    own = []
    for stream in streams:
        summarizer = SeriesSummarizer()
        summarizer.add(stream)
        own.append(summarizer.summary())
    periods = [one.period_seconds for one in own if one.period_seconds is not None]
    rows = [len(stream) for stream in streams]
    return replace(
        whole,
        period_seconds=float(np.median(periods)) if periods else None,
        duplicates=sum(one.duplicates for one in own),
        backwards=sum(one.backwards for one in own),
        gaps=sum(one.gaps for one in own),
        largest_gap_seconds=max((one.largest_gap_seconds or 0.0 for one in own), default=0.0) or None,
        irregular=float(np.average([one.irregular for one in own], weights=rows)),
        dropped={name: reason for name, reason in whole.dropped.items() if reason != NAMES_STREAMS},
        streams={stream.name: len(stream) for stream in streams},
        mixed=None,
    )


@dataclass
class _Candidate:
    named: bool  #: its name is that of such columns
    labels: Labels = field(default_factory=Labels)
    fits: bool = True


class MixedStreams:
    """Looks for the column that names the streams of a file whose rows seem to come from several.

    Candidates are columns of texts, and numbers under a name such as `machine` or `id`. Only the first million rows are
    looked at, so that memory stays bounded.
    """

    def __init__(self, names: Sequence[str], clock: Sequence[str]) -> None:
        self._candidates = {n: _Candidate(_WORDS.search(n.lower()) is not None) for n in names if n not in clock}
        self._times: list[Times] = []
        self._rows = 0

    def add(self, block: TableBlock, time: Times | None) -> None:
        """Look at the next rows."""
        if self._rows >= _ROWS or time is None:
            return
        self._rows += block.rows
        self._times.append(time)
        for name, one in self._candidates.items():
            column = block.columns.get(name)
            if not one.fits or column is None or (isinstance(column, np.ndarray) and not _whole(column, one.named)):
                one.fits = False
                continue
            codes = one.labels.add(column)
            one.fits = bool((codes >= 0).all()) and len(one.labels.names) <= _NAMES

    def found(self) -> str | None:
        """The column, or None where the rows look like those of one stream, or none explains them."""
        if not self._times:
            return None
        time = np.concatenate(self._times)
        fitting = {name: one for name, one in self._candidates.items() if one.fits and one.labels.rows == len(time)}
        ranked = sorted(fitting.items(), key=lambda pair: not pair[1].named)
        return next((name for name, one in ranked if _explains(time, one)), None)


def _whole(column: NDArray[Any], named: bool) -> bool:
    """Whether numbers may name streams."""
    return named and column.dtype.kind in "if" and bool(np.all(column == np.rint(column)))


def _explains(time: Times, one: _Candidate) -> bool:
    """Whether the rows make more sense as those of the streams that a column names."""
    codes, count = one.labels.codes(), len(one.labels.names)
    if not 2 <= count <= len(time) // _ROWS_EACH:
        return False
    order = np.argsort(codes, kind="stable")
    inside = np.diff(codes[order]) == 0
    steps, own = np.diff(time), np.diff(time[order])[inside]
    backward = int(np.count_nonzero(steps <= 0))
    if backward:
        explained = int(np.count_nonzero(own <= 0)) * _CLEANER <= backward
        return explained and (one.named or backward >= max(_BACKWARD, count - 1))
    # All clocks lie beside each other: then the streams take turns, and each has a steady clock of its own.
    turns = np.count_nonzero(np.diff(codes)) >= len(steps) / 2
    middle = float(np.median(own))
    steady = float(np.mean(np.abs(own - middle) <= 0.1 * middle)) >= 0.9
    return bool(turns and steady and middle >= 1.5 * float(np.median(steps)))
