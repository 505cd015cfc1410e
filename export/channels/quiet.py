"""A channel that moves less than it ever did in training: what stands still is reconstructed well, and still wrong.

How far a channel moves in a window is its highest value less its lowest, which the graph needs anyway.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.export.channels.kinds import Rows

__all__ = ["QuietVoice", "least_motion"]

#: A channel is too quiet, with a score of 1, where it moves by `_ALARM` of what training leads to expect at least; the
#: score rises from 0 at `_FROM` of it to `TOP` at none.
_ALARM, _FROM, TOP = 0.25, 0.375, 2.0
#: Shorter windows show too little of how a channel moves.
SHORTEST = 8
#: The training rows are cut into so many parts. What is to be expected at least lies so many times further below the
#: least of all parts than that lies below their usual least, in logarithms: servers have calm days, and calmer ones.
_PARTS, _BELOW = 10, 2.0
#: A channel whose least is less than this share of its usual motion may rest, for all that training tells.
_RESTS = 0.2
#: A coarse sensor moves in steps: its least motion holds at least so many, or it may well be none.
_STEPS = 3.0
#: Values that tell its steps, and windows that tell its usual motion.
_SEEN, _USUAL_SEEN = 5000, 50_000
#: Motion below this (in widths), or so few times what float32 resolves at the channel's size, is none.
_LEAST, _RESOLVED = 1e-3, 16.0


class QuietVoice(nn.Module):
    """(Lowest, highest) [batch, channels] in widths -> score [batch, channels], 0 to `TOP`; 0 until `set`.

    `counts` [batch, channels] is how many of the window's samples are there; with less than half of them a channel is
    not judged, and with gaps it is judged with its median in their place, which never makes it quieter. None: all are.
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
        """Take the least motion [channels] in widths that is to be expected; NaN or 0 for a channel that may rest."""
        watched = np.isfinite(motion) & (motion > 0)
        steep = 1 / (_FROM - _ALARM)
        self.offset.copy_(torch.from_numpy(np.where(watched, steep * _FROM, 0.0).astype(np.float32)))
        slope = np.where(watched, steep / np.where(watched, motion, 1.0), 0.0)
        self.slope.copy_(torch.from_numpy(slope.astype(np.float32)))


def least_motion(
    runs: Sequence[Rows], window: int, centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The least that each channel is to be expected to move in windows, by runs of rows [time, channels], in widths.

    0 for one that rests now and then, or comes too near to it; NaN: unknown. Windows that lack half of a channel's
    samples say nothing of it.
    """
    runs = [run for run in runs if len(run) >= window]
    if window < SHORTEST or not runs:
        return np.full(len(centre), np.nan)
    most = max(window, -(-sum(map(len, runs)) // _PARTS))
    parts = [part for run in runs for part in _cut(run, most, window)]
    stride = max(1, window // 4, sum(map(len, parts)) // _USUAL_SEEN)
    lows, some = [], []
    for part in parts:  # one after the other, as all their windows take more memory than the rows
        found = _motions(part, window)
        lows.append(np.nanmin(np.where(np.isnan(found), np.inf, found), axis=1))
        some.append(found[:, ::stride].copy())
    least = np.array(lows)  # [parts, channels]
    seen = np.isfinite(least).any(axis=0)
    low = np.where(seen, np.where(np.isfinite(least), least, np.inf).min(axis=0), 0.0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usual_least = np.nanmean(np.log(np.where(np.isfinite(least), least, np.nan)), axis=0)
        expected = low * np.exp(_BELOW * (np.log(low) - usual_least))
        usual = np.nanmedian(np.concatenate(some, axis=1), axis=1)
    resolved = _RESOLVED * np.spacing(np.abs(centre).astype(np.float32))
    steps = np.array([_step(np.concatenate([run[:, place] for run in runs])) for place in range(len(centre))])
    watched = (low >= np.maximum(_RESTS * usual, _STEPS * steps)) & (expected > np.maximum(_LEAST * scale, resolved))
    return np.where(seen, np.where(watched, expected / scale, 0.0), np.nan)


def _cut(run: Rows, most: int, window: int) -> list[Rows]:
    """The run in parts of about `most` rows, each with a window at least."""
    count = max(1, len(run) // most)
    return [part for part in np.array_split(run, count) if len(part) >= window]


def _step(column: Rows) -> float:
    """The least by which two of a channel's values differ."""
    column = column[np.isfinite(column)]
    gaps = np.diff(np.unique(column[:: max(1, len(column) // _SEEN)]).astype(np.float64))
    return float(gaps.min()) if len(gaps) else 0.0


def _motions(run: Rows, window: int) -> NDArray[np.float64]:
    """How far each channel moves in each window of a run, float64 [channels, windows], NaN where half is missing."""
    values = torch.from_numpy(np.ascontiguousarray(run.T, np.float32))[None]
    missing = values.isnan()
    low = -torch.nn.functional.max_pool1d(-values.masked_fill(missing, torch.inf), window, 1)
    high = torch.nn.functional.max_pool1d(values.masked_fill(missing, -torch.inf), window, 1)
    lacking = torch.nn.functional.avg_pool1d(missing.float(), window, 1) > 0.5
    return torch.where(lacking, torch.nan, high - low)[0].double().numpy()
