"""The distance between rate-distortion curves (Bjontegaard), by monotone cubic interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument

Curve = npt.NDArray[np.float64]


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
