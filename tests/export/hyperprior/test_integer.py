"""The scale path: one meaning in training, in the exported graphs, and in integers."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aez.codec.entropy.quality import KNOTS, LEVEL_MAX
from aez.export.hyperprior.graphs import exact_scale
from aez.export.hyperprior.integer import (
    ACC_ONE,
    ACT_MAX,
    ACT_ONE,
    EXACT_LIMIT,
    MULTIPLIER_MAX,
    SCALES,
    SIGMA_MAX,
    SIGMA_MIN,
    WEIGHT_MAX,
    WEIGHT_ONE,
    ExactScale,
    ExactScaleContext,
    ExactScaleStart,
    IntegerConv,
    ScaleNetwork,
    index_to_sigma,
    magnitude,
    prove_exact,
    sigma_to_index,
)

HYPER, WIDTH, CHANNELS = 5, 16, 6
#: Positions per phase.
COUNTS = (1, 1, 2)
LEVELS = [0, 1, 255, 256, 257, 1000, 1791, 1792, 1793, 2047, 2048]


@dataclass(frozen=True)
class Form:
    """What a scale network may be: on the hyper-latent's grid or on one of half its step; blocks of each context."""

    upsampled: bool
    context_blocks: int


FORMER, USUAL = Form(False, 0), Form(True, 2)
every_form = pytest.mark.parametrize("form", [FORMER, USUAL, Form(False, 1), Form(True, 3)], ids=str)


def make_scale_network(seed: int, gain: float = 8.0, form: Form = USUAL) -> ScaleNetwork:
    torch.manual_seed(seed)
    index = 40 * torch.rand(KNOTS, CHANNELS)
    network = ScaleNetwork(HYPER, WIDTH, CHANNELS, COUNTS, index, form.upsampled, form.context_blocks)
    with torch.no_grad():
        network.log_multiplier.copy_(torch.empty_like(network.log_multiplier).uniform_(0, 7))
        for layer in network.modules():
            if isinstance(layer, IntegerConv):
                layer.bias.normal_(std=0.3)
                if not layer.weight.any():
                    layer.weight.normal_(std=0.2)
        for out in cast(list[IntegerConv], network.outs):
            out.weight.mul_(gain)
    return network


def random_symbols(
    seed: int, levels: list[int], spread: float, form: Form = USUAL, height: int = 5, width: int = 4
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """(z of height x width, level, residuals of every phase)."""
    generator = torch.Generator().manual_seed(seed)
    times = 2 if form.upsampled else 1
    shapes = [(HYPER, height, width), *((count * CHANNELS, times * height, times * width) for count in COUNTS)]
    z, *residuals = (torch.round(spread * torch.randn(len(levels), *shape, generator=generator)) for shape in shapes)
    return z, torch.tensor(levels, dtype=torch.float32), residuals


def exact_parts(network: ScaleNetwork) -> list[ExactScale]:
    return [ExactScaleStart(network), *(ExactScaleContext(network, number) for number in range(1, len(COUNTS)))]


@torch.no_grad()
def agreed_indices(network: ScaleNetwork, z: Tensor, level: Tensor, residuals: list[Tensor]) -> list[Tensor]:
    """Indices of every phase, having checked that training, the exported form and int64 agree on them and the states.

    The phases hand on their states, as in a codec.
    """
    found = []
    inputs = {"z": z, "level": level}
    times = 2 if len(network.fine_layers) else 1
    acc, training_state = network.start(z, level)
    for number, part in enumerate(exact_parts(network)):
        if number:
            acc, training_state = network.go_on(number, training_state, inputs["residual"])
        index, state = part(*inputs.values())
        integers = exact_scale(part, {key: x.numpy() for key, x in inputs.items()})
        assert np.array_equal(index.numpy(), integers["index"])
        assert np.array_equal(state.numpy(), integers["next_state"])
        assert torch.equal(index, network.whole_index(acc, level))
        assert torch.equal(state, training_state * ACT_ONE)
        assert index.shape == (len(z), COUNTS[number] * CHANNELS, times * z.shape[2], times * z.shape[3])
        assert 0 <= index.min() <= index.max() <= SCALES - 1
        assert 0 <= state.min() <= state.max() <= ACT_MAX
        found.append(index)
        inputs = {"state": state, "residual": torch.cat(residuals[: number + 1], dim=1), "level": level}
    return found


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


@pytest.mark.parametrize("replicate", [False, True])
def test_beyond_the_edge_lie_zeros_or_the_edges_values(replicate: bool) -> None:
    torch.manual_seed(0)
    layer = IntegerConv(6, 6, 3, 6, replicate)
    x = torch.randint(0, ACT_MAX + 1, (2, 6, 7, 5)).float()
    weight, bias = layer.integers()
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate" if replicate else "constant")
    integers = torch.nn.functional.conv2d(padded.double(), weight.double(), bias.double(), groups=6)
    assert torch.equal(layer(x / ACT_ONE).double() * ACC_ONE, integers)
    flat = torch.full((1, 6, 4, 4), 200.0)
    same = layer(flat / ACT_ONE).flatten(2)
    assert bool((same == same[:, :, :1]).all()) == replicate  # an even plane stays even up to its edge


@every_form
@pytest.mark.parametrize("spread", [1.0, 30.0, 5000.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_training_export_and_integers_agree_on_every_index(seed: int, spread: float, form: Form) -> None:
    network = make_scale_network(seed, form=form)
    for index in agreed_indices(network, *random_symbols(seed, LEVELS, spread, form)):
        assert len(torch.unique(index)) > 20  # the networks do say something


@every_form
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 1), (3, 2)], ids=str)
def test_the_smallest_and_narrowest_tiles_are_exact_too(size: tuple[int, int], form: Form) -> None:
    agreed_indices(make_scale_network(3, form=form), *random_symbols(3, LEVELS, 5.0, form, *size))


