"""Contractive: a code that hardly moves when the window does, except along what is normal."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.export.common.losses import contractive_penalty, mse
from aez.export.families.base import Figures, within
from aez.export.families.layers import Compressed, Compression


class Contractive(Compressed):
    """`latent` units over `rank` linear features, with the encoder's squared Jacobian at a price of `weight`.

    Rifai et al. 2011. The Jacobian's norm is estimated by one random projection per step, and counted per number of
    the window, as the squared error is.
    """

    family: ClassVar[str] = "contractive"

    def __init__(self, window: int, channels: int, *, latent: int = 32, rank: int = 64, weight: float = 0.1) -> None:
        super().__init__(window, channels)
        within("latent", latent, 1, 4096)
        within("rank", rank, 1, 4096)
        within("weight", weight, 0, 1000)
        self.weight = weight
        self.compression = Compression(window * channels, rank)
        rank = self.compression.rank
        self.down, self.up = nn.Linear(rank, latent), nn.Linear(latent, rank)
        self.check_size()

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        return torch.tanh(cast(Tensor, self.down(self.compression(x.flatten(1)))))

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """Squared error plus the weighted penalty per number of the window."""
        del progress
        with torch.enable_grad():  # the penalty is a gradient, in validation too
            source = seen.detach().requires_grad_()
            code = self.encode(source, present)
            penalty = contractive_penalty(code, source, generator) / (self.window * self.channels)
        error = mse(self.decode(code), target, present)
        return error + self.weight * penalty, {"mse": float(error.detach()), "contraction": float(penalty.detach())}
