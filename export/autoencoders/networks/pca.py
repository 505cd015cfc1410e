"""PCA: the linear autoencoder with the least squared error, in closed form."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor

from aez.codec.errors import InvalidArgument
from aez.export.autoencoders.base import Network, Subject
from aez.export.families.principal import principal_components


class PCA(Network):
    """The first `latent` principal components (Pearson 1901; as an autoencoder Baldi, Hornik 1989)."""

    family: ClassVar[str] = "pca"
    trained: ClassVar[bool] = False
    mean: Tensor
    basis: Tensor

    def __init__(self, subject: Subject, *, latent: int | None = None) -> None:
        super().__init__(subject, latent)
        if self.latent > subject.numbers:
            raise InvalidArgument(
                f"{self.latent:,} components are asked for, and of items of {subject.numbers:,} numbers there are no "
                "more components than numbers; give a smaller --latent"
            )
        self.shape = (subject.colours, *subject.shape[:2]) if subject.pictures else subject.shape
        self.register_buffer("mean", torch.zeros(subject.numbers))
        self.register_buffer("basis", torch.zeros(subject.numbers, self.latent))
        self.check_size()

    def encode(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.basis

    def decode(self, code: Tensor) -> Tensor:
        flat: Tensor = code @ self.basis.T + self.mean
        return cast(Tensor, flat.unflatten(1, self.shape))

    def fit(self, x: Tensor) -> None:
        """Mean and components; fewer than asked for where the items have no more."""
        flat = x.flatten(1)
        mean, basis, _ = principal_components(flat, torch.ones(()).expand_as(flat), self.latent)
        self.mean.copy_(mean)
        self.basis.zero_()
        self.basis[:, : basis.shape[1]] = basis