def test_what_a_position_of_the_hyper_latent_tells_its_four_cells_differs() -> None:
    network = make_scale_network(4)
    (index, *_) = agreed_indices(network, *random_symbols(4, LEVELS, 5.0, height=1, width=1))
    cells = index.flatten(2)  # of one position
    assert cells.shape[2] == 4
    assert not (cells == cells[:, :, :1]).all()


@pytest.mark.parametrize("form", [FORMER, USUAL], ids=str)
@pytest.mark.parametrize("values", list(itertools.product([-5000, 5000], repeat=2)), ids=str)
def test_extreme_hyper_latents_are_exact_too(values: tuple[int, int], form: Form) -> None:
    _, level, residuals = random_symbols(2, LEVELS, 3.0, form)
    z = torch.full((len(LEVELS), HYPER, 5, 4), float(values[0]))
    z[:, ::2, 1::2] = values[1]
    agreed_indices(make_scale_network(2, form=form), z, level, residuals)


@pytest.mark.parametrize("form", [FORMER, USUAL], ids=str)
@pytest.mark.parametrize("values", [(0, 2**20 - 1), (1 - 2**20, 2**20 - 1), (-3, 19)], ids=str)
def test_extreme_residuals_are_exact_too(values: tuple[int, int], form: Form) -> None:
    z, level, residuals = random_symbols(2, LEVELS, 3.0, form)
    for residual in residuals:
        residual[:] = values[0]
        residual[:, ::2, 1::2] = values[1]
    agreed_indices(make_scale_network(2, form=form), z, level, residuals)


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, LEVEL_MAX), min_size=1, max_size=4),
    st.sampled_from([1.0, 20.0, 100_000.0]),
    st.sampled_from([FORMER, USUAL]),
)
def test_the_exact_network_is_exact_for_any_network_and_level(
    seed: int, levels: list[int], spread: float, form: Form
) -> None:
    z, level, _ = random_symbols(seed, levels, 20.0, form)
    _, _, residuals = random_symbols(seed, levels, spread, form)
    agreed_indices(make_scale_network(seed % 1000, gain=16.0, form=form), z, level, residuals)


@pytest.mark.parametrize("form", [FORMER, USUAL], ids=str)
def test_float64_gives_the_same_indices(form: Form) -> None:
    z, level, residuals = random_symbols(3, LEVELS, 10.0, form)
    inputs = [z, level]
    for number, part in enumerate(exact_parts(make_scale_network(3, form=form)), start=1):
        index, state = part(*inputs)
        in_double = part.double()(*(x.double() for x in inputs))
        assert torch.equal(in_double[0], index.double())
        assert torch.equal(in_double[1], state.double())
        inputs = [state, torch.cat(residuals[:number], dim=1), level]


def test_a_magnitude_is_a_whole_activation_that_tells_small_symbols_apart() -> None:
    symbols = torch.tensor([0, 1, -1, 2, 3, 4, -17, 18, 19, -(2**20)]).float()
    expected = [0, 54, 54, 108, 162, 168, 246, 252, 252, 252]
    assert (magnitude(symbols) * ACT_ONE).tolist() == expected
    assert max(expected) <= ACT_MAX


@every_form
def test_a_new_context_passes_the_state_on_unchanged(form: Form) -> None:
    torch.manual_seed(0)
    index = 40 * torch.rand(KNOTS, CHANNELS)
    network = ScaleNetwork(HYPER, WIDTH, CHANNELS, COUNTS, index, form.upsampled, form.context_blocks)
    z, level, residuals = random_symbols(0, LEVELS, 3.0, form)
    _, state = network.start(z, level)
    for number in range(1, len(COUNTS)):
        _, after = network.go_on(number, state, torch.cat(residuals[:number], dim=1))
        assert torch.equal(after, state)


