"""Distortion of pictures: PSNR, SSIM and MS-SSIM, in NumPy alone, and SSIMULACRA 2 by its package.

Pictures are uint8 arrays, [height, width, 3] or [height, width], and both pictures of a pair have the same shape.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument

__all__ = ["MS_SSIM_SIDE", "ms_ssim", "ms_ssim_db", "psnr", "ssim", "ssimulacra2"]

Picture = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Plane = npt.NDArray[np.float32]

#: Pictures below this side have no SSIMULACRA 2.
_SSIMULACRA2_SIDE = 8
_PEAK = 255
#: The shorter side in pixels that all five scales of MS-SSIM need.
MS_SSIM_SIDE = 161
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # for samples in 0..1


def psnr(reference: Samples, decoded: Samples, peak: int = 255) -> float:
    """Peak signal-to-noise ratio in dB over all samples of all channels; infinite for equal pictures.

    Pictures are uint8, or uint16 with the largest value `peak`. Raises InvalidArgument when the two are not pictures of
    one shape.
    """
    deep = peak > _PEAK and {reference.dtype, decoded.dtype} == {np.dtype(np.uint16)}
    _check_pair(reference, decoded, np.uint16 if deep else np.uint8)
    difference = np.subtract(reference, decoded, dtype=np.int32 if deep else np.int16)
    mean = float(np.square(difference, dtype=np.float32).mean(dtype=np.float64))
    return 10 * math.log10(peak**2 / mean) if mean else math.inf


def ms_ssim(reference: Picture, decoded: Picture) -> float:
    """Multi-scale structural similarity, 0..1 (1 for equal pictures), as the mean over the channels.

    Five scales, an 11x11 Gaussian window of sigma 1.5 without padding, 2x2 means between the scales: the reading of
    Wang et al. 2003 that papers on learned compression report (an odd side is padded with zeros before it is halved).

    Five scales need a shorter side of `MS_SSIM_SIDE` pixels. A smaller picture uses as many scales as leave it 11
    pixels on the coarsest, their weights rescaled to sum to 1; below 11 pixels its edge is repeated up to 11.

    Raises InvalidArgument when the two are not uint8 pictures of one shape.
    """
    _check_pair(reference, decoded)
    x, y = (np.atleast_3d(picture) for picture in (reference, decoded))
    weights = _scale_weights(min(x.shape[:2]))
    return float(np.mean([_plane_ms_ssim(_plane(x[:, :, c]), _plane(y[:, :, c]), weights) for c in range(x.shape[2])]))


def ssim(reference: Picture, decoded: Picture) -> float:
    """Structural similarity at one scale (Wang et al. 2004), 1 for equal pictures, as the mean over the channels.

    The window is that of `ms_ssim`, without padding. Raises InvalidArgument when the two are not uint8 pictures of one
    shape.
    """
    _check_pair(reference, decoded)
    x, y = (np.atleast_3d(picture) for picture in (reference, decoded))
    return float(np.mean([_similarity(_plane(x[:, :, c]), _plane(y[:, :, c]))[0] for c in range(x.shape[2])]))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM as -10 log10(1 - value) in dB, which spreads the values near 1; infinite at 1."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def ssimulacra2(reference: Picture, decoded: Picture) -> float | None:
    """The score of a decoded picture, 100 for an equal one, by the PyPI package of that name; it may be below zero.

    None for pictures with fewer than 8 pixels on a side, of which the measure sees nothing. Raises AezError without the
    package.
    """
    package = library("ssimulacra2", "bench")
    if min(reference.shape[:2]) < _SSIMULACRA2_SIDE:
        return None
    return float(package.compute_ssimulacra2(_file(reference), _file(decoded)))


def _file(picture: Picture) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "BMP")
    file.seek(0)
    return file


def _check_pair(reference: Samples, decoded: Samples, kind: type = np.uint8) -> None:
    for picture in (reference, decoded):
        if picture.dtype != kind or picture.ndim not in (2, 3) or not picture.size:
            raise InvalidArgument(
                f"a picture is a uint8 array [height, width(, 3)], not {picture.dtype} {picture.shape}"
            )
    if reference.shape != decoded.shape:
        raise InvalidArgument(f"pictures of shapes {reference.shape} and {decoded.shape} cannot be compared")


def _scale_weights(shorter_side: int) -> npt.NDArray[np.float64]:
    scales, side = 1, (shorter_side + 1) // 2
    while scales < len(_SCALE_WEIGHTS) and side >= _WINDOW:
        scales, side = scales + 1, (side + 1) // 2
    weights = np.asarray(_SCALE_WEIGHTS[:scales])
    return weights if scales == len(_SCALE_WEIGHTS) else weights / weights.sum()


def _plane(channel: Picture) -> Plane:
    """One channel in 0..1, at least as large as the window."""
    plane = channel.astype(np.float32) / np.float32(255)
    missing = [max(0, _WINDOW - side) for side in plane.shape]
    if not any(missing):
        return plane
    return np.pad(plane, [(m // 2, m - m // 2) for m in missing], mode="edge")


def _plane_ms_ssim(x: Plane, y: Plane, weights: npt.NDArray[np.float64]) -> float:
    result = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halve(x), _halve(y)
        similarity, contrast = _similarity(x, y)
        last = scale == len(weights) - 1
        result *= max(0.0, similarity if last else contrast) ** float(weight)
    return result


def _similarity(x: Plane, y: Plane) -> tuple[float, float]:
    """Mean SSIM of two planes in 0..1 and the mean of its contrast-structure factor."""
    mean_x, mean_y = _blur(x), _blur(y)
    squares = mean_x * mean_x + mean_y * mean_y
    product = mean_x * mean_y
    # Only the sum of the two variances enters, so that one filtering serves both.
    variances = _blur(x * x + y * y) - squares
    covariance = _blur(x * y) - product
    contrast = (2 * covariance + _C2) / (variances + _C2)
    luminance = (2 * product + _C1) / (squares + _C1)
    return float(np.mean(luminance * contrast, dtype=np.float64)), float(np.mean(contrast, dtype=np.float64))


def _gaussian() -> npt.NDArray[np.float32]:
    offset = np.arange(_WINDOW) - _WINDOW // 2
    taps = np.exp(-(offset**2) / (2 * _SIGMA**2))
    return np.asarray(taps / taps.sum(), np.float32)


_TAPS = _gaussian()


def _blur(plane: Plane) -> Plane:
    """The plane under the Gaussian window, [height - 10, width - 10]."""
    return _blur_rows(_blur_rows(plane).T).T


def _blur_rows(plane: Plane) -> Plane:
    """[rows, columns] to [rows - 10, columns]; the window is symmetric, so that each tap serves two rows."""
    rows, half = plane.shape[0] - _WINDOW + 1, _WINDOW // 2
    total: Plane = plane[half : half + rows] * _TAPS[half]
    pair = np.empty_like(total)
    for tap in range(half):
        np.add(plane[tap : tap + rows], plane[_WINDOW - 1 - tap : _WINDOW - 1 - tap + rows], out=pair)
        pair *= _TAPS[tap]
        total += pair
    return total


def _halve(plane: Plane) -> Plane:
    """2x2 means; an odd side gets a zero before its first sample."""
    odd = [(side % 2, 0) for side in plane.shape]
    even = np.pad(plane, odd) if any(front for front, _ in odd) else plane
    total: Plane = even[0::2, 0::2] + even[0::2, 1::2]
    total += even[1::2, 0::2]
    total += even[1::2, 1::2]
    total *= np.float32(0.25)
    return total
