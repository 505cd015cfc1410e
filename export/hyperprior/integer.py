"""The integer-exact scale path: hyper-latent -> scale indices, the same bits on every runtime.

Weights are integers in [-127, 127] and activations integers in [0, 255], held in float32; every accumulator stays
below 2^24, so float32 sums are exact in any order (Ballé, Johnston, Minnen 2019, "Integer networks for data
compression with latent-variable models"). In training the same numbers are dyadic fractions: a weight is w/128, an
activation a/32, an accumulator acc/4096; gradients pass the roundings straight through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from aez.codec.entropy.quality import KNOTS, LEVELS_PER_KNOT
from aez.export.hyperprior.layers import clamp_inward, floor_ste, interpolate, round_ste

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

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, groups: int = 1, replicate: bool = False) -> None:
        super().__init__()
        self.groups = groups
        self.padding = kernel // 2
        self.replicate = replicate and self.padding > 0
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
        return _convolve(self, x, weight, bias)


def _convolve(conv: IntegerConv | ExactConv, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """With the edge's values, or zeros, beyond the edge."""
    if conv.replicate:
        x = nn.functional.pad(x, (conv.padding,) * 4, mode="replicate")
    return nn.functional.conv2d(x, weight, bias, padding=0 if conv.replicate else conv.padding, groups=conv.groups)


def _activate(acc: Tensor) -> Tensor:
    return clamp_inward(floor_ste(acc * ACT_ONE), 0, ACT_MAX) / ACT_ONE


class ScaleContext(nn.Module):
    """Magnitudes of the symbols coded so far, into the state that the next phase's scales are read from."""

    def __init__(self, width: int, inputs: int, blocks: int) -> None:
        super().__init__()
        self.enter = IntegerConv(width + inputs, width)
        self.mix = IntegerConv(width, width, kernel=3, groups=width, replicate=blocks > 0)
        self.more = nn.ModuleList()
        for _ in range(blocks - 1):
            self.more.append(IntegerConv(width, width))
            self.more.append(IntegerConv(width, width, kernel=3, groups=width, replicate=True))
        with torch.no_grad():
            self.enter.weight.mul_(0.5)
            for mix in self.mixes():
                mix.weight.zero_()  # starts as the identity

    def mixes(self) -> list[IntegerConv]:
        """The layers whose accumulators the state is added to."""
        return [self.mix, *cast(list[IntegerConv], self.more[1::2])]

    def forward(self, state: Tensor, magnitudes: Tensor) -> Tensor:
        hidden = _activate(self.enter(torch.cat((state, magnitudes), dim=1)))
        state = _activate(self.mix(hidden) + state)
        for enter, mix in zip(self.more[::2], self.more[1::2], strict=True):
            state = _activate(mix(_activate(enter(state))) + state)
        return state


def whole_magnitude(symbols: Tensor) -> Tensor:
    """Activation 0..252, an integer: steep for the small symbols, flat from 18 on."""
    size = symbols.abs()
    return 48 * size.clamp_max(3) + 6 * size.clamp_max(18)


def magnitude(symbols: Tensor) -> Tensor:
    """`whole_magnitude` in units of one, as training has activations."""
    return whole_magnitude(symbols) / ACT_ONE


