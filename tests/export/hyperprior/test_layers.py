"""The layers that the networks are made of."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from aez.codec.entropy.quality import KNOTS, LEVEL_MAX, LEVELS_PER_KNOT
from aez.export.hyperprior.layers import (
    Block,
    CoarseBranch,
    Knots,
    clamp_inward,
    colour_dct_weights,
    dct_basis,
    floor_ste,
    interpolate,
    patches_to_pixels,
    round_ste,
)

numbers = st.floats(-1e6, 1e6, width=32)


@pytest.mark.parametrize("size", [2, 8, 16])
def test_the_dct_basis_is_orthonormal_and_begins_with_the_mean(size: int) -> None:
    basis = dct_basis(size).double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(basis[0], torch.full((size,), size**-0.5, dtype=torch.float64), rtol=0, atol=1e-7)


def test_the_patch_embedding_is_orthonormal_over_all_colours_and_places() -> None:
    matrix = colour_dct_weights(8).reshape(192, 192).double()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(192, dtype=torch.float64), rtol=0, atol=1e-5)


def test_a_grey_patch_has_one_coefficient_and_a_colour_none_of_luma_frequencies() -> None:
    weights = colour_dct_weights(8)
    grey = nn.functional.conv2d(torch.full((1, 3, 8, 8), 0.25), weights).flatten()
    assert grey[0].item() == pytest.approx(0.25 * math.sqrt(192), abs=1e-5)
    assert grey[1:].abs().max() < 1e-5


def test_patches_become_pixels_as_in_a_pixel_shuffle() -> None:
    x = torch.arange(2 * 3 * 16 * 5 * 7.0).reshape(2, 48, 5, 7)
    assert torch.equal(patches_to_pixels(x, 4), nn.functional.pixel_shuffle(x, 4))


def test_interpolation_gives_the_rows_at_knots_and_the_mixture_between() -> None:
    rows = torch.arange(KNOTS, dtype=torch.float32)[:, None] ** 2 * torch.tensor([1.0, -3.0])
    knots = torch.arange(KNOTS) * float(LEVELS_PER_KNOT)
    torch.testing.assert_close(interpolate(rows, knots), rows, rtol=0, atol=0)
    between = interpolate(rows, torch.tensor([64.0, LEVEL_MAX - 128.0]))
    torch.testing.assert_close(between, torch.tensor([[0.25, -0.75], [56.5, -169.5]]), rtol=0, atol=0)


def test_knots_give_each_picture_of_a_batch_its_own_values() -> None:
    knots = Knots(torch.linspace(0, 1, KNOTS)[:, None].repeat(1, 3))
    values = knots(torch.tensor([0.0, float(LEVEL_MAX)]))
    assert values.shape == (2, 3, 1, 1)
    assert values.flatten().tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("layer", [Block(6, expansion=2), CoarseBranch(6, 5, 2)], ids=["block", "coarse branch"])
def test_new_residual_layers_are_the_identity(layer: nn.Module) -> None:
    x = torch.randn(2, 6, 8, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x, torch.tensor([3.0, 2048.0])), x, rtol=0, atol=0)


def test_a_block_weighs_its_branch_by_the_level() -> None:
    block = Block(4)
    nn.init.ones_(block.project.weight)
    with torch.no_grad():
        block.gate.values[0] = 0
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    moved = (block(x, torch.tensor([0.0, 256.0])) - x).abs().amax(dim=(1, 2, 3))
    assert moved[0] == 0
    assert moved[1] > 0


@given(numbers)
def test_straight_through_rounding_has_the_rounded_value(value: float) -> None:
    x = torch.tensor(value)
    assert round_ste(x) == torch.round(x)
    assert floor_ste(x) == torch.floor(x)


def test_straight_through_rounding_passes_gradients_unchanged() -> None:
    x = torch.tensor([-1.7, 0.2, 0.5, 3.9], requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5])
    for rounding in (round_ste, floor_ste):
        (gradient,) = torch.autograd.grad((rounding(x) * weights).sum(), x)
        assert torch.equal(gradient, weights)


@pytest.mark.parametrize(
    ("value", "gradient", "passed"),
    [
        (0.5, 1.0, 1.0),
        (0.5, -1.0, -1.0),
        (-1.0, 1.0, 0.0),  # descending would lead further below
        (-1.0, -1.0, -1.0),
        (2.0, 1.0, 1.0),
        (2.0, -1.0, 0.0),
    ],
)
def test_an_inward_clamp_blocks_only_gradients_that_lead_outwards(value: float, gradient: float, passed: float) -> None:
    x = torch.tensor([value], requires_grad=True)
    clamped: Tensor = clamp_inward(x, 0.0, 1.0)
    assert clamped.item() == min(max(value, 0), 1)
    clamped.backward(torch.tensor([gradient]))
    assert x.grad is not None
    assert x.grad.item() == passed


def test_an_inward_clamp_works_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert clamp_inward(torch.tensor([-3.0, 0.5, 9.0]), 0.0, 1.0).tolist() == [0.0, 0.5, 1.0]
