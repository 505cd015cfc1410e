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
#: Times the usual error, from which the logarithm counts: one channel that is far off is heard over the others, and two
#: that are off are heard over one that is further off.
LOUD = 100.0


class Lately(nn.Module):
    """Errors [batch, time, channels] as one of each channel, [batch, channels]: a weighted mean, and the worst part.

    channels: of small windows, for which runtimes are faster with one product of everything; None for others.
    """

    weights: Tensor

    def __init__(self, time: int, channels: int | None = None) -> None:
        super().__init__()
        late = 1 + STEEPNESS * ((2 * torch.arange(time, dtype=torch.float64) + 1) / time - 1)
        parts = [part.numel() for part in torch.arange(time).tensor_split(min(PARTS, time))]
        inside = torch.block_diag(*(torch.full((1, size), 1 / size, dtype=late.dtype) for size in parts))
        rows = torch.cat([late[None] / time, inside])
        #: The least weight of a row in a mean.
        self.least = float(rows[rows > 0].min())
        self.time, self.means = time, len(rows)
        self._flat = channels is not None
        if channels is not None:
            rows = torch.kron(rows.T.contiguous(), torch.eye(channels, dtype=rows.dtype))
        self.register_buffer("weights", rows.float(), persistent=False)

    def forward(self, errors: Tensor, present: Tensor | None = None) -> Tensor:
        """`present` [batch, time, channels] is 1 or 0, and errors are 0 where it is; None: nothing is missing."""
        if self.time == 1:
            return errors[:, 0]
        means = self._sums(errors)
        if present is not None:
            means = means / self._sums(present).clamp_min(self.least / 2)
        return (1 - WORST) * means[:, 0] + WORST * means[:, 1:].amax(1)

    def _sums(self, values: Tensor) -> Tensor:
        """[batch, 1 + parts, channels]."""
        if not self._flat:
            return self.weights @ values
        return (values.flatten(1) @ self.weights).reshape(-1, self.means, values.shape[2])


def bounded_voice(relative: Tensor) -> Tensor:
    """Errors in usual ones, those above LOUD by their logarithm: LOUD * (1 + ln(error / LOUD))."""
    return relative.clamp_max(LOUD) * (torch.log(relative.clamp_min(LOUD)) + (1 - math.log(LOUD)))
