"""A channel that moves less than it ever did in training: what stands still is reconstructed well, and is no less wrong.

How far a channel moves in a window is its highest value less its lowest, which the graph needs anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.export.series.windows import Rows

__all__ = ["QuietVoice", "least_motion"]

#: A channel is too quiet, with a score of 1, where it moves by this share of the least that training showed; the score
#: rises from 0 at `_FROM` of it to `TOP` at none.
_ALARM, _FROM, TOP = 0.5, 0.75, 2.0
#: Shorter windows show too little of how a channel moves.
SHORTEST = 8
#: Motion below this (in widths), or so few times what float32 resolves at the channel's size, is none.
_LEAST, _RESOLVED = 1e-3, 16.0


class QuietVoice(nn.Module):
    """(Lowest, highest) [batch, channels] in widths -> score [batch, channels], 0 to `TOP`; 0 until `set`.

    `counts` [batch, channels] is how many of the window's samples are there; with less than half of them a channel is
    not judged. None: all are.
    """

    offset: Tensor
    slope: Tensor

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("offset", torch.zeros(channels))
        self.register_buffer("slope", torch.zeros(channels))

    def forward(self, lowest: Tensor, highest: Tensor, counts: Tensor | None = None) -> Tensor:
        voice = (self.offset - self.slope * (highest - lowest)).clamp(0.0, TOP)
        return voice if counts is None else voice * (2 * counts >= self.window).to(voice.dtype)

    def set(self, motion: NDArray[np.float64]) -> None:
        """Take the least motion [channels] in widths that training showed; NaN or 0 for a channel that may rest."""
        watched = np.isfinite(motion) & (motion > 0)
        steep = 1 / (_FROM - _ALARM)
        self.offset.copy_(torch.from_numpy(np.where(watched, steep * _FROM, 0.0).astype(np.float32)))
        slope = np.where(watched, steep / np.where(watched, motion, 1.0), 0.0)
        self.slope.copy_(torch.from_numpy(slope.astype(np.float32)))


def least_motion(
    runs: Sequence[Rows], window: int, centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The least that each channel moved in any window of runs [time, channels], in widths of `scale`; NaN: unknown.

    Windows that lack half of a channel's samples say nothing of it.
    """
    channels = len(centre)
    least = np.full(channels, np.inf)
    if window < SHORTEST:
        return np.full(channels, np.nan)
    for run in runs:
        if len(run) < window:
            continue
        values = torch.from_numpy(np.ascontiguousarray(run.T, np.float32))[None]
        missing = values.isnan()
        low = -torch.nn.functional.max_pool1d(-values.masked_fill(missing, torch.inf), window, 1)
        high = torch.nn.functional.max_pool1d(values.masked_fill(missing, -torch.inf), window, 1)
        lacking = torch.nn.functional.avg_pool1d(missing.float(), window, 1) > 0.5
        moved = torch.where(lacking, torch.inf, high - low)
        least = np.minimum(least, moved[0].amin(1).double().numpy())
    least = np.where(np.isfinite(least), least / scale, np.nan)
    resolved = _RESOLVED * np.spacing(np.abs(centre).astype(np.float32)).astype(np.float64) / scale
    return np.where(least > np.maximum(_LEAST, resolved), least, 0.0)
