"""The shape of what a picture shows, coarsely: how strong its edges are in each direction, cell by cell."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DIRECTIONS = 8
#: Cells on the longer side, about.
CELLS = 8
#: Strengths are compressed by a square root, which is steep at 0; this is added before.
_SOFT = 3e-3
_BRIGHTNESS = 0.3


class Edges(nn.Module):
    """Features of pictures [batch, colours, height, width] of about unit variance: [batch, features].

    Means over cells of the gradient's part in each of eight directions, as in histograms of oriented gradients (Dalal,
    Triggs 2005), under a square root, and of the colours. A Gaussian over these tells classes of pictures apart better
    than errors of reconstruction do: they change little when a thing moves by a pixel, and a lot when its shape is
    another.
    """

    gradient: Tensor
    directions: Tensor

    def __init__(self, cell: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(cell)
        slope = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        self.register_buffer("gradient", torch.stack([slope, slope.T])[:, None].contiguous())
        angles = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
        self.register_buffer("directions", torch.stack([angles.cos(), angles.sin()], 1)[:, :, None, None])

    def forward(self, pictures: Tensor) -> Tensor:
        brightness = nn.functional.pad(pictures.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        slopes = nn.functional.conv2d(brightness, self.gradient)
        strengths = torch.relu(nn.functional.conv2d(slopes, self.directions))
        edges = torch.sqrt(self.pool(strengths) + _SOFT)
        return torch.cat([edges, _BRIGHTNESS * self.pool(pictures)], 1).flatten(1)


def cell_of(height: int, width: int) -> int:
    """Side of a cell, a power of two: about `CELLS` of them on the longer side, at least 2 pixels."""
    return int(2 ** max(1, round(math.log2(max(height, width) / CELLS))))
