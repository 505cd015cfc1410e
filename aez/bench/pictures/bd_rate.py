"""The distance between rate-distortion curves (Bjontegaard), by monotone cubic interpolation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument

__all__ = ["bd_psnr", "bd_rate", "monotone_cubic", "rate_at"]

Curve = npt.NDArray[np.float64]


def bd_rate(
    rate_a: npt.ArrayLike,
    psnr_a: npt.ArrayLike,
    rate_b: npt.ArrayLike,
    psnr_b: npt.ArrayLike,
    highest: float | None = math.inf,
) -> float:
    """Bjøntegaard difference of rate in percent: how many more bytes `b` takes than the anchor `a` at equal quality.

    Negative means that `b` is better. Log rate is interpolated over quality by PCHIP and averaged over the range of
    quality that both curves reach, up to `highest` at most (None: nothing is known of it, which is an error). Rates are
    positive, in any one unit; qualities in dB. The points of a curve may come in any order; one that is no better than
    a cheaper one is left out.

    Raises InvalidArgument when a curve has fewer than two such points or the two share no range of quality, AezError
    without scipy.
    """
    if highest is None:
        raise InvalidArgument("the curve has no such rate")
    a, b = _curve(rate_a, psnr_a), _curve(rate_b, psnr_b)
    return 100 * (math.exp(_mean_gap((a[1], a[0]), (b[1], b[0]), "quality", highest)) - 1)


def bd_psnr(rate_a: npt.ArrayLike, psnr_a: npt.ArrayLike, rate_b: npt.ArrayLike, psnr_b: npt.ArrayLike) -> float:
    """Bjøntegaard difference of quality in dB: how much better `b` is than the anchor `a` at equal rate.

    The mean over the shared range of log rate; arguments and errors as in `bd_rate`.
    """
    return _mean_gap(_curve(rate_a, psnr_a), _curve(rate_b, psnr_b), "rate")


def rate_at(rate: npt.ArrayLike, quality: npt.ArrayLike, wanted: float) -> float | None:
    """The rate at which a curve has the quality `wanted`, on the same line as `bd_rate`; None beyond its ends.

    Raises InvalidArgument as `bd_rate`, AezError without scipy.
    """
    rates, qualities = _curve(rate, quality)
    if not qualities[0] <= wanted <= qualities[-1]:
        return None
    return math.exp(float(monotone_cubic(qualities, rates)(wanted)))


def monotone_cubic(x: npt.ArrayLike, y: npt.ArrayLike) -> Any:
    """scipy's `PchipInterpolator` through points with strictly rising x. Raises AezError without scipy."""
    return library("scipy.interpolate", "bench").PchipInterpolator(x, y)


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


def _mean_gap(a: tuple[Curve, Curve], b: tuple[Curve, Curve], axis: str, highest: float = math.inf) -> float:
    """Mean of b - a over the shared range of the curves' x, up to `highest`; each curve is (x, y)."""
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1], highest)
    if low >= high:
        raise InvalidArgument(
            f"the curves share no range of {axis}: {a[0][0]:.4g} to {a[0][-1]:.4g} and {b[0][0]:.4g} to {b[0][-1]:.4g}"
        )
    areas = [float(monotone_cubic(*curve).integrate(low, high)) for curve in (a, b)]
    return (areas[1] - areas[0]) / float(high - low)
