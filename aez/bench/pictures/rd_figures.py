"""A rate-distortion report drawn, with matplotlib and as a contact sheet, and written with its drawings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aez.bench.pictures.contact_sheets import contact_sheet_png, sheet_codecs
from aez.bench.pictures.files import load_picture, spread
from aez.bench.pictures.rd_report import CurvePoint, RdReport
from aez.bench.saving import save_all, texts
from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curves_png", "save_report", "sheet_png"]

_MODEL_COLOURS = ("#c2255c", "#e8590c", "#6741d9", "#0b7285")
_PEER_COLOURS = {
    "JPEG": "#868e96",
    "WebP": "#2f9e44",
    "AVIF 4:2:0": "#74a9e0",
    "AVIF 4:4:4": "#1864ab",
    "JPEG 2000": "#a97142",
    "JPEG XL": "#8f7bd8",
}
_OTHER_COLOUR = "#495057"
_INK, _MUTED, _GRID = "#212529", "#6c757d", "#e9ecef"
_WIDEST_BPP = 2.5
_NAME_SHARE = 0.0068  # of the figure's width for each letter
_LABEL_GAP = 0.045  # least distance of two labels, as a share of the axis' height

_SHEET_PICTURES, _SHEET_BPPS = 3, (0.25, 0.5)


def save_report(report: RdReport, folder: str | Path, name: str = "rd") -> None:
    """Write NAME.json, NAME.txt, NAME.png and a contact sheet into a folder, which is made when missing.

    The plot of a `sheet` is NAME-sheet.png; the contact sheet of `rd` is contact-sheet.png, any other
    NAME-contact-sheet.png. Needs matplotlib.

    Raises OutputError, and InvalidArgument on a report read from JSON.
    """
    save_all(folder, texts(report, name))  # before the drawings, which may fail
    plots = {f"{name}.png": curves_png(report)}
    if report.sheet is not None:
        plots[f"{name}-sheet.png"] = curves_png(report.sheet)
    plots["contact-sheet.png" if name == "rd" else f"{name}-contact-sheet.png"] = sheet_png(report)
    save_all(folder, plots)


def sheet_png(report: RdReport, bpps: Sequence[float] = _SHEET_BPPS) -> bytes:
    """A contact sheet of three of the report's pictures (a quick run: one) at those bits per pixel, as a PNG.

    Raises InvalidArgument on a report read from JSON, which has neither codecs nor pictures.
    """
    if not report.codecs or not report.paths:
        raise InvalidArgument("a report read from JSON has no codecs for a contact sheet; run the benchmark again")
    paths = spread(report.paths[: 1 if report.quick else None], _SHEET_PICTURES)
    pictures = [(path.name, load_picture(path)) for path in paths]
    return contact_sheet_png(pictures, sheet_codecs(report.codecs, report.models), bpps)


def curves_png(report: RdReport) -> bytes:
    """A PNG with PSNR and MS-SSIM over bits per pixel, a labelled curve for each codec, models in front.

    SSIMULACRA 2, where it was measured, stands in place of MS-SSIM.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.2), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    panels = [("psnr", "PSNR over RGB, dB")]
    if any(p.ms_ssim_db is not None for curve in report.curves.values() for p in curve):
        panels.append(("ms_ssim_db", "MS-SSIM, dB"))
    if any(p.ssimulacra2 is not None for curve in report.curves.values() for p in curve):
        panels[1:] = [("ssimulacra2", "SSIMULACRA 2")]
    longest = max(map(len, report.curves))
    # Names stand to the right of each panel, beyond a gap that is a share of its width.
    right = 1 - _NAME_SHARE * longest - (0.015 if len(panels) > 1 else 0.035)
    wspace = 0.36 + 0.025 * max(0, longest - 12)
    figure.subplots_adjust(left=0.05, right=right, top=0.83, bottom=0.14, wspace=wspace)
    widest = _widest_bpp(report)
    for number, (quality, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        _draw_axes(axes, title, widest)
        _draw_curves(axes, report, quality, widest)
    count = len(report.pictures)
    title = f"Rate and distortion over {count} picture{'s' if count != 1 else ''}"
    figure.text(0.05, 0.945, title, fontsize=15, weight="bold", color=_INK)
    figure.text(0.05, 0.905, _headline(report), fontsize=10.5, color=_MUTED)
    machine = report.environment
    footer = f"{report.folder}; mean over the pictures at each quality; {machine.cpu}; {machine.date[:10]}"
    figure.text(0.05, 0.025, footer, fontsize=8, color=_MUTED)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _headline(report: RdReport) -> str:
    """The first model's BD-rates in words."""
    rates = [
        f"{c.peer} {c.bd_rate_psnr:+.0f} %"
        for c in report.comparisons
        if c.codec == report.models[0] and c.bd_rate_psnr is not None
    ]
    if not rates:
        return "Further up and to the left is better"
    return f"Bytes of {report.models[0]} at equal PSNR (BD-rate), against {', '.join(rates)}"


def _widest_bpp(report: RdReport) -> float:
    """The right end of the plot: where the models' curves end, or the peers' where there is no model."""
    names = report.models or tuple(report.curves)
    rates = [p.bpp for name in names for p in report.curves[name]]
    # Small pictures take many bits per pixel: half of the points must be seen in any case.
    return min(max(_WIDEST_BPP, 2 * statistics.median(rates)), 1.08 * max(rates))


def _draw_axes(axes: Axes, title: str, widest: float) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=_INK, pad=10)
    axes.set_xlim(0, widest)
    axes.set_xlabel("bits per pixel", color=_MUTED)
    axes.grid(color=_GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#ced4da")


def _draw_curves(axes: Axes, report: RdReport, quality: str, widest: float) -> None:
    ends: dict[str, tuple[float, float]] = {}
    for name, points in report.curves.items():
        bpp, value = _visible(points, quality, widest)
        if bpp.size:
            model = name in report.models
            axes.plot(
                bpp,
                value,
                marker="o",
                markevery=_own(points, bpp),
                color=_colour(report, name),
                linewidth=2.6 if model else 1.4,
                markersize=5 if model else 3,
                zorder=4 if model else 3,
            )
            ends[name] = float(bpp[-1]), float(value[-1])
    axes.margins(y=0.06)
    _label_ends(axes, report, ends, widest)


def _visible(
    points: Sequence[CurvePoint], quality: str, widest: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The finite part of a curve up to the plot's right end, where it is cut on the line between two points."""
    pairs = [(p.bpp, getattr(p, quality)) for p in points]
    finite = sorted((bpp, float(value)) for bpp, value in pairs if value is not None and np.isfinite(value))
    array = np.array(finite).reshape(-1, 2)
    bpp, value = array[:, 0], array[:, 1]
    inside = bpp <= widest
    if inside.any() and not inside.all():
        cut = np.interp(widest, bpp, value)
        return np.append(bpp[inside], widest), np.append(value[inside], cut)
    return bpp[inside], value[inside]


def _own(points: Sequence[CurvePoint], bpp: npt.NDArray[np.float64]) -> list[int]:
    """The indices that were measured: a marker must not stand where a curve is cut."""
    measured = {p.bpp for p in points}
    return [i for i, rate in enumerate(bpp) if float(rate) in measured]


def _label_ends(axes: Axes, report: RdReport, ends: dict[str, tuple[float, float]], widest: float) -> None:
    """Names in the right margin, each at the height where its curve ends, pushed apart where they would overlap."""
    if not ends:
        return
    low, high = axes.get_ylim()
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = _apart([ends[name][1] for name in names], _LABEL_GAP * (high - low), low, high)
    for name, height in zip(names, heights, strict=True):
        colour = _colour(report, name)
        x, y = ends[name]
        axes.plot(
            [x, 1.015 * widest, 1.03 * widest],
            [y, height, height],
            color=colour,
            linewidth=0.7,
            alpha=0.6,
            clip_on=False,
        )
        weight = "bold" if name in report.models else "normal"
        axes.text(1.04 * widest, height, name, color=colour, fontsize=9.5, weight=weight, va="center", clip_on=False)
    axes.set_ylim(low, high)


def _apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising heights moved as little as a sweep up and a sweep down allow, at least `gap` apart and inside."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap if placed else low))
    limit = high
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return placed


def _colour(report: RdReport, name: str) -> str:
    if name in report.models:
        return _MODEL_COLOURS[report.models.index(name) % len(_MODEL_COLOURS)]
    return _PEER_COLOURS.get(name, _OTHER_COLOUR)
