"""What the network of a detector learns from: its family's loss on windows as it sees them, some with gaps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aez.export.channels.inputs import LearnedChannels
from aez.export.channels.states import StateEffect
from aez.export.families.base import Family, Figures
from aez.export.families.training import FamilyLoss
from aez.export.series.gaps import hide
from aez.export.series.scaling import ScaleLayer, Scaling

__all__ = ["DetectorLoss"]

#: Gaps in training leave at least this share of a window.
LEAST_LEFT = 0.5


class DetectorLoss(FamilyLoss):
    """A family's loss on raw windows [batch, time, channels], NaN = missing.

    In training a share `gaps` of the windows has a gap that the network does not see and has to fill, so that it can
    do without a sensor or through an outage. The network sees the channels that are learned, without what states say.
    """

    def __init__(
        self,
        network: Family,
        scaling: Scaling,
        gaps: float = 0.0,
        learned: LearnedChannels | None = None,
        effect: StateEffect | None = None,
    ) -> None:
        super().__init__(network)
        self.scale, self.gaps = ScaleLayer(scaling, network.window), gaps
        self.learned, self.effect = learned, effect

    def scaled(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        x, present = self.scale(raw if self.learned is None else self.learned(raw))
        if self.effect is not None and self.effect.speaks:
            x = (x - self.effect(raw)) * present
        return x, present

    def forward(self, raw: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        x, present = self.scaled(raw)
        if not self.training or not self.gaps:
            return self.network.loss(x, present, generator, progress)
        share = float(torch.rand((), generator=generator)) * (1 - LEAST_LEFT) + LEAST_LEFT
        count = math.ceil(self.gaps * len(x))
        seen = torch.cat([hide(x[:count], share, generator).nan_to_num(0.0), x[count:]])
        return self.network.objective(seen, x, present, generator, progress)