@pytest.mark.parametrize("form", [FORMER, USUAL], ids=str)
@pytest.mark.parametrize("changed", range(len(COUNTS)))
def test_indices_follow_the_symbols_of_earlier_phases_and_of_no_other(changed: int, form: Form) -> None:
    network = make_scale_network(11, form=form)
    z, level, residuals = random_symbols(11, LEVELS, 3.0, form)
    before = agreed_indices(network, z, level, residuals)
    residuals[changed] = residuals[changed].roll(1, dims=2)
    after = agreed_indices(network, z, level, residuals)
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [number <= changed for number in range(len(COUNTS))]


def test_the_sign_of_a_symbol_says_nothing_about_scales() -> None:
    network = make_scale_network(12)
    z, level, residuals = random_symbols(12, LEVELS, 3.0)
    mirrored = [-residual for residual in residuals]
    for one, other in zip(
        agreed_indices(network, z, level, residuals), agreed_indices(network, z, level, mirrored), strict=True
    ):
        assert torch.equal(one, other)


def accumulators(network: ScaleNetwork, z: Tensor, level: Tensor, residuals: list[Tensor]) -> list[Tensor]:
    """Of every phase, in training."""
    acc, state = network.start(z, level)
    found = [acc]
    for number in range(1, len(COUNTS)):
        acc, state = network.go_on(number, state, torch.cat(residuals[:number], dim=1))
        found.append(acc)
    return found


def test_the_continuous_index_rounds_to_the_exact_one() -> None:
    network = make_scale_network(4)
    z, level, residuals = random_symbols(4, LEVELS, 10.0)
    with torch.no_grad():
        for acc in accumulators(network, z, level, residuals):
            continuous, index = network.training_index(acc, level), network.whole_index(acc, level)
            inside = (index > 0) & (index < SCALES - 1)
            assert inside.float().mean() > 0.3
            assert (continuous - index)[inside].abs().max() <= 0.5 + 2 / 512  # two roundings of the offset


@every_form
def test_gradients_reach_every_parameter_and_the_hyper_latent(form: Form) -> None:
    network = make_scale_network(5, form=form)
    z, level, residuals = random_symbols(5, LEVELS, 3.0, form)
    z.requires_grad_()
    phases = [network.training_index(acc, level).sum() for acc in accumulators(network, z, level, residuals)]
    torch.stack(phases).sum().backward()
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


@every_form
def test_the_proof_names_a_bound_for_every_step(form: Form) -> None:
    network = make_scale_network(7, form=form)
    bounds = prove_exact(network)
    layers = {name for name, module in network.named_modules() if isinstance(module, IntegerConv)}
    in_contexts = 2 * max(form.context_blocks, 1) * (len(COUNTS) - 1)
    assert len(layers) == 4 + 4 * form.upsampled + in_contexts + len(COUNTS)
    assert set(bounds) == layers | {"offset", "multiplier"}
    assert max(bounds.values()) < EXACT_LIMIT


@pytest.mark.parametrize(
    "layer",
    [
        "layers.0",
        "fine_layers.0",
        "fine_layers.3",
        "contexts.1.enter",
        "contexts.0.mix",
        "contexts.0.more.0",
        "contexts.1.more.1",
        "outs.0",
        "outs.2",
    ],
)
def test_the_proof_holds_at_the_limit_and_refuses_one_more(layer: str) -> None:
    network = make_scale_network(8)
    conv = cast(IntegerConv, network.get_submodule(layer))
    # Mixing adds the state, and the last layer the offset.
    added = {
        "contexts.0.mix": ACT_MAX * WEIGHT_ONE,
        "contexts.1.more.1": ACT_MAX * WEIGHT_ONE,
        "outs.0": int(network.integer_offset().max()),
        "outs.2": int(network.integer_offset().max()),
    }.get(layer, 0)
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.zero_()
        conv.bias[0] = (EXACT_LIMIT - 1 - added) / ACC_ONE
    assert prove_exact(network)[layer] == EXACT_LIMIT - 1
    with torch.no_grad():
        conv.bias[0] = (EXACT_LIMIT - added) / ACC_ONE
    for part in (ExactScaleStart, lambda network: ExactScaleContext(network, 1)):
        with pytest.raises(ValueError, match=rf"scale path, {layer}: an accumulator can reach 16777216, at or above"):
            part(network)


@pytest.mark.parametrize("value", [EXACT_LIMIT / 512 / 256, -1e9], ids=["interpolation", "far below"])
def test_the_proof_refuses_offsets_that_could_overflow(value: float) -> None:
    network = make_scale_network(9)
    with torch.no_grad():
        network.offset[3, 2] = value
    with pytest.raises(ValueError, match="an accumulator can reach"):
        prove_exact(network)


@pytest.mark.parametrize("layer", ["layers.2", "contexts.0.enter", "outs.1"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_proof_refuses_weights_that_are_no_numbers(value: float, layer: str) -> None:
    network = make_scale_network(10)
    with torch.no_grad():
        cast(IntegerConv, network.get_submodule(layer)).weight[0, 0] = value
    with pytest.raises(ValueError, match="not a finite number"):
        prove_exact(network)
