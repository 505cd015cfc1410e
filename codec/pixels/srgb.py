"""Colours of any kind as sRGB."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from aez.codec.pixels.colour import Colour
from aez.codec.pixels.depth import Samples
from aez.codec.pixels.icc import CURVE_SAMPLES, parse_profile

__all__ = ["image_as_srgb", "to_srgb"]

_ROWS = 256
#: Linear sRGB of XYZ under D50: the inverse of the matrix of an sRGB profile.
_FROM_XYZ = np.linalg.inv(
    np.array(
        [
            [0.43606567, 0.38514709, 0.14306641],
            [0.22248840, 0.71687317, 0.06060791],
            [0.01391602, 0.09707642, 0.71409607],
        ]
    )
)


def to_srgb(pixels: Samples, bits: int, colour: Colour, grey: bool) -> Samples | None:
    """Samples [height, width, 3] in sRGB; None where nothing here can tell: PQ and HLG, unknown code points.

    Colour in 8 bits goes through the colour management of Pillow, all else through matrix and curves alone.
    """
    profile = None if colour.is_hdr else colour.profile(grey)
    if profile is None:
        return None
    if grey:  # in a table of 8 bits the colour management is too coarse in dark parts
        found = _by_curves(pixels, bits, profile)
        if found is not None or bits > 8:
            return found
    if bits == 8:
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 1] if grey else pixels))
        converted = image_as_srgb(image, profile)
        if converted is None:
            return None
        plane = np.asarray(converted)
        return np.repeat(plane[:, :, 1:2], 3, axis=2) if grey else plane
    return _by_curves(pixels, bits, profile)


def image_as_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """A picture of mode L, RGB or CMYK as RGB; None where its profile cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _by_curves(pixels: Samples, bits: int, icc: bytes) -> Samples | None:
    profile = parse_profile(icc)
    if profile is None or profile.curves is None:
        return None
    top = (1 << bits) - 1
    codes, known = np.arange(top + 1) / top, np.linspace(0, 1, CURVE_SAMPLES)
    tables = [np.interp(codes, known, curve) for curve in profile.curves]
    result = np.empty_like(pixels)
    for row in range(0, len(pixels), _ROWS):
        part = pixels[row : row + _ROWS]
        linear = np.stack([tables[at % len(tables)][part[:, :, at]] for at in range(3)], axis=2)
        if profile.matrix is not None:
            linear = linear @ (_FROM_XYZ @ profile.matrix).T
        result[row : row + _ROWS] = np.rint(_encoded(linear) * top).astype(pixels.dtype)
    return result


def _encoded(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    light = np.clip(linear, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
