"""Windows or pictures that are taken by number: in order, spread over all, or shuffled without end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset


class Numbered(Protocol):
    """Windows, or pictures, that are taken by number."""

    def __len__(self) -> int: ...

    def take(self, numbers: NDArray[np.integer]) -> Tensor:
        """Those of these numbers (0 .. len - 1), float32 [n, ...]."""


def spread(items: Numbered, most: int) -> Tensor:
    """At most so many items, evenly spread over all: float32 [n, ...]."""
    return items.take(_spread(len(items), most))


def spread_lazily(items: Numbered, most: int) -> Numbered:
    """What `spread` gives, to be taken part by part."""
    return Chosen(items, _spread(len(items), most))


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


@dataclass(frozen=True)
class Chosen:
    """Some of the items, by their numbers."""

    items: Numbered
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, numbers: NDArray[np.integer]) -> Tensor:
        """As of all items: 0 is the first that was chosen."""
        return self.items.take(self.numbers[numbers])


@dataclass(frozen=True)
class Batches:
    """All items in order, batch after batch, as often as it is asked: float32 [batch, ...]."""

    items: Numbered
    batch: int

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.items), self.batch):
            yield self.items.take(np.arange(start, min(start + self.batch, len(self.items))))


def thinned(batches: Iterable[Tensor], each: int, most: int) -> Tensor:
    """About `each` items of every batch, then evenly spread ones of these, `most` at the most: float32 [n, ...].

    The batches are gone through twice, so that no more than two batches and the items are in memory.
    """
    count = sum(len(range(0, len(batch), max(1, len(batch) // each))) for batch in batches)
    step, seen, kept = -(-count // most), 0, []
    for batch in batches:
        some = batch[:: max(1, len(batch) // each)]
        kept.append(some[-seen % step :: step].clone())
        seen += len(some)
    return torch.cat(kept)


class Shuffled(Dataset[Tensor]):
    """Items without end: number i is one of epoch i // n, and every item comes once in an epoch."""

    def __init__(self, items: Numbered, seed: int) -> None:
        self.items, self.seed = items, seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __getitem__(self, index: int) -> Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Tensor]:
        """The items of a batch at once, which is many times faster than one by one."""
        return list(self.items.take(np.array([self._number(index) for index in indices], np.int64)))

    def _number(self, index: int) -> int:
        epoch, place = divmod(index, len(self.items))
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.items))
            self._epoch = epoch
        return int(self._order[place])
