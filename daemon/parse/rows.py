"""Rows that were read in different ways, put together as Samples in the order of arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Samples

__all__ = ["Part", "Rows"]

#: Sets of columns that are kept apart; rows of rarer ones share Samples of so many values at most.
_SETS, _SHARED_VALUES = 16, 2**20


@dataclass(frozen=True)
class Part:
    """Rows of one set of columns. order: their places in the chunk; stream: their stream's number in `Rows`."""

    order: NDArray[np.int64]
    time: NDArray[np.int64]
    stream: NDArray[np.int32]
    values: NDArray[np.floating]


class Rows:
    """Gathers the rows of a chunk."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._numbers: dict[str, int] = {}
        self._tags: dict[str, Mapping[str, str]] = {}
        self._sets: dict[tuple[str, ...], list[Part]] = {}

    def stream(self, name: str, tags: Mapping[str, str]) -> int:
        """The number of a stream in this chunk; the last message's tags hold."""
        if tags:
            self._tags[name] = tags
        return self._numbers.setdefault(name, len(self._numbers))

    def add(self, columns: tuple[str, ...], part: Part) -> None:
        if len(part.order):
            self._sets.setdefault(columns, []).append(part)

    def samples(self) -> list[Samples]:
        names = list(self._numbers)
        return [self._samples(columns, parts, names) for columns, parts in self._few_sets()]

    def _few_sets(self) -> list[tuple[tuple[str, ...], list[Part]]]:
        sets = sorted(self._sets.items(), key=lambda item: -sum(len(part.order) for part in item[1]))
        few = sets[:_SETS]
        columns: dict[str, int] = {}
        shared: list[tuple[tuple[str, ...], Part]] = []
        rows = 0
        for names, parts in sets[_SETS:]:
            count = sum(len(part.order) for part in parts)
            wider = {**columns, **dict.fromkeys(names, 0)}
            if shared and (len(wider) > self._limits.columns or len(wider) * (rows + count) > _SHARED_VALUES):
                few.append(_widened(columns, shared))
                wider, shared, rows = dict.fromkeys(names, 0), [], 0
            columns, rows = wider, rows + count
            shared += [(names, part) for part in parts]
        return [*few, _widened(columns, shared)] if shared else few

    def _samples(self, columns: tuple[str, ...], parts: Sequence[Part], names: Sequence[str]) -> Samples:
        if len(parts) == 1:
            part = parts[0]
        else:
            order = np.concatenate([part.order for part in parts])
            rank = np.argsort(order, kind="stable")
            part = Part(
                order[rank],
                np.concatenate([part.time for part in parts])[rank],
                np.concatenate([part.stream for part in parts])[rank],
                np.concatenate([part.values for part in parts])[rank],
            )
        present = np.flatnonzero(np.bincount(part.stream, minlength=len(names)))
        stream = part.stream
        if len(present) < len(names):
            stream = np.searchsorted(present, stream).astype(np.int32)
        streams = [names[number] for number in present]
        tags = {name: self._tags[name] for name in streams if name in self._tags}
        return Samples(streams, stream, part.time, columns, part.values, tags)


def _widened(
    columns: Mapping[str, int], parts: Sequence[tuple[tuple[str, ...], Part]]
) -> tuple[tuple[str, ...], list[Part]]:
    every = tuple(sorted(columns))
    place = {name: index for index, name in enumerate(every)}
    wide = []
    for names, part in parts:
        values = np.full((len(part.order), len(every)), np.nan)
        values[:, [place[name] for name in names]] = part.values
        wide.append(Part(part.order, part.time, part.stream, values))
    return every, wide
