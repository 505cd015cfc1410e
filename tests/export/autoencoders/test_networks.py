"""Every family as a network: its shapes, what it computes, its penalties, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from aez.codec.errors import InvalidArgument
from aez.export.autoencoders.base import Network, Subject
from aez.export.autoencoders.layers import ConvBody, usual_layers
from aez.export.autoencoders.networks.contractive import Contractive
from aez.export.autoencoders.networks.denoising import Denoising
from aez.export.autoencoders.networks.variational import Variational, active_units
from aez.export.autoencoders.registry import FAMILIES, build

SUBJECTS = {"grey": Subject((11, 14)), "colour": Subject((12, 12, 3)), "vectors": Subject((9,))}
CASES = [(family, what) for family in FAMILIES for what in SUBJECTS if (family, what) != ("conv", "vectors")]


def network_of(family: str, what: str, **options: Any) -> tuple[Network, torch.Tensor]:
    """A new network whose units are those of the raw items beside it."""
    torch.manual_seed(0)
    subject = SUBJECTS[what]
    raw = torch.rand(40, *subject.shape)
    network = build(family, subject, {"latent": 4, **options})
    network.measure(raw * 255 if subject.pictures else raw, 255.0 if subject.pictures else None)
    raw = raw * 255 if subject.pictures else raw
    network.fit(network.unit(raw))
    return network.eval(), raw


@pytest.mark.parametrize(("family", "what"), CASES)
def test_items_become_codes_and_items_again_each_by_itself(family: str, what: str) -> None:
    network, raw = network_of(family, what)
    with torch.no_grad():
        codes = network.encode(network.unit(raw))
        made = network.raw(network.decode(codes))
        alone = network.raw(network.decode(network.encode(network.unit(raw[3:4]))))
    assert codes.shape == (40, 4)
    assert made.shape == raw.shape
    torch.testing.assert_close(made[3:4], alone, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(network.raw(network.unit(raw)), raw, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("family", "what"), [case for case in CASES if case[0] != "pca"])
def test_every_weight_learns(family: str, what: str) -> None:
    network, raw = network_of(family, what)
    loss, figures = network(raw, torch.Generator().manual_seed(0), 1.0)
    loss.backward()
    assert all(map(math.isfinite, figures.values()))
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert torch.isfinite(weight.grad).all(), name


def test_layers_follow_from_the_data() -> None:
    assert [Subject((numbers,)).usual_code for numbers in (1, 4, 40, 784)] == [1, 2, 10, 32]
    assert usual_layers(784, 32) == (256, 128)
    assert usual_layers(3072, 32) == (1024, 512)
    assert usual_layers(4, 3) == (16, 8)
    assert usual_layers(512, 64) == (128, 64)


def test_a_linear_network_spans_the_subspace_of_pca() -> None:
    rng = np.random.default_rng(0)
    raw = torch.from_numpy(rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(300, 6)) / 4)
    linear = build("dense", Subject((6,)), {"latent": 2, "linear": True}).double()
    pca = build("pca", Subject((6,)), {"latent": 2}).double()
    for network in (linear, pca):
        network.measure(raw, None)
        network.fit(network.unit(raw))
    optimizer = torch.optim.LBFGS(
        linear.parameters(), max_iter=400, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )
    x = linear.unit(raw)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        error: torch.Tensor = (linear.decode(linear.encode(x)).double() - x).square().mean()
        error.backward()
        return error

    optimizer.step(loss)
    drawn = dict(linear.named_parameters())["body.up.0.weight"].detach()
    basis = torch.linalg.qr(drawn).Q
    angles = torch.linalg.svdvals(basis.T @ pca.get_buffer("basis")).clamp(max=1).acos()
    assert angles.max().item() < math.radians(1)


def test_an_overcomplete_code_is_warned_of_unless_something_regularises_it() -> None:
    for family, warned in {"dense": 1, "sparse": 0, "contractive": 0, "denoising": 0, "variational": 0}.items():
        assert len(build(family, Subject((9,)), {"latent": 9}).notices()) == warned, family
    assert build("dense", Subject((9,)), {"latent": 8}).notices() == []


@pytest.mark.parametrize("noise", ["gaussian", "salt-and-pepper", "speckle", "masking"])
def test_noise_keeps_pictures_in_their_range(noise: str) -> None:
    network = Denoising(Subject((8, 8)), noise=noise, level=0.5)
    x = torch.rand(200, 1, 8, 8)
    spoilt = network.spoilt(x, torch.Generator().manual_seed(0))
    assert 0 <= spoilt.min() <= spoilt.max() <= 1
    assert not torch.equal(spoilt, x)
    if noise == "salt-and-pepper":
        share = ((spoilt == 0) | (spoilt == 1)).float().mean().item()
        assert share == pytest.approx(0.5, abs=0.02)


def test_the_denoiser_of_pictures_has_a_code_larger_than_they_are_and_any_size() -> None:
    for shape in ((28, 28), (9, 13), (12, 12, 3)):
        network = Denoising(Subject(shape))
        x = network.unit(torch.rand(2, *shape))
        assert network.latent > x[0].numel()
        assert network.decode(network.encode(x)).shape == x.shape


@pytest.mark.parametrize("layers", [None, (7,)])
def test_the_contraction_is_that_of_finite_differences(layers: tuple[int, ...] | None) -> None:
    torch.manual_seed(0)
    network = Contractive(Subject((5,)), latent=3, layers=layers).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    columns = []
    with torch.no_grad():
        for number in range(5):
            step = 1e-6 * torch.eye(5, dtype=torch.float64)[number]
            columns.append((network.encode(x + step) - network.encode(x - step)) / 2e-6)
    wanted = torch.stack(columns, 2).square().sum((1, 2)).mean().item()
    generator = torch.Generator().manual_seed(0)
    draws = [network.penalty(x, generator)[1].item() for _ in range(1 if layers is None else 3000)]
    assert np.mean(draws) == pytest.approx(wanted, rel=1e-5 if layers is None else 0.05)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_bound_by_many_draws_is_above_the_elbo(likelihood: str) -> None:
    network, raw = network_of("variational", "grey", likelihood=likelihood)
    assert isinstance(network, Variational)
    elbo, bound = network.bounds(network.unit(raw), 50, torch.Generator().manual_seed(0))
    assert (bound >= elbo).all()
    assert bound.mean() > elbo.mean() + 1e-4


def test_a_code_that_does_not_move_is_not_active() -> None:
    means = torch.zeros(100, 3)
    means[:, 1] = torch.linspace(-1, 1, 100)
    means[:, 2] = torch.linspace(-0.1, 0.1, 100)
    assert active_units(means) == 1


@pytest.mark.parametrize(
    ("family", "what", "options", "message"),
    [
        ("conv", "vectors", {}, "convolutions are for pictures"),
        ("denoising", "grey", {"noise": "rain"}, "noise 'rain' is none for these items"),
        ("denoising", "grey", {"level": 20}, "level 20 is outside"),
        ("denoising", "grey", {"network": "conv", "layers": (8,)}, "--layers are widths of full layers"),
        ("sparse", "grey", {"penalty": "l2"}, "penalty 'l2' is unknown; use kl or l1"),
        ("variational", "vectors", {"likelihood": "bernoulli"}, "Bernoulli likelihood is for pictures"),
        ("variational", "grey", {"binarise": True}, "give --likelihood bernoulli"),
        ("variational", "grey", {"network": "conv", "skip": True}, "leave out --network conv"),
        ("beta", "grey", {"beta": -1}, "beta -1 is outside 0..1000"),
        ("pca", "vectors", {"latent": 10}, "no more components"),
        ("dense", "grey", {"layers": (9000,)}, "a layer's width 9000 is outside"),
        ("dense", "grey", {"rho": 1}, "family dense has no option rho"),
        ("deep", "grey", {}, "family 'deep' is unknown"),
    ],
)
def test_what_a_family_refuses(family: str, what: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build(family, SUBJECTS[what], options)


def test_a_network_too_large_for_a_bundle_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="give smaller --layers or a smaller --size"):
        build("dense", Subject((512, 512)), {})


def test_convolutions_halve_down_to_eight_places() -> None:
    assert ConvBody(Subject((28, 28)), 4).grid == (32, 7, 7)
    assert ConvBody(Subject((100, 40, 3)), 4).grid == (64, 7, 3)
