"""Denoising: a network that sees a spoilt copy and has to give the clean item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from aez.codec.errors import InvalidArgument
from aez.export.autoencoders.base import Bodied, Subject
from aez.export.autoencoders.layers import GridBody, body_of
from aez.export.common.losses import mse
from aez.export.families.base import Figures, within
from aez.export.families.corruption import AMOUNT_MAX, CORRUPTIONS, OF_PICTURES, SALT, corrupt


class Denoising(Bodied):
    """The clean item from one with `noise` of a strength `level` (Vincent et al. 2008, 2010).

    `noise` is gaussian, salt-and-pepper, speckle or masking, or of pictures rician; the level is a deviation, or a
    share of the numbers, in 0..1 for pictures and in deviations for vectors. Spoilt pictures are clipped to 0..1. By
    default pictures keep a code larger than themselves, a grid of features: noise, and no narrow code, is what the
    network learns from.
    `latent` or `layers` make it narrow.
    """

    family: ClassVar[str] = "denoising"
    regularised: ClassVar[bool] = True

    def __init__(
        self,
        subject: Subject,
        *,
        latent: int | None = None,
        layers: Sequence[int] | None = None,
        network: str | None = None,
        noise: str = "gaussian",
        level: float = 0.4,
    ) -> None:
        known = OF_PICTURES if subject.pictures else CORRUPTIONS
        if noise not in known:
            raise InvalidArgument(f"noise {noise!r} is none for these items; use {', '.join(known)}")
        within("level", level, 0, AMOUNT_MAX[noise])
        grid = GridBody(subject) if subject.pictures and latent is None and layers is None and network is None else None
        super().__init__(subject, latent if grid is None else grid.numbers)
        self.noise, self.level = noise, level
        self.body = grid or body_of(subject, self.latent, network, layers, "conv")
        self.code = nn.Identity() if grid else nn.Linear(self.body.width, self.latent)
        self.removes = {"noise": noise, "level": level}
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.features(x))
        return code

    def spoilt(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Unit items with the noise."""
        bounds = (0.0, 1.0) if self.subject.pictures else (-SALT, SALT)
        return corrupt(x, self.noise, self.level, generator, bounds, clip=self.subject.pictures)

    def objective(self, x: Tensor, generator: torch.Generator, progress: float) -> tuple[Tensor, Figures]:
        """The squared error of what is made of a spoilt item."""
        del progress
        error = mse(self.decode(self.encode(self.spoilt(x, generator))), x)
        return error, {"mse": float(error.detach())}
