"""A channel that never moved in training and moves now: heard, and within bounds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from aez.export.channels.kinds import Kinds

__all__ = ["StillVoice"]

#: What such a channel adds to the score at most, and what one adds that looks like a command nobody gave yet: it rests
#: at a value that at least `_COMMANDS` states have, too. On SMD what never moved moves in anomalies alone.
TOP, COMMAND_TOP, _COMMANDS = 20.0, 0.5, 3
#: It moves by widths of this share of its value; the score is half of their number.
_WIDTH, _TINY = 1e-3, 1e-6


class StillVoice(nn.Module):
    """window float32 [batch, time, channels], raw -> score [batch, still channels], by its last row alone.

    0 where a channel stands as ever or is missing.
    """

    places: Tensor
    rest: Tensor
    slope: Tensor
    top: Tensor

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        places = kinds.places("constant")
        rest = np.array([kinds.low[place] for place in places], np.float32)
        states = Counter(value for place in kinds.places("state") for value in kinds.values[place])
        top = [COMMAND_TOP if states[float(value)] >= _COMMANDS else TOP for value in rest]
        width = np.maximum(_WIDTH * np.abs(rest), _TINY)
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)
        self.register_buffer("rest", torch.from_numpy(rest), persistent=False)
        self.register_buffer("slope", torch.from_numpy(0.5 / width), persistent=False)
        self.register_buffer("top", torch.tensor(top), persistent=False)

    def forward(self, window: Tensor) -> Tensor:
        last = window[:, -1].index_select(1, self.places)
        moved = torch.minimum((last - self.rest).abs() * self.slope, self.top)
        return torch.where(torch.isnan(last), 0.0, moved)
