"""Denoising: any network, trained to give the clean window from a corrupted one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from aez.codec.errors import InvalidArgument
from aez.export.families import registry
from aez.export.families.base import Family, Figures, within
from aez.export.families.corruption import AMOUNT_MAX, CORRUPTIONS


class Denoising(Family):
    """The family `inner` (with `inner_options`) under `noise` of a strength `amount` (Vincent et al. 2010).

    `noise` is gaussian, masking, salt-and-pepper or speckle; only training sees it.
    """

    family: ClassVar[str] = "denoising"

    def __init__(
        self,
        window: int,
        channels: int,
        *,
        noise: str = "gaussian",
        amount: float = 0.2,
        inner: str = "dense",
        inner_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(window, channels)
        if noise not in CORRUPTIONS:
            raise InvalidArgument(f"noise {noise!r} is unknown; use {', '.join(CORRUPTIONS)}")
        within("amount", amount, 0, AMOUNT_MAX[noise])
        self.noise, self.amount = noise, amount
        self.inner = registry.build(inner, window, channels, **(inner_options or {}))
        if not self.inner.trained or len(self.inner.members) > 1:
            raise InvalidArgument(f"family {inner} is not trained on windows and cannot learn to remove noise")

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        return self.inner.encode(x, present)

    def decode(self, latent: Tensor) -> Tensor:
        return self.inner.decode(latent)

    def fit(self, x: Tensor, present: Tensor) -> None:
        """As the inner family, on clean windows."""
        self.inner.fit(x, present)

    def objective(
        self, seen: Tensor, target: Tensor, present: Tensor, generator: torch.Generator, progress: float
    ) -> tuple[Tensor, Figures]:
        """The inner family's loss where it sees a corrupted window; a missing sample stays 0."""
        corrupted = CORRUPTIONS[self.noise](seen, self.amount, generator) * present
        return self.inner.objective(corrupted, target, present, generator, progress)
