"""How far the hue of smooth areas is off: an error that means over pixels hide, and that people see at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from aez.export.distortions.ssimulacra2 import linear

BLOCK = 16
#: A block's standard deviation in CIELAB, above which it does not count as smooth.
SMOOTH = 4.0
#: From linear sRGB to XYZ over its white (D65).
XYZ = (
    (0.4339499, 0.3762098, 0.1898403),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0177566, 0.1094680, 0.8727755),
)
EPSILON, SLOPE = 0.008856, 7.787  # of CIELAB's cube root near black


def hue_error(decoded: Tensor, image: Tensor) -> Tensor:
    """Mean over blocks of 16 x 16 pixels of the squared error of CIELAB a and b, [B], where the original is smooth.

    Pictures [B, 3, H, W] are sRGB in 0..1, sides of at least 16; a block that is not smooth counts as without error.
    """
    with torch.no_grad():
        original = _lab(image)
        mean = functional.avg_pool2d(original, BLOCK)
        variance = (functional.avg_pool2d(original.square(), BLOCK) - mean.square()).amax(dim=1)
        smooth = torch.exp(-variance.clamp_min(0) / SMOOTH**2)
        wanted = _lab(functional.avg_pool2d(image, BLOCK))
    found = _lab(functional.avg_pool2d(decoded, BLOCK).clamp(0, 1))
    error = (found - wanted)[:, 1:].square().sum(dim=1)
    return (smooth * error).mean(dim=(1, 2))


def _lab(picture: Tensor) -> Tensor:
    """CIELAB [B, 3, H, W] of sRGB in 0..1."""
    xyz = torch.einsum("oi,bihw->bohw", picture.new_tensor(XYZ), linear(picture))
    root = xyz.clamp_min(EPSILON) ** (1 / 3)
    x, y, z = torch.where(xyz > EPSILON, root, SLOPE * xyz + 16 / 116).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)
