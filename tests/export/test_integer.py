"""The scale path: one meaning in training, in the exported graph, and in integers."""

from __future__ import annotations

import itertools
import math
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aez.codec.quality import KNOTS, LEVEL_MAX
from aez.export.graphs import exact_index
from aez.export.integer import (
    ACC_ONE,
    ACT_MAX,
    ACT_ONE,
    EXACT_LIMIT,
    MULTIPLIER_MAX,
    SCALES,
    SIGMA_MAX,
    SIGMA_MIN,
    WEIGHT_MAX,
    ExactScaleNetwork,
    IntegerConv,
    ScaleNetwork,
    index_to_sigma,
    prove_exact,
    sigma_to_index,
)

HYPER, WIDTH, CHANNELS = 5, 16, 6
LEVELS = [0, 1, 255, 256, 257, 1000, 1791, 1792, 1793, 2047, 2048]


def make_scale_network(seed: int, gain: float = 8.0) -> ScaleNetwork:
    torch.manual_seed(seed)
    network = ScaleNetwork(HYPER, WIDTH, CHANNELS, 40 * torch.rand(KNOTS, CHANNELS))
    with torch.no_grad():
        network.log_multiplier.copy_(torch.empty_like(network.log_multiplier).uniform_(0, 7))
        for layer in cast(list[IntegerConv], network.layers):
            layer.bias.normal_(std=0.3)
        cast(IntegerConv, network.layers[-1]).weight.mul_(gain)
    return network


def random_z(seed: int, levels: list[int], spread: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.round(spread * torch.randn(len(levels), HYPER, 5, 4, generator=generator))
    return z, torch.tensor(levels, dtype=torch.float32)


def test_the_scale_index_and_the_standard_deviation_are_inverse_over_the_whole_range() -> None:
    index = torch.linspace(0, SCALES - 1, 200)
    torch.testing.assert_close(sigma_to_index(index_to_sigma(index)), index, rtol=0, atol=1e-4)
    ends = index_to_sigma(torch.tensor([0.0, SCALES - 1.0])).tolist()
    assert ends == pytest.approx([SIGMA_MIN, SIGMA_MAX], rel=1e-5)


@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (3, 6)])
def test_a_convolution_in_training_is_the_integer_one_in_other_units(kernel: int, groups: int) -> None:
    torch.manual_seed(kernel)
    layer = IntegerConv(6, 6, kernel, groups)
    with torch.no_grad():
        layer.weight[0] = 9  # beyond what an 8-bit weight holds
        layer.bias.normal_()
    x = torch.randint(0, ACT_MAX + 1, (2, 6, 7, 5)).float()
    weight, bias = layer.integers()
    assert torch.equal(weight, torch.round(weight))
    assert weight.abs().max() == WEIGHT_MAX
    integers = torch.nn.functional.conv2d(
        x.double(), weight.double(), bias.double(), padding=kernel // 2, groups=groups
    )
    assert torch.equal(layer(x / ACT_ONE).double() * ACC_ONE, integers)


@pytest.mark.parametrize("spread", [1.0, 30.0, 5000.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_training_export_and_integers_agree_on_every_index(seed: int, spread: float) -> None:
    network = make_scale_network(seed)
    exact = ExactScaleNetwork(network)
    z, level = random_z(seed, LEVELS, spread)
    with torch.no_grad():
        index, in_training = exact(z, level), network.index(z, level)
    assert torch.equal(index, in_training)
    assert np.array_equal(index.numpy(), exact_index(exact, z.numpy(), level.numpy()))
    assert len(torch.unique(index)) > 20  # the networks do say something
    assert 0 <= index.min() <= index.max() <= SCALES - 1


@pytest.mark.parametrize("values", list(itertools.product([-5000, 5000], repeat=2)), ids=str)
def test_extreme_hyper_latents_are_exact_too(values: tuple[int, int]) -> None:
    exact = ExactScaleNetwork(make_scale_network(2))
    z = torch.full((len(LEVELS), HYPER, 4, 4), float(values[0]))
    z[:, ::2, 1::2] = values[1]
    level = torch.tensor(LEVELS, dtype=torch.float32)
    assert np.array_equal(exact(z, level).numpy(), exact_index(exact, z.numpy(), level.numpy()))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, LEVEL_MAX), min_size=1, max_size=4))
