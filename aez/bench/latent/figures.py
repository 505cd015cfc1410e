"""A report on latent models drawn, with matplotlib and as a contact sheet, and written with its drawings."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aez.bench.latent.report import NAME, LatentReport, ModelFigures
from aez.bench.pictures.contact_sheets import contact_sheet_png
from aez.bench.pictures.files import load_picture, spread
from aez.bench.saving import save_all, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["report_png", "save_report"]

_COLOURS = {
    "JPEG": "#868e96",
    "WebP": "#2f9e44",
    "AVIF 4:2:0": "#74a9e0",
    "AVIF 4:4:4": "#1864ab",
}
_MODEL_COLOUR, _OTHER = "#c2255c", "#495057"
_INK, _MUTED, _GRID = "#212529", "#6c757d", "#e9ecef"
_ROW = 4.2  # inches
_SHEET_PICTURES, _SHEET_BPP = 3, 0.15


def save_report(report: LatentReport, folder: str | Path) -> None:
    """Write latent.json, latent.txt, latent.png and latent-sheet.png into a folder, made when missing.

    The sheet shows crops at 0.15 bits per pixel; without models that code there is none. Needs matplotlib. Raises
    OutputError.
    """
    save_all(folder, texts(report, NAME))  # before the drawings, which may fail
    plots = {f"{NAME}.png": report_png(report)}
    if report.codecs:
        pictures = [(path.name, load_picture(path)) for path in spread(report.paths, _SHEET_PICTURES)]
        plots[f"{NAME}-sheet.png"] = contact_sheet_png(pictures, report.codecs, (_SHEET_BPP,))
    save_all(folder, plots)


def report_png(report: LatentReport) -> bytes:
    """A PNG with a row for each model: PSNR and MS-SSIM at equal bytes, the channels, their correlation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(report.models)
    height = _ROW * count + 1.1
    figure = Figure(figsize=(16, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.045, right=0.975, top=1 - 1.05 / height, bottom=0.75 / height, wspace=0.3, hspace=0.45
    )
    for row, model in enumerate(report.models):
        axes = [figure.add_subplot(count, 4, 4 * row + column) for column in (1, 2, 3, 4)]
        _draw_rates(axes[0], model, "psnr", f"{model.name}: PSNR over RGB, dB")
        _draw_rates(axes[1], model, "ms_ssim", "MS-SSIM")
        _draw_channels(axes[2], model)
        _draw_correlation(axes[3], model)
    pictures = len(report.models[0].pictures)
    figure.text(
        0.045,
        1 - 0.35 / height,
        f"Latent models over {pictures} picture{'s' if pictures != 1 else ''} of {report.folder}",
        fontsize=15,
        weight="bold",
        color=_INK,
    )
    machine = report.environment
    footer = f"every codec at the bytes of the model; mean over the pictures; {machine.cpu}; {machine.date[:10]}"
    figure.text(0.045, 0.15 / height, footer, fontsize=8, color=_MUTED)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _prepare(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=_INK, pad=8)
    axes.tick_params(colors=_MUTED, length=0, labelsize=8.5)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.set_axisbelow(True)


def _draw_rates(axes: Axes, model: ModelFigures, figure: str, title: str) -> None:
    _prepare(axes, title)
    axes.grid(color=_GRID, linewidth=0.9)
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in model.rate_points:
        value = getattr(point, figure)
        if value is not None and math.isfinite(value):
            curves.setdefault(point.codec, []).append((point.bpp, value))
    if not curves:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=_MUTED, transform=axes.transAxes)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    for name, points in curves.items():
        own = name == model.name
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            color=_MODEL_COLOUR if own else _COLOURS.get(name, _OTHER),
            linewidth=2.4 if own else 1.3,
            markersize=5 if own else 3,
            zorder=4 if own else 3,
            label=name,
        )
    axes.set_xlabel("bits per pixel", fontsize=8.5, color=_MUTED)
    axes.legend(fontsize=8, frameon=False, loc="best", labelcolor=_INK)


def _draw_channels(axes: Axes, model: ModelFigures) -> None:
    """Variance of the means and of the posterior stacked: what a sampled latent varies."""
    _prepare(axes, "variance of a sampled latent")
    axes.grid(color=_GRID, linewidth=0.9, axis="y")
    channel = np.arange(model.channels)
    variance, posterior = np.array(model.latent.variance), np.array(model.latent.posterior_variance)
    axes.bar(channel, variance, color=_MODEL_COLOUR, width=0.7, label="of the means")
    axes.bar(channel, posterior, bottom=variance, color="#f3c0d3", width=0.7, label="of the posterior")
    axes.axhline(1, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
    few = model.channels <= 8
    labels = [f"{number}\n{kl:.{2 if few else 1}f}" for number, kl in enumerate(model.latent.kl)]
    axes.set_xticks(channel, labels, fontsize=8.5 if few else 6.5)
    axes.set_xlabel("channel, and its KL in nats", fontsize=8.5, color=_MUTED)
    axes.set_ylim(0, 1.25 * max(1.0, float((variance + posterior).max())))
    axes.legend(fontsize=8, frameon=False, loc="upper right", ncols=2, labelcolor=_INK)


def _draw_correlation(axes: Axes, model: ModelFigures) -> None:
    _prepare(axes, "correlation between channels")
    values = np.array(model.latent.correlation)
    axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    ticks = range(model.channels)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    if model.channels > 8:
        return
    for row in ticks:
        for column in ticks:
            value = values[row, column]
            colour = "white" if abs(value) > 0.6 else _INK
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=8.5, color=colour)
