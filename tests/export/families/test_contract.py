"""The contract that every family of detectors keeps, and what is each one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from aez.codec.bundle.graph_check import check_graph
from aez.codec.errors import InvalidArgument
from aez.export.common.to_onnx import serialize, tidy, to_onnx
from aez.export.families import principal
from aez.export.families.base import WEIGHTS_MAX, Family
from aez.export.families.corruption import CORRUPTIONS, SALT
from aez.export.families.principal import principal_components
from aez.export.families.registry import NAMES, build, family_class
from aez.export.families.windows.conv import Conv
from aez.export.families.windows.dense import Dense
from aez.export.families.windows.ensemble import Ensemble
from aez.export.families.windows.pca import PCA
from aez.export.families.windows.variational import Variational

WINDOW, CHANNELS = 12, 3


@dataclass(frozen=True)
class Case:
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, window: int = WINDOW, channels: int = CHANNELS) -> Family:
        torch.manual_seed(0)
        return build(self.name, window, channels, **self.options)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])


DEFAULTS = [Case(name) for name in NAMES]
VARIANTS = [
    Case("dense", {"overcomplete": True, "drop": 0.3}),
    Case("sparse", {"penalty": "kl"}),
    Case("variational", {"beta": 4.0, "free": 0.0}),
    Case("denoising", {"noise": "masking"}),
    Case("denoising", {"noise": "salt-and-pepper", "inner": "conv"}),
    Case("denoising", {"noise": "speckle", "inner": "lstm"}),
    Case("ensemble", {"of": ("pca", ("dense", {"latent": 4}), "variational")}),
]
CASES = [*DEFAULTS, *VARIANTS]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def sines(n: int = 256, window: int = WINDOW, channels: int = CHANNELS) -> tuple[Tensor, Tensor]:
    """Windows of noisy sines with one period and phases of their own, all present."""
    rng = np.random.default_rng(0)
    time = np.arange(n + window)[:, None]
    values = np.sin(2 * np.pi * time / 9 + np.arange(channels)) + 0.05 * rng.normal(size=(n + window, channels))
    windows = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), window, axis=0)[:n]
    x = torch.from_numpy(windows.transpose(0, 2, 1).copy())
    return x, torch.ones_like(x)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def train(network: Family, x: Tensor, present: Tensor, steps: int, rate: float = 3e-3) -> None:
    optimizer = torch.optim.Adam(network.parameters(), rate)
    for step in range(steps):
        optimizer.zero_grad()
        loss, _ = network.loss(x, present, noise(step), step / steps)
        loss.backward()
        optimizer.step()


def error(network: Family, x: Tensor, present: Tensor) -> float:
    with torch.no_grad():
        return float((network(x, present) - x).square().mean())


def fitted(case: Case) -> Family:
    network = case.build()
    network.fit(*sines())
    return network.eval()


@every_case
def test_shapes(case: Case) -> None:
    network = fitted(case)
    x, present = sines(5)
    assert network(x, present).shape == x.shape
    code = network.encode(x, present)
    assert code.shape == (5, network.latent)
    assert network.decode(code).shape == x.shape
    assert network.members
    loss, figures = network.loss(x, present, noise(), 0.5)
    assert loss.shape == ()
    assert all(isinstance(value, float) for value in figures.values())


@every_case
@pytest.mark.parametrize(("window", "channels"), [(1, 1), (2, 5), (3, 1), (17, 2)])
def test_any_window_has_a_network(case: Case, window: int, channels: int) -> None:
    network = case.build(window, channels)
    x, present = sines(40, window, channels)
    network.fit(x, present)
    assert network(x, present).shape == x.shape
    assert bool(network.loss(x, present, noise(), 0.5)[0].isfinite())


@every_case
def test_a_network_is_deterministic_and_its_windows_do_not_see_each_other(case: Case) -> None:
    network = fitted(case)
    x, present = sines(8)
    with torch.no_grad():
        whole = network(x, present)
        assert torch.equal(whole, network(x, present))
        alone = torch.cat([network(x[i : i + 1], present[i : i + 1]) for i in range(8)])
        shuffled = network(x.flip(0), present.flip(0)).flip(0)
    assert torch.allclose(whole, alone, atol=1e-5)
    assert torch.allclose(whole, shuffled, atol=1e-5)


@every_case
def test_equal_noise_gives_equal_losses(case: Case) -> None:
    network = fitted(case)
    x, present = sines(16)
    first, second = (network.loss(x, present, noise(3), 0.7)[0] for _ in range(2))
    assert first.item() == second.item()


@every_case
def test_gradients_reach_every_parameter(case: Case) -> None:
    network = case.build()
    x, present = sines(64)
    network.fit(x, present)
    if network.trained:
        train(network, x, present, 3)  # corrections begin at 0, and so do their gradients
        network.zero_grad()
        network.loss(x, present, noise(), 0.9)[0].backward()
    dead = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not dead
    assert network.trained == bool(list(network.parameters()))


@every_case
def test_the_error_falls_when_a_network_is_fitted_to_sines(case: Case) -> None:
    network = case.build()
    x, present = sines()
    before = error(network, x, present)
    network.fit(x, present)
    if network.trained:
        train(network, x, present, 150)
    after = error(network.eval(), x, present)
    assert after < 0.5 * before or after < 0.01
    assert after < 0.35


@every_case
def test_what_stands_where_a_sample_is_missing_does_not_change_the_loss(case: Case) -> None:
    network = fitted(case)
    x, present = sines(32)
    present = (torch.rand(x.shape, generator=noise()) > 0.2).float()
    for value in (0.0, 5.0, 1e6, float("nan")):
        spoiled = torch.where(present > 0, x, torch.tensor(value))
        loss = network.loss(spoiled, present, noise(1), 0.5)[0]
        if value == 0.0:
            wanted = loss
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)


@every_case
def test_windows_without_a_sample_break_nothing(case: Case) -> None:
    network = case.build()
    x, present = sines(32)
    present = torch.zeros_like(present)
    network.fit(torch.zeros_like(x), present)
    loss = network.loss(torch.zeros_like(x), present, noise(), 0.5)[0]
    assert bool(loss.isfinite())
    assert bool(network(torch.zeros_like(x), present).isfinite().all())


class Reconstruction(nn.Module):
    def __init__(self, network: Family) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        reconstruction: Tensor = self.network(x, present)
        return reconstruction


@pytest.mark.slow
@every_case
def test_every_family_exports_to_standard_operators_with_a_dynamic_batch(case: Case) -> None:
    network = fitted(case)
    x, present = sines(6)
    batch = torch.export.Dim("batch", min=1, max=4096)
    model = to_onnx(Reconstruction(network), {"x": x, "present": present}, ["out"], [{0: batch}, {0: batch}])
    tidy(model, "family")
    data = serialize(model)
    check_graph(data, "family")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for count in (1, 4):
        feeds = {"x": x[:count].numpy(), "present": present[:count].numpy()}
        used = {entry.name for entry in session.get_inputs()}
        (found,) = session.run(None, {key: value for key, value in feeds.items() if key in used})
        with torch.no_grad():
            wanted = network(x[:count], present[:count]).numpy()
        assert found == pytest.approx(wanted, abs=1e-4)


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"family 'dance' is unknown; use one of .*dense"):
        build("dance", 8, 2)
    with pytest.raises(InvalidArgument, match="family dense has no option latents; it has latent,"):
        build("dense", 8, 2, latents=3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dense", {"latent": 0}),
        ("dense", {"drop": 1.0}),
        ("conv", {"stages": 0}),
        ("lstm", {"hidden": 0}),
        ("variational", {"beta": -1.0}),
        ("sparse", {"penalty": "l2"}),
        ("sparse", {"rho": 1.0}),
        ("contractive", {"weight": -1.0}),
        ("denoising", {"noise": "pink"}),
        ("denoising", {"noise": "masking", "amount": 1.0}),
        ("denoising", {"inner": "pca"}),
        ("denoising", {"inner": "ensemble"}),
        ("ensemble", {"of": ()}),
        ("ensemble", {"of": ("ensemble",)}),
        ("pca", {"components": 0}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        build(name, WINDOW, CHANNELS, **options)


def test_empty_windows_are_refused() -> None:
    for window, channels in ((0, 3), (3, 0)):
        with pytest.raises(InvalidArgument, match="empty"):
            build("pca", window, channels)


def test_a_network_too_large_for_a_bundle_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=f"more than {WEIGHTS_MAX:,}; give a shorter window"):
        build("dense", 100, 50, overcomplete=True)


def test_every_name_leads_to_the_class_of_that_name() -> None:
    assert {name: family_class(name).family for name in NAMES} == {name: name for name in NAMES}


# -- PCA --------------------------------------------------------------------------------------------------------------


def test_pca_reconstructs_as_the_singular_value_decomposition_does() -> None:
    x, present = sines()
    network = PCA(WINDOW, CHANNELS, components=3)
    network.fit(x, present)
    rows = x.flatten(1).double()
    mean = rows.mean(0)
    _, _, right = torch.linalg.svd(rows - mean, full_matrices=False)
    wanted = (rows - mean) @ right[:3].T @ right[:3] + mean
    assert torch.allclose(network(x, present).flatten(1).double(), wanted, atol=1e-4)
    assert torch.allclose(network.basis.T @ network.basis, torch.eye(3), atol=1e-5)


def test_pca_keeps_as_many_components_as_explain_the_variance() -> None:
    g = noise()
    codes = torch.randn(2000, 3, generator=g) * torch.tensor([10.0, 3.0, 1.0])  # 91 %, 8 %, 1 % of the variance
    directions = torch.linalg.qr(torch.randn(WINDOW * CHANNELS, 3, generator=g)).Q
    x = (codes @ directions.T).unflatten(1, (WINDOW, CHANNELS))
    for share, count in ((0.85, 1), (0.95, 2), (0.9999, 3), (2, 2), (50, 3)):
        network = PCA(WINDOW, CHANNELS, components=share)
        network.fit(x, torch.ones_like(x))
        assert network.latent == count, share


def test_pca_of_more_numbers_than_windows_and_by_random_projection_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    x, present = sines(20)
    reconstructions = []
    for exact_max in (principal.EXACT_MAX, 1):
        monkeypatch.setattr(principal, "EXACT_MAX", exact_max)
        network = PCA(WINDOW, CHANNELS, components=4)
        network.fit(x, present)
        reconstructions.append(network(x, present))
    assert torch.allclose(*reconstructions, atol=1e-3)


def test_pca_fits_around_missing_samples() -> None:
    g = noise()
    directions = torch.linalg.qr(torch.randn(WINDOW * CHANNELS, 2, generator=g)).Q
    x = (torch.randn(1000, 2, generator=g) @ directions.T * 5 + 1).unflatten(1, (WINDOW, CHANNELS))
    present = (torch.rand(x.shape, generator=g) > 0.1).float()
    network = PCA(WINDOW, CHANNELS, components=2)
    network.fit(torch.where(present > 0, x, 0.0), present)
    whole = torch.ones_like(x)
    assert error(network, x, whole) < 0.02 * float(x.var())
    zeros, *_ = principal_components((x * present).flatten(1), whole.flatten(1), 2)
    assert (network.mean - 1).abs().max() < (zeros - 1).abs().max()


def test_gaps_that_come_regularly_leave_no_trace_in_the_components() -> None:
    """Windows with 64 possible components of 75 numbers, of which one in 27 is missing."""
    rng = np.random.default_rng(0)
    values = np.sin(2 * np.pi * np.arange(1000)[:, None] / 25 + np.arange(3)) + 0.1 * rng.normal(size=(1000, 3))
    gappy = values.copy()
    gappy[::9, 1] = np.nan
    whole, seen = (
        torch.from_numpy(np.lib.stride_tricks.sliding_window_view(rows, 25, axis=0).astype(np.float32)).mT.contiguous()
        for rows in (values, gappy)
    )
    errors = []
    for x in (whole, seen):
        network = PCA(25, 3)
        network.fit(x.nan_to_num(0.0), (~x.isnan()).float())
        assert network.latent == 2
        errors.append((network(whole, torch.ones_like(whole)) - whole).square().mean((0, 1)))
    assert torch.allclose(*errors, rtol=0.02)


def test_pca_of_windows_that_are_all_equal_reconstructs_them() -> None:
    x = torch.full((10, WINDOW, CHANNELS), 2.5)
    network = PCA(WINDOW, CHANNELS)
    network.fit(x, torch.ones_like(x))
    assert error(network, x, torch.ones_like(x)) < 1e-10


# -- the others' own --------------------------------------------------------------------------------------------------


def test_an_undercomplete_network_starts_as_pca() -> None:
    x, present = sines()
    dense, pca = Dense(WINDOW, CHANNELS, latent=4), PCA(WINDOW, CHANNELS, components=4)
    dense.fit(x, present)
    pca.fit(x, present)
    assert torch.allclose(dense(x, present), pca(x, present), atol=1e-3)


def test_an_overcomplete_code_is_larger_than_its_window_and_does_not_merely_copy() -> None:
    x, present = sines()
    network = Case("dense", {"overcomplete": True, "drop": 0.3}).build()
    assert network.latent > WINDOW * CHANNELS
    train(network, x, present, 300)
    strange = torch.randn(x.shape, generator=noise())
    assert error(network, strange, present) > 5 * error(network, x, present)


def test_the_variational_code_is_sampled_in_training_alone() -> None:
    x, present = sines(8)
    network = Variational(WINDOW, CHANNELS)
    network.fit(x, present)
    first, second = (network.loss(x, present, noise(seed))[0].item() for seed in (1, 2))
    assert first != second
    mean, _ = network.posterior(x)
    assert torch.equal(network.encode(x, present), mean)


def test_the_weight_of_the_divergence_rises_with_progress() -> None:
    x, present = sines(32)
    network = Variational(WINDOW, CHANNELS, beta=2.0, warm=0.5, free=0.0)
    network.fit(x, present)
    losses = [network.loss(x, present, noise(), progress)[0].item() for progress in (0.0, 0.25, 0.5, 1.0)]
    assert losses[1] - losses[0] == pytest.approx(losses[2] - losses[1], rel=1e-3)
    assert losses[2] == pytest.approx(losses[3])
    assert losses[0] < losses[1]


def test_beta_makes_codes_that_say_less() -> None:
    x, present = sines()
    divergences = []
    for beta in (0.1, 20.0):
        network = Case("variational", {"beta": beta, "free": 0.0}).build()
        network.fit(x, present)
        train(network, x, present, 150)
        divergences.append(float(network.divergence(x).detach().mean()))
    assert divergences[1] < 0.7 * divergences[0]


@pytest.mark.parametrize("penalty", ["kl", "l1"])
def test_the_penalty_makes_codes_sparse(penalty: str) -> None:
    x, present = sines()
    sizes = []
    for weight in (0.0, 1.0):
        network = Case("sparse", {"penalty": penalty, "weight": weight}).build()
        network.fit(x, present)
        train(network, x, present, 150)
        sizes.append(float(network.encode(x, present).abs().mean().detach()))
    assert sizes[1] < 0.6 * sizes[0]


def code_sum(network: Family, x: Tensor) -> Tensor:
    """Codes summed over the windows, which do not see each other: its Jacobian holds that of every window."""
    return network.encode(x, x).sum(0)


def test_the_contractive_penalty_flattens_the_encoder() -> None:
    x, present = sines()
    norms = []
    for weight in (0.0, 10.0):
        network = Case("contractive", {"weight": weight}).build()
        network.fit(x, present)
        train(network, x, present, 100)
        jacobian = torch.autograd.functional.jacobian(partial(code_sum, network), x[:32])
        norms.append(float(jacobian.square().sum()))
    assert norms[1] < 0.5 * norms[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_does_what_its_amount_says(name: str) -> None:
    x = torch.full((50, 40, 10), 2.0)
    amount = 0.25
    noisy = CORRUPTIONS[name](x, amount, noise())
    changed = float((noisy != x).float().mean())
    match name:
        case "gaussian":
            assert float((noisy - x).std()) == pytest.approx(amount, rel=0.03)
        case "speckle":
            assert float((noisy / x - 1).std()) == pytest.approx(amount, rel=0.03)
        case "masking":
            assert changed == pytest.approx(amount, rel=0.05)
            assert set(noisy.unique().tolist()) == {0.0, 2.0}
        case "salt-and-pepper":
            assert changed == pytest.approx(amount, rel=0.05)
            assert set(noisy.unique().tolist()) == {-SALT, 2.0, SALT}
            assert float((noisy == SALT).float().mean()) == pytest.approx(amount / 2, rel=0.1)


def test_a_denoising_network_removes_noise_that_it_learned() -> None:
    x, present = sines()
    noisy = CORRUPTIONS["gaussian"](x, 0.5, noise(9))
    network = Case("denoising", {"amount": 0.5, "inner_options": {"latent": 4}}).build()
    network.fit(x, present)
    train(network, x, present, 200)
    with torch.no_grad():
        cleaned = network(noisy, present)
    assert float((cleaned - x).square().mean()) < 0.4 * float((noisy - x).square().mean())


def test_convolutions_do_not_care_where_in_the_window_something_is() -> None:
    torch.manual_seed(0)
    network = Conv(96, 2)
    x = torch.zeros(1, 96, 2)
    x[0, 48, 0] = 1.0
    moved = x.roll(4, dims=1)  # by one step of the code
    with torch.no_grad():
        first, second = network(x, x), network(moved, moved)
    assert torch.allclose(first[0, 36:60], second[0, 40:64], atol=1e-5)


def test_an_ensemble_has_its_members_codes_side_by_side_and_their_mean() -> None:
    x, present = sines()
    network = Ensemble(WINDOW, CHANNELS, of=("pca", ("dense", {"latent": 4})))
    network.fit(x, present)
    assert network.latent == sum(member.latent for member in network.members)
    wanted = torch.stack([member(x, present) for member in network.members]).mean(0)
    assert torch.allclose(network(x, present), wanted, atol=1e-6)


def test_an_ensemble_of_closed_forms_needs_no_training() -> None:
    assert not Ensemble(WINDOW, CHANNELS, of=("pca", ("pca", {"components": 2}))).trained
