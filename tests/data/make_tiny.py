"""Make `tiny.aezm` and `tiny-kl.aezm`, the smallest models that code pictures: untrained, mostly zeros and a DCT.

    python tests/data/make_tiny.py tiny|tiny-kl [OUTPUT.aezm]

Other tests hold what they decode against the committed files, so make them anew only when bundles change. Their ids
differ between versions of torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle
from aez.export.latent.bundle import export_kl
from aez.export.latent.network import KlConfig, KlNetwork
from aez.export.photo.bundle import export_photo
from aez.export.photo.network import PhotoConfig, PhotoNetwork

CONFIG = PhotoConfig(
    hyper_stride=16,  # simpler than what ships: hyper-latent and cells on one grid, no magnitudes in contexts
    context_blocks=0,
    hyper_channels=4,
    hyper_width=8,
    analysis_blocks=1,
    analysis_expansion=1,
    synthesis_blocks=1,
    coarse_width=8,
    coarse_blocks=1,
    synthesis_coarse_blocks=1,
)

KL_CONFIG = KlConfig(hyper_channels=4, hyper_width=8, encoder_blocks=1, decoder_blocks=1, expansion=0.25)


def make_pictures(count: int = 16, side: int = 96) -> Tensor:
    """Smooth structure under noise, float32 [count, 3, side, side] in 0..1."""
    smooth = nn.functional.interpolate(torch.rand(count, 3, side // 8, side // 8), (side, side), mode="bilinear")
    return (smooth + 0.03 * torch.randn(smooth.shape)).clamp(0, 1)


def make_tiny(path: Path) -> Bundle:
    """Write the model to `path`."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = PhotoNetwork(CONFIG)
    pictures = make_pictures()
    network.calibrate(pictures)
    return export_photo(network, path, "tiny", pictures.split(8), {"data": "noise"})


def make_tiny_kl(path: Path) -> Bundle:
    """Write the autoencoder to `path`."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = KlNetwork(KL_CONFIG)
    pictures = make_pictures()
    network.calibrate(pictures)
    return export_kl(network, path, "tiny-kl", pictures, {"data": "noise"})


if __name__ == "__main__":
    kind = sys.argv[1]
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name(f"{kind}.aezm")
    {"tiny": make_tiny, "tiny-kl": make_tiny_kl}[kind](output)
