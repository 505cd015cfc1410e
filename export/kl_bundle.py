"""From a trained KL autoencoder to an `.aezm` bundle, and back to a network that goes on training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aez.codec.bundle import Bundle
from aez.export.bundles import export_codec, round_up, trained_network
from aez.export.hyperprior import ALIGNMENT, HYPER_BLOCKS, STRIDE
from aez.export.kl_autoencoder import KlConfig, KlNetwork

FAMILY = "kl-f8"
BATCH = 8
#: Side of the picture that multiply-accumulates are counted on.
_COUNTED = 128


def export_kl(
    network: KlNetwork,
    path: Path,
    name: str,
    pictures: Tensor,
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any] | None = None,
) -> Bundle:
    """Normalise the latent and fit the tables on `pictures` [N, 3, H, W], export and check, write the bundle.

    Raises ModelError when the network cannot be exported faithfully, OutputError when the bundle cannot be written.
    """
    network = copy.deepcopy(network).eval().cpu()
    network.normalise(pictures)
    config = network.config
    encoder_reach = config.encoder_blocks * STRIDE
    decoder_reach = (1 + config.decoder_blocks) * STRIDE
    coding = {
        "analysis_halo": round_up(encoder_reach + HYPER_BLOCKS * ALIGNMENT),
        "synthesis_halo": round_up(decoder_reach),
        "latent": {
            "channels": config.latent_channels,
            "stride": STRIDE,
            # The graphs normalise, so that nothing is left to scale; diffusion libraries ask for these two by name.
            "scaling_factor": 1.0,
            "shift_factor": 0.0,
            "encoder_halo": round_up(encoder_reach),
            "decoder_halo": round_up(decoder_reach),
        },
    }
    members = ["decoder.onnx", "latent_synthesis.onnx"]
    described = {**(figures or {}), "network": costs(network)}
    return export_codec(network, path, name, FAMILY, members, pictures.split(BATCH), coding, provenance, described)


def kl_from_bundle(bundle: Bundle) -> KlNetwork:
    """The network of a bundle, to go on training. Raises ModelError when the bundle holds none of this family."""
    return trained_network(bundle, FAMILY, lambda sizes: KlNetwork(KlConfig(**sizes)))


@torch.no_grad()
def costs(network: KlNetwork) -> dict[str, float]:
    """Multiply-accumulates in thousands per pixel of the picture, and weights, of encoder and decoder."""
    image = torch.zeros(1, 3, _COUNTED, _COUNTED)
    latent = torch.zeros(1, network.config.latent_channels, _COUNTED // STRIDE, _COUNTED // STRIDE)
    found: dict[str, float] = {}
    for name, part, example in (("encoder", network.encoder, image), ("decoder", network.decoder, latent)):
        found[f"{name}_kmac_per_pixel"] = round(_macs(part, example) / _COUNTED**2 / 1000, 2)
        found[f"{name}_weights"] = sum(parameter.numel() for parameter in part.parameters())
    return found


def _macs(part: nn.Module, example: Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        part(example)
    return counter.get_total_flops() / 2
