"""Scaling of sensor channels that survives outliers, constant channels, missing samples and broken sensors.

A channel is shifted by its median and divided by a robust width; what is then larger than `KNEE` grows with its
logarithm only, so that one broken sensor neither drowns the others nor overflows. A channel that still has more than
unit variance (rare, high bursts) is shrunk to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.errors import UnsupportedInput

Floats = NDArray[np.float64]

#: Scaled values are linear up to here and logarithmic beyond.
KNEE = 4.0
#: Interquartile range of a normal distribution in standard deviations (2 * 0.6745).
NORMAL_IQR = 1.349
#: Width of a channel that never moved, relative to its value; float32 resolves a ten-thousandth of it.
STILL = 1e-3
#: No width is below this share of the channel's value: float32 resolves it ten times.
RESOLUTION = 1e-6
TINY = 1e-6
_OFFSET = 1 - math.log(KNEE)
#: Scaled values beyond this count as this, infinity too: their soft-clipped squares are far within float32.
_FARTHEST = 1e18
#: What `SoftScale.inverse` takes as the largest scaled value: soft-clipped `_FARTHEST`.
_HIGHEST = KNEE * (1 + math.log(_FARTHEST / KNEE))


@dataclass(frozen=True)
class Scaling:
    """How channels are scaled, each array float64 [channels].

    A scaled value is gain * soft_clip((value - centre) / scale), of unit variance at most. `low` and `high` are the
    range that was seen; all but `gain` (0..1) are in the sensors' units.
    """

    centre: Floats
    scale: Floats
    gain: Floats
    low: Floats
    high: Floats

    @property
    def channels(self) -> int:
        return len(self.centre)

    @property
    def still(self) -> NDArray[np.bool_]:
        """Which channels never moved."""
        return np.equal(self.low, self.high)


def fit_scaling(values: NDArray[np.floating], names: Sequence[str] | None = None) -> Scaling:
    """The scaling of values [time, channels] in the sensors' units; NaN and infinite samples are left out.

    Raises UnsupportedInput for a channel without a finite value, by its name.
    """
    columns = []
    for number, column in enumerate(np.asarray(values, np.float64).T):
        finite = column[np.isfinite(column)]
        if not finite.size:
            name = names[number] if names is not None else f"number {number + 1}"
            raise UnsupportedInput(f"channel {name} has no value in the training rows; leave it out")
        centre, scale = robust_centre(finite), robust_scale(finite)
        gain = 1 / max(1.0, float(np.std(soft_clip((finite - centre) / scale))))
        columns.append((centre, scale, gain, finite.min(), finite.max()))
    return Scaling(*np.array(columns, np.float64).T)


def robust_centre(values: Floats) -> float:
    """The median as float32 holds it, so that a channel that stands still is scaled to exactly 0."""
    return float(np.float32(np.median(values)))


def robust_scale(values: Floats) -> float:
    """Width of finite values [n]: positive, in their unit.

    The interquartile range over 1.349 (the standard deviation of normal values); where that is zero because most values
    are one, the standard deviation of the values winsorised to their 1..99 %; where that is zero too, the whole range;
    for values that are all one, a thousandth of it.
    """
    p1, p25, p50, p75, p99 = np.percentile(values, [1, 25, 50, 75, 99])
    width = (p75 - p25) / NORMAL_IQR
    if width == 0:
        width = float(np.std(np.clip(values, p1, p99)))
    if width == 0:
        width = float(np.ptp(values))
    if width == 0:
        width = STILL * abs(p50)
    return max(float(width), RESOLUTION * abs(float(p50)), TINY)


def soft_clip(values: Floats) -> Floats:
    """Identity up to `KNEE`, and beyond it KNEE * (1 + ln(|v| / KNEE)) with v's sign: continuous with its slope."""
    growth = np.log(np.clip(np.abs(values), KNEE, _FARTHEST)) + _OFFSET
    clipped: Floats = np.clip(values, -KNEE, KNEE) * growth
    return clipped


class SoftScale(nn.Module):
    """`Scaling` as a layer of a graph: values float32 [batch, time, channels] with NaN where one is missing.

    What it multiplies with has the shape of a window [time, channels]: on rows of one channel's vector runtimes are
    several times slower.
    """

    centre: Tensor
    inverse_scale: Tensor
    gain: Tensor
    inverse_gain: Tensor
    outward: Tensor

    def __init__(self, scaling: Scaling, window: int) -> None:
        super().__init__()
        self.register_buffer("centre", _tiled(scaling.centre, window))
        self.register_buffer("inverse_scale", _tiled(1 / scaling.scale, window))
        self.register_buffer("gain", _tiled(scaling.gain, window))
        self.register_buffer("inverse_gain", _tiled(1 / scaling.gain, window))
        self.register_buffer("outward", _tiled(scaling.scale / math.e, window))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(scaled values with 0 where one is missing, present: 1 or 0); both finite for whatever comes in."""
        missing = torch.isnan(values)
        linear = (torch.where(missing, self.centre, values) - self.centre) * self.inverse_scale
        growth = torch.log(linear.abs().clamp(KNEE, _FARTHEST)) + _OFFSET
        return linear.clamp(-KNEE, KNEE) * growth * self.gain, torch.logical_not(missing).to(values.dtype)

    def inverse(self, scaled: Tensor) -> Tensor:
        """Values in the sensors' units that `forward` scales to `scaled`."""
        scaled = scaled * self.inverse_gain
        growth = torch.exp(scaled.abs().clamp(KNEE, _HIGHEST) * (1 / KNEE))
        return scaled.clamp(-KNEE, KNEE) * growth * self.outward + self.centre


def _tiled(values: Floats, window: int) -> Tensor:
    return torch.from_numpy(np.tile(values, (window, 1)).astype(np.float32))
