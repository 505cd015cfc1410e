"""`aez bench noise`: how many decibels a denoising network gains by kind and level of the noise, and where none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from aez.bench.autoencoders.figures import curves_png, decibels
from aez.bench.autoencoders.learning import BUDGET, Budget, parted, sweeping
from aez.bench.autoencoders.report import Point, SweepReport
from aez.bench.machine import describe_detection
from aez.codec.errors import UnsupportedInput
from aez.codec.vectors.items import Items
from aez.export.families.corruption import spoilt_pictures

__all__ = ["KINDS", "LEVELS", "run"]

KINDS = ("gaussian", "salt-and-pepper", "speckle")
LEVELS = (0.05, 0.1, 0.2, 0.4, 0.6)
#: The level that a network learns to remove: one in the middle, so that both sides of it are seen.
LEARNED_LEVEL = 0.2
_FILTERED = 200


def run(
    items: Items,
    data: str,
    *,
    test: Items | None = None,
    kinds: Sequence[str] = KINDS,
    levels: Sequence[float] = LEVELS,
    learned_level: float = LEARNED_LEVEL,
    budget: Budget = BUDGET,
) -> SweepReport:
    """A denoising network for each kind of noise, learned at one level and measured at all, beside two filters.

    Raises AezError subclasses, UnsupportedInput for vectors.
    """
    if items.kind != "pictures":
        raise UnsupportedInput("PSNR is of pictures, and these are vectors; give pictures to `aez bench noise`")
    learned, measured = parted(items, test, budget.seed)
    points: list[Point] = []
    with sweeping(budget, len(kinds)) as sweep:
        for kind in dict.fromkeys(kinds):
            trained = sweep.train(learned, kind, "denoising", {"noise": kind, "level": learned_level})
            model = trained.model
            clean = model.unit(model.values(measured))
            high = 1.0 if model.range is None else model.range[1]
            for level in sorted(set(levels)):
                noisy = spoilt_pictures(clean, kind, level, budget.seed)
                made = model.unit(model.denoise((noisy * high).astype(np.float32)))
                before, after = _psnr(clean, noisy), _psnr(clean, made)
                figures: dict[str, float | None] = {"psnr_before": before, "psnr": after, "gain": after - before}
                some, spoilt = clean[:_FILTERED], noisy[:_FILTERED]
                sigma = float(np.sqrt(np.square(spoilt - some).mean()))
                figures["median_psnr"] = _psnr(some, _median(spoilt))
                figures["means_psnr"] = _psnr(some, _non_local_means(spoilt, sigma))
                figures["seconds"] = trained.seconds
                points.append(Point(f"{kind} {level:g}", {"noise": kind, "level": level}, figures))
            sweep.advance(kind)
    return SweepReport(
        kind="noise",
        data=data,
        items=len(learned),
        tested=len(measured),
        family="denoising",
        points=tuple(points),
        facts={"learned_level": learned_level},
        notes=tuple(_limit(kind, [p for p in points if p.settings["noise"] == kind]) for kind in dict.fromkeys(kinds)),
        environment=describe_detection(),
    )


def plot(report: SweepReport) -> bytes:
    """PSNR before and after over the level, a panel for each kind, as a PNG."""
    curves = [("psnr", "network"), ("psnr_before", "noisy")]
    curves += [("median_psnr", "median filter"), ("means_psnr", "non-local means")]
    points = [
        Point(
            point.label,
            point.settings,
            {f"{point.settings['noise']} {name}": point.figures[name] for name, _ in curves},
        )
        for point in report.points
    ]
    kinds = dict.fromkeys(point.settings["noise"] for point in report.points)
    panels = [(f"{kind}: PSNR, dB", [(f"{kind} {name}", label) for name, label in curves]) for kind in kinds]
    return curves_png(points, "level", panels, log=False)


def _limit(kind: str, points: Sequence[Point]) -> str:
    """Where the network helps, in a sentence."""
    helps = [point.settings["level"] for point in points if (point.figures["gain"] or 0.0) > 0]
    levels = [point.settings["level"] for point in points]
    if not helps:
        return f"{kind}: the network helps at no level."
    if len(helps) == len(levels):
        return f"{kind}: the network helps at every level."
    without = ", ".join(f"{level:g}" for level in levels if level not in helps)
    return f"{kind}: the network helps from {min(helps):g} to {max(helps):g}, and not at {without}."


def _psnr(clean: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return decibels(float(np.square(other - clean, dtype=np.float64).mean()))


def _non_local_means(noisy: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """By scikit-image's filter (Buades, Coll, Morel 2005), which is told the noise's deviation."""
    from skimage.restoration import denoise_nl_means

    channel = -1 if noisy.ndim == 4 else None
    settings = {"patch_size": 5, "patch_distance": 9, "h": 0.8 * sigma, "sigma": sigma, "channel_axis": channel}
    found: NDArray[np.float32] = np.stack([denoise_nl_means(one, **settings) for one in noisy])
    return found


def _median(noisy: NDArray[np.float32]) -> NDArray[np.float32]:
    """By a 3x3 median filter."""
    levels = np.rint(255 * noisy).astype(np.uint8)
    filtered = [np.asarray(Image.fromarray(one).filter(ImageFilter.MedianFilter(3))) for one in levels]
    found: NDArray[np.float32] = np.stack(filtered).astype(np.float32) / np.float32(255)
    return found
