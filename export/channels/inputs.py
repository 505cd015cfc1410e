"""What of a window the network sees: the channels that were measured, and of counters their steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from aez.export.channels.kinds import Kinds, Rows

__all__ = ["LearnedChannels", "learned_rows"]


class LearnedChannels(nn.Module):
    """window float32 [batch, time, channels], raw -> [batch, time, learned channels], NaN where a sample is missing.

    A counter's value is its step from the row before, the first row's that of the second; where it starts again, which
    a step down says, the usual step stands. `rates` [counters] are the usual steps.
    """

    rates: Tensor
    measured: Tensor
    counters: Tensor

    def __init__(self, kinds: Kinds, rates: Tensor | None = None) -> None:
        super().__init__()
        measured, counters = kinds.places("measured"), kinds.places("counter")
        self._plain, self._counts = kinds.plain, bool(counters)
        self.register_buffer("measured", torch.tensor(measured, dtype=torch.int64), persistent=False)
        self.register_buffer("counters", torch.tensor(counters, dtype=torch.int64), persistent=False)
        # Where each channel's reconstruction stands: in the network's, or behind it, in the window as it came.
        total, learned = len(kinds.names), kinds.learned
        sources = [learned.index(place) if place in measured else len(learned) + place for place in range(total)]
        self.register_buffer("sources", torch.tensor(sources), persistent=False)
        self.register_buffer("rates", torch.zeros(len(counters)) if rates is None else rates)

    def forward(self, window: Tensor) -> Tensor:
        if self._plain:
            return window
        if not self._counts:
            return window.index_select(2, self.measured)
        counted = window.index_select(2, self.counters)
        steps = counted[:, 1:] - counted[:, :-1]
        steps = torch.where(steps < 0, self.rates, steps)
        rates = torch.cat([steps[:, :1], steps], 1)
        return torch.cat([window.index_select(2, self.measured), rates], 2)


def learned_rows(rows: Rows, kinds: Kinds) -> Rows:
    """The rows [time, channels] of one series as the network sees them [time, learned channels]."""
    if kinds.plain:
        return rows
    counted = rows[:, kinds.places("counter")]
    steps = np.diff(counted, axis=0)
    steps[steps < 0] = np.nan
    rates = np.concatenate([steps[:1], steps]) if len(steps) else np.full_like(counted, np.nan)
    return np.concatenate([rows[:, kinds.places("measured")], rates], axis=1)
