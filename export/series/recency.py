"""How errors in a window become one of a channel: late rows and its worst quarter count for more, huge errors less."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

#: The last row of a window counts for 1 + STEEPNESS, the first for 1 - STEEPNESS, the rows between in proportion: the
#: score of the row at which a window ends says more of that row, and the mean over the windows that cover a row still
#: sees all of it.
STEEPNESS = 0.5
#: Share of the worst of so many parts of the window: what lasts a part of it is not thinned out by the rest.
WORST, PARTS = 0.2, 4
#: Rows of a window whose parts are looked at, at least: of fewer each part would be a row.
FEWEST = 2 * PARTS
#: Times the usual error, from which the logarithm counts: one channel that is far off is heard over the others, and two
#: that are off are heard over one that is further off.
LOUD = 100.0


def row_weights(time: int) -> tuple[Tensor, Tensor]:
    """Means over `time` rows, and the share of each in the error, float64 [means, time] and [means, 1].

    The first is over all rows, the others over the parts of which the worst counts; of few rows there are none.
    """
    late = 1 + STEEPNESS * ((2 * torch.arange(time, dtype=torch.float64) + 1) / time - 1)
    rows = late[None] / time
    if time < FEWEST:
        return rows, torch.ones(1, 1, dtype=rows.dtype)
    sizes = [part.numel() for part in torch.arange(time).tensor_split(PARTS)]
    inside = torch.block_diag(*(torch.full((1, size), 1 / size, dtype=rows.dtype) for size in sizes))
    return torch.cat([rows, inside]), torch.tensor([1 - WORST] + PARTS * [WORST], dtype=rows.dtype)[:, None]


class Lately(nn.Module):
    """Errors [batch, time, channels] as one of each channel, [batch, channels]: a weighted mean, and the worst part.

    channels: of small windows, for which runtimes are faster with one product of everything; None for others.
    """

    weights: Tensor
    means: Tensor

    def __init__(self, time: int, channels: int | None = None) -> None:
        super().__init__()
        rows, share = row_weights(time)
        #: The least weight of a row in a mean.
        self.least = float(rows[rows > 0].min())
        self.time, self.count = time, len(rows)
        self._flat = channels is not None
        for name, matrix in (("means", rows), ("weights", rows * share)):
            if channels is not None:
                each = torch.eye(channels, dtype=rows.dtype)
                matrix = (matrix.T[:, None, :, None] * each[None, :, None, :]).reshape(time * channels, -1)
            self.register_buffer(name, matrix.float(), persistent=False)

    def forward(self, errors: Tensor, present: Tensor | None = None) -> Tensor:
        """`present` [batch, time, channels] is 1 or 0, and errors are 0 where it is; None: nothing is missing."""
        if self.time == 1:
            return errors[:, 0]
        found = self._product(errors, self.weights)
        if present is not None:
            found = found / self._product(present, self.means).clamp_min(self.least / 2)
        return found[:, 0] if self.count == 1 else found[:, 0] + found[:, 1:].amax(1)

    def _product(self, values: Tensor, weights: Tensor) -> Tensor:
        """[batch, means, channels]."""
        if not self._flat:
            return weights @ values
        return (values.flatten(1) @ weights).reshape(-1, self.count, values.shape[2])


class FoldedLately(nn.Module):
    """`Lately` times a factor [channels], float64, as exported: of flat windows [batch, time * channels].

    flat: for small windows, as one product of everything. With gaps the caller has `sums` of what is present first.
    """

    def __init__(self, time: int, factor: Tensor, *, flat: bool) -> None:
        super().__init__()
        rows, share = row_weights(time)
        self.time, self.channels, self.count, self._flat = time, len(factor), len(rows), flat
        self.least = float(rows[0].min()) / 2
        # Of what is present the parts are counted, so that the counts of all of it are sums of whole numbers.
        counted = torch.cat([rows[:1], (rows[1:] > 0).to(rows.dtype)])
        inside = torch.cat([rows[:1], counted[1:]]) * share
        # The mean and the worst part are the largest of the mean and each part.
        joined = torch.eye(1, dtype=rows.dtype)
        if self.count > 1:
            joined = torch.cat([torch.ones(PARTS, 1), torch.eye(PARTS)], 1).to(rows.dtype)
        there = (torch.arange(self.count) > 0).to(rows.dtype)[None]
        self.register_buffer("factor", factor.float())
        each = factor if flat else torch.ones_like(factor)
        self._keep("whole", joined @ (rows * share), each)
        self._keep("inside", inside, each)
        self._keep("counted", counted, torch.ones_like(factor))
        self._keep("joined", joined, torch.ones_like(factor))
        self._keep("all", torch.ones(1, time) if self.count == 1 else there, torch.ones_like(factor))

    def _keep(self, name: str, matrix: Tensor, each: Tensor) -> None:
        """A matrix of rows, or as one of flat rows with a factor for each channel."""
        if self._flat:
            matrix = (matrix.T[:, None, :, None] * torch.diag(each)[None, :, None]).flatten(2).flatten(0, 1)
        self.register_buffer(name, matrix.float().contiguous(), persistent=False)

    def forward(self, squares: Tensor, sums: Tensor | None) -> Tensor:
        """[batch, channels]; `squares` are 0 where a sample is missing; `sums` None: nothing is."""
        if self.time == 1:
            return squares * cast(Tensor, self.factor)
        if sums is None:
            found = self._product("whole", squares)
        else:
            found = self._product("inside", squares) / sums.clamp_min(self.least)
            found = found if self.count == 1 else self._product("joined", found)
        if self.count > 1:
            found = found.reshape(-1, PARTS, self.channels).amax(1)
        elif not self._flat:
            found = found[:, 0]
        return found if self._flat else found * cast(Tensor, self.factor)

    def sums(self, present: Tensor) -> Tensor:
        """What means over `present`, flat, are divided by."""
        return present if self.time == 1 else self._product("counted", present)

    def counts(self, sums: Tensor, present: Tensor) -> Tensor:
        """How many samples are present [batch, channels], by their sums or from [batch, time, channels]."""
        if self.time == 1:
            return sums
        found = self._product("all", present.flatten(1) if self.count == 1 else sums)
        return found if self._flat else found[:, 0]

    def _product(self, name: str, values: Tensor) -> Tensor:
        matrix = cast(Tensor, getattr(self, name))
        if self._flat:
            return values @ matrix
        return matrix @ (values if values.ndim == 3 else values.reshape(-1, self.time, self.channels))


def bounded_voice(relative: Tensor) -> Tensor:
    """Errors in usual ones, those above LOUD by their logarithm: LOUD * (1 + ln(error / LOUD))."""
    return relative.clamp_max(LOUD) * (torch.log(relative.clamp_min(LOUD)) + (1 - math.log(LOUD)))
