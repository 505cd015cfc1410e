"""Principal components of rows from which samples may be missing."""

from __future__ import annotations

import torch
from torch import Tensor

#: Missing samples are filled with a reconstruction from the components that explain this share of the variance. With
#: all of them it would give back whatever was filled in before, and the gaps' own pattern would become a component.
FILLING_SHARE = 0.95
#: Filling and fitting end when what is filled in moves by less than this (in the data's deviations), or after so many
#: rounds.
FILLED, FILLING_ROUNDS = 0.02, 10
#: Up to this size a covariance is decomposed exactly; larger ones by a randomised projection.
EXACT_MAX = 3000


@torch.no_grad()
def principal_components(rows: Tensor, present: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """(mean [d], orthonormal basis [d, k], share of the variance of each [k]) of rows [n, d], k <= most.

    Missing entries are filled with their column's mean, then with their reconstruction from the first components,
    round by round (the EM of Roweis 1998 without noise).
    """
    mean = (rows * present).sum(0) / present.sum(0).clamp_min(1)
    centred = (rows - mean).mul_(present)
    basis, variances = _decompose(centred, most)
    missing = present == 0
    for _ in range(FILLING_ROUNDS if bool(missing.any()) else 0):
        few = basis[:, : components_explaining(variances, FILLING_SHARE)]
        filled = torch.where(missing, centred @ few @ few.T, centred)
        moved = (filled - centred).square().sum() / missing.sum()
        shift = filled.mean(0)
        mean, centred = mean + shift, filled - shift
        basis, variances = _decompose(centred, most)
        if moved <= FILLED**2 * centred.square().mean():
            break
    return mean, basis, variances


def components_explaining(variances: Tensor, share: float) -> int:
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
