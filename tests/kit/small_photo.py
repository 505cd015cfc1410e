"""A photo network in miniature, and pictures for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from aez.codec.bundle.bundle import Bundle
from aez.export.hyperprior.integer import IntegerConv
from aez.export.photo.bundle import export_photo
from aez.export.photo.network import PhotoConfig, PhotoNetwork
from tests.kit.made_once import MadeOnce

SMALL = PhotoConfig(
    hyper_channels=4,
    hyper_width=44,  # wide enough that some weights of every graph are stored compactly
    analysis_blocks=1,
    analysis_expansion=1,
    synthesis_blocks=1,
    coarse_width=8,
    coarse_blocks=1,
    synthesis_coarse_blocks=1,
)

#: With a hyper-latent at 1/16 and contexts that see no magnitudes, as models were before and `kl-f8` is.
FORMER = replace(SMALL, hyper_stride=16, context_blocks=0)


@dataclass(frozen=True)
class Exported:
    """A network and the bundle that was written of it; `id` is what the export said of it."""

    network: PhotoNetwork
    bundle: Bundle
    path: Path
    id: str


def make_pictures(count: int, side: int = 64, seed: int = 0) -> Tensor:
    """Smooth structure under weak noise, float32 [count, 3, side, side] in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (smooth + 0.02 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def make_network(config: PhotoConfig = SMALL, seed: int = 1) -> PhotoNetwork:
    """A calibrated network in which no layer is zero, as training would leave it."""
    torch.manual_seed(seed)
    network = PhotoNetwork(config)
    network.calibrate(make_pictures(8))
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
        for out in network.scale.outs:
            assert isinstance(out, IntegerConv)
            out.weight.mul_(4)  # so that the scale index follows z and earlier phases
    return network.eval()


def exported_once(made_once: MadeOnce) -> Exported:
    """The network as the export left it, and what was exported, which takes some thirty seconds."""

    def export(folder: Path) -> None:
        network, pictures = make_network(), make_pictures(8).split(4)
        bundle = export_photo(network, folder / "small.aezm", "small", pictures, {"data": "noise"}, {"psnr": 30.0})
        torch.save(network.state_dict(), folder / "network.pt")
        (folder / "id").write_text(bundle.id)

    folder = made_once("small-photo", export)
    network, path = make_network(), folder / "small.aezm"
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    return Exported(network, Bundle.open(path), path, (folder / "id").read_text())
