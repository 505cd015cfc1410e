"""Integer probability tables: from probabilities to weights that sum to 2^24, checked, packed for the coder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from aez.codec.entropy.hyper_context import CONTEXTS
from aez.codec.entropy.quality import KNOTS, LEVELS_PER_KNOT, nearest_knot
from aez.codec.errors import InvalidArgument, ModelError

Int32 = NDArray[np.int32]
PRECISION = 24
TOTAL = 1 << PRECISION


#: Symbols are smaller than this in absolute value, so that sums of them stay far from int32's limits.
SYMBOL_LIMIT = 1 << 20


def quantize_table(pmf: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Nearest integer table of a probability mass function: all weights >= 1, the sum exactly 2^24.

    `pmf` is [k], non-negative and finite, of any positive sum. The result is the same on every machine: the sum is
    correctly rounded, and weights that rounding down left over go to the largest remainders, first come first served.
    Raises InvalidArgument.
    """
    pmf = np.asarray(pmf, np.float64)
    if pmf.ndim != 1 or not 2 <= pmf.size <= TOTAL // 2:
        raise InvalidArgument(f"a probability table needs one axis of 2..{TOTAL // 2} entries, not shape {pmf.shape}")
    lowest, highest = float(pmf.min()), float(pmf.max())
    if not (lowest >= 0 and 0 < highest < math.inf):
        raise InvalidArgument(f"probabilities must be finite and >= 0, not all zero; they are {lowest}..{highest}")
    pmf = pmf / highest  # so that the sum cannot overflow
    free = TOTAL - pmf.size  # every symbol has one unit for certain
    share = pmf / math.fsum(pmf.tolist()) * free
    weights = np.floor(share).astype(np.int64)
    left = free - int(weights.sum())
    step = 1 if left > 0 else -1
    order = np.argsort(-step * (share - weights), kind="stable")
    while left != 0:  # once, but for rounding errors in `share`
        chosen = order[weights[order] + step >= 0][: abs(left)]
        weights[chosen] += step
        left -= step * chosen.size
    return (weights + 1).astype(np.uint32)


