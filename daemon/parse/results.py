"""What becomes of a chunk's messages: rows, put together as Samples in the order of arrival, and malformed ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.series.zones import LocalTimes
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Malformed, Samples

__all__ = ["REASONS", "BadPart", "ChunkRows", "Message", "MessageFault", "MessageFaults", "RowPart"]

#: Every reason of a Malformed, for counters.
REASONS = (
    "too_long",  # more bytes than a message may have
    "encoding",  # not UTF-8
    "syntax",  # not of the format
    "too_deep",  # objects within objects
    "not_an_object",  # JSON, but neither an object nor a list of them
    "too_many_columns",
    "bad_name",  # of a column: too long
    "no_values",  # nothing in it that is taken
    "missing_column",  # one that every message must have
    "wrong_type",  # text where a number belongs
    "too_large",  # a number beyond the limit on magnitudes
    "no_time",
    "bad_time",
    "no_stream",  # it lacks what the stream's name is made from
    "bad_stream",  # a name that is empty, too long or has control characters
    "unknown_stream",  # none of the configured patterns
    "too_many_streams",
    "bad_image",  # damaged, or of no format that is read here
    "too_many_pixels",
    "no_model",  # an image of a stream that no model of pictures watches
)
_KEPT_BYTES = 1000
#: Reasons that refuse a stream by its name: there may be any number of such names.
_BY_NAME = ("bad_stream", "unknown_stream", "too_many_streams")
#: Sets of columns that are kept apart; rows of rarer ones share Samples of so many values at most.
_SETS, _SHARED_VALUES = 16, 2**20


class MessageFault(Exception):
    """What is wrong with one message; caught within the parser.

    stream: the name that it was refused by. keys: what is known of the message beside its values; None: nothing.
    """

    def __init__(self, reason: str, detail: str, stream: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.stream = stream
        self.keys: Mapping[str, str] | None = None

    def of(self, keys: Mapping[str, str]) -> MessageFault:
        """The same, with what tells the message's stream."""
        self.keys = keys
        return self


@dataclass(slots=True)
class Message:
    """One message read the careful way. time: int, float, text or None; keys: texts; values by new names.

    raw: what it was made from, where that is not the whole line.
    """

    time: int | float | str | None
    keys: dict[str, str]
    values: dict[str, float]
    raw: Any = None


@dataclass(frozen=True)
class BadPart:
    """A message among others of a line that cannot be used, and why."""

    fault: MessageFault
    raw: Any


