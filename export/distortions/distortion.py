"""What a decoded picture lacks, each picture's by itself: in squares, in structure, and as people see it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from aez.export.distortions.colorvideovdp import colorvideovdp
from aez.export.distortions.hue import hue_error
from aez.export.distortions.ssimulacra2 import ssimulacra2

#: What a point of SSIMULACRA 2 is worth in bits per pixel: factor * lambda^power, the slope of rate over score that
#: codecs have from the lowest to the highest lambda.
_POINT_FACTOR, _POINT_POWER = 0.218, 0.566
#: The same of a JOD of ColorVideoVDP.
_JOD_FACTOR, _JOD_POWER = 36.8, 0.82
#: Shares of the visual distortion. Each measure of the eye has its blind spots, and fools whoever trains on it alone.
_SSIMULACRA2_SHARE, _JOD_SHARE, _MS_SSIM_SHARE, _MSE_SHARE = 0.37, 0.4, 0.27, 0.1
#: Worth of a squared CIELAB unit of wrong hue in smooth areas, in units of MSE x 255^2.
HUE_SHARE = 10.0

#: (decoded image, original image) [B, 3, H, W] in 0..1 -> distortion [B], in units that lambda is stated in.
Distortion = Callable[[Tensor, Tensor], Tensor]


def mse_distortion(decoded: Tensor, image: Tensor) -> Tensor:
    """Mean squared error per picture in 8-bit units: MSE x 255^2 (the convention of Ballé et al. and CompressAI)."""
    return (decoded - image).square().mean(dim=(1, 2, 3)) * 255.0**2


def ms_ssim_distortion(decoded: Tensor, image: Tensor) -> Tensor:
    """(1 - MS-SSIM) per picture (Wang, Simoncelli, Bovik 2003), scaled so that the MSE's lambdas give like rates.

    Pictures must be larger than 160 pixels on the shorter side (five scales with an 11-pixel window).
    """
    similarity = multiscale_structural_similarity_index_measure(
        decoded.clamp(0, 1), image, data_range=1.0, reduction="none", normalize="relu"
    )
    return (1 - similarity) * 2500.0


def visual_distortion(decoded: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """SSIMULACRA 2, ColorVideoVDP, MS-SSIM and some MSE per picture, for pictures of lambdas `weight` [B]."""
    points, jods = 100 - ssimulacra2(decoded, image), 10 - colorvideovdp(decoded, image)
    bits = _SSIMULACRA2_SHARE * _POINT_FACTOR * weight**_POINT_POWER * points
    bits = bits + _JOD_SHARE * _JOD_FACTOR * weight**_JOD_POWER * jods
    structure, squares = ms_ssim_distortion(decoded, image), mse_distortion(decoded, image)
    return bits / weight + _MS_SSIM_SHARE * structure + _MSE_SHARE * squares


#: Names of distortions, as `distortion` takes them.
DISTORTIONS = ("mse", "ms-ssim", "visual")


def distortion(name: str, decoded: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """[B] of pictures [B, 3, H, W] at lambdas `weight` [B]: one of `DISTORTIONS`, and the hue of smooth areas."""
    wrong_hue = HUE_SHARE * hue_error(decoded, image)
    if name == "visual":
        return visual_distortion(decoded, image, weight) + wrong_hue
    return {"mse": mse_distortion, "ms-ssim": ms_ssim_distortion}[name](decoded, image) + wrong_hue
