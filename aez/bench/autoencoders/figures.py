"""Figures of opened networks on items, and sweeps drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aez.bench.autoencoders.report import Point
from aez.codec.image.distortion import ssim

__all__ = ["curves_png", "decibels", "reconstruction"]

Float = NDArray[np.float32]
_SSIM_SHOWN = 500
_COLOURS = ("#c2255c", "#1f4e79", "#868e96", "#2f9e44")


def decibels(error: float) -> float:
    """PSNR of a mean squared error of pictures in 0..1."""
    return -10 * math.log10(max(error, 1e-12))


def reconstruction(unit: Float, made: Float, pictures: bool) -> dict[str, float | None]:
    """`mse`, `explained` variance, and of pictures `psnr` in dB and `ssim`, of items [n, *shape] in units of errors."""
    error = float(np.square(made - unit, dtype=np.float64).mean())
    variance = float(np.square(unit - unit.mean(0), dtype=np.float64).mean())
    found: dict[str, float | None] = {"mse": error, "explained": 1 - error / max(variance, 1e-30)}
    if pictures:
        pairs = zip(_bytes(unit[:_SSIM_SHOWN]), _bytes(made[:_SSIM_SHOWN]), strict=True)
        large = min(unit.shape[1:3]) >= 11
        found |= {"psnr": decibels(error), "ssim": float(np.mean([ssim(*pair) for pair in pairs])) if large else None}
    return found


def curves_png(
    points: Sequence[Point],
    at: str,
    panels: Sequence[tuple[str, Sequence[tuple[str, str]]]],
    marked: float | None = None,
    log: bool = True,
) -> bytes:
    """Figures over a setting: each panel has a title and (figure, label)s; `marked` is a place on the axis.

    Needs matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (title, curves) in zip(axes, panels, strict=True):
        for (name, label), colour in zip(curves, _COLOURS, strict=False):
            found = [(point.settings[at], point.figures.get(name)) for point in points]
            found = [(x, y) for x, y in found if y is not None]
            if found:
                panel.plot(*zip(*found, strict=True), marker="o", color=colour, label=label)
        if log:
            panel.set_xscale("log", base=2)
        places = sorted({point.settings[at] for point in points})
        panel.set_xticks(places, [f"{place:g}" for place in places], fontsize=8)
        panel.minorticks_off()
        if marked is not None:
            panel.axvline(marked, color="#c4212f", lw=1, ls="--", label=f"elbow {marked:g}")
        panel.set_title(title, loc="left", fontsize=10)
        panel.set_xlabel(at, fontsize=9)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _bytes(unit: Float) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
    return levels
