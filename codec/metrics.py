"""Distortion of pictures and the distance between rate-distortion curves, in NumPy alone.

Pictures are uint8 arrays, [height, width, 3] or [height, width], and both pictures of a pair have the same shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument

__all__ = ["MS_SSIM_SIDE", "Pchip", "bd_psnr", "bd_rate", "ms_ssim", "ms_ssim_db", "psnr", "ssim"]

Picture = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

#: The shorter side in pixels that all five scales of MS-SSIM need.
MS_SSIM_SIDE = 161
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # for samples in 0..1


def psnr(reference: Picture, decoded: Picture) -> float:
    """Peak signal-to-noise ratio in dB over all samples of all channels; infinite for equal pictures.

    Raises InvalidArgument when the two are not uint8 pictures of one shape.
    """
    _check_pair(reference, decoded)
    error = np.square(np.subtract(reference, decoded, dtype=np.int16), dtype=np.float32)
    mean = float(error.mean(dtype=np.float64))
    return 10 * math.log10(255**2 / mean) if mean else math.inf


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


def bd_rate(rate_a: npt.ArrayLike, psnr_a: npt.ArrayLike, rate_b: npt.ArrayLike, psnr_b: npt.ArrayLike) -> float:
    """Bjøntegaard difference of rate in percent: how many more bytes `b` takes than the anchor `a` at equal quality.

    Negative means that `b` is better. Log rate is interpolated over quality by PCHIP and averaged over the range of
    quality that both curves reach. Rates are positive, in any one unit; qualities in dB. The points of a curve may
    come in any order; one that is no better than a cheaper one is left out.

    Raises InvalidArgument when a curve has fewer than two such points or the two share no range of quality.
    """
    a, b = _curve(rate_a, psnr_a), _curve(rate_b, psnr_b)
    return 100 * (math.exp(_mean_gap((a[1], a[0]), (b[1], b[0]), "quality")) - 1)


def bd_psnr(rate_a: npt.ArrayLike, psnr_a: npt.ArrayLike, rate_b: npt.ArrayLike, psnr_b: npt.ArrayLike) -> float:
    """Bjøntegaard difference of quality in dB: how much better `b` is than the anchor `a` at equal rate.

    The mean over the shared range of log rate; arguments and errors as in `bd_rate`.
    """
    return _mean_gap(_curve(rate_a, psnr_a), _curve(rate_b, psnr_b), "rate")


@dataclass(frozen=True)
class Pchip:
    """Monotone piecewise cubic through points (Fritsch and Carlson 1980, slopes of Fritsch and Butland 1984)."""

    x: Curve
    coefficients: Curve  # [4, len(x) - 1], highest power first, in x - x[i] over the i-th interval

    @classmethod
    def fit(cls, x: npt.ArrayLike, y: npt.ArrayLike) -> Pchip:
        """The interpolant of `y` over `x`; raises InvalidArgument unless x rises strictly over two or more points."""
        xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if xs.ndim != 1 or xs.shape != ys.shape or xs.size < 2 or not np.all(np.diff(xs) > 0):
            raise InvalidArgument(f"interpolation needs two or more points with rising x, not x = {xs.tolist()}")
        step, slopes = np.diff(xs), _pchip_slopes(xs, ys)
        secants = np.diff(ys) / step
        left, right = slopes[:-1], slopes[1:]
        cubic = (left + right - 2 * secants) / step**2
        square = (3 * secants - 2 * left - right) / step
        return cls(xs, np.stack([cubic, square, left, ys[:-1]]))

    def __call__(self, x: npt.ArrayLike) -> Curve:
        """Values at `x`, float64 of its shape; the end cubics go on outside the points."""
        at, interval = self._locate(x)
        cubic, square, linear, constant = self.coefficients[:, interval]
        return np.asarray(((cubic * at + square) * at + linear) * at + constant)

    def integral(self, low: float, high: float) -> float:
        """The exact integral from `low` to `high`, both within the points."""
        inner = self.x[(self.x > low) & (self.x < high)]
        edges = np.concatenate([[low], inner, [high]])
        # Simpson's rule is exact for the cubic of each interval.
        middle = (edges[:-1] + edges[1:]) / 2
        values = self(edges)
        return float(np.sum(np.diff(edges) * (values[:-1] + 4 * self(middle) + values[1:]) / 6))

    def _locate(self, x: npt.ArrayLike) -> tuple[Curve, npt.NDArray[np.intp]]:
        at = np.asarray(x, np.float64)
        interval = np.clip(np.searchsorted(self.x, at, side="right") - 1, 0, self.x.size - 2)
        return at - self.x[interval], interval


def _check_pair(reference: Picture, decoded: Picture) -> None:
    for picture in (reference, decoded):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or not picture.size:
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


def _pchip_slopes(x: Curve, y: Curve) -> Curve:
    step = np.diff(x)
    secants = np.diff(y) / step
    if x.size == 2:
        return np.repeat(secants, 2)
    slopes = np.zeros_like(x)
    before, after = secants[:-1], secants[1:]
    rising = before * after > 0  # elsewhere a local extreme: slope 0 keeps the curve monotone
    weight_before, weight_after = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    harmonic = weight_before[rising] / before[rising] + weight_after[rising] / after[rising]
    slopes[1:-1][rising] = (weight_before + weight_after)[rising] / harmonic
    slopes[0] = _end_slope(step[0], step[1], secants[0], secants[1])
    slopes[-1] = _end_slope(step[-1], step[-2], secants[-1], secants[-2])
    return slopes


def _end_slope(step: float, next_step: float, secant: float, next_secant: float) -> float:
    """The one-sided three-point slope, limited so that the end interval stays monotone."""
    slope = ((2 * step + next_step) * secant - step * next_secant) / (step + next_step)
    if slope * secant <= 0:
        return 0.0
    if secant * next_secant < 0 and abs(slope) > 3 * abs(secant):
        return 3 * secant
    return slope


def _curve(rate: npt.ArrayLike, quality: npt.ArrayLike) -> tuple[Curve, Curve]:
    """Log rate and quality of the points that are better than every cheaper one, both strictly rising."""
    rates, qualities = np.asarray(rate, np.float64), np.asarray(quality, np.float64)
    if rates.ndim != 1 or rates.shape != qualities.shape:
        raise InvalidArgument(f"a curve is two lists of one length, not of shapes {rates.shape} and {qualities.shape}")
    if not (np.all(np.isfinite(rates)) and np.all(np.isfinite(qualities)) and np.all(rates > 0)):
        raise InvalidArgument(f"a curve has positive rates and finite qualities, not {rates} and {qualities}")
    # Of equal rates the best comes first, so that the others fall out.
    order = np.lexsort((-qualities, rates))
    rates, qualities = rates[order], qualities[order]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(qualities)[:-1]])
    keep = qualities > best_before
    if keep.sum() < 2:
        raise InvalidArgument(f"a curve needs two points where more rate gives more quality, not {qualities.tolist()}")
    return np.log(rates[keep]), qualities[keep]


def _mean_gap(a: tuple[Curve, Curve], b: tuple[Curve, Curve], axis: str) -> float:
    """Mean of b - a over the shared range of the curves' x; each curve is (x, y)."""
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    if low >= high:
        raise InvalidArgument(
            f"the curves share no range of {axis}: {a[0][0]:.4g} to {a[0][-1]:.4g} and {b[0][0]:.4g} to {b[0][-1]:.4g}"
        )
    return (Pchip.fit(*b).integral(low, high) - Pchip.fit(*a).integral(low, high)) / float(high - low)
