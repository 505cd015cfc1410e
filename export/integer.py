"""The integer-exact scale path: hyper-latent -> scale indices, the same bits on every runtime.

Weights are integers in [-127, 127] and activations integers in [0, 255], held in float32; every accumulator stays
below 2^24, so float32 sums are exact in any order (Ballé, Johnston, Minnen 2019, "Integer networks for data
compression with latent-variable models"). In training the same numbers are dyadic fractions: a weight is w/128, an
activation a/32, an accumulator acc/4096; gradients pass the roundings straight through.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from aez.codec.quality import KNOTS, LEVELS_PER_KNOT
from aez.export.layers import clamp_inward, floor_ste, interpolate, round_ste

WEIGHT_ONE, ACT_ONE = 128, 32
ACC_ONE = WEIGHT_ONE * ACT_ONE
WEIGHT_MAX, ACT_MAX = 127, 255
EXACT_LIMIT = 2**24
SCALES = 64
#: Scales below the smallest are skipped: their rare non-zero residuals cost more bits than their error is worth.
SIGMA_MIN, SIGMA_MAX = 0.2256, 412.5
SIGMA_STEP = math.log(SIGMA_MAX / SIGMA_MIN) / (SCALES - 1)
#: Training lets the index run below zero, so that a scale which wants to be skipped still has a gradient.
TRAINING_INDEX_MIN = -12.0
#: Accumulator units per scale index in the last layer, as a power of two.
INDEX_SHIFT = 9
INDEX_UNIT = 2**INDEX_SHIFT
Z_LIMIT = 2047
Z_ZERO = 128
Z_SHIFT = 4
MULTIPLIER_MAX = 2047


def index_to_sigma(index: Tensor) -> Tensor:
    """Standard deviation of the residual for a scale index 0..63, 0.23 to 412 in quantization steps."""
    return SIGMA_MIN * torch.exp(SIGMA_STEP * index)


def sigma_to_index(sigma: Tensor) -> Tensor:
    """Inverse of `index_to_sigma`."""
    return torch.log(sigma / SIGMA_MIN) / SIGMA_STEP


class IntegerConv(nn.Module):
    """Convolution with integer weights and bias: 1x1 (`groups=1`) or depthwise 3x3 (`groups=channels`)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.groups = groups
        self.padding = kernel // 2
        fan_in = inputs // groups * kernel * kernel
        self.weight = nn.Parameter(torch.randn(outputs, inputs // groups, kernel, kernel) / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def integers(self) -> tuple[Tensor, Tensor]:
        """(weight, bias) as integers in float32."""
        weight = torch.round(self.weight.detach().float() * WEIGHT_ONE).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        return weight, torch.round(self.bias.detach().float() * ACC_ONE)

    def worst_accumulator(self) -> int:
        """Largest |accumulator| any input in [0, 255] can produce, over the output channels."""
        weight, bias = self.integers()
        bound = weight.double().abs().sum(dim=(1, 2, 3)) * ACT_MAX + bias.double().abs()
        return int(bound.max())

    def forward(self, x: Tensor) -> Tensor:
        weight = round_ste(clamp_inward(self.weight * WEIGHT_ONE, -WEIGHT_MAX, WEIGHT_MAX)) / WEIGHT_ONE
        bias = round_ste(self.bias * ACC_ONE) / ACC_ONE
        return nn.functional.conv2d(x, weight, bias, padding=self.padding, groups=self.groups)


def _activate(acc: Tensor) -> Tensor:
    return clamp_inward(floor_ste(acc * ACT_ONE), 0, ACT_MAX) / ACT_ONE


class ScaleNetwork(nn.Module):
    """z [B, hyper, h, w] integers, level [B] -> continuous scale index [B, channels, 2h, 2w], for training.

    The exported graph (`ExactScaleNetwork`) floors the index; here it stays continuous so that gradients are smooth.
    `initial_index` [KNOTS, channels] is the index at every knot when the network says nothing.
    """

    def __init__(self, hyper: int, width: int, channels: int, initial_index: Tensor) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                IntegerConv(hyper, width),
                IntegerConv(width, width, kernel=3, groups=width),
                IntegerConv(width, width),
                IntegerConv(width, width, kernel=3, groups=width),
                IntegerConv(width, 4 * channels),
            ]
        )
        for layer in (self.layers[1], self.layers[3]):  # depthwise: start near the identity
            with torch.no_grad():
                cast(IntegerConv, layer).weight.mul_(0.1)
                cast(IntegerConv, layer).weight[:, 0, 1, 1] = 0.9
        with torch.no_grad():
            cast(IntegerConv, self.layers[-1]).weight.mul_(0.1)
        self.offset = nn.Parameter(initial_index + 0.5)
        self.log_multiplier = nn.Parameter(torch.full((KNOTS, hyper), math.log(256.0)))

    def multiplier(self) -> Tensor:
        """[KNOTS, hyper] integers 1..2047, in sixteenths: what a unit of z counts at each knot."""
        return clamp_inward(round_ste(torch.exp(self.log_multiplier)), 1, MULTIPLIER_MAX)

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        offset = interpolate(self.offset, level)[:, :, None, None]
        index: Tensor = self._accumulate(z, level) * (ACC_ONE / INDEX_UNIT) + offset - 0.5
        return index

    @torch.no_grad()
    def index(self, z: Tensor, level: Tensor) -> Tensor:
        """The integers 0..63 that `ExactScaleNetwork` gives: the continuous index, rounded."""
        offset = _integer_rows(self.integer_offset(), level)
        return _whole_index(self._accumulate(z, level) * ACC_ONE + offset)

    def integer_offset(self) -> Tensor:
        """[KNOTS, channels] `offset` in accumulator units, rounded."""
        return torch.round(self.offset.detach() * INDEX_UNIT)

    def _accumulate(self, z: Tensor, level: Tensor) -> Tensor:
        multiplier = floor_ste(interpolate(self.multiplier(), level))[:, :, None, None]
        x = clamp_inward(floor_ste(z * multiplier / 2**Z_SHIFT) + Z_ZERO, 0, ACT_MAX) / ACT_ONE
        for layer in self.layers[:-1]:
            x = _activate(layer(x))
        return nn.functional.pixel_shuffle(self.layers[-1](x), 2)