def test_the_exact_network_is_exact_for_any_network_and_level(seed: int, levels: list[int]) -> None:
    network = make_scale_network(seed % 1000, gain=16.0)
    exact = ExactScaleNetwork(network)
    z, level = random_z(seed, levels, 20.0)
    index = exact(z, level)
    assert np.array_equal(index.numpy(), exact_index(exact, z.numpy(), level.numpy()))
    assert torch.equal(index, network.index(z, level))


def test_float64_gives_the_same_indices() -> None:
    exact = ExactScaleNetwork(make_scale_network(3))
    z, level = random_z(3, LEVELS, 10.0)
    index = exact(z, level)
    assert torch.equal(exact.double()(z.double(), level.double()), index.double())


def test_the_continuous_index_rounds_to_the_exact_one() -> None:
    network = make_scale_network(4)
    z, level = random_z(4, LEVELS, 10.0)
    with torch.no_grad():
        continuous, index = network(z, level), network.index(z, level)
    inside = (index > 0) & (index < SCALES - 1)
    assert inside.float().mean() > 0.3
    assert (continuous - index)[inside].abs().max() <= 0.5 + 2 / 512  # two roundings of the offset


def test_gradients_reach_every_parameter_and_the_hyper_latent() -> None:
    network = make_scale_network(5)
    z, level = random_z(5, LEVELS, 3.0)
    z.requires_grad_()
    network(z, level).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
    assert z.grad is not None
    assert bool(z.grad.any())


def test_multipliers_stay_whole_and_within_their_range() -> None:
    network = make_scale_network(6)
    with torch.no_grad():
        network.log_multiplier[0], network.log_multiplier[1] = 50.0, -50.0
    multiplier = network.multiplier()
    assert torch.equal(multiplier, torch.round(multiplier))
    assert (multiplier[0] == MULTIPLIER_MAX).all()
    assert (multiplier[1] == 1).all()


def test_the_proven_bound_is_reached_by_the_worst_input_and_not_exceeded() -> None:
    layer = IntegerConv(7, 3)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.5, -0.25, 0.0]))
    weight, bias = layer.integers()
    reached = []
    for sign in (1, -1):  # all inputs at 255 where they push the sum in one direction
        worst = torch.where(sign * weight > 0, float(ACT_MAX), 0.0)
        reached += ((weight * worst).sum(dim=(1, 2, 3)) + bias).abs().tolist()
    full = (weight.abs().sum(dim=(1, 2, 3)) * ACT_MAX + bias.abs()).max()
    assert max(reached) <= layer.worst_accumulator() == int(full)


def test_the_proof_names_a_bound_for_every_layer() -> None:
    network = make_scale_network(7)
    bounds = prove_exact(network)
    assert len(bounds) == len(network.layers)
    assert max(bounds) < EXACT_LIMIT
    assert ExactScaleNetwork(network).bounds == bounds


def test_the_proof_holds_at_the_limit_and_refuses_one_more() -> None:
    network = make_scale_network(8)
    layer = cast(IntegerConv, network.layers[0])
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias[0] = (EXACT_LIMIT - 1) / ACC_ONE
    assert prove_exact(network)[0] == EXACT_LIMIT - 1
    with torch.no_grad():
        layer.bias[0] = EXACT_LIMIT / ACC_ONE
    with pytest.raises(ValueError, match=r"step 0: an accumulator can reach 16777216, at or above 2\^24"):
        ExactScaleNetwork(network)


@pytest.mark.parametrize("value", [EXACT_LIMIT / 512 / 256, -1e9], ids=["interpolation", "far below"])
def test_the_proof_refuses_offsets_that_could_overflow(value: float) -> None:
    network = make_scale_network(9)
    with torch.no_grad():
        network.offset[3, 2] = value
    with pytest.raises(ValueError, match="an accumulator can reach"):
        prove_exact(network)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_proof_refuses_weights_that_are_no_numbers(value: float) -> None:
    network = make_scale_network(10)
    with torch.no_grad():
        cast(IntegerConv, network.layers[2]).weight[0, 0] = value
    with pytest.raises(ValueError, match="not a finite number"):
        prove_exact(network)
