"""The multivariate normal distribution of whole windows: each number as all others say, and the distance of all."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from aez.codec.errors import InvalidArgument
from aez.export.families.base import Family, within

#: Rows of a covariance: a matrix of so many numbers squared is all that a window costs.
SIZE_MAX = 2048


class Gaussian(Family):
    """A normal distribution with a covariance that is shrunk towards a sphere.

    The code is the window itself, so that its distance from usual ones is the Mahalanobis distance. What is
    reconstructed is each number's conditional mean given all the others: its error says which of them does not go with
    the rest. `shrinkage` is the share of the sphere (Ledoit, Wolf 2004).
    """

    family: ClassVar[str] = "gaussian"
    trained = False
    distance_alone: ClassVar[bool] = True
    mean: Tensor
    regression: Tensor

    def __init__(self, window: int, channels: int, *, shrinkage: float = 0.3) -> None:
        super().__init__(window, channels)
        within("shrinkage", shrinkage, 1e-6, 1)
        size = window * channels
        if size > SIZE_MAX:
            raise InvalidArgument(
                f"a covariance of windows of {window} samples of {channels} channels has {size:,} rows, more than "
                f"{SIZE_MAX:,}; give a shorter window, fewer channels, or --family pca"
            )
        self.shrinkage = shrinkage
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("regression", torch.zeros(size, size))

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present  # what is missing counts as 0, the channel's median
        return x.flatten(1) - self.mean

    def decode(self, latent: Tensor) -> Tensor:
        return self.shaped(latent @ self.regression + self.mean)

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Mean and covariance of the windows; the conditional mean of each number by the precision matrix."""
        del present
        flat = x.flatten(1).double()
        mean = flat.mean(0)
        covariance = (flat - mean).T @ (flat - mean) / max(len(flat) - 1, 1)
        size = len(covariance)
        sphere = self.shrinkage * covariance.trace() / size + 1e-9
        precision = torch.linalg.inv((1 - self.shrinkage) * covariance + sphere * torch.eye(size, dtype=flat.dtype))
        # What a number is more than the others say is a row's product with the precision, over the diagonal.
        self.mean = mean.float()
        self.regression = (torch.eye(size, dtype=flat.dtype) - precision / precision.diagonal()).float()