def _integer_rows(rows: Tensor, level: Tensor) -> Tensor:
    """`interpolate` in integers, rounded down: rows [KNOTS, channels], level [batch] -> [batch, channels, 1, 1]."""
    knot = torch.clamp(torch.floor(level * (1 / LEVELS_PER_KNOT)), 0, KNOTS - 2)
    fraction = (level - knot * LEVELS_PER_KNOT)[:, None]
    at = knot.long()
    mixed = rows.index_select(0, at) * (LEVELS_PER_KNOT - fraction) + rows.index_select(0, at + 1) * fraction
    return torch.floor(mixed * (1 / LEVELS_PER_KNOT))[:, :, None, None]


def _whole_index(acc: Tensor) -> Tensor:
    return torch.clamp(torch.floor(acc * 2.0**-INDEX_SHIFT), 0, SCALES - 1)


class ExactScaleNetwork(nn.Module):
    """The exported form of a `ScaleNetwork`: integers in float32, floors and clips; index [B, channels, 2h, 2w] 0..63.

    Raises ValueError when some accumulator could reach 2^24, naming the layer and the bound.
    """

    def __init__(self, network: ScaleNetwork) -> None:
        super().__init__()
        self.bounds = prove_exact(network)
        for number, layer in enumerate(network.layers):
            weight, bias = cast(IntegerConv, layer).integers()
            self.register_buffer(f"weight{number}", weight)
            self.register_buffer(f"bias{number}", bias)
        self.layers = [(layer.padding, layer.groups) for layer in cast(list[IntegerConv], network.layers)]
        self.register_buffer("offset", network.integer_offset())
        self.register_buffer("multiplier", network.multiplier().detach())

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        scaled = torch.clamp(z, -Z_LIMIT, Z_LIMIT) * _integer_rows(cast(Tensor, self.multiplier), level)
        x = torch.clamp(torch.floor(scaled * 2.0**-Z_SHIFT) + Z_ZERO, 0, ACT_MAX)
        last = len(self.layers) - 1
        for number, (padding, groups) in enumerate(self.layers):
            weight, bias = getattr(self, f"weight{number}"), getattr(self, f"bias{number}")
            acc = nn.functional.conv2d(x, weight, bias, padding=padding, groups=groups)
            if number < last:
                x = torch.clamp(torch.floor(acc * (1 / WEIGHT_ONE)), 0, ACT_MAX)
        offset = _integer_rows(cast(Tensor, self.offset), level)
        return _whole_index(nn.functional.pixel_shuffle(acc, 2) + offset)


def prove_exact(network: ScaleNetwork) -> list[int]:
    """Worst accumulator of every layer, all below 2^24; raises ValueError otherwise."""
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise ValueError("scale path: a weight is not a finite number")
    offset = network.integer_offset().abs()
    bounds = [cast(IntegerConv, layer).worst_accumulator() for layer in network.layers]
    bounds[-1] += int(offset.max())
    interpolation = [
        int(offset.max()) * LEVELS_PER_KNOT,
        int(network.multiplier().detach().max()) * LEVELS_PER_KNOT,
        int(network.multiplier().detach().max()) * Z_LIMIT,
    ]
    for number, bound in enumerate(bounds + interpolation):
        if bound >= EXACT_LIMIT:
            raise ValueError(f"scale path, step {number}: an accumulator can reach {bound}, at or above 2^24")
    return bounds
