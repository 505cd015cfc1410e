"""The photo network: its start, its code lengths, its gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from aez.codec.entropy.quality import KNOTS, LEVEL_MAX
from aez.export.distortions.distortion import mse_distortion
from aez.export.hyperprior.integer import SCALES, TRAINING_INDEX_MIN, index_to_sigma
from aez.export.hyperprior.layers import Knots, round_ste
from aez.export.hyperprior.network import (
    PHASES,
    Context,
    HyperDensity,
    gaussian_bits,
    join_phases,
    phase_offset,
    take_phase,
)
from aez.export.photo.network import CHANNELS, COEFFICIENTS, ENCODING, PhotoConfig, PhotoNetwork, kept_coefficients
from tests.kit.small_photo import FORMER, SMALL, make_network, make_pictures

LEVEL = torch.tensor([0.0, 700.0, 2048.0])
either_form = pytest.mark.parametrize("config", [SMALL, FORMER], ids=["usual", "former"])


def squared_error(decoded: Tensor, image: Tensor) -> float:
    return float((decoded - image).square().mean())


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("calibrated", [False, True])
def test_an_untrained_network_gives_the_picture_back(calibrated: bool, autocast: bool) -> None:
    network = PhotoNetwork(replace(SMALL, chroma_coefficients=COEFFICIENTS)).eval()
    image = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    if calibrated:
        network.calibrate(make_pictures(4))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = network.analysis(image, LEVEL) * network.gain(LEVEL)
        decoded = network.synthesis(y * network.inverse_gain(LEVEL), LEVEL)
    torch.testing.assert_close(decoded, image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("full_synthesis", [False, True])
@torch.no_grad()
def test_a_latent_of_fewer_coefficients_lacks_the_finest_colour_and_nothing_else(full_synthesis: bool) -> None:
    network = PhotoNetwork(replace(SMALL, chroma_coefficients=10, full_synthesis=full_synthesis)).eval()
    network.calibrate(make_pictures(4))
    image = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    level = LEVEL[:2]
    latent = network.coded(network.whitened(image, level))
    assert latent.shape == (2, 84, 4, 6)
    decoded = network.picture(latent, level)
    grey = decoded.mean(dim=1)
    torch.testing.assert_close(grey, image.mean(dim=1), rtol=0, atol=1e-5)
    again = network.coded(network.whitened(decoded, level))
    torch.testing.assert_close(again, latent, rtol=0, atol=1e-3)
    lost = network.whitened(decoded, level)
    lost[:, kept_coefficients(network.config)] = 0
    assert float(lost.abs().max()) < 1e-2


def test_the_lowest_frequencies_of_colour_are_kept() -> None:
    kept = kept_coefficients(replace(SMALL, chroma_coefficients=4)).tolist()
    assert kept == [*range(64), 64, 65, 72, 73, 128, 129, 136, 137]


@pytest.mark.parametrize(("hyper_stride", "height", "width"), [(32, 1, 2), (16, 2, 4)])
def test_the_shapes_are_an_eighth_and_a_thirty_second_or_a_sixteenth(
    hyper_stride: int, height: int, width: int
) -> None:
    sizes = {"hyper_channels": 6, "hyper_width": 8, "coarse_width": 8, "coarse_blocks": 1}
    config = PhotoConfig(hyper_stride=hyper_stride, **sizes)  # type: ignore[arg-type]
    assert config.alignment == hyper_stride
    residual, index, z = make_network(config).symbols(make_pictures(3)[:, :, :32, :], LEVEL)
    assert residual.shape == index.shape == (3, 96, 4, 8)
    assert z.shape == (3, 6, height, width)


def test_a_new_photo_network_has_the_coarse_hyper_latent_and_contexts_of_two_blocks() -> None:
    for config in (PhotoConfig(), PhotoConfig.fast()):
        assert (config.hyper_stride, config.context_blocks, config.alignment) == (32, 2, 32)
        assert config.edges == "replicate"
    assert FORMER.edges == "zeros"


@pytest.mark.parametrize("context_blocks", [0, 2])
@torch.no_grad()
def test_an_even_hyper_latent_predicts_even_planes_where_the_edge_goes_on(context_blocks: int) -> None:
    network = make_network(replace(FORMER, context_blocks=context_blocks))
    z = torch.full((1, 4, 3, 3), 5.0)
    for plane in (*network.mean.start(z, LEVEL[:1]), *network.scale.start(z, LEVEL[:1])):
        even = torch.allclose(plane, plane[:, :, 1:2, 1:2], rtol=0, atol=1e-5)
        assert even == (context_blocks > 0)


@either_form
@torch.no_grad()
def test_contexts_see_magnitudes_or_residuals_alone(config: PhotoConfig) -> None:
    network = make_network(config)
    state, seen = torch.randn(1, 44, 4, 4), torch.randn(1, 96, 4, 4)
    (small, _), (large, _) = (network.mean.go_on(1, state, seen, size * seen.abs(), LEVEL[:1]) for size in (1, 9))
    assert torch.equal(small, large) == (config is FORMER)


@torch.no_grad()
def test_frozen_latents_cost_what_pictures_do() -> None:
    """Bits as in a rounded pass; the distortion that of the picture where the transforms keep lengths."""
    network = PhotoNetwork(replace(SMALL, chroma_coefficients=COEFFICIENTS)).eval()
    image = make_pictures(3)
    network.calibrate(image)
    output = network(image, LEVEL, rounded=True)
    latent_bits, hyper_bits, distortion = network.code_frozen(network.whitened(image, LEVEL), LEVEL, rounded=True)
    torch.testing.assert_close(latent_bits, output.latent_bits)
    torch.testing.assert_close(hyper_bits, output.hyper_bits)
    torch.testing.assert_close(distortion, mse_distortion(output.image, image), rtol=1e-3, atol=1e-4)
    torch.manual_seed(3)
    noisy = network(image, LEVEL)
    torch.manual_seed(3)
    bits, more_bits, _ = network.code_frozen(network.whitened(image, LEVEL), LEVEL, rounded=False)
    torch.testing.assert_close(bits + more_bits, noisy.latent_bits + noisy.hyper_bits)


def test_phases_take_every_position_once_and_join_again() -> None:
    assert sorted(place for phase in PHASES for place in phase) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [phase_offset(number) for number in range(len(PHASES) + 1)] == [0, 1, 2, 4]
    y = torch.randn(2, CHANNELS, 6, 4, generator=torch.Generator().manual_seed(0))
    parts = [take_phase(y, number) for number in range(len(PHASES))]
    assert torch.equal(join_phases(parts), y)
    for part, phase in zip(parts, PHASES, strict=True):
        for block, (row, column) in zip(part.split(CHANNELS, dim=1), phase, strict=True):
            assert torch.equal(block, y[:, :, row::2, column::2])


def test_lambda_runs_geometrically_between_its_ends() -> None:
    config = PhotoConfig(lambda_min=0.001, lambda_max=0.1)
    values = config.lambda_at(torch.tensor([0.0, LEVEL_MAX / 2, LEVEL_MAX]))
    assert values.tolist() == pytest.approx([0.001, 0.01, 0.1])


def test_calibration_whitens_the_coefficients_and_starts_the_scales_there() -> None:
    pictures = make_pictures(16)
    network = PhotoNetwork(SMALL)
    network.calibrate(pictures)
    level = torch.zeros(len(pictures))
    with torch.no_grad():
        whitened = network.analysis(pictures, level)
        step = torch.exp(network.log_gain(level)) * network.coded(network.analysis.std)
    power = whitened.square().mean(dim=(0, 2, 3))
    busy = network.analysis.std.flatten() > 2e-3  # below, the standard deviation is held at its least
    assert busy.sum() > 100
    torch.testing.assert_close(power[busy], torch.ones_like(power[busy]), rtol=1e-3, atol=0)
    sigma = index_to_sigma(network.scale.offset[0] - 0.5)
    expected = step[0].flatten()
    inside = expected > 0.14
    assert inside.any()
    torch.testing.assert_close(sigma[inside], expected[inside], rtol=1e-3, atol=0)


@pytest.mark.parametrize("sigma", [0.14, 0.5, 3.0, 40.0])
def test_gaussian_bits_are_the_code_lengths_of_the_integrated_density(sigma: float) -> None:
    symbols = torch.arange(-400, 401).float()
    bits = gaussian_bits(symbols, torch.full_like(symbols, sigma)).double()
    distribution = stats.norm(scale=sigma)
    mass = distribution.cdf(symbols.numpy() + 0.5) - distribution.cdf(symbols.numpy() - 0.5)
    likely = torch.from_numpy(mass) > 2.0**-15
    torch.testing.assert_close(torch.exp2(-bits)[likely], torch.from_numpy(mass)[likely], rtol=1e-3, atol=0)
    assert bits.max() <= 20  # what lies further out goes through an escape


def test_the_hyper_density_is_a_distribution_at_every_level() -> None:
    density = HyperDensity(3)
    for parameter in density.parameters():
        nn.init.normal_(parameter, std=0.7)
    symbols = torch.arange(-200, 201).float().repeat(1, 3, 1)[..., None]
    for level in (0.0, 300.0, 2048.0):
        bits = density(symbols, torch.tensor([level]))
        total = torch.exp2(-bits).sum(dim=2)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-3, atol=0)


@either_form
def test_the_training_pass_prices_noisy_symbols_and_decodes_rounded_ones(config: PhotoConfig) -> None:
    network, image = make_network(config), make_pictures(3)
    with torch.no_grad():
        torch.manual_seed(7)
        output = network(image, LEVEL)
        torch.manual_seed(7)
        whitened = network.analysis(image, LEVEL)
        smooth_z = network.hyper_analysis(whitened, LEVEL) * network.hyper_gain(LEVEL)
        noisy_z = smooth_z + torch.rand_like(smooth_z) - 0.5
        z = torch.round(smooth_z)
        gain = network.gain(LEVEL)
        bits, symbols, decoded = torch.zeros(3), list[Tensor](), list[Tensor]()
        for number, phase in enumerate(PHASES):
            if number == 0:
                mean, mean_state = network.mean.start(z / network.hyper_gain(LEVEL), LEVEL)
                acc, scale_state = network.scale.start(z, LEVEL)
            else:
                seen = torch.cat(symbols, dim=1)
                whitened_seen = torch.cat([part / gain for part in seen.split(SMALL.channels, dim=1)], dim=1)
                mean, mean_state = network.mean.go_on(number, mean_state, whitened_seen, seen.abs(), LEVEL)
                acc, scale_state = network.scale.go_on(number, scale_state, seen)
            mean = mean * gain.repeat(1, len(phase), 1, 1)
            residual = take_phase(network.coded(whitened) * gain, number) - mean
            noisy = residual + torch.rand_like(residual) - 0.5
            index = network.scale.training_index(acc, LEVEL).clamp(TRAINING_INDEX_MIN, SCALES - 1)
            bits += gaussian_bits(noisy, index_to_sigma(index)).sum(dim=(1, 2, 3))
            symbols.append(torch.round(residual))
            decoded.append(symbols[-1] + mean)
        picture = network.synthesis(join_phases(decoded) * network.inverse_gain(LEVEL), LEVEL)
    torch.testing.assert_close(output.latent_bits, bits)
    torch.testing.assert_close(output.hyper_bits, network.density(noisy_z, LEVEL).sum(dim=(1, 2, 3)))
    torch.testing.assert_close(output.image, picture)


@either_form
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("changed", range(len(PHASES)))
@torch.no_grad()
def test_a_phase_is_predicted_from_those_before_it_and_from_no_other(
    changed: int, whole: bool, config: PhotoConfig
) -> None:
    network, image = make_network(config), make_pictures(3)
    whitened = network.analysis(image, LEVEL)
    z = torch.round(network.hyper_analysis(whitened, LEVEL) * network.hyper_gain(LEVEL))
    y = network.coded(whitened) * network.gain(LEVEL)
    parts = [take_phase(y, number) for number in range(len(PHASES))]
    parts[changed] = parts[changed] + 3 * torch.randn(parts[changed].shape)
    before = list(network._phases(y, z, LEVEL, torch.round, whole))
    after = list(network._phases(join_phases(parts), z, LEVEL, torch.round, whole))
    assert not torch.equal(before[changed].symbols, after[changed].symbols)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        for one, other in ((old.mean, new.mean), (old.index, new.index)):
            assert torch.equal(one, other) == (number <= changed)


@either_form
def test_the_scales_learn_nothing_through_the_symbols_that_they_see(config: PhotoConfig) -> None:
    """The magnitudes of symbols are context, not a way to make them larger or smaller."""
    network, y = make_network(config), torch.randn(1, SMALL.channels, 8, 8, requires_grad=True)
    side = 64 // config.hyper_stride
    phases = network._phases(y, torch.zeros(1, 4, side, side), LEVEL[:1], round_ste)
    total = torch.stack([phase.index.sum() for phase in phases]).sum()
    assert torch.autograd.grad(total, y, allow_unused=True) == (None,)


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize(("sources", "targets"), [(1, 1), (2, 2), (3, 1)])
@torch.no_grad()
def test_each_linear_context_leads_from_one_position_to_another(sources: int, targets: int, blocks: int) -> None:
    sizes = replace(SMALL, chroma_coefficients=COEFFICIENTS, hyper_width=8, mean_expansion=1.5, context_blocks=blocks)
    context = Context(sizes, sources, targets)
    seen = torch.randn(1, sources * CHANNELS, 3, 3)
    state, size = torch.randn(1, 8, 3, 3), seen.abs()
    unchanged, nothing = context(state, seen, size, LEVEL[:1])
    assert torch.equal(unchanged, state)  # new, it is the identity and predicts nothing
    assert nothing.shape == (1, targets * CHANNELS, 3, 3)
    assert not nothing.any()
    for number, conv in enumerate(context.linear):
        assert isinstance(conv, nn.Conv2d)
        conv.weight[:, 0, 1, 1] = number + 1
    _, linear = context(state, seen, size, LEVEL[:1])
    parts = seen.split(CHANNELS, dim=1)
    for target, found in enumerate(linear.split(CHANNELS, dim=1)):
        expected = sum((target * sources + source + 1) * part for source, part in enumerate(parts))
        torch.testing.assert_close(found, expected)


@either_form
def test_gradients_reach_every_parameter(config: PhotoConfig) -> None:
    network, image = make_network(config), make_pictures(KNOTS, side=32)
    knots = torch.linspace(0, LEVEL_MAX, KNOTS)
    output = network(image, knots)
    ((output.image - image).square().sum() + output.latent_bits.sum() + output.hyper_bits.sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


@either_form
def test_a_rounded_pass_prices_what_is_decoded_and_teaches_nothing_that_encodes(config: PhotoConfig) -> None:
    network, image = make_network(config), make_pictures(2, side=32)
    level = torch.tensor([500.0, 1800.0])
    first, second = network(image, level, rounded=True), network(image, level, rounded=True)
    assert torch.equal(first.latent_bits, second.latent_bits)  # without noise
    assert torch.equal(first.hyper_bits, second.hyper_bits)
    with torch.no_grad():
        z = torch.round(network.hyper_analysis(network.analysis(image, level), level) * network.hyper_gain(level))
        assert torch.equal(first.hyper_bits, network.density(z, level).sum(dim=(1, 2, 3)))
    noisy = network(image, level)
    assert torch.equal(first.image, noisy.image)
    (first.image.square().sum() + first.latent_bits.sum() + first.hyper_bits.sum()).backward()
    for name, parameter in network.named_parameters():
        if name.startswith(("analysis.", "hyper_analysis.")):
            assert parameter.grad is None, name
        elif not name.startswith(ENCODING):
            assert parameter.grad is not None, name


def test_distortion_alone_teaches_the_transforms_through_the_rounding() -> None:
    network, image = make_network(), make_pictures(1)
    (network(image, torch.tensor([200.0])).image - image).square().sum().backward()
    gradient = network.analysis.embed.weight.grad
    assert gradient is not None
    assert bool(gradient.any())


@either_form
def test_symbols_are_integers_and_nothing_is_coded_where_the_index_is_zero(config: PhotoConfig) -> None:
    residual, index, z = make_network(config).symbols(make_pictures(3), LEVEL)
    for symbols in (residual, index, z):
        assert torch.equal(symbols, torch.round(symbols))
    assert (index.min(), index.max() < SCALES) == (0, True)
    assert not residual[index == 0].any()
    assert residual.any()
    assert z.any()


@either_form
def test_evaluation_counts_the_symbols_of_a_file(config: PhotoConfig) -> None:
    network, image = make_network(config), make_pictures(3)
    output = network.evaluate(image, LEVEL)
    residual, index, z = network.symbols(image, LEVEL)
    bits = (gaussian_bits(residual, index_to_sigma(index)) * (index > 0)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(output.latent_bits, bits)
    with torch.no_grad():
        torch.testing.assert_close(output.hyper_bits, network.density(z, LEVEL).sum(dim=(1, 2, 3)))
    assert 0 <= output.image.min() <= output.image.max() <= 1


def test_a_higher_level_costs_more_and_shows_more() -> None:
    network = PhotoNetwork(SMALL).eval()
    image = make_pictures(1, side=96)
    network.calibrate(image)
    outputs = [network.evaluate(image, torch.tensor([level])) for level in (0.0, 1024.0, 2048.0)]
    bits = [float(output.latent_bits) for output in outputs]
    errors = [squared_error(output.image, image) for output in outputs]
    assert bits == sorted(bits)
    assert bits[0] < bits[-1] / 2
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


@either_form
def test_each_picture_of_a_batch_is_coded_as_if_alone(config: PhotoConfig) -> None:
    network, images = make_network(config), make_pictures(3)
    together = network.evaluate(images, LEVEL)
    for number in range(3):
        alone = network.evaluate(images[number : number + 1], LEVEL[number : number + 1])
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=0, atol=1e-4)
        assert alone.latent_bits.item() == pytest.approx(together.latent_bits[number].item(), rel=1e-3)


def test_the_gain_starts_at_the_step_that_suits_lambda() -> None:
    network = PhotoNetwork(SMALL)
    assert isinstance(network.log_gain, Knots)
    step = 1 / network.gain(torch.tensor([0.0, float(LEVEL_MAX)]))[:, 0, 0, 0]
    weights = (SMALL.lambda_min, SMALL.lambda_max)
    assert step.tolist() == pytest.approx([0.015 / math.sqrt(weight) for weight in weights], rel=1e-4)
