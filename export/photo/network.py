"""The photograph network: transforms that start as an 8x8 block DCT, and a mean-scale hyperprior.

Shapes: image [B, 3, H, W] in 0..1 with H, W multiples of 32; latent y [B, 96, H/8, W/8]; hyper-latent
z [B, 64, H/32, W/32]; other numbers of channels, and 16 for 32, where the sizes say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from aez.export.hyperprior.layers import (
    Block,
    CoarseBranch,
    coefficient_std,
    colour_dct_weights,
    in_float32,
    patches_to_pixels,
)
from aez.export.hyperprior.network import STRIDE as PATCH
from aez.export.hyperprior.network import HyperConfig, HyperpriorNetwork
from aez.export.hyperprior.ports import IMAGE, LEVEL, Part, Port, Sides

COEFFICIENTS = PATCH * PATCH
CHANNELS = 3 * COEFFICIENTS
#: Prefixes of the parameters on which the latents depend before they are rounded.
ENCODING = ("analysis.", "hyper_analysis.", "log_gain.", "log_hyper_gain.")


@dataclass(frozen=True)
class PhotoConfig(HyperConfig):
    """Sizes of the photo network. The defaults cost 17 kMAC/pixel to encode and 8 to decode.

    Where those of the synthesis's coarse branch are None, they are the analysis's. `chroma_coefficients` is how many of
    either chroma axis the latent has, the lowest of 64 frequencies; it always has the 64 of luma. The synthesis works
    on all 192, with zeros for those that the latent lacks, or on the latent's alone where it is not `full_synthesis`.
    """

    chroma_coefficients: int = 16
    full_synthesis: bool = True
    analysis_blocks: int = 4
    analysis_expansion: float = 2
    synthesis_blocks: int = 3
    synthesis_expansion: float = 2 / 3
    coarse_width: int = 256
    coarse_blocks: int = 4
    synthesis_coarse_expansion: float = 1.5
    synthesis_coarse_width: int | None = None
    synthesis_coarse_blocks: int | None = 2

    @property
    def channels(self) -> int:
        return COEFFICIENTS + 2 * self.chroma_coefficients

    @property
    def features(self) -> int:
        return CHANNELS

    def transforms(self, y: Port, z: Port) -> dict[str, Sides]:
        return {
            "analysis": Sides(
                {"image": IMAGE, "level": LEVEL}, {"y": y, "z": z}, decodes=False, multiple=self.alignment
            ),
            "synthesis": Sides({"y": y, "level": LEVEL}, {"image": IMAGE}, multiple=self.alignment // PATCH),
        }

    @classmethod
    def fast(cls) -> PhotoConfig:
        """Sizes of what decodes for a fifth of the cost; the analysis is the usual one."""
        return cls(
            chroma_coefficients=16,
            full_synthesis=False,
            hyper_channels=24,
            hyper_width=64,
            hyper_analysis_width=192,
            synthesis_blocks=1,
            synthesis_expansion=4 / 3,
            synthesis_coarse_width=128,
            synthesis_coarse_blocks=1,
        )

    @property
    def coarse_blocks_of_synthesis(self) -> int:
        return self.coarse_blocks if self.synthesis_coarse_blocks is None else self.synthesis_coarse_blocks


def kept_coefficients(config: PhotoConfig) -> Tensor:
    """Which of the 192 colour DCT coefficients the latent starts from, int64 [channels], ascending."""
    frequency = torch.arange(PATCH)
    squared = (frequency[:, None] ** 2 + frequency[None, :] ** 2).flatten()
    lowest = torch.argsort(squared, stable=True)[: config.chroma_coefficients].sort().values
    return torch.cat((torch.arange(COEFFICIENTS), COEFFICIENTS + lowest, 2 * COEFFICIENTS + lowest))


class Transforms(nn.Module):
    """Shared by both directions: the per-channel standard deviation that the networks see as one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(1, channels, 1, 1))


