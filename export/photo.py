"""The photograph network: transforms that start as an 8x8 block DCT, and a mean-scale hyperprior.

Shapes: image [B, 3, H, W] in 0..1 with H, W multiples of 16; latent y [B, 192, H/8, W/8]; hyper-latent z
[B, 64, H/16, W/16].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from aez.export.hyperprior import STRIDE as PATCH
from aez.export.hyperprior import HyperConfig, HyperpriorNetwork
from aez.export.layers import Block, CoarseBranch, colour_dct_weights

CHANNELS = 3 * PATCH * PATCH
#: Prefixes of the parameters on which the latents depend before they are rounded.
ENCODING = ("analysis.", "hyper_analysis.", "log_gain.", "log_hyper_gain.")


@dataclass(frozen=True)
class PhotoConfig(HyperConfig):
    """Sizes of the photo network. The defaults cost 11 kMAC/pixel to encode and 11 to decode.

    Where those of the synthesis's coarse branch are None, they are the analysis's.
    """

    analysis_blocks: int = 2
    analysis_expansion: float = 2
    synthesis_blocks: int = 3
    synthesis_expansion: float = 2 / 3
    coarse_width: int = 256
    coarse_blocks: int = 2
    synthesis_coarse_expansion: float = 1.5
    synthesis_coarse_width: int | None = None
    synthesis_coarse_blocks: int | None = None

    @property
    def channels(self) -> int:
        return CHANNELS

    @classmethod
    def fast(cls) -> PhotoConfig:
        """Sizes of what decodes for a third of the cost; the encoder is the usual one."""
        return cls(
            hyper_width=64,
            synthesis_blocks=1,
            synthesis_coarse_width=128,
            synthesis_coarse_blocks=1,
        )

    @property
    def coarse_blocks_of_synthesis(self) -> int:
        return self.coarse_blocks if self.synthesis_coarse_blocks is None else self.synthesis_coarse_blocks


class Transforms(nn.Module):
    """Shared by both directions: the per-channel standard deviation that the networks see as one."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(1, CHANNELS, 1, 1))


class Analysis(Transforms):
    """Image -> coefficients in pixel units (DCT plus learned corrections), before the gains."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH, bias=False)
        self.embed.weight.data = colour_dct_weights(PATCH)
        half = config.analysis_blocks // 2
        e = config.analysis_expansion
        self.fine_in = nn.ModuleList(Block(CHANNELS, e) for _ in range(config.analysis_blocks - half))
        self.coarse = CoarseBranch(CHANNELS, config.coarse_width, config.coarse_blocks)
        self.fine_out = nn.ModuleList(Block(CHANNELS, e) for _ in range(half))

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """Whitened coefficients [B, 192, H/8, W/8] (unit standard deviation on the calibration pictures)."""
        x: Tensor = self.embed(image - 0.5) / cast(Tensor, self.std)
        for block in self.fine_in:
            x = block(x, level)
        x = self.coarse(x, level)
        for block in self.fine_out:
            x = block(x, level)
        return x


class Synthesis(Transforms):
    """Dequantized coefficients -> image."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        half = config.synthesis_blocks // 2
        e = config.synthesis_expansion
        self.fine_in = nn.ModuleList(Block(CHANNELS, e) for _ in range(half))
        width = config.coarse_width if config.synthesis_coarse_width is None else config.synthesis_coarse_width
        self.coarse = CoarseBranch(
            CHANNELS, width, config.coarse_blocks_of_synthesis, config.synthesis_coarse_expansion
        )
        self.fine_out = nn.ModuleList(Block(CHANNELS, e) for _ in range(config.synthesis_blocks - half))
        self.unembed = nn.Conv2d(CHANNELS, CHANNELS, 1)
        # Rows in pixel-shuffle order: channel of the picture, then row and column inside the patch.
        inverse_dct = colour_dct_weights(PATCH).reshape(CHANNELS, CHANNELS).t().contiguous()
        self.unembed.weight.data = inverse_dct[:, :, None, None]
        nn.init.constant_(cast(Tensor, self.unembed.bias), 0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        for block in self.fine_in:
            x = block(x, level)
        x = self.coarse(x, level)
        for block in self.fine_out:
            x = block(x, level)
        return nn.functional.pixel_shuffle(self.unembed(x * cast(Tensor, self.std)), PATCH)


class PhotoNetwork(HyperpriorNetwork):
    """All parts of the photo codec."""

    config: PhotoConfig

    def __init__(self, config: PhotoConfig | None = None) -> None:
        config = config or PhotoConfig()
        super().__init__(config)
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)

    def whitened(self, image: Tensor, level: Tensor) -> Tensor:
        return cast(Tensor, self.analysis(image, level))

    def picture(self, whitened: Tensor, level: Tensor) -> Tensor:
        return cast(Tensor, self.synthesis(whitened, level))

    def latent_std(self) -> Tensor:
        return cast(Tensor, self.analysis.std)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Measure the DCT coefficients' standard deviations on images [N, 3, H, W] and start the scales from them."""
        std = coefficient_std(images)
        for part in (self.analysis, self.synthesis):
            cast(Tensor, part.std).copy_(std[None, :, None, None])
        self.calibrate_scales(std)


@torch.no_grad()
def coefficient_std(images: Tensor) -> Tensor:
    """Standard deviations [192] of the block DCT's coefficients of images [N, 3, H, W] about mid-grey."""
    coefficients = nn.functional.conv2d(images - 0.5, colour_dct_weights(PATCH), stride=PATCH)
    return coefficients.double().pow(2).mean(dim=(0, 2, 3)).sqrt().clamp_min(2e-3).float()