class Tables:
    """Ragged integer probability tables.

    Table i is `weights[starts[i]:starts[i + 1]]`, of 2m + 2 entries: the symbols -m..m, then ESCAPE, which stands for
    every other value. All weights are >= 1 and sum to 2^24. Raises ModelError where that does not hold.
    """

    def __init__(self, weights: NDArray[np.uint32], starts: NDArray[np.int64]) -> None:
        _check_tables(weights, starts)
        self.weights = weights
        self.starts = starts
        #: int32 [n]: m of each table, the largest symbol that needs no escape.
        self.reach: Int32 = ((np.diff(starts) - 2) // 2).astype(np.int32)
        self._models: list[Any] = [None] * self.reach.size

    @classmethod
    def from_list(cls, tables: list[NDArray[np.uint32]]) -> Tables:
        """Tables from one array per table."""
        starts = np.cumsum([0, *(len(table) for table in tables)], dtype=np.int64)
        return cls(np.concatenate(tables).astype(np.uint32), starts)

    def __len__(self) -> int:
        """Count of tables."""
        return self.reach.size

    def __getitem__(self, number: int) -> NDArray[np.uint32]:
        """Weights of one table, uint32 [2m + 2]."""
        return self.weights[self.starts[number] : self.starts[number + 1]]

    def model(self, number: int) -> Any:
        """Constriction's model of one table, made at first use: it represents the integer weights exactly."""
        model = self._models[number]
        if model is None:
            # It gives each symbol one unit and shares the remaining 2^24 - k out; w - 1 sums to just that, unscaled.
            shares = (self[number] - 1).astype(np.float64)
            model = constriction.stream.model.Categorical(shares, perfect=False)
            self._models[number] = model
        return model


def _check_tables(weights: NDArray[np.uint32], starts: NDArray[np.int64]) -> None:
    if weights.dtype != np.uint32 or weights.ndim != 1 or starts.dtype != np.int64 or starts.ndim != 1:
        raise ModelError(
            "probability tables need uint32 weights and int64 starts with one axis each, "
            f"not {weights.dtype} {weights.shape} and {starts.dtype} {starts.shape}"
        )
    if starts.size < 2 or starts[0] != 0 or starts[-1] != weights.size or bool((starts[1:] < starts[:-1]).any()):
        raise ModelError(f"the starts of the {starts.size - 1} probability tables do not span {weights.size} weights")
    lengths = np.diff(starts)
    bad = np.flatnonzero((lengths < 2) | (lengths % 2 == 1) | (lengths > 2 * SYMBOL_LIMIT))
    if bad.size:
        raise ModelError(f"probability table {bad[0]} has {lengths[bad[0]]} entries, which is not 2m + 2")
    sums = np.add.reduceat(weights.astype(np.uint64), starts[:-1])
    bad = np.flatnonzero((sums != TOTAL) | (np.minimum.reduceat(weights, starts[:-1]) == 0))
    if bad.size:
        raise ModelError(f"probability table {bad[0]} is not made of positive weights with the sum {TOTAL}")


@dataclass(frozen=True)
class TileTables:
    """All tables that a tile needs.

    `hyper` holds at most 256 tables, of which number 0 is never used; `numbers` uint8 [knots, CONTEXTS, Cz] says which
    of them codes the hyper-latents of a channel in a context, at each knot of the quality scale. `residual` holds one
    table for each scale index, of which number 0 is never used.
    """

    hyper: Tables
    numbers: NDArray[np.uint8]
    residual: Tables

    def __post_init__(self) -> None:
        """Raise ModelError where the tables do not fit."""
        numbers = self.numbers
        if numbers.dtype != np.uint8 or numbers.ndim != 3 or numbers.shape[1] != CONTEXTS or not numbers.size:
            raise ModelError(
                f"the numbers of hyper tables are uint8 [knots, {CONTEXTS}, channels], not {numbers.dtype} "
                f"{list(numbers.shape)}"
            )
        if numbers.min() == 0 or numbers.max() >= len(self.hyper):
            raise ModelError(
                f"hyper tables have the numbers 1..{len(self.hyper) - 1}, not {numbers.min()}..{numbers.max()}"
            )
        for name, tables in (("hyper", self.hyper), ("residual", self.residual)):
            if len(tables) > 256:
                raise ModelError(f"{len(tables)} {name} tables are more than a number of 8 bits can name")

    @property
    def hyper_channels(self) -> int:
        """Cz."""
        channels: int = self.numbers.shape[2]
        return channels

    @classmethod
    def load(cls, array: Callable[[str], NDArray[Any]], hyper_channels: int) -> TileTables:
        """Tables from the arrays of a bundle; `array` is `Bundle.array`. Raises ModelError."""
        hyper = Tables(array("hyper_weights"), array("hyper_starts"))
        residual = Tables(array("residual_weights"), array("residual_starts"))
        tables = cls(hyper, array("hyper_numbers"), residual)
        if len(tables.numbers) != KNOTS:
            raise ModelError(f"there are hyper tables for {len(tables.numbers)} knots of the quality, not {KNOTS}")
        if tables.hyper_channels != hyper_channels:
            raise ModelError(f"there are hyper tables for {tables.hyper_channels} channels, not {hyper_channels}")
        return tables

    def hyper_numbers(self, level: int) -> NDArray[np.uint8]:
        """Numbers of the hyper tables at a quality level, uint8 [CONTEXTS, Cz]. Raises InvalidArgument."""
        level_max = (len(self.numbers) - 1) * LEVELS_PER_KNOT
        if not 0 <= level <= level_max:
            raise InvalidArgument(f"quality level {level} is outside this model's 0..{level_max}")
        numbers: NDArray[np.uint8] = self.numbers[nearest_knot(level)]
        return numbers
