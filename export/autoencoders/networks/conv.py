"""Convolutional autoencoders: strided convolutions to a few numbers, and back."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from aez.export.autoencoders.base import Bodied, Subject
from aez.export.autoencoders.layers import ConvBody


class Conv(Bodied):
    """Strided convolutions and one full layer (Masci et al. 2011, Stacked Convolutional Auto-Encoders).

    `channels` at the first stage, doubled at each of the next; `hidden` numbers between them and the code.
    """

    family: ClassVar[str] = "conv"

    def __init__(self, subject: Subject, *, latent: int | None = None, channels: int = 16, hidden: int = 256) -> None:
        super().__init__(subject, latent)
        self.body = ConvBody(subject, self.latent, channels, hidden)
        self.code = nn.Linear(self.body.width, self.latent)
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.features(x))
        return code
