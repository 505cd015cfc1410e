"""Losses of detectors, by worked examples and by second implementations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from aez.export.common.losses import (
    bce,
    contractive_penalty,
    free_bits,
    gaussian_kl,
    gaussian_nll,
    importance_weighted_bound,
    kl_weight,
    mse,
    negative_elbo,
    reparameterise,
    sigmoid_contraction,
    sparsity_kl,
)

WINDOW, RECONSTRUCTION = torch.tensor([0.8, 0.3, 0.9, 0.1]), torch.tensor([0.75, 0.35, 0.85, 0.15])


def test_mse_of_the_worked_example() -> None:
    assert mse(RECONSTRUCTION, WINDOW).item() == pytest.approx(0.0025, abs=1e-7)


def test_bce_of_the_worked_example() -> None:
    assert bce(RECONSTRUCTION, WINDOW).item() == pytest.approx(0.4490, abs=5e-5)


def test_bce_agrees_with_torch_and_stays_finite_at_the_ends() -> None:
    wanted = nn.functional.binary_cross_entropy(RECONSTRUCTION, WINDOW)
    assert bce(RECONSTRUCTION, WINDOW).item() == pytest.approx(wanted.item(), rel=1e-5)
    sure = torch.tensor([0.0, 1.0], requires_grad=True)
    bce(sure, torch.tensor([1.0, 0.0])).backward()
    assert sure.grad is not None
    assert bool(sure.grad.isfinite().all())


def test_gaussian_kl_of_the_worked_example_is_the_sum_over_the_dimensions() -> None:
    divergence = gaussian_kl(torch.tensor([0.5, -0.3]), torch.tensor([-0.2, 0.1]))
    assert divergence.sum().item() == pytest.approx(0.1820, abs=5e-5)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_gaussian_kl_agrees_with_torch(mean: float, log_variance: float) -> None:
    normal = torch.distributions.Normal(mean, math.exp(log_variance / 2))
    wanted = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    found = gaussian_kl(torch.tensor(mean), torch.tensor(log_variance))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-3, abs=1e-5)


def test_sparsity_kl_of_the_worked_example() -> None:
    assert sparsity_kl(torch.tensor(0.3), 0.05).item() == pytest.approx(0.2005, abs=5e-5)


def test_sparsity_kl_and_its_gradient_of_the_worked_example() -> None:
    activation = torch.tensor(0.5, requires_grad=True)
    divergence = sparsity_kl(activation, 0.1)
    divergence.backward()
    assert divergence.item() == pytest.approx(0.368, abs=5e-4)
    assert activation.grad is not None
    assert activation.grad.item() == pytest.approx(1.6, abs=1e-6)


def test_the_importance_weighted_bound_of_one_draw_is_the_elbo_and_more_draws_raise_it() -> None:
    # p(x, z) / q(z | x) of a model whose ln p(x) is known: x ~ N(z, 1), z ~ N(0, 1), and q(z | x) is the prior.
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(200, 500, generator=generator)
    weights = -(1.5 - z).square() / 2 - math.log(2 * math.pi) / 2
    elbo, exact = weights.mean().item(), -(1.5**2) / 4 - math.log(4 * math.pi) / 2
    bounds = [importance_weighted_bound(weights[:count]).mean().item() for count in (1, 5, 200)]
    assert importance_weighted_bound(weights[:1]).tolist() == pytest.approx(weights[0].tolist())
    assert elbo < bounds[1] < bounds[2] < exact + 0.01
    assert bounds[2] == pytest.approx(exact, abs=0.02)


def test_the_contraction_of_one_layer_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    columns = []
    for number in range(6):
        step = 1e-6 * torch.eye(6, dtype=torch.float64)[number]
        columns.append((torch.sigmoid((x + step) @ weight.T) - torch.sigmoid((x - step) @ weight.T)) / 2e-6)
    wanted = torch.stack(columns, 2).square().sum((1, 2)).mean()
    assert sigmoid_contraction(torch.sigmoid(x @ weight.T), weight).item() == pytest.approx(wanted.item(), rel=1e-6)


@given(st.floats(0.01, 0.99), st.floats(0, 1))
def test_sparsity_kl_is_never_negative_and_zero_at_its_goal(rho: float, activation: float) -> None:
    assert sparsity_kl(torch.tensor(activation), rho).item() >= -1e-6
    assert sparsity_kl(torch.tensor(rho), rho).item() == pytest.approx(0, abs=1e-5)


def test_reparameterisation_of_the_worked_example_with_its_gradients() -> None:
    mean, deviation = torch.tensor(2.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    z = reparameterise(mean, deviation, torch.tensor(1.3))
    z.backward()
    assert z.item() == pytest.approx(2.65)
    assert mean.grad is not None
    assert deviation.grad is not None
    assert (mean.grad.item(), deviation.grad.item()) == pytest.approx((1.0, 1.3))


def test_missing_samples_count_in_no_mean() -> None:
    present = torch.tensor([1.0, 0.0, 1.0, 1.0])
    spoiled = torch.where(present > 0, RECONSTRUCTION, torch.tensor(0.99))
    for loss in (mse, bce):
        assert loss(spoiled, WINDOW, present).item() == loss(RECONSTRUCTION, WINDOW, present).item()
    assert mse(spoiled, WINDOW, torch.zeros(4)).item() == 0


def test_free_bits_charge_each_dimension_at_least_so_much() -> None:
    divergence = torch.tensor([[0.0, 1.0, 4.0], [0.2, 1.0, 6.0]])
    assert free_bits(divergence, 0.0).item() == pytest.approx(0.1 + 1 + 5)
    assert free_bits(divergence, 0.5).item() == pytest.approx(0.5 + 1 + 5)


def test_a_free_dimension_has_no_gradient() -> None:
    divergence = torch.tensor([[0.1, 2.0]], requires_grad=True)
    free_bits(divergence, 0.5).backward()
    assert divergence.grad is not None
    assert divergence.grad.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.15, 2.0), (0.3, 4.0), (1.0, 4.0)])
def test_the_divergence_is_annealed(progress: float, weight: float) -> None:
    assert kl_weight(progress, beta=4.0, warm=0.3) == pytest.approx(weight)


def test_without_a_warm_up_the_divergence_counts_in_full_at_once() -> None:
    assert kl_weight(0.0, beta=2.0, warm=0.0) == 2.0


def test_the_elbo_of_a_window_agrees_with_torch_distributions() -> None:
    g = torch.Generator().manual_seed(0)
    target, reconstruction = torch.randn(3, 5, 2, generator=g), torch.randn(3, 5, 2, generator=g)
    log_noise = torch.tensor([0.3, -0.7])
    present = (torch.rand(3, 5, 2, generator=g) > 0.3).float()
    normal = torch.distributions.Normal(reconstruction, torch.exp(log_noise / 2))
    constant = math.log(2 * math.pi) / 2
    wanted = ((-normal.log_prob(target) - constant) * present).sum((1, 2))
    nll = gaussian_nll(reconstruction, target, log_noise, present)
    assert torch.allclose(nll, wanted, atol=1e-5)
    divergence = torch.rand(3, 4, generator=g)
    expected = wanted.mean() + 0.5 * divergence.sum(1).mean()
    assert negative_elbo(nll, divergence, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_contractive_penalty_of_one_layer_of_sigmoids_is_the_published_one() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    x = torch.randn(5, 6, requires_grad=True)
    h = torch.sigmoid(layer(x))
    wanted = ((h * (1 - h)).square() @ layer.weight.square().sum(1)).mean()
    found = contractive_penalty(h, x, torch.Generator().manual_seed(0), probes=4000)
    assert found.item() == pytest.approx(wanted.item(), rel=0.03)


def test_the_contractive_penalty_has_gradients_for_the_encoder() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    x = torch.randn(5, 6, requires_grad=True)
    contractive_penalty(torch.tanh(layer(x)), x, torch.Generator().manual_seed(0)).backward()
    assert layer.weight.grad is not None
    assert bool(layer.weight.grad.any())
