"""The KL autoencoder: its linear start, its posterior, what teaches what, and its bundle."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.session import open_session
from aez.codec.errors import ModelError
from aez.export.hyperprior.graphs import round_stored_weights, signatures
from aez.export.hyperprior.layers import colour_dct_weights
from aez.export.latent.bundle import autoencoder_costs, export_kl, kl_from_bundle
from aez.export.latent.network import COEFFICIENTS, KlConfig, KlNetwork, Posterior
from tests.kit.places import TINY
from tests.kit.small_photo import make_pictures

SMALL = KlConfig(hyper_channels=4, hyper_width=24, encoder_blocks=1, decoder_blocks=1, expansion=0.25)
LEVEL = torch.tensor([0.0, 1024.0, 2048.0, 300.0])


def make_kl(config: KlConfig = SMALL, stir: bool = True) -> KlNetwork:
    """A calibrated network; with `stir` no layer is zero, as training would leave it."""
    torch.manual_seed(3)
    network = KlNetwork(config)
    network.calibrate(make_pictures(8))
    with torch.no_grad():
        for parameter in network.parameters():
            if stir and not parameter.any():
                parameter.normal_(std=0.02)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> KlNetwork:
    return make_kl()


@pytest.fixture(scope="module")
def bundle(network: KlNetwork, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_kl(network, tmp_path_factory.mktemp("kl") / "kl.aezm", "kl", make_pictures(8), {"data": "noise"})


def test_the_hyper_latent_lies_at_a_sixteenth_and_contexts_see_no_magnitudes(bundle: Bundle) -> None:
    assert (SMALL.hyper_stride, SMALL.context_blocks, SMALL.edges) == (16, 0, "zeros")
    coding = bundle.coding
    assert (coding["alignment"], coding["hyper_stride"], coding["state_stride"]) == (16, 16, 16)
    assert signatures(SMALL)["latent_analysis"].multiple == 2


def test_another_network_may_have_the_photo_codecs_hyper_latent() -> None:
    config = replace(SMALL, hyper_stride=32, context_blocks=2)
    assert signatures(config)["latent_analysis"].multiple == 4
    residual, index, z = make_kl(config).symbols(make_pictures(4), LEVEL)
    assert residual.shape == index.shape == (4, 4, 8, 8)
    assert z.shape == (4, 4, 2, 2)


@pytest.mark.parametrize("channels", [4, 16])
def test_it_starts_as_the_best_linear_pair(channels: int) -> None:
    pictures = make_pictures(8)
    network = make_kl(
        KlConfig(latent_channels=channels, encoder_blocks=1, decoder_blocks=1, expansion=0.25), stir=False
    )
    with torch.no_grad():
        latent = network.encoder(pictures).mean
        error = (network.decoder(latent) - pictures).square().sum() / latent[:, 0].numel()
    blocks = torch.nn.functional.conv2d(pictures - 0.5, colour_dct_weights(), stride=8).transpose(0, 1).flatten(1)
    energies = torch.linalg.svdvals(blocks.double()).square() / blocks.shape[1]
    assert energies.numel() == COEFFICIENTS
    torch.testing.assert_close(error.double(), energies[channels:].sum(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(latent.square().mean(dim=(0, 2, 3)), torch.ones(channels), rtol=1e-3, atol=1e-3)


def test_the_divergence_is_that_of_two_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = (torch.randn(3, 4, 5, 6, generator=generator) for _ in range(2))
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(Posterior(mean, log_variance).kl(), expected)


def test_samples_have_the_posteriors_mean_and_variance() -> None:
    torch.manual_seed(0)
    posterior = Posterior(torch.full((1, 4, 100, 100), 0.7), torch.full((1, 4, 100, 100), -1.2))
    sample = posterior.sample()
    assert float(sample.mean()) == pytest.approx(0.7, abs=0.01)
    assert float(sample.var()) == pytest.approx(np.exp(-1.2), rel=0.03)


def _gradients(network: KlNetwork, value: Tensor) -> set[str]:
    network.zero_grad()
    value.sum().backward()
    return {
        name for name, parameter in network.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }


def test_the_rate_teaches_the_encoder_only_where_it_is_asked_to(network: KlNetwork) -> None:
    pictures, coded = make_pictures(4), torch.tensor([True, False, True, False])
    with_rate = network.train_pass(pictures, LEVEL, coded, rounded=False, rate=True)
    without = network.train_pass(pictures, LEVEL, coded, rounded=False, rate=False)
    assert any(name.startswith("encoder.") for name in _gradients(network, with_rate.latent_bits))
    taught = _gradients(network, without.latent_bits + without.hyper_bits)
    assert taught
    assert not any(name.startswith(("encoder.", "decoder.")) for name in taught)


def test_coded_pictures_come_from_the_quantized_latent_and_others_from_samples(network: KlNetwork) -> None:
    pictures = make_pictures(4)
    coded = torch.tensor([True, True, False, False])
    with torch.no_grad():
        output = network.train_pass(pictures, LEVEL, coded, rounded=True, rate=True)
        mean = network.encoder(pictures).mean
        plain = network.decoder(mean)
    assert torch.allclose(output.image[2:], plain[2:], atol=0.05)
    coarse, fine = (float((output.image[i] - plain[i]).square().mean()) for i in (0, 1))
    assert coarse > 4 * fine > 0


def test_with_rounded_latents_nothing_teaches_what_encodes(network: KlNetwork) -> None:
    output = network.train_pass(make_pictures(4), LEVEL, torch.ones(4, dtype=torch.bool), rounded=True, rate=True)
    taught = _gradients(network, output.image.square().sum() + output.latent_bits.sum() + output.hyper_bits.sum())
    assert taught
    assert not any(name.startswith(("encoder.", "hyper_analysis.")) for name in taught)


@pytest.mark.slow
def test_the_bundles_graphs_give_a_latent_of_zero_mean_and_unit_variance(network: KlNetwork, bundle: Bundle) -> None:
    pictures = make_pictures(8)
    encoder = open_session(bundle.graph("encoder"), "cpu", 1)
    found = encoder.run({"image": pictures.numpy()})
    mean = found["mean"]
    assert np.abs(mean.mean(axis=(0, 2, 3))).max() < 1e-3
    assert np.abs(mean.std(axis=(0, 2, 3)) - 1).max() < 0.01
    with torch.no_grad():
        posterior = network.encoder(pictures)
    raw = posterior.mean.std(dim=(0, 2, 3))
    expected = posterior.log_variance - 2 * torch.log(raw)[None, :, None, None]
    np.testing.assert_allclose(found["log_variance"], expected.numpy(), atol=0.02)
    decoder = open_session(bundle.graph("decoder"), "cpu", 1)
    (image,) = decoder.run({"latent": mean}).values()
    stored = copy.deepcopy(network)
    round_stored_weights(stored)
    with torch.no_grad():
        wanted = stored.decoder(stored.encoder(pictures).mean).clamp(0, 1)
        unrounded = network.decoder(posterior.mean).clamp(0, 1)
    np.testing.assert_allclose(image, wanted.numpy(), atol=2e-3)
    np.testing.assert_allclose(image, unrounded.numpy(), atol=2e-2)
    assert np.abs(image - unrounded.numpy()).mean() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (40, 24), (33, 50), (130, 70)], ids=str)
def test_it_codes_pictures_of_any_size(bundle: Bundle, size: tuple[int, int]) -> None:
    width, height = size
    smooth = make_pictures(1, 160)[0, :, :height, :width]
    pixels = (smooth * 255).round().byte().permute(1, 2, 0).numpy()
    sizes = []
    for quality in (1, 100):
        data = aez.encode(pixels, quality=quality, model=bundle, tile=64)
        decoded = np.asarray(aez.decode(data, model=bundle))
        assert decoded.shape == pixels.shape
        sizes.append(len(data))
    assert sizes[0] <= sizes[1]
    embedded = aez.encode(pixels, quality=50, model=bundle, embed_model=True)
    assert np.asarray(aez.decode(embedded)).shape == pixels.shape  # the decoding half is enough


@pytest.mark.slow
def test_training_goes_on_from_a_bundle_where_it_stopped(network: KlNetwork, bundle: Bundle) -> None:
    again = kl_from_bundle(bundle)
    with torch.no_grad():
        pictures = make_pictures(2)
        torch.testing.assert_close(
            again.decoder(again.encoder(pictures).mean),
            network.decoder(network.encoder(pictures).mean),
            atol=1e-2,
            rtol=0,
        )
        level = torch.tensor([500.0, 1500.0])
        bits = [float(n.evaluate(pictures, level).latent_bits.sum()) for n in (network, again)]
    assert bits[1] == pytest.approx(bits[0], rel=0.02)


def test_a_bundle_of_another_family_is_refused() -> None:
    other = Bundle.open(TINY)
    with pytest.raises(ModelError, match="holds no kl-f8 network"):
        kl_from_bundle(other)


def test_costs_count_multiplications_and_weights() -> None:
    network = KlNetwork(SMALL)
    found = autoencoder_costs(network)
    hidden, width, channels = 48, 192, 4
    by_hand = 3 * 64 * width + 2 * width * hidden + 9 * hidden + width * 2 * channels  # per latent position
    assert found["encoder_kmac_per_pixel"] == pytest.approx(by_hand / 64 / 1000, abs=0.01)
    assert found["encoder_weights"] == sum(p.numel() for p in network.encoder.parameters())


def test_more_channels_serve_higher_rates() -> None:
    light, many, heavy = KlConfig.of(4), KlConfig.of(16), KlConfig.of(4, heavy=True)
    assert many.lambda_max == 4 * light.lambda_max
    cheap, dear = (autoencoder_costs(KlNetwork(config))["decoder_kmac_per_pixel"] for config in (light, heavy))
    assert dear > 3 * cheap