class MessageFaults:
    """The malformed messages of one chunk: the first `kept` of each reason one by one, of the rest their number.

    The rest is counted by stream where the stream itself was taken, so that there are no more numbers than streams.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._counts: Counter[str] = Counter()
        self._rest: Counter[tuple[str, str]] = Counter()
        self._list: list[Malformed] = []

    def add(self, reason: str, detail: str, data: bytes, count: int = 1, stream: str = "") -> None:
        if self._counts[reason] < self._kept:
            self._list.append(Malformed(reason, detail, data[:_KEPT_BYTES], count, stream))
        else:
            self._rest[reason, "" if reason in _BY_NAME else stream] += count
        self._counts[reason] += count

    def result(self) -> list[Malformed]:
        rest = self._rest.items()
        return self._list + [Malformed(reason, f"{count} more", b"", count, name) for (reason, name), count in rest]


@dataclass(frozen=True)
class RowPart:
    """Rows of one set of columns.

    order: places in the chunk. stream: the streams' numbers in `ChunkRows`. later: of local times that come twice, how
    much later they may be, ns; None where there are none.
    """

    order: NDArray[np.int64]
    time: NDArray[np.int64]
    stream: NDArray[np.int32]
    values: NDArray[np.floating]
    later: NDArray[np.int64] | None = None

    def rows(self, which: NDArray[np.int64]) -> RowPart:
        """Some of the rows."""
        return RowPart(self.order[which], self.time[which], self.stream[which], self.values[which])


class ChunkRows:
    """Gathers the rows of a chunk; `local` knows the local times of its streams."""

    def __init__(self, limits: Limits, local: LocalTimes | None = None) -> None:
        self._limits, self._local = limits, local
        self._numbers: dict[str, int] = {}
        self._tags: dict[str, Mapping[str, str]] = {}
        self._sets: dict[tuple[str, ...], list[RowPart]] = {}
        self._sent: list[int] = []

    def sent(self, first: int, behind: int) -> None:
        """The rows with these places were sent at once, as one message or body; such ranges rise and do not overlap.

        Where those of a stream stand the newest first, they are turned round.
        """
        self._sent += (first, behind)

    def falls(self) -> bool:
        """Whether a time is older than one before it, of the same set of columns."""
        return any((part.time[1:] < part.time[:-1]).any() for parts in self._sets.values() for part in parts)

    def stream(self, name: str, tags: Mapping[str, str]) -> int:
        """The number of a stream in this chunk; the last message's tags hold."""
        if tags:
            self._tags[name] = tags
        return self._numbers.setdefault(name, len(self._numbers))

    def add(self, columns: tuple[str, ...], part: RowPart) -> None:
        if len(part.order):
            self._sets.setdefault(columns, []).append(part)

    def samples(self) -> list[Samples]:
        """Samples for each set of columns; of several, `order` tells how their rows came."""
        names = list(self._numbers)
        if self._local is not None and any(part.later is not None for parts in self._sets.values() for part in parts):
            self._settle(self._local, names)
        if self._sent and self.falls():
            self._turn()
        sets = self._few_sets()
        return [
            self._samples(columns, parts, names, (number + 1 < len(sets)) if len(sets) > 1 else None, wide)
            for number, (columns, parts, wide) in enumerate(sets)
        ]

    def _settle(self, local: LocalTimes, names: Sequence[str]) -> None:
        """Give local times that come twice their meaning, stream by stream in the order of arrival."""
        parts = [part for parts in self._sets.values() for part in parts]
        order, time, stream = (np.concatenate([each[at] for each in map(_fields, parts)]) for at in range(3))
        later = np.concatenate(
            [np.zeros(len(one.order), np.int64) if one.later is None else one.later for one in parts]
        )
        rank = np.lexsort((order, stream))
        begins = np.flatnonzero(np.append(True, np.diff(stream[rank]) != 0))
        for place in np.split(rank, begins[1:]):
            time[place] = local.settle(names[stream[place[0]]], time[place], later[place])
        at = 0
        for found in self._sets.values():
            for index, part in enumerate(found):
                found[index] = replace(part, time=time[at : at + len(part.order)], later=None)
                at += len(part.order)

    def _turn(self) -> None:
        """Turn round what was sent at once with the newest first."""
        parts = [part for parts in self._sets.values() for part in parts]
        order, time, stream = (np.concatenate([each[at] for each in map(_fields, parts)]) for at in range(3))
        sent = np.searchsorted(np.array(self._sent), order, side="right")  # odd within a range
        rank = np.lexsort((order, stream, sent))
        new = np.append(True, (np.diff(sent[rank]) != 0) | (np.diff(stream[rank]) != 0))
        begins = np.flatnonzero(new)
        lasts = np.append(begins[1:], len(rank)) - 1
        falls = np.append(0, np.diff(time[rank]))
        rises = np.logical_or.reduceat((falls > 0) & ~new, begins)
        turned = ~rises & (time[rank][lasts] < time[rank][begins]) & (sent[rank][begins] % 2 == 1)
        for begin, last in zip(begins[turned].tolist(), lasts[turned].tolist(), strict=True):
            places = rank[begin : last + 1]
            order[places] = order[places][::-1]
        at = 0
        for found in self._sets.values():
            for index, part in enumerate(found):
                found[index] = replace(part, order=order[at : at + len(part.order)])
                at += len(part.order)

    def _few_sets(self) -> list[tuple[tuple[str, ...], list[RowPart], bool]]:
        """Columns, parts, and whether they are of several sets; the rarer sets share some."""
        sets = sorted(self._sets.items(), key=lambda item: -sum(len(part.order) for part in item[1]))
        few = [(names, parts, False) for names, parts in sets[:_SETS]]
        columns: dict[str, int] = {}
        shared: list[tuple[tuple[str, ...], RowPart]] = []
        rows = 0
        for names, parts in sets[_SETS:]:
            count = sum(len(part.order) for part in parts)
            wider = {**columns, **dict.fromkeys(names, 0)}
            if shared and (len(wider) > self._limits.columns or len(wider) * (rows + count) > _SHARED_VALUES):
                few.append((*_widened(columns, shared), True))
                wider, shared, rows = dict.fromkeys(names, 0), [], 0
            columns, rows = wider, rows + count
            shared += [(names, part) for part in parts]
        return [*few, (*_widened(columns, shared), True)] if shared else few

    def _samples(
        self, columns: tuple[str, ...], parts: Sequence[RowPart], names: Sequence[str], more: bool | None, wide: bool
    ) -> Samples:
        """`more` is None where these are the only ones."""
        part = _joined(parts)
        present = np.flatnonzero(np.bincount(part.stream, minlength=len(names)))
        stream = part.stream
        if len(present) < len(names):
            stream = np.searchsorted(present, stream).astype(np.int32)
        streams = [names[number] for number in present]
        tags = {name: self._tags[name] for name in streams if name in self._tags}
        order = None if more is None else part.order
        return Samples(streams, stream, part.time, columns, part.values, tags, order, bool(more), wide)


def _fields(part: RowPart) -> tuple[NDArray[Any], ...]:
    return part.order, part.time, part.stream


def _joined(parts: Sequence[RowPart]) -> RowPart:
    """One part of several, in the order of arrival."""
    order = np.concatenate([part.order for part in parts]) if len(parts) > 1 else parts[0].order
    rising = (order[1:] >= order[:-1]).all()
    if len(parts) == 1 and rising:
        return parts[0]
    joined = RowPart(
        order,
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.stream for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
    return joined if rising else joined.rows(np.argsort(order, kind="stable"))


def _widened(
    columns: Mapping[str, int], parts: Sequence[tuple[tuple[str, ...], RowPart]]
) -> tuple[tuple[str, ...], list[RowPart]]:
    every = tuple(sorted(columns))
    place = {name: index for index, name in enumerate(every)}
    wide = []
    for names, part in parts:
        values = np.full((len(part.order), len(every)), np.nan)
        values[:, [place[name] for name in names]] = part.values
        wide.append(RowPart(part.order, part.time, part.stream, values))
    return every, wide
