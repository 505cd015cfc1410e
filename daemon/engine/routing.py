"""Which model a stream belongs to, and which of a model's channels its columns are."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.columns import Float, Ints

__all__ = ["Columns", "DatedNames", "Router", "clean"]

_log = logging.getLogger(__name__)

#: Names of streams, and layouts of columns, that are remembered.
_REMEMBERED = 10_000
_DATE = re.compile(r"(?<!\d)(19|20)\d\d([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


class Router:
    """Which of several models a stream belongs to: the first one with a pattern (`*`, `?`, `[...]`) that fits."""

    def __init__(self, patterns: Sequence[Sequence[str]]) -> None:
        self._compiled = [re.compile("|".join(fnmatch.translate(one) for one in each) or r"(?!)") for each in patterns]
        self._known: dict[str, int | None] = {}

    def model(self, stream: str) -> int | None:
        """The model's place in the list; None where no pattern fits."""
        if stream not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = (place for place, pattern in enumerate(self._compiled) if pattern.match(stream))
            self._known[stream] = next(found, None)
        return self._known[stream]


class DatedNames:
    """Says in the log, once for each kind, where streams' names differ by a date alone, as those of daily files do."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._told: set[str] = set()

    def note(self, stream: str) -> None:
        """A new stream is called so."""
        kind = _DATE.sub("DATE", stream)
        if kind == stream or kind in self._told or len(self._first) >= _REMEMBERED:
            return
        first = self._first.setdefault(kind, stream)
        if first != stream:
            self._told.add(kind)
            _log.warning(
                "streams %s and %s differ by a date alone, and each begins afresh; where they are one, as of files of "
                "a day each, let stream of the source name it, such as {source}",
                first,
                stream,
            )


class Columns:
    """Takes a model's channels out of messages' columns, by name; `names` maps a channel to another column's name."""

    def __init__(self, channels: Sequence[str], names: dict[str, str] | None = None) -> None:
        names = names or {}
        unknown = sorted(set(names) - set(channels))
        if unknown:
            raise InvalidArgument(f"column mapping names channel {unknown[0]!r}; the model has {', '.join(channels)}")
        self._wanted = [names.get(channel, channel) for channel in channels]
        self._known: dict[tuple[str, ...], tuple[Ints, Ints] | None] = {}

    def take(self, columns: tuple[str, ...], values: NDArray[np.floating]) -> Float | None:
        """float32 [n, channels], NaN = missing, of values [n, columns]; None where no channel is among the columns.

        It may be the same array, its infinities made NaN.
        """
        if columns not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            place = {name: index for index, name in enumerate(columns)}
            pairs = [(index, place[name]) for index, name in enumerate(self._wanted) if name in place]
            into, source = np.array(pairs, np.int64).reshape(-1, 2).T
            self._known[columns] = (into, source) if pairs else None
        found = self._known[columns]
        if found is None:
            return None
        into, source = found
        with np.errstate(over="ignore"):
            if len(into) == len(self._wanted):
                same = len(columns) == len(source) and bool((source == np.arange(len(source))).all())
                return clean(
                    (values if same else values.take(source, axis=1)).astype(np.float32, order="C", copy=False)
                )
            taken = np.full((len(values), len(self._wanted)), np.nan, np.float32)
            taken[:, into] = values.take(source, axis=1)
        return clean(taken)


def clean(values: Float) -> Float:
    """The same array, infinities made NaN."""
    infinite = np.isinf(values)
    if infinite.any():
        values[infinite] = np.nan
    return values
