"""Sparse codes: more units than are needed, of which few are active for an item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.autoencoders.base import Bodied, Subject
from aez.export.autoencoders.layers import DenseBody
from aez.export.common.losses import mse, sparsity_kl
from aez.export.families.base import Figures, within
from aez.export.families.windows.sparse import PENALTIES

#: Units, by default, of pictures, and for each number of a vector.
UNITS, UNITS_OF_VECTOR = 256, 2


class Sparse(Bodied):
    """`latent` units under a penalty of `weight` on their activity.

    `l1`: rectified units whose magnitude costs, each counted with the length of what it draws, so that small codes with
    large weights are no way out (Olshausen, Field 1996). `kl`: sigmoids whose mean activity is drawn to `target`
    (Ng 2011, CS294A lecture notes). Without `layers` the encoder and the decoder are one layer each.
    """

    family: ClassVar[str] = "sparse"
    regularised: ClassVar[bool] = True

    def __init__(
        self,
        subject: Subject,
        *,
        latent: int | None = None,
        layers: Sequence[int] | None = None,
        penalty: str = "l1",
        weight: float | None = None,
        target: float = 0.05,
    ) -> None:
        if penalty not in PENALTIES:
            raise InvalidArgument(f"penalty {penalty!r} is unknown; use {' or '.join(PENALTIES)}")
        within("target", target, 0.001, 0.999)
        super().__init__(subject, latent or (UNITS if subject.pictures else UNITS_OF_VECTOR * subject.numbers))
        self.penalty, self.target = penalty, target
        self.weight = weight if weight is not None else {"l1": 1e-4, "kl": 1e-3}[penalty]
        within("weight", self.weight, 0, 1000)
        self.body: DenseBody = DenseBody(subject, self.latent, layers or ())
        self.code = nn.Linear(self.body.width, self.latent)
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        inner = cast(Tensor, self.code(self.features(x)))
        return torch.sigmoid(inner) if self.penalty == "kl" else torch.relu(inner)

    def objective(self, x: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """Squared error plus the weighted penalty, a sum over the units."""
        del generator, progress
        code = self.encode(x).float()
        error = mse(self.decode(code), x)
        if self.penalty == "kl":
            penalty = sparsity_kl(code.mean(0), self.target).sum()
        else:
            penalty = (code * self.body.atoms.norm(dim=0)).sum(1).mean()
        active = (code.detach() > (0.5 if self.penalty == "kl" else 0)).float().mean()
        return error + self.weight * penalty, {"mse": float(error.detach()), "active": float(active)}
