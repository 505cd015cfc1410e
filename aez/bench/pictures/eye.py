"""What people see that means over pixels hide: ColorVideoVDP, and the hue of smooth areas."""

from __future__ import annotations

import importlib.util

import numpy as np
import numpy.typing as npt

from aez.bench.pictures.files import Picture

__all__ = ["colorvideovdp", "hue_error"]

Lab = npt.NDArray[np.float64]

#: The least side that ColorVideoVDP says anything of.
JOD_SIDE = 16
BLOCK = 16
#: The standard deviation in CIELAB up to which a block is smooth.
SMOOTH = 4.0
_XYZ = np.array(
    [[0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920], [0.1804375, 0.0721750, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def colorvideovdp(reference: Picture, decoded: Picture) -> float | None:
    """The quality in JOD, 10 for an equal picture, on a full-HD screen at the usual distance (Mantiuk et al. 2024).

    None where torch is not installed, and for pictures with a side below 16 pixels.
    """
    if importlib.util.find_spec("torch") is None or min(reference.shape[:2]) < JOD_SIDE:
        return None
    import torch

    from aez.export.distortions.colorvideovdp import colorvideovdp as jods

    with torch.inference_mode():
        pair = [torch.tensor(picture).permute(2, 0, 1)[None].float() / 255 for picture in (decoded, reference)]
        return float(jods(*pair))


def hue_error(reference: Picture, decoded: Picture) -> float | None:
    """Mean distance in CIELAB a and b over blocks of 16 x 16 pixels whose original is smooth; None where none is.

    A distance is that of the blocks' means, so that neither noise nor lost grain counts.
    """
    wanted, spread = _blocks(_lab(reference))
    found, _ = _blocks(_lab(decoded))
    smooth = spread.max(axis=-1, initial=0) < SMOOTH
    if not smooth.any():
        return None
    distance = np.sqrt(np.square(found - wanted)[..., 1:].sum(axis=-1))
    return float(distance[smooth].mean())


def _lab(picture: Picture) -> Lab:
    steps = np.arange(256) / 255
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)[picture]
    xyz = linear @ _XYZ / _WHITE
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _blocks(lab: Lab) -> tuple[Lab, Lab]:
    """Means and standard deviations of whole blocks, [rows, columns, 3]."""
    height, width = (side // BLOCK * BLOCK for side in lab.shape[:2])
    cells = lab[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    return cells.mean(axis=(1, 3)), cells.std(axis=(1, 3))
