"""PCA: the linear autoencoder, fitted in closed form."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from aez.export.families.base import Family, within

#: Components at most, and numbers of all of them together, but for windows so large that few would be left.
MOST, BASIS_NUMBERS, FEWEST = 64, 80_000, 16
#: Missing samples are filled with a reconstruction from the components that explain this share of the variance. With
#: all of them it would give back whatever was filled in before, and the gaps' own pattern would become a component.
FILLING_SHARE = 0.95
#: Filling and fitting end when what is filled in moves by less than this (in the data's deviations), or after so many
#: rounds.
FILLED, FILLING_ROUNDS = 0.02, 10
#: Up to this size a covariance is decomposed exactly; larger ones by a randomised projection.
EXACT_MAX = 3000


class PCA(Family):
    """Reconstruction from the first principal components of whole windows.

    `components` below 1 is the share of the variance that they explain, else their number; there are at most `most`, by
    default 64, and fewer for windows of more than 1,250 numbers, which would else be slow to score. The linear
    autoencoder with the least squared error (Baldi, Hornik 1989).
    """

    family: ClassVar[str] = "pca"
    trained = False
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

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Mean and components of the windows; missing samples are filled with what the components say of them."""
        self.mean, basis, variances = principal_components(x.flatten(1), present.flatten(1), self.most)
        self.basis = basis[:, : self._count(variances)].contiguous()

    def _count(self, variances: Tensor) -> int:
        """How many components to keep of those whose shares of the variance are given."""
        if self.components >= 1:
            return min(int(self.components), len(variances))
        return _explaining(variances, self.components)


@torch.no_grad()
def principal_components(rows: Tensor, present: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """(mean [d], orthonormal basis [d, k], share of the variance of each [k]) of rows [n, d], k <= most.

    Missing entries are filled with their column's mean, then with their reconstruction from the first components,
    round by round (the EM of Roweis 1998 without noise).
    """
    mean = (rows * present).sum(0) / present.sum(0).clamp_min(1)
    centred = (rows - mean) * present
    basis, variances = _decompose(centred, most)
    missing = present == 0
    for _ in range(FILLING_ROUNDS if bool(missing.any()) else 0):
        few = basis[:, : _explaining(variances, FILLING_SHARE)]
        filled = torch.where(missing, centred @ few @ few.T, centred)
        moved = (filled - centred).square().sum() / missing.sum()
        shift = filled.mean(0)
        mean, centred = mean + shift, filled - shift
        basis, variances = _decompose(centred, most)
        if moved <= FILLED**2 * centred.square().mean():
            break
    return mean, basis, variances


def _explaining(variances: Tensor, share: float) -> int:
    """How many components explain this share of the variance, or all there are; `variances` are their own shares."""
    return min(int((variances.cumsum(0) < share).sum()) + 1, len(variances))


def _decompose(centred: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Principal directions [d, k] and their shares of the variance [k], largest first, without empty ones."""
    n, d = centred.shape
    total = centred.square().sum().clamp_min(1e-12)
    if min(n, d) <= EXACT_MAX:
        wide = n < d
        gram = centred @ centred.T if wide else centred.T @ centred
        values, vectors = torch.linalg.eigh(gram)
        values, vectors = values.flip(0)[:most].clamp_min(0), vectors.flip(1)[:, :most]
        kept = int((values > 1e-7 * values[0]).sum()) or 1
        values, vectors = values[:kept], vectors[:, :kept]
        if wide:
            vectors = torch.nn.functional.normalize(centred.T @ vectors, dim=0)
        return vectors, values / total
    with torch.random.fork_rng():  # the projection is random, and equal data shall give equal models
        torch.manual_seed(0)
        _, singular, right = torch.svd_lowrank(centred, q=min(most + 8, n, d), niter=4)
    return right[:, :most], singular[:most].square() / total
