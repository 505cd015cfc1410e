"""Building blocks of the transforms: DCT patch embedding, depthwise residual blocks, quality knots, quantization.

All tensors are float32 [batch, channels, height, width]; a `level` is float32 [batch], an integer 0..2048.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from aez.codec.entropy.quality import KNOTS, LEVELS_PER_KNOT

#: Orthonormal colour transform: luma, red-blue and green-magenta axes (the three-point DCT over R, G, B).
_COLOUR = torch.tensor(
    [
        [1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)],
        [1 / math.sqrt(2), 0.0, -1 / math.sqrt(2)],
        [1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)],
    ]
)


def dct_basis(size: int = 8) -> Tensor:
    """Orthonormal DCT-II matrix [frequency, position]."""
    k = torch.arange(size, dtype=torch.float64)[:, None]
    n = torch.arange(size, dtype=torch.float64)[None, :]
    basis = torch.cos(math.pi * (2 * n + 1) * k / (2 * size)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.float()


def colour_dct_weights(size: int = 8) -> Tensor:
    """Weights [3*size*size, 3, size, size] of the orthonormal colour + block DCT; their transpose is the inverse."""
    d = dct_basis(size)
    kernels = torch.einsum("kc,uy,vx->kuvcyx", _COLOUR, d, d)
    return kernels.reshape(3 * size * size, 3, size, size).contiguous()


def in_float32(module: nn.Module, x: Tensor) -> Tensor:
    """A module applied without autocast: for layers whose sums bfloat16 would round by more than a codec's errors."""
    if not torch.is_autocast_enabled(x.device.type):
        return cast(Tensor, module(x))
    with torch.autocast(x.device.type, enabled=False):
        return cast(Tensor, module(x.float()))


class Knots(nn.Module):
    """One value per channel as a piecewise linear function of the level, through `KNOTS` learned rows.

    `initial` is a tensor [KNOTS, channels]. The forward pass maps level [batch] to [batch, channels, 1, 1].
    """

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(initial.clone())

    def forward(self, level: Tensor) -> Tensor:
        return interpolate(self.values, level)[:, :, None, None]


def interpolate(rows: Tensor, level: Tensor) -> Tensor:
    """Linear interpolation of rows [KNOTS, channels] at level [batch]; [batch, channels]."""
    knot = torch.clamp(torch.floor(level / LEVELS_PER_KNOT), 0, KNOTS - 2)
    fraction = ((level - knot * LEVELS_PER_KNOT) / LEVELS_PER_KNOT)[:, None]
    at = knot.long()
    return rows.index_select(0, at) * (1 - fraction) + rows.index_select(0, at + 1) * fraction


class Block(nn.Module):
    """Residual block: 1x1 expansion, depthwise convolution, 1x1 projection; `gated`: scaled by a function of the level.

    The projection starts at zero, so that a new block is the identity.
    """

    def __init__(
        self,
        channels: int,
        expansion: float = 1,
        kernel: int = 3,
        gated: bool = True,
        edges: Literal["zeros", "replicate"] = "zeros",
    ) -> None:
        super().__init__()
        hidden = round(channels * expansion)
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, padding_mode=edges)
        self.project = nn.Conv2d(hidden, channels, 1)
        self.act = nn.LeakyReLU(0.1)
        self.gate = Knots(torch.ones(KNOTS, channels)) if gated else None
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(cast(Tensor, self.project.bias))

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        branch: Tensor = self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        if self.gate is None:
            return x + branch
        return x + cast(Tensor, self.gate(level)) * branch


class CoarseBranch(nn.Module):
    """Residual branch at half the resolution: wide context at a quarter of the cost. Starts as the identity."""

    def __init__(self, channels: int, width: int, blocks: int, expansion: float = 2) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, width, 2, stride=2)
        self.blocks = nn.ModuleList(Block(width, expansion) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(width, channels, 2, stride=2)  # ONNX Runtime shuffles pixels slowly
        self.act = nn.LeakyReLU(0.1)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(cast(Tensor, self.up.bias))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        coarse = self.down(x)
        for block in self.blocks:
            coarse = block(coarse, level)
        return x + cast(Tensor, self.up(self.act(coarse)))


def patches_to_pixels(x: Tensor, patch: int) -> Tensor:
    """Pixel shuffle [B, C * patch^2, h, w] -> [B, C, patch * h, patch * w], as two transpositions.

    ONNX Runtime does these a little faster than `DepthToSpace` (docs/decisions.md): the second moves whole rows.
    """
    batch, channels, height, width = x.shape
    columns = x.reshape(batch, channels // patch, patch, height * width).transpose(2, 3)
    rows = columns.reshape(batch, channels // patch**2, patch, height, patch * width).transpose(2, 3)
    return rows.reshape(batch, channels // patch**2, patch * height, patch * width)


def round_ste(x: Tensor) -> Tensor:
    """Rounding whose gradient is the identity (straight-through estimator, Bengio et al. 2013)."""
    return x + (torch.round(x) - x).detach()


def floor_ste(x: Tensor) -> Tensor:
    """Floor whose gradient is the identity."""
    return x + (torch.floor(x) - x).detach()


class _ClampFunction(torch.autograd.Function):
    """Clamp that lets gradients through where they push the value back into the range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        (grad,) = grads
        blocked = ((x < low) & (grad > 0)) | ((x > high) & (grad < 0))
        return grad.masked_fill(blocked, 0), None, None


def clamp_inward(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp to [low, high]; outside, only gradients that lead back inside pass (Ballé's lower bound, two-sided)."""
    return cast(Tensor, _ClampFunction.apply(x, low, high))  # type: ignore[no-untyped-call]


@torch.no_grad()
def coefficient_std(images: Tensor, side: int = 8) -> Tensor:
    """Standard deviations [3 side^2] of the block DCT's coefficients of images [N, 3, H, W] about mid-grey."""
    coefficients = nn.functional.conv2d(images - 0.5, colour_dct_weights(side), stride=side)
    return coefficients.double().pow(2).mean(dim=(0, 2, 3)).sqrt().clamp_min(2e-3).float()