class ScaleNetwork(nn.Module):
    """z [B, hyper, h, w] integers, level [B] and earlier phases' symbols -> scale indices of a phase, for training.

    `phases` counts the positions of every phase; a phase's indices are [B, positions * channels, h, w]. The exported
    graphs floor the index; `training_index` stays continuous so that gradients are smooth.
    `initial_index` [KNOTS, channels] is the index at every knot when the network says nothing.
    """

    def __init__(
        self,
        hyper: int,
        width: int,
        channels: int,
        phases: Sequence[int],
        initial_index: Tensor,
        upsampled: bool = False,
        context_blocks: int = 0,
    ) -> None:
        super().__init__()
        edges = context_blocks > 0
        self.layers = nn.ModuleList(
            [
                IntegerConv(hyper, width),
                IntegerConv(width, width, kernel=3, groups=width, replicate=edges),
                IntegerConv(width, width),
                IntegerConv(width, width, kernel=3, groups=width, replicate=edges),
            ]
        )
        #: To twice the resolution: four channels for each, shuffled into a square.
        self.fine_layers = nn.ModuleList(
            [
                IntegerConv(width, 4 * width),
                IntegerConv(width, width, kernel=3, groups=width, replicate=edges),
                IntegerConv(width, width),
                IntegerConv(width, width, kernel=3, groups=width, replicate=edges),
            ]
            if upsampled
            else []
        )
        for layer in (*self.layers[1::2], *self.fine_layers[1::2]):  # depthwise: start near the identity
            with torch.no_grad():
                cast(IntegerConv, layer).weight.mul_(0.1)
                cast(IntegerConv, layer).weight[:, 0, 1, 1] = 0.9
        self.contexts = nn.ModuleList(
            ScaleContext(width, channels * sum(phases[:number]), context_blocks) for number in range(1, len(phases))
        )
        self.outs = nn.ModuleList(IntegerConv(width, count * channels) for count in phases)
        with torch.no_grad():
            for out in cast(list[IntegerConv], self.outs):
                out.weight.mul_(0.1)
        self.offset = nn.Parameter(initial_index + 0.5)
        self.log_multiplier = nn.Parameter(torch.full((KNOTS, hyper), math.log(256.0)))

    def multiplier(self) -> Tensor:
        """[KNOTS, hyper] integers 1..2047, in sixteenths: what a unit of z counts at each knot."""
        return clamp_inward(round_ste(torch.exp(self.log_multiplier)), 1, MULTIPLIER_MAX)

    def start(self, z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(accumulator of the first phase, state)."""
        multiplier = floor_ste(interpolate(self.multiplier(), level))[:, :, None, None]
        x = clamp_inward(floor_ste(z * multiplier / 2**Z_SHIFT) + Z_ZERO, 0, ACT_MAX) / ACT_ONE
        for layer in self.layers:
            x = _activate(layer(x))
        for number, layer in enumerate(self.fine_layers):
            x = _activate(layer(x))
            if number == 0:
                x = nn.functional.pixel_shuffle(x, 2)
        return self.outs[0](x), x

    def go_on(self, number: int, state: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """(accumulator of phase `number`, state), given the symbols of the phases before it, joined in order."""
        state = self.contexts[number - 1](state, magnitude(symbols))
        return self.outs[number](state), state

    def training_index(self, acc: Tensor, level: Tensor) -> Tensor:
        """Continuous scale index of an accumulator."""
        offset = interpolate(self.offset, level)[:, :, None, None]
        positions = acc.shape[1] // offset.shape[1]
        index: Tensor = acc * (ACC_ONE / INDEX_UNIT) + offset.repeat(1, positions, 1, 1) - 0.5
        return index

    @torch.no_grad()
    def whole_index(self, acc: Tensor, level: Tensor) -> Tensor:
        """The integers 0..63 that the exported graph gives: the continuous index, rounded."""
        offset = _integer_rows(self.integer_offset(), level)
        positions = acc.shape[1] // offset.shape[1]
        return _whole_index(acc * ACC_ONE + offset.repeat(1, positions, 1, 1))

    def integer_offset(self) -> Tensor:
        """[KNOTS, channels] `offset` in accumulator units, rounded."""
        return torch.round(self.offset.detach() * INDEX_UNIT)


def _integer_rows(rows: Tensor, level: Tensor) -> Tensor:
    """`interpolate` in integers, rounded down: rows [KNOTS, channels], level [batch] -> [batch, channels, 1, 1]."""
    knot = torch.clamp(torch.floor(level * (1 / LEVELS_PER_KNOT)), 0, KNOTS - 2)
    fraction = (level - knot * LEVELS_PER_KNOT)[:, None]
    at = knot.long()
    mixed = rows.index_select(0, at) * (LEVELS_PER_KNOT - fraction) + rows.index_select(0, at + 1) * fraction
    return torch.floor(mixed * (1 / LEVELS_PER_KNOT))[:, :, None, None]


def _whole_index(acc: Tensor) -> Tensor:
    return torch.clamp(torch.floor(acc * 2.0**-INDEX_SHIFT), 0, SCALES - 1)


class ExactConv(nn.Module):
    """An `IntegerConv` in integers."""

    def __init__(self, conv: IntegerConv) -> None:
        super().__init__()
        self.padding, self.groups, self.replicate = conv.padding, conv.groups, conv.replicate
        weight, bias = conv.integers()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return _convolve(self, x, cast(Tensor, self.weight), cast(Tensor, self.bias))


def _exact_activate(acc: Tensor) -> Tensor:
    return torch.clamp(torch.floor(acc * (1 / WEIGHT_ONE)), 0, ACT_MAX)


class ExactScale(nn.Module):
    """The exported form of one phase of a `ScaleNetwork`: integers in float32, floors and clips.

    Phase 0 maps (z, level), a later one (state, residual, level) to (index [B, positions * channels, h, w] in 0..63,
    state [B, width, h, w] in 0..255). Raises ValueError when some accumulator could reach 2^24.
    """

    def __init__(self, network: ScaleNetwork, number: int) -> None:
        super().__init__()
        prove_exact(network)
        self.out = ExactConv(cast(IntegerConv, network.outs[number]))
        self.positions: int = cast(Tensor, self.out.weight).shape[0] // network.offset.shape[1]
        self.register_buffer("offset", network.integer_offset())

    def _index(self, state: Tensor, level: Tensor) -> Tensor:
        offset = _integer_rows(cast(Tensor, self.offset), level).repeat(1, self.positions, 1, 1)
        return _whole_index(self.out(state) + offset)


class ExactScaleStart(ExactScale):
    """Phase 0: from the hyper-latent alone."""

    def __init__(self, network: ScaleNetwork) -> None:
        super().__init__(network, 0)
        self.layers = nn.ModuleList(ExactConv(cast(IntegerConv, layer)) for layer in network.layers)
        self.fine_layers = nn.ModuleList(ExactConv(cast(IntegerConv, layer)) for layer in network.fine_layers)
        self.register_buffer("multiplier", network.multiplier().detach())

    def forward(self, z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        scaled = torch.clamp(z, -Z_LIMIT, Z_LIMIT) * _integer_rows(cast(Tensor, self.multiplier), level)
        x = torch.clamp(torch.floor(scaled * 2.0**-Z_SHIFT) + Z_ZERO, 0, ACT_MAX)
        for layer in self.layers:
            x = _exact_activate(layer(x))
        for number, layer in enumerate(self.fine_layers):
            x = _exact_activate(layer(x))
            if number == 0:
                x = nn.functional.pixel_shuffle(x, 2)
        return self._index(x, level), x


class ExactScaleContext(ExactScale):
    """A later phase: from the state and the residuals of the phases before it."""

    def __init__(self, network: ScaleNetwork, number: int) -> None:
        super().__init__(network, number)
        context = cast(ScaleContext, network.contexts[number - 1])
        self.enter, self.mix = ExactConv(context.enter), ExactConv(context.mix)
        self.more = nn.ModuleList(ExactConv(cast(IntegerConv, layer)) for layer in context.more)

    def forward(self, state: Tensor, residual: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        hidden = _exact_activate(self.enter(torch.cat((state, whole_magnitude(residual)), dim=1)))
        state = _exact_activate(self.mix(hidden) + state * WEIGHT_ONE)
        for enter, mix in zip(self.more[::2], self.more[1::2], strict=True):
            state = _exact_activate(mix(_exact_activate(enter(state))) + state * WEIGHT_ONE)
        return self._index(state, level), state


def prove_exact(network: ScaleNetwork) -> dict[str, int]:
    """Worst accumulator of every step, all below 2^24; raises ValueError otherwise."""
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise ValueError("scale path: a weight is not a finite number")
    offset = int(network.integer_offset().abs().max())
    multiplier = int(network.multiplier().detach().max())
    bounds = {
        "offset": offset * LEVELS_PER_KNOT,
        "multiplier": multiplier * max(LEVELS_PER_KNOT, Z_LIMIT),
    }
    mixes = {mix for context in network.contexts for mix in cast(ScaleContext, context).mixes()}
    for name, module in network.named_modules():
        if isinstance(module, IntegerConv):
            added = offset if name.startswith("outs.") else ACT_MAX * WEIGHT_ONE if module in mixes else 0
            bounds[name] = module.worst_accumulator() + added
    for name, bound in bounds.items():
        if bound >= EXACT_LIMIT:
            raise ValueError(f"scale path, {name}: an accumulator can reach {bound}, at or above 2^24")
    return bounds
