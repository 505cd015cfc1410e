"""Seasons in a detector's graph: rows in widths from what is usual at their phase, and how far a row itself is away.

The network sees what the seasons leave. What it can say of a single channel is little, as slow noise is what it
reconstructs best; so the errors of the last rows of the channels that have seasons count by themselves, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.detect.rhythm.seasons import Seasons
from aez.export.series.scaling import LIMIT
from aez.export.series.windows import Rows

__all__ = ["SeasonGraph", "SeasonParts", "calibrated_parts", "with_neutral"]

Floats = NDArray[np.float64]
#: The parts of the score are made alike at this quantile of held-out windows.
_ALIKE = 0.99
#: The network's score counts so much beside the last rows' own: it stays loud while what was wrong leaves the window.
#: On the suite of rhythms, hourly, the mean AUC-PR is 0.78 with 1, 0.91 with a half, 0.95 with a quarter.
_NETWORK = 0.5
#: What is usual shrinks to this share at most where a level multiplies.
_LEAST = 0.05


@dataclass(frozen=True, eq=False)
class SeasonParts:
    """What a graph with seasons has beside the one for rows in widths.

    tail: the last rows whose errors count. factor: float32 [channels], what the mean square of their widths is
    multiplied with to be of the same size as the network's score before the threshold; 0 for channels without seasons.
    """

    seasons: Seasons
    tail: int
    factor: NDArray[np.float32]

    def scores(self, windows: Tensor) -> Tensor:
        """By the last rows alone, before the threshold, of windows in widths [n, time, channels]: [n, channels]."""
        return _mean_square(windows, self.tail) * torch.from_numpy(self.factor)


def _mean_square(windows: Tensor, tail: int) -> Tensor:
    """Of the last rows, of what is present, clipped as networks see it."""
    last = windows[:, -tail:]
    missing = torch.isnan(last)
    squares = torch.where(missing, 0.0, last).clamp(-LIMIT, LIMIT).square()
    return squares.sum(1) / torch.logical_not(missing).to(windows.dtype).sum(1).clamp_min(1.0)


def with_neutral(parts: SeasonParts, runs: Iterable[Rows], threshold: float, margin: float) -> SeasonParts:
    """The parts with a width for rows without a phase at which no run of training rows comes near the threshold.

    runs: in the sensors' units [time, channels]; the highest of them is at 1 / `margin` of it, at a level of 0.
    """
    seasons, farthest = parts.seasons, np.zeros(parts.seasons.channels)
    for run in runs:
        if len(run) < parts.tail:
            continue
        squares = np.square(run.astype(np.float64) - seasons.centre[0][0])
        there = np.isfinite(squares)
        sums, counts = (_moving(part, parts.tail) for part in (np.where(there, squares, 0.0), there.astype(np.float64)))
        farthest = np.maximum(farthest, (sums / np.maximum(counts, 1.0)).max(axis=0))
    width = seasons.width.copy()
    wide = np.sqrt(farthest * margin * parts.factor / threshold)
    width[0] = np.where(seasons.follows, np.maximum(wide, width[0]), width[0])
    return replace(parts, seasons=replace(seasons, width=width))


def _moving(values: Floats, size: int) -> Floats:
    """Sums over `size` rows [time - size + 1, channels]."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    found: Floats = np.maximum(sums[size:] - sums[:-size], 0.0)
    return found


def calibrated_parts(
    seasons: Seasons, tail: int, batches: Iterable[Tensor], scores: NDArray[np.float32]
) -> SeasonParts:
    """The parts by held-out windows in widths, whose scores by the network were `scores`, before a threshold."""
    squares = torch.cat([_mean_square(batch, tail) for batch in batches]).numpy()
    usual = np.maximum(np.quantile(squares, _ALIKE, axis=0), 1e-6)
    relative = np.where(seasons.follows, squares / usual, 0.0)
    size = float(np.quantile(scores, _ALIKE)) / _NETWORK / max(float(np.quantile(relative.max(1), _ALIKE)), 1e-6)
    return SeasonParts(seasons, tail, np.where(seasons.follows, size / usual, 0.0).astype(np.float32))


class SeasonGraph(nn.Module):
    """A graph for windows in widths, for windows in the sensors' units with the phase of their rows and their level.

    window float32 [batch, time, channels], phase [batch, time, seasons], whole numbers, level [batch, channels] -> what
    `graph` gives; its third output, where it has one, in the sensors' units. Phase and level may be those of one window
    [1, ...] for all. Rows of which the phase is not known are missing to `graph` in the channels that have seasons, and
    are held against all phases together by themselves.
    """

    def __init__(self, graph: nn.Module, parts: SeasonParts, threshold: float) -> None:
        super().__init__()
        self.inner = graph
        self.tail, self.count = parts.tail, parts.seasons.count
        self._shares = bool(parts.seasons.multiplies.any())
        for number, table in enumerate(parts.seasons.centre):
            self.register_buffer(f"centre{number}", torch.from_numpy(table))
        self.register_buffer("width", torch.from_numpy(parts.seasons.width))
        self.register_buffer("multiplies", torch.from_numpy(parts.seasons.multiplies))
        self.register_buffer("follows", torch.from_numpy(parts.seasons.follows))
        self.register_buffer("factor", torch.from_numpy(parts.factor / np.float32(threshold)))

    def forward(self, window: Tensor, phase: Tensor, level: Tensor) -> tuple[Tensor, ...]:
        centre, width = self.usual(phase, level)
        widths = (window - centre) / width
        unknown = torch.logical_and(phase[:, :, :1] < 1, cast(Tensor, self.follows))
        score, blame, *raw = self.inner(torch.where(unknown, torch.nan, widths))
        away = _mean_square(widths, self.tail) * cast(Tensor, self.factor)
        return (torch.maximum(score, away.amax(1)), torch.maximum(blame, away), *(one * width + centre for one in raw))

    def usual(self, phase: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and width, each [batch, time, channels]."""
        centre = _at(cast(Tensor, self.centre0), phase[:, :, 0])
        width = _at(cast(Tensor, self.width), phase[:, :, 0])
        moved = level[:, None]
        for number in range(1, self.count):
            moved = moved + _at(cast(Tensor, getattr(self, f"centre{number}")), phase[:, :, number])
        if not self._shares:
            return centre + moved, width
        shares = cast(Tensor, self.multiplies)
        lever = torch.where(shares, centre, 1.0)
        return centre + moved * lever, width * torch.where(shares, (1 + moved).clamp_min(_LEAST), 1.0)


def _at(table: Tensor, phase: Tensor) -> Tensor:
    """Rows of a table [1 + bins, channels] at phases [batch, time]."""
    return table[phase.clamp(0, len(table) - 1).to(torch.int64)]
