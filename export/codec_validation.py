"""Rate and distortion of a codec's network on held-out crops, while it trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aez.codec.quality import quality_to_level
from aez.export.hyperprior import HyperpriorNetwork

#: A perfect picture counts as this: its mean squared error is zero.
PSNR_MAX = 100.0
BATCH = 8


def rate_and_psnr(
    network: HyperpriorNetwork, pictures: Tensor, qualities: Sequence[float], device: torch.device
) -> dict[str, float]:
    """Means of `bpp@<quality>` and `psnr@<quality>` (RGB, 8 bits, in dB) over pictures [N, 3, H, W]."""
    figures: dict[str, float] = {}
    count, _, height, width = pictures.shape
    for quality in qualities:
        bits, psnr = 0.0, 0.0
        for original in pictures.split(BATCH):
            image = original.to(device)
            level = torch.full((len(image),), float(quality_to_level(quality)), device=device)
            output = network.evaluate(image, level)
            bits += float((output.latent_bits + output.hyper_bits).sum())
            psnr += float(psnr_8_bit(output.image, image).sum())
        figures |= {f"bpp@{quality}": bits / (count * height * width), f"psnr@{quality}": psnr / count}
    return figures


def psnr_8_bit(decoded: Tensor, image: Tensor) -> Tensor:
    """PSNR in dB [B] of decoded pictures in 0..1, rounded to 8 bits."""
    mse = (torch.round(decoded * 255) / 255 - image).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(mse)).clamp_max(PSNR_MAX)
