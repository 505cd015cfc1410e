"""Contractive: a code that hardly moves when the item does, except along what items differ in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from aez.export.autoencoders.base import Bodied, Subject
from aez.export.autoencoders.layers import DenseBody
from aez.export.common.losses import contractive_penalty, mse, sigmoid_contraction
from aez.export.families.base import Figures, within

#: Units, by default, of pictures, and for each number of a vector.
UNITS, UNITS_OF_VECTOR = 128, 2


class Contractive(Bodied):
    """`latent` sigmoids with the encoder's squared Jacobian at a price of `weight` (Rifai et al. 2011).

    The norm is exact for one layer, which is the default, and estimated by one random projection a step with `layers`.
    """

    family: ClassVar[str] = "contractive"
    regularised: ClassVar[bool] = True

    def __init__(
        self,
        subject: Subject,
        *,
        latent: int | None = None,
        layers: Sequence[int] | None = None,
        weight: float = 1e-3,
    ) -> None:
        super().__init__(subject, latent or (UNITS if subject.pictures else UNITS_OF_VECTOR * subject.numbers))
        within("weight", weight, 0, 1000)
        self.weight, self.one_layer = weight, not layers
        self.body = DenseBody(subject, self.latent, layers or ())
        self.code = nn.Linear(self.body.width, self.latent)
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        return torch.sigmoid(cast(Tensor, self.code(self.features(x))))

    def penalty(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(Codes, squared Frobenius norm of d code / d x, mean over the batch) of unit items."""
        if self.one_layer:
            code = self.encode(x).float()
            return code, sigmoid_contraction(code, self.code.weight / self.spread)
        with torch.enable_grad():  # the penalty is a gradient, in validation too
            source = x.detach().requires_grad_()
            code = self.encode(source)
            return code, contractive_penalty(code, source, generator)

    def objective(self, x: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """Squared error plus the weighted penalty."""
        del progress
        code, penalty = self.penalty(x, generator)
        error = mse(self.decode(code), x)
        return error + self.weight * penalty, {"mse": float(error.detach()), "contraction": float(penalty.detach())}
