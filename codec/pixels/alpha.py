"""Transparency: colours that nobody sees, fewer levels, and what stands behind a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aez.codec.errors import InvalidArgument

__all__ = ["fill_hidden", "is_opaque", "over_background", "with_fewer_levels"]

Samples = NDArray[np.uint8] | NDArray[np.uint16]
#: Hidden colours are filled by squares of this side, so that memory stays bounded.
_SQUARE = 2048
LOSSLESS = 100


def is_opaque(alpha: Samples) -> bool:
    """Whether every pixel of an alpha plane, uint8 or uint16 over its whole range, is opaque."""
    return bool(alpha.min() == np.iinfo(alpha.dtype).max)


def fill_hidden(pixels: Samples, alpha: Samples) -> Samples:
    """Pixels [height, width, 3] whose colours under alpha 0 go on smoothly from those that are seen."""
    hidden = alpha == 0
    if not hidden.any():
        return pixels
    filled = pixels.copy()
    mean = pixels[~hidden].mean(axis=0) if not hidden.all() else np.zeros(3)
    for top in range(0, pixels.shape[0], _SQUARE):
        for left in range(0, pixels.shape[1], _SQUARE):
            part = slice(top, top + _SQUARE), slice(left, left + _SQUARE)
            inside = hidden[part]
            if inside.all():
                filled[part] = np.rint(mean).astype(pixels.dtype)
            elif inside.any():
                smooth = _filled(pixels[part], ~inside)
                filled[part][inside] = np.rint(smooth[inside]).astype(pixels.dtype)
    return filled


def _filled(part: Samples, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each channel with means of what is seen, over ever larger squares, where nothing is."""
    weight = Image.fromarray(seen.astype(np.float32))
    planes = [np.where(seen, part[:, :, channel], 0).astype(np.float32) for channel in range(part.shape[2])]
    return np.stack([np.asarray(_pull_push(Image.fromarray(plane), weight)) for plane in planes], axis=2)


def _pull_push(known: Image.Image, weight: Image.Image) -> Image.Image:
    """Values, mode F and 0 without weight (0 or 1), where the gaps are filled from the picture of half the size."""
    gaps = np.asarray(weight) == 0
    if not gaps.any() or known.size == (1, 1):
        return known
    share = np.asarray(weight.reduce(2))
    total = np.asarray(known.reduce(2)) / np.maximum(share, 1e-6)
    coarse = _pull_push(Image.fromarray(total), Image.fromarray((share > 0).astype(np.float32)))
    smooth = coarse.resize((2 * coarse.width, 2 * coarse.height), Image.Resampling.BILINEAR)
    return Image.fromarray(np.where(gaps, np.asarray(smooth)[: gaps.shape[0], : gaps.shape[1]], np.asarray(known)))


def with_fewer_levels(alpha: Samples, quality: int) -> Samples:
    """An alpha plane of less levels, which takes fewer bytes; what is clear or opaque stays so.

    `quality` 1..100, 100 for the plane as it is. A run goes on while its level is near enough, so that noise does not
    end it. Raises InvalidArgument.
    """
    if not 1 <= quality <= LOSSLESS:
        raise InvalidArgument(f"an alpha quality of {quality} is outside 1..{LOSSLESS}")
    if quality == LOSSLESS:
        return alpha
    top = int(np.iinfo(alpha.dtype).max)
    step = top / (2 + (quality / 5 if quality <= 70 else 16 + (quality - 70) * 4))
    near = 0.75 * step
    smooth = _mean_around(alpha.astype(np.float32))
    levels = np.where(np.abs(smooth - alpha) <= near, smooth, alpha)
    levels = np.rint(np.rint(levels / step) * step)
    for row in range(1, len(levels)):  # a row at a time: from above, where that is near enough
        above = levels[row - 1]
        levels[row] = np.where(np.abs(above - alpha[row]) <= near, above, levels[row])
    return np.where((alpha == 0) | (alpha == top), alpha, levels.astype(alpha.dtype))


def _mean_around(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the 5x5 samples around each."""
    for axis in (0, 1):
        padded = np.pad(plane, [(2, 2) if at == axis else (0, 0) for at in (0, 1)], mode="edge")
        pieces = [padded.take(range(start, start + plane.shape[axis]), axis) for start in range(5)]
        plane = np.asarray(np.sum(pieces, axis=0, dtype=np.float32) / np.float32(5), np.float32)
    return plane


def over_background(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """A picture of mode LA or RGBA over a colour, as RGB (as L where picture and colour are grey), `info` kept."""
    behind = Image.new("RGBA", image.size, (*background, 255))
    result = Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")
    if image.mode == "LA" and len(set(background)) == 1:
        result = result.getchannel("G")
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return result
