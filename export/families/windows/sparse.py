"""Sparse codes: more units than are needed, of which few may be active at a time."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.common.losses import mse, sparsity_kl
from aez.export.families.base import Figures, within
from aez.export.families.layers import Compressed, Compression

PENALTIES = ("kl", "l1")


class Sparse(Compressed):
    """`latent` units over `rank` linear features under a penalty of `weight` on their activity.

    `kl`: sigmoids whose mean activity over a batch is drawn to `rho` (Ng 2011). `l1`: rectified units whose mean
    magnitude is small (Olshausen, Field 1996).
    """

    family: ClassVar[str] = "sparse"

    def __init__(
        self,
        window: int,
        channels: int,
        *,
        penalty: str = "l1",
        latent: int = 128,
        rank: int = 64,
        weight: float | None = None,
        rho: float = 0.05,
    ) -> None:
        super().__init__(window, channels)
        if penalty not in PENALTIES:
            raise InvalidArgument(f"penalty {penalty!r} is unknown; use {' or '.join(PENALTIES)}")
        within("latent", latent, 1, 4096)
        within("rank", rank, 1, 4096)
        within("rho", rho, 0.001, 0.999)
        self.penalty, self.rho = penalty, rho
        self.weight = weight if weight is not None else {"kl": 0.01, "l1": 0.03}[penalty]
        within("weight", self.weight, 0, 1000)
        self.compression = Compression(window * channels, rank)
        rank = self.compression.rank
        self.down, self.up = nn.Linear(rank, latent), nn.Linear(latent, rank)
        self.check_size()

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        inner = cast(Tensor, self.down(self.compression(x.flatten(1))))
        return torch.sigmoid(inner) if self.penalty == "kl" else torch.relu(inner)

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """Squared error plus the weighted penalty, a mean over the units."""
        del generator, progress
        code = self.encode(seen, present)
        error = mse(self.decode(code), target, present)
        penalty = sparsity_kl(code.mean(0), self.rho).mean() if self.penalty == "kl" else code.abs().mean()
        active = (code.detach() > (0.5 if self.penalty == "kl" else 0)).float().mean()
        return error + self.weight * penalty, {"mse": float(error.detach()), "active": float(active)}
