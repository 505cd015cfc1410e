"""Scaling of sensor channels that survives outliers, constant channels, missing samples and broken sensors.

A channel is shifted by its median and divided by a robust width. Networks see values clipped at `LIMIT` widths, so that
one broken sensor cannot drown the others; how far beyond a channel goes counts by its logarithm, in `excess`, so that
no score overflows. A channel that still has more than unit variance (rare, high bursts) is shrunk to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aez.codec.detect.scaling import WINSORISED, robust_centre, robust_scale
from aez.codec.errors import UnsupportedInput

Floats = NDArray[np.float64]

#: Widths at which values are clipped. On eight machines of SMD a PCA had a mean AUC-PR of 0.506, 0.519, 0.534 and 0.533
#: with 6, 8, 12 and 20, and less where the network itself saw logarithms.
LIMIT = 10.0
#: Widths beyond this count as this, infinity too: the square of their logarithm is far within float32.
_FARTHEST = 1e18


@dataclass(frozen=True)
class Scaling:
    """How channels are scaled, each array float64 [channels].

    A scaled value is gain * clip((value - centre) / scale, -LIMIT, LIMIT), of unit variance at most. `low` and `high`
    are the range that was seen; all but `gain` (0..1) are in the sensors' units. `soft`: beyond the limit a scaled
    value goes on by its logarithm, LIMIT * (1 + ln(widths / LIMIT)), where the channel ever moved.
    """

    centre: Floats
    scale: Floats
    gain: Floats
    low: Floats
    high: Floats
    soft: bool = False

    @property
    def channels(self) -> int:
        return len(self.centre)

    @property
    def still(self) -> NDArray[np.bool_]:
        """Which channels never moved."""
        return np.equal(self.low, self.high)


def columns_of(runs: Sequence[NDArray[np.floating]]) -> Iterator[Floats]:
    """The finite values of each channel of runs [time, channels], one channel after the other."""
    for number in range(runs[0].shape[1]):
        column = np.concatenate([run[:, number] for run in runs])
        yield column[np.isfinite(column)].astype(np.float64)


def fit_scaling(
    values: NDArray[np.floating] | Sequence[NDArray[np.floating]],
    names: Sequence[str] | None = None,
    *,
    soft: bool = False,
) -> Scaling:
    """The scaling of values [time, channels], or of several runs of such; NaN and infinite samples are left out.

    `soft` as in `Scaling`; then a channel that nearly always has one value is scaled by its standard deviation, so that
    another one counts by how rare it is.

    Raises UnsupportedInput for a channel without a finite value, by its name.
    """
    runs = [values] if isinstance(values, np.ndarray) else values
    columns = []
    for number, finite in enumerate(columns_of(runs)):
        if not finite.size:
            name = names[number] if names is not None else f"number {number + 1}"
            raise UnsupportedInput(f"channel {name} has no value in the training rows; leave it out")
        centre, scale = robust_centre(finite), robust_scale(finite)
        if soft and np.ptp(np.percentile(finite, WINSORISED)) == 0 < np.ptp(finite):
            scale = max(float(np.std(finite)), 1e-6 * scale)
        widths = (finite - centre) / scale
        gain = 1 / max(1.0, float(np.std(_softened(widths) if soft else np.clip(widths, -LIMIT, LIMIT))))
        columns.append((centre, scale, gain, finite.min(), finite.max()))
    found = np.array(columns, np.float64).T
    return Scaling(found[0], found[1], found[2], found[3], found[4], soft)


def _softened(widths: Floats) -> Floats:
    """Widths that go on by their logarithm beyond the limit."""
    beyond = np.log(np.clip(np.abs(widths), LIMIT, _FARTHEST) / LIMIT)
    return np.asarray(np.clip(widths, -LIMIT, LIMIT) * (1 + beyond))


class ScaleLayer(nn.Module):
    """`Scaling` as a layer of a graph: values float32 [batch, time, channels] with NaN where one is missing.

    What it multiplies with has the shape of a window [time, channels]: on rows of one channel's vector runtimes are
    several times slower.
    """

    centre: Tensor
    inverse_scale: Tensor
    gain: Tensor
    back: Tensor

    def __init__(self, scaling: Scaling, window: int) -> None:
        super().__init__()
        self.register_buffer("centre", _tiled(scaling.centre, window))
        self.register_buffer("inverse_scale", _tiled(1 / scaling.scale, window))
        self.register_buffer("gain", _tiled(scaling.gain, window))
        self.register_buffer("back", _tiled(scaling.scale / scaling.gain, window))
        self._gains, self._soft = bool(np.any(scaling.gain != 1)), scaling.soft
        if scaling.soft:
            self.register_buffer("moved", _tiled(np.where(scaling.still, 0.0, 1.0), window), persistent=False)
        #: Values come in widths already.
        self._plain = not np.any(scaling.centre) and bool(np.all(scaling.scale == 1))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(scaled values with 0 where one is missing, present: 1 or 0); both finite for whatever comes in."""
        widths, present = self.widths(values)
        return self.clip(widths), present

    def widths(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(Distance from the centre in widths, present), before the clipping; perhaps infinite."""
        missing = torch.isnan(values)
        return torch.where(missing, 0.0, self.distance(values)), torch.logical_not(missing).to(values.dtype)

    def distance(self, values: Tensor) -> Tensor:
        """Distance from the centre in widths, of values of which none is missing."""
        return values if self._plain else (values - self.centre) * self.inverse_scale

    def clip(self, widths: Tensor) -> Tensor:
        """Scaled values."""
        clipped = self.softened(widths)
        return clipped * self.gain if self._gains else clipped

    def softened(self, widths: Tensor) -> Tensor:
        """Scaled values before they are shrunk by the gain."""
        clipped = widths.clamp(-LIMIT, LIMIT)
        if self._soft:
            beyond = torch.log(widths.abs().clamp(LIMIT, _FARTHEST)) - math.log(LIMIT)
            clipped = clipped * (1 + beyond * cast(Tensor, self.moved))
        return clipped

    def excess(self, widths: Tensor) -> Tensor:
        """Factor [batch, channels], 1 and up, for what clipping hides of [batch, time, channels].

        1 + ln(the largest distance over the limit), and 1 where nothing was clipped.
        """
        return self.excess_of(*self.extremes(widths))

    def extremes(self, widths: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest [batch, channels], finite, of [batch, time, channels]; what is missing counts as 0."""
        return widths.amin(1).clamp(-_FARTHEST, _FARTHEST), widths.amax(1).clamp(-_FARTHEST, _FARTHEST)

    def excess_of(self, lowest: Tensor, highest: Tensor) -> Tensor:
        """`excess` by the extremes."""
        return self.excess_by(torch.maximum(-lowest, highest))

    def excess_by(self, largest: Tensor) -> Tensor:
        """`excess` by the largest distance, perhaps infinite."""
        return torch.log(largest.clamp(LIMIT, _FARTHEST)) + (1 - math.log(LIMIT))

    def inverse(self, scaled: Tensor) -> Tensor:
        """Values in the sensors' units that are scaled to `scaled`."""
        return scaled * self.back + self.centre


def _tiled(values: Floats, window: int) -> Tensor:
    return torch.from_numpy(np.tile(values, (window, 1)).astype(np.float32))
