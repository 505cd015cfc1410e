"""Dense autoencoders: full layers down to a few numbers, and their mirror back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from aez.export.autoencoders.base import Bodied, Subject
from aez.export.autoencoders.layers import DenseBody


class Dense(Bodied):
    """Full layers with GELU between them (Hinton, Salakhutdinov 2006, Reducing the Dimensionality of Data).

    `layers` are the hidden widths, by default 256 and 128 for 28x28 pixels. `linear` leaves out the layers and every
    curve: such a network spans the subspace of PCA (Baldi, Hornik 1989).
    """

    family: ClassVar[str] = "dense"

    def __init__(
        self, subject: Subject, *, latent: int | None = None, layers: Sequence[int] | None = None, linear: bool = False
    ) -> None:
        super().__init__(subject, latent)
        self.linear = linear
        self.body = DenseBody(subject, self.latent, () if linear else layers)
        self.code = nn.Linear(self.body.width, self.latent)
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.features(x))
        return code

    def shown(self, logits: Tensor) -> Tensor:
        return logits.float() if self.linear else super().shown(logits)
