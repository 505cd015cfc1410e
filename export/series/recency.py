"""How errors in a window become one of a channel: later rows count for more, huge errors by their logarithm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: The last row of a window counts for 1 + STEEPNESS, the first for 1 - STEEPNESS, the rows between in proportion: the
#: score of the row at which a window ends says more of that row, and the mean over the windows that cover a row still
#: sees all of it.
STEEPNESS = 2 / 3
#: Times the usual error, from which the logarithm counts: one channel that is far off is heard over the others, and two
#: that are off are heard over one that is further off.
LOUD = 100.0


class Lately(nn.Module):
    """Weighted sums over time: [batch, time, channels] -> [batch, channels]; the weights have the mean 1.

    channels: of small windows, for which runtimes are faster with one product of everything; None for others.
    """

    weights: Tensor

    def __init__(self, time: int, channels: int | None = None) -> None:
        super().__init__()
        rows = 1 + STEEPNESS * ((2 * torch.arange(time, dtype=torch.float64) + 1) / time - 1)
        #: The least weight.
        self.least = float(rows[0])
        self._one = time == 1
        self._flat = channels is not None
        weights = rows[None] if channels is None else torch.kron(rows[:, None], torch.eye(channels, dtype=rows.dtype))
        self.register_buffer("weights", weights.float(), persistent=False)

    def forward(self, values: Tensor, factor: Tensor | None = None) -> Tensor:
        """`factor` [channels] multiplies the sums."""
        weights = self.weights
        if self._flat and not self._one:
            return values.flatten(1) @ (weights if factor is None else weights * factor)
        sums = values[:, 0] if self._one else (weights @ values)[:, 0]
        return sums if factor is None else sums * factor


def bounded_voice(relative: Tensor) -> Tensor:
    """Errors in usual ones, those above LOUD by their logarithm: LOUD * (1 + ln(error / LOUD))."""
    return relative.clamp_max(LOUD) * (torch.log(relative.clamp_min(LOUD)) + (1 - math.log(LOUD)))