class Analysis(Transforms):
    """Image -> coefficients in pixel units (DCT plus learned corrections), before the gains."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__(CHANNELS)
        self.embed = nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH, bias=False)
        self.embed.weight.data = colour_dct_weights(PATCH)
        half = config.analysis_blocks // 2
        e = config.analysis_expansion
        self.fine_in = nn.ModuleList(Block(CHANNELS, e) for _ in range(config.analysis_blocks - half))
        self.coarse = CoarseBranch(CHANNELS, config.coarse_width, config.coarse_blocks)
        self.fine_out = nn.ModuleList(Block(CHANNELS, e) for _ in range(half))

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """Whitened coefficients [B, 192, H/8, W/8] (unit standard deviation on the calibration pictures)."""
        x: Tensor = in_float32(self.embed, image - 0.5) / cast(Tensor, self.std)
        for block in self.fine_in:
            x = block(x, level)
        x = self.coarse(x, level)
        for block in self.fine_out:
            x = block(x, level)
        return x


class Synthesis(Transforms):
    """Dequantized coefficients -> image."""

    def __init__(self, config: PhotoConfig) -> None:
        channels = CHANNELS if config.full_synthesis else config.channels
        super().__init__(channels)
        kept = kept_coefficients(config)
        #: Where each of the synthesis's channels lies in the latent and one more channel, of zeros.
        self.places: Tensor | None = None
        if channels != config.channels:
            self.places = torch.full((CHANNELS,), config.channels)
            self.places[kept] = torch.arange(config.channels)
        half = config.synthesis_blocks // 2
        e = config.synthesis_expansion
        self.fine_in = nn.ModuleList(Block(channels, e) for _ in range(half))
        width = config.coarse_width if config.synthesis_coarse_width is None else config.synthesis_coarse_width
        self.coarse = CoarseBranch(
            channels, width, config.coarse_blocks_of_synthesis, config.synthesis_coarse_expansion
        )
        self.fine_out = nn.ModuleList(Block(channels, e) for _ in range(config.synthesis_blocks - half))
        self.unembed = nn.Conv2d(channels, CHANNELS, 1)
        # Rows in pixel-shuffle order: channel of the picture, then row and column inside the patch.
        inverse_dct = colour_dct_weights(PATCH).reshape(CHANNELS, CHANNELS).t().contiguous()
        self.unembed.weight.data = (inverse_dct if config.full_synthesis else inverse_dct[:, kept])[:, :, None, None]
        nn.init.constant_(cast(Tensor, self.unembed.bias), 0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if self.places is not None:
            x = torch.cat((x, torch.zeros_like(x[:, :1])), dim=1).index_select(1, self.places.to(x.device))
        for block in self.fine_in:
            x = block(x, level)
        x = self.coarse(x, level)
        for block in self.fine_out:
            x = block(x, level)
        return patches_to_pixels(in_float32(self.unembed, x * cast(Tensor, self.std)), PATCH)


class PhotoNetwork(HyperpriorNetwork):
    """All parts of the photo codec."""

    family = "photo-dct-hyperprior"
    config: PhotoConfig

    def __init__(self, config: PhotoConfig | None = None) -> None:
        config = config or PhotoConfig()
        super().__init__(config)
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.kept = None if config.channels == CHANNELS else kept_coefficients(config)

    def whitened(self, image: Tensor, level: Tensor) -> Tensor:
        return cast(Tensor, self.analysis(image, level))

    def coded(self, whitened: Tensor) -> Tensor:
        return whitened if self.kept is None else whitened.index_select(1, self.kept.to(whitened.device))

    def picture(self, whitened: Tensor, level: Tensor) -> Tensor:
        return cast(Tensor, self.synthesis(whitened, level))

    def latent_std(self) -> Tensor:
        return self.coded(cast(Tensor, self.analysis.std))

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Measure the DCT coefficients' standard deviations on images [N, 3, H, W] and start the scales from them."""
        std = coefficient_std(images)[None, :, None, None]
        cast(Tensor, self.analysis.std).copy_(std)
        cast(Tensor, self.synthesis.std).copy_(std if self.config.full_synthesis else self.latent_std())
        self.calibrate_scales(self.latent_std().flatten())

    def transform_parts(self) -> dict[str, nn.Module]:
        return {"analysis": AnalysisGraph(self), "synthesis": SynthesisGraph(self)}


class AnalysisGraph(Part[PhotoNetwork]):
    """image, level -> y, z (rounded)."""

    def forward(self, image: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.rounded_latents(self.network.analysis(image, level), level)


class SynthesisGraph(Part[PhotoNetwork]):
    """y, level -> image in 0..1."""

    def forward(self, y: Tensor, level: Tensor) -> Tensor:
        n = self.network
        return cast(Tensor, n.synthesis(y * n.inverse_gain(level), level)).clamp(0, 1)
