"""PCA: the linear autoencoder, fitted in closed form."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from aez.export.families.base import Affine, Components, Family, within
from aez.export.families.principal import components_explaining, principal_components

#: Components at most, and numbers of all of them together, but for windows so large that few would be left.
MOST, BASIS_NUMBERS, FEWEST = 64, 80_000, 16


class PCA(Family):
    """Reconstruction from the first principal components of whole windows.

    `components` below 1 is the share of the variance that they explain, else their number; there are at most `most`, by
    default 64, and fewer for windows of more than 1,250 numbers, which would else be slow to score. The linear
    autoencoder with the least squared error (Baldi, Hornik 1989).
    """

    family: ClassVar[str] = "pca"
    trained = False
    components_for_pictures = Components("most", MOST, matrices=1)
    mean: Tensor
    basis: Tensor

    def __init__(self, window: int, channels: int, *, components: float = 0.9, most: int | None = None) -> None:
        super().__init__(window, channels)
        within("components", components, 1e-6, 1e6)
        size = window * channels
        if most is None:
            most = max(FEWEST, min(MOST, BASIS_NUMBERS // size // 16 * 16))  # whole registers
        within("most", most, 1, 4096)
        self.components, self.most = components, min(most, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, 1))

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present  # what is missing counts as 0, the channel's median: a pass over the window less than its mean
        return torch.addmm(-self.mean @ self.basis, x.flatten(1), self.basis)

    def decode(self, latent: Tensor) -> Tensor:
        return self.shaped(latent @ self.basis.T + self.mean)

    def affine(self) -> Affine:
        mean, basis = self.mean.double(), self.basis.double()
        return Affine(basis, -mean @ basis, basis.T, mean)

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Mean and components of the windows; missing samples are filled with what the components say of them."""
        self.mean, basis, variances = principal_components(x.flatten(1), present.flatten(1), self.most)
        self.basis = basis[:, : self._count(variances)].contiguous()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """As torch's own, for however many components the stored weights have."""
        stored = state_dict.get(f"{prefix}basis", self.basis)
        if stored.ndim == self.basis.ndim and len(stored) == len(self.basis):
            self.basis = torch.zeros_like(stored)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _count(self, variances: Tensor) -> int:
        """How many components to keep of those whose shares of the variance are given."""
        if self.components >= 1:
            return min(int(self.components), len(variances))
        return components_explaining(variances, self.components)
