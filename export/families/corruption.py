"""Noise for networks that learn to undo it: each function takes windows x and what is present, and gives new ones.

Scaled windows have about unit variance, so `amount` means the same for all of them: a deviation for gaussian and
speckle noise, a share of the samples for the other two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Where salt and pepper put a sample, in deviations.
SALT = 4.0

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]


def gaussian(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """x + amount * N(0, 1)."""
    return x + amount * _normal(x, generator)


def masking(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """A share `amount` of the samples set to 0 (Vincent et al. 2008, Denoising Autoencoders)."""
    return x * (_uniform(x, generator) >= amount)


def salt_and_pepper(
    x: Tensor, amount: float, generator: torch.Generator, bounds: tuple[float, float] = (-SALT, SALT)
) -> Tensor:
    """A share `amount` of the samples set to the lower or the upper of the bounds, evenly: -4 and +4 deviations."""
    draw = _uniform(x, generator)
    return torch.where(draw < amount, torch.where(draw < amount / 2, *bounds), x)


def speckle(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """x * (1 + amount * N(0, 1)): noise that grows with the signal."""
    return x * (1 + amount * _normal(x, generator))


def rician(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """|x + amount * a complex N(0, 1)|: noise of magnitudes, as in magnetic resonance (Gudbjartsson, Patz 1995)."""
    return torch.hypot(x + amount * _normal(x, generator), amount * _normal(x, generator))


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt-and-pepper": salt_and_pepper,
    "speckle": speckle,
}
#: Noise of values that are never below 0, which pictures are and scaled windows are not, stands here alone.
OF_PICTURES: dict[str, Corruption] = {**CORRUPTIONS, "rician": rician}
#: The largest amount that leaves something to learn from.
AMOUNT_MAX = {"gaussian": 10.0, "masking": 0.95, "salt-and-pepper": 0.95, "speckle": 10.0, "rician": 10.0}


def corrupt(
    x: Tensor, noise: str, amount: float, generator: torch.Generator, bounds: tuple[float, float], *, clip: bool
) -> Tensor:
    """Noise by its name on values that lie in `bounds`, which salt and pepper are set to; `clip` keeps all in them."""
    if noise == "salt-and-pepper":
        return salt_and_pepper(x, amount, generator, bounds)
    spoilt = OF_PICTURES[noise](x, amount, generator)
    return spoilt.clamp(*bounds) if clip else spoilt


def spoilt_pictures(pictures: NDArray[np.float32], noise: str, amount: float, seed: int) -> NDArray[np.float32]:
    """Pictures in 0..1, of any shape, with noise by its name, clipped to 0..1."""
    generator = torch.Generator().manual_seed(seed)
    spoilt: NDArray[np.float32] = corrupt(
        torch.from_numpy(pictures), noise, amount, generator, (0.0, 1.0), clip=True
    ).numpy()
    return spoilt


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x.device)


def _uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(x.shape, generator=generator).to(x.device)
