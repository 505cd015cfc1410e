"""Rate-distortion losses: R + lambda * D, each picture at its own lambda."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from aez.export.hyperprior.hue import hue_error
from aez.export.hyperprior.ssimulacra2 import ssimulacra2

#: The lambda at which the balanced loss equals the plain one.
_REFERENCE_WEIGHT = 0.0126
#: Pictures that cost less than this count as if they cost as much: an empty one would drown all others.
_LEAST_COST = 0.05

#: What a point of SSIMULACRA 2 is worth in bits per pixel: factor * lambda^power, the slope of rate over score that
#: codecs have from the lowest to the highest lambda.
_POINT_FACTOR, _POINT_POWER = 0.218, 0.566
#: Shares of the visual distortion. Each measure of the eye has its blind spots, and fools whoever trains on it alone.
_SSIMULACRA2_SHARE, _MS_SSIM_SHARE, _MSE_SHARE = 0.55, 0.45, 0.12
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
    """SSIMULACRA 2, MS-SSIM and some MSE per picture, for pictures of lambdas `weight` [B]."""
    points = 100 - ssimulacra2(decoded, image)
    worth = _POINT_FACTOR * weight**_POINT_POWER / weight
    by_eye = _SSIMULACRA2_SHARE * worth * points + _MS_SSIM_SHARE * ms_ssim_distortion(decoded, image)
    return by_eye + _MSE_SHARE * mse_distortion(decoded, image)


#: Names of distortions, as `distortion` takes them.
DISTORTIONS = ("mse", "ms-ssim", "visual")


def distortion(name: str, decoded: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """[B] of pictures [B, 3, H, W] at lambdas `weight` [B]: one of `DISTORTIONS`, and the hue of smooth areas."""
    wrong_hue = HUE_SHARE * hue_error(decoded, image)
    if name == "visual":
        return visual_distortion(decoded, image, weight) + wrong_hue
    return {"mse": mse_distortion, "ms-ssim": ms_ssim_distortion}[name](decoded, image) + wrong_hue


def rate_distortion(
    bits: Tensor, pixels: int, distortion: Tensor, weight: Tensor, balance: float = 0.4, evenness: float = 0.0
) -> Tensor:
    """Mean over the batch of (bits per pixel + weight * distortion) * (weight / 0.0126)^-balance.

    `bits`, `distortion` and `weight` are [B]; `pixels` counts those of one picture. The last factor keeps high rates
    from drowning the low ones: along a rate-distortion curve both terms grow about as the square root of lambda, so
    `balance` = 0.5 weighs relative gains at every rate alike. `evenness` does the same for pictures: each one's cost is
    divided by that power of itself, taken as a constant, so that 0 weighs absolute gains alike and 1 relative ones.
    """
    cost = (bits / pixels + weight * distortion) * (weight.detach() / _REFERENCE_WEIGHT) ** -balance
    return (cost * cost.detach().clamp_min(_LEAST_COST) ** -evenness).mean()
