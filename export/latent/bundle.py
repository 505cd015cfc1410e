"""From a trained KL autoencoder to an `.aezm` bundle, and back to a network that goes on training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aez.codec.bundle.bundle import Bundle
from aez.export.hyperprior.bundle import export_codec, hyper_reach, round_up, trained_network
from aez.export.hyperprior.costs import SIDE, kmac_per_pixel, weights
from aez.export.hyperprior.network import STRIDE
from aez.export.latent.network import KlConfig, KlNetwork

BATCH = 8


def export_kl(
    network: KlNetwork,
    path: Path,
    name: str,
    pictures: Tensor,
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any] | None = None,
    whole: Iterable[Tensor] | None = None,
) -> Bundle:
    """Normalise the latent, fit the tables on `pictures` [N, 3, H, W], export and check, write the bundle.

    The latent is normalised on the batches `whole` [B, 3, H, W], of any sizes, or on `pictures` without.
    Raises ModelError when the network cannot be exported faithfully, OutputError when the bundle cannot be written.
    """
    network = copy.deepcopy(network).eval().cpu()
    network.normalise(pictures.split(BATCH) if whole is None else whole)
    config = network.config
    encoder_reach = config.encoder_blocks * STRIDE
    decoder_reach = (1 + config.decoder_blocks) * STRIDE
    coding = {
        "analysis_halo": round_up(encoder_reach + hyper_reach(config), config.alignment),
        "synthesis_halo": round_up(decoder_reach, config.alignment),
        "latent": {
            "channels": config.latent_channels,
            "stride": STRIDE,
            # The graphs normalise, so that nothing is left to scale; diffusion libraries ask for these two by name.
            "scaling_factor": 1.0,
            "shift_factor": 0.0,
            "encoder_halo": round_up(encoder_reach, config.alignment),
            "decoder_halo": round_up(decoder_reach, config.alignment),
        },
    }
    described = {**(figures or {}), "network": autoencoder_costs(network)}
    return export_codec(network, path, name, pictures.split(BATCH), coding, provenance, described)


def kl_from_bundle(bundle: Bundle) -> KlNetwork:
    """The network of a bundle, to go on training. Raises ModelError when the bundle holds none of this family."""
    return trained_network(bundle, KlNetwork.family, lambda sizes: KlNetwork(KlConfig(**sizes)))


@torch.no_grad()
def autoencoder_costs(network: KlNetwork) -> dict[str, float]:
    """Thousands of multiply-accumulates a pixel, and weights, of encoder and decoder, without the hyperprior."""
    image = torch.zeros(1, 3, SIDE, SIDE)
    latent = torch.zeros(1, network.config.latent_channels, SIDE // STRIDE, SIDE // STRIDE)
    return {
        "encoder_kmac_per_pixel": round(kmac_per_pixel(lambda: network.encoder(image)), 2),
        "decoder_kmac_per_pixel": round(kmac_per_pixel(lambda: network.decoder(latent)), 2),
        "encoder_weights": weights(network.encoder),
        "decoder_weights": weights(network.decoder),
    }
