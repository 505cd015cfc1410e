"""Noise for networks that learn to undo it: each function takes windows x and what is present, and gives new ones.

Scaled windows have about unit variance, so `amount` means the same for all of them: a deviation for gaussian and
speckle noise, a share of the samples for the other two.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
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


def salt_and_pepper(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """A share `amount` of the samples set to +4 or -4 deviations, evenly."""
    draw = _uniform(x, generator)
    return torch.where(draw < amount, torch.where(draw < amount / 2, -SALT, SALT), x)


def speckle(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """x * (1 + amount * N(0, 1)): noise that grows with the signal."""
    return x * (1 + amount * _normal(x, generator))


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt-and-pepper": salt_and_pepper,
    "speckle": speckle,
}
#: The largest amount that leaves something to learn from.
AMOUNT_MAX = {"gaussian": 10.0, "masking": 0.95, "salt-and-pepper": 0.95, "speckle": 10.0}


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x.device)


def _uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(x.shape, generator=generator).to(x.device)
