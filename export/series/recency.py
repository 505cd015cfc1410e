"""How errors in a window become one of a channel: late rows and its worst quarter count for more, huge errors less."""

from __future__ import annotations

import math

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


class Lately(nn.Module):
    """Errors [batch, time, channels] as one of each channel, [batch, channels]: a weighted mean, and the worst part.

    channels: of small windows, for which runtimes are faster with one product of everything; None for others.
    """

    weights: Tensor
    means: Tensor

    def __init__(self, time: int, channels: int | None = None) -> None:
        super().__init__()
        late = 1 + STEEPNESS * ((2 * torch.arange(time, dtype=torch.float64) + 1) / time - 1)
        rows = late[None] / time
        share = torch.ones(1, 1, dtype=rows.dtype)
        if time >= FEWEST:
            sizes = [part.numel() for part in torch.arange(time).tensor_split(PARTS)]
            inside = torch.block_diag(*(torch.full((1, size), 1 / size, dtype=rows.dtype) for size in sizes))
            rows = torch.cat([rows, inside])
            share = torch.tensor([1 - WORST] + PARTS * [WORST], dtype=rows.dtype)[:, None]
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


def bounded_voice(relative: Tensor) -> Tensor:
    """Errors in usual ones, those above LOUD by their logarithm: LOUD * (1 + ln(error / LOUD))."""
    return relative.clamp_max(LOUD) * (torch.log(relative.clamp_min(LOUD)) + (1 - math.log(LOUD)))
