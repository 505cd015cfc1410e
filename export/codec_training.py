"""What the training of every picture codec shares: learning rates of its parts, and figures on held-out crops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aez.codec.quality import quality_to_level
from aez.export.hyperprior import HyperpriorNetwork

#: A perfect picture counts as this: its mean squared error is zero.
PSNR_MAX = 100.0
BATCH = 8
#: Learning rates of the hyperprior's parts in units of their own, relative to the others: prefix -> factor.
HYPER_RATES = {
    "scale.offset": 20.0,  # in units of a scale index, of which 64 span the range
    "density.": 5.0,  # in units of a hyper-latent step
}


def parameter_groups(
    model: nn.Module, learning_rate: float, factors: Mapping[str, float], still: tuple[str, ...], until: float
) -> list[dict[str, Any]]:
    """Optimizer groups as `Task.parameter_groups`: names that begin with a prefix of `factors` learn at that factor.

    Names that begin with one of `still` stand still from the share `until` of the run on.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = next((value for prefix, value in factors.items() if name.startswith(prefix)), 1.0)
        end = until if name.startswith(still) else math.inf
        groups.setdefault((factor, end), []).append(parameter)
    return [{"params": params, "lr": learning_rate * factor, "until": end} for (factor, end), params in groups.items()]


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
