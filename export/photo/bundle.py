"""A trained photograph codec as a bundle, and a bundle as the network to go on from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aez.codec.bundle.bundle import Bundle
from aez.export.hyperprior.bundle import export_codec, hyper_reach, round_up, trained_network
from aez.export.hyperprior.costs import SIDE, kmac_per_pixel, weights
from aez.export.hyperprior.network import CELL, STRIDE
from aez.export.photo.network import PhotoConfig, PhotoNetwork


def export_photo(
    network: PhotoNetwork,
    path: Path,
    name: str,
    pictures: Iterable[Tensor],
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any] | None = None,
) -> Bundle:
    """Fit tables on `pictures` (batches [B, 3, H, W]), export and check the graphs, write the bundle.

    Raises ModelError when the network cannot be exported faithfully, OutputError when the bundle cannot be written.
    """
    coding = {"analysis_halo": analysis_halo(network.config), "synthesis_halo": synthesis_halo(network.config)}
    figures = {**(figures or {}), "network": costs(network)}
    return export_codec(network, path, name, pictures, coding, provenance, figures, thumbnail=True)


def network_from_bundle(bundle: Bundle) -> PhotoNetwork:
    """The network of a bundle, to go on training. Raises ModelError when the bundle holds none of this family."""
    return trained_network(bundle, PhotoNetwork.family, lambda sizes: PhotoNetwork(PhotoConfig(**sizes)))


def analysis_halo(config: PhotoConfig) -> int:
    """Receptive field of y and z beyond a tile's border, in pixels, rounded up to the alignment.

    A depthwise 3x3 at 1/8 reaches 8 pixels, at 1/16 it reaches 16; the coarse branch takes cells of 16.
    """
    before, after = config.analysis_blocks - config.analysis_blocks // 2, config.analysis_blocks // 2
    return _halo(config, before, config.coarse_blocks, after * STRIDE + hyper_reach(config))


def synthesis_halo(config: PhotoConfig) -> int:
    """Receptive field of the synthesis beyond a tile's border, in pixels, rounded up to the alignment."""
    before, after = config.synthesis_blocks // 2, config.synthesis_blocks - config.synthesis_blocks // 2
    return _halo(config, before, config.coarse_blocks_of_synthesis, after * STRIDE)


def _halo(config: PhotoConfig, fine_before: int, coarse: int, reach_after: int) -> int:
    return round_up(round_up(reach_after, CELL) + coarse * CELL + fine_before * STRIDE, config.alignment)


@torch.no_grad()
def costs(network: PhotoNetwork) -> dict[str, float]:
    """Of encoding a picture to symbols, and of decoding it: thousands of multiply-accumulates a pixel, and weights."""
    image, level = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1)
    encoding = kmac_per_pixel(lambda: network.hyper_analysis(network.whitened(image, level), level))
    everything = kmac_per_pixel(lambda: network.evaluate(image, level))
    encoder_weights = weights(network.analysis) + weights(network.hyper_analysis)
    return {
        "encoder_kmac_per_pixel": round(encoding, 2),
        "decoder_kmac_per_pixel": round(everything - encoding, 2),
        "encoder_weights": encoder_weights,
        "decoder_weights": weights(network) - encoder_weights,
    }
