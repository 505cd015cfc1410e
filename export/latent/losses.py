"""Losses of the KL autoencoder: reconstruction, and an optional discriminator of patches.

Reconstructions are measured in the units of MSE x 255^2 at about 27 dB, so that one set of lambdas serves all of them.
A perceptual loss is whatever callable its owner brings: (decoded, original) [B, 3, H, W] in 0..1 -> distance [B]. None
comes with aez, since all the usual ones need weights under licences of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aez.export.distortions.distortion import Distortion, ms_ssim_distortion, mse_distortion

#: MSE x 255^2 at 26.6 dB, divided by the mean absolute error (in 0..1) that pictures have there.
_ABSOLUTE_UNIT = 4500.0
CHARBONNIER_EPSILON = 1e-2
DISCRIMINATOR_WIDTH = 64


def l1_distortion(decoded: Tensor, image: Tensor) -> Tensor:
    """Mean absolute error per picture."""
    return (decoded - image).abs().mean(dim=(1, 2, 3)) * _ABSOLUTE_UNIT


def charbonnier_distortion(decoded: Tensor, image: Tensor) -> Tensor:
    """sqrt(error^2 + epsilon^2) - epsilon (Charbonnier and others 1994): smooth at zero, robust to large errors."""
    distance = torch.sqrt((decoded - image).square() + CHARBONNIER_EPSILON**2) - CHARBONNIER_EPSILON
    return distance.mean(dim=(1, 2, 3)) * _ABSOLUTE_UNIT


PIXEL_LOSSES: dict[str, Distortion] = {
    "mse": mse_distortion,
    "l1": l1_distortion,
    "charbonnier": charbonnier_distortion,
}


@dataclass(frozen=True)
class Reconstruction:
    """Weighted sum of a pixel loss, 1 - MS-SSIM and a perceptual distance; per picture [B].

    `ms_ssim` and `perceptual_weight` are relative to the pixel loss. MS-SSIM needs pictures of more than 160 pixels.
    """

    pixel: str = "mse"
    ms_ssim: float = 0.0
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    perceptual_weight: float = 100.0

    def __call__(self, decoded: Tensor, image: Tensor) -> Tensor:
        total = PIXEL_LOSSES[self.pixel](decoded, image)
        if self.ms_ssim:
            total = total + self.ms_ssim * ms_ssim_distortion(decoded, image)
        if self.perceptual is not None:
            total = total + self.perceptual_weight * self.perceptual(decoded, image)
        return total


Reconstruction.__module__ = "aez.export"  # where pickles find it, wherever this file lies


class PatchDiscriminator(nn.Module):
    """Tells decoded patches from real ones (Isola et al. 2017): image [B, 3, H, W] -> logits [B, 1, about H/8, W/8]."""

    def __init__(self, width: int = DISCRIMINATOR_WIDTH) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for inputs in (width, 2 * width):
            layers += [nn.Conv2d(inputs, 2 * inputs, 4, stride=2, padding=1), nn.GroupNorm(8, 2 * inputs)]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layers(2 * image - 1)
        return logits


def adversarial_losses(discriminator: PatchDiscriminator, decoded: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """(what the decoder minimises, what the discriminator minimises: the hinge loss), each a mean [].

    Both may be added and minimised in one step: neither reaches the parameters of the other side.
    """
    still = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    fooled = -torch.func.functional_call(discriminator, still, (decoded,)).mean()
    real, false = discriminator(image), discriminator(decoded.detach())
    told = (nn.functional.relu(1 - real) + nn.functional.relu(1 + false)).mean() / 2
    return fooled, told
