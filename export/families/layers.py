"""Layers that several families share: flat windows to a few features and back, started from principal components."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aez.export.families.base import Family
from aez.export.families.principal import principal_components

#: Features whose deviation is below this share of the largest are not blown up to unit variance.
FLOOR = 0.02


class Compression(nn.Module):
    """Flat windows [batch, time * channels] to `rank` features of about unit variance, linearly, and back.

    Two thin matrices do nearly all of a network's work, so `rank` bounds what scoring costs: 2 * rank * time * channels
    multiplications. `fit` starts them from principal components; training goes on from there.
    """

    def __init__(self, size: int, rank: int) -> None:
        super().__init__()
        self.rank = min(rank, size)
        self.down, self.up = nn.Linear(size, self.rank), nn.Linear(self.rank, size)

    def forward(self, x: Tensor) -> Tensor:
        """Features [batch, rank] of flat windows."""
        features: Tensor = self.down(x)
        return features

    def back(self, features: Tensor) -> Tensor:
        """Flat windows of features [batch, rank]."""
        flat: Tensor = self.up(features)
        return flat

    @torch.no_grad()
    def fit(self, rows: Tensor, present: Tensor) -> None:
        """Start from the principal components of rows [n, time * channels]."""
        mean, basis, shares = principal_components(rows, present, self.rank)
        deviation = (shares / shares.max().clamp_min(1e-12)).sqrt().clamp_min(FLOOR)
        width = ((rows - mean) * present @ basis[:, :1]).std(correction=0).clamp_min(1e-6)
        found = basis.shape[1]
        self.down.weight.zero_()
        self.down.weight[:found] = (basis / (width * deviation)).T
        self.down.bias.copy_(-self.down.weight @ mean)
        self.up.weight.zero_()
        self.up.weight[:, :found] = basis * (width * deviation)
        self.up.bias.copy_(mean)


class Compressed(Family):
    """A family that works on `compression`'s features of flat windows; `up` makes features of its code."""

    compression: Compression
    up: nn.Module

    def decode(self, latent: Tensor) -> Tensor:
        return self.shaped(self.compression.back(self.up(latent)))

    def fit(self, x: Tensor, present: Tensor) -> None:
        """Start the features from the windows' principal components."""
        self.compression.fit(x.flatten(1), present.flatten(1))


def correction(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A network of one hidden layer that gives 0 at the start."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), last)


def select_first(linear: nn.Linear) -> None:
    """Make a linear layer hand on its first inputs as they are."""
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
