"""The pictures of a rate-distortion benchmark: curves with matplotlib, contact sheets with Pillow."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from aez.bench.pictures.peers import Encoded, Peer, encode_to_size
from aez.codec.image.distortion import MS_SSIM_SIDE, ms_ssim, psnr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from aez.bench.pictures.rd_report import CurvePoint, Report

__all__ = ["Rendering", "contact_sheet_png", "curves_png", "render_at", "sheet_codecs"]

Picture = npt.NDArray[np.uint8]

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

_SHEET_PEERS = ("JPEG", "WebP", "AVIF 4:4:4")
_CROP, _ZOOM = 192, 2  # pixels of the picture, and of the sheet for each
_MARGIN, _LINE = 16, 20  # pixels of the sheet


@dataclass(frozen=True)
class Rendering:
    """A picture as one codec gives it back at a wanted size.

    fits is False when even the codec's lowest quality takes more bytes than wanted; it is what is shown then.
    """

    codec: str
    quality: float
    bytes: int
    bpp: float
    psnr: float  # dB
    ms_ssim: float | None  # 0..1; None where the picture is too small for it
    picture: Picture
    fits: bool


def render_at(codec: Peer, image: Picture, nbytes: int) -> Rendering:
    """Code a picture, uint8 [height, width, 3], at the largest quality that takes at most `nbytes`."""
    found = encode_to_size(codec, image, nbytes)
    coded = found or Encoded(codec.lowest, codec.encode(image, codec.lowest))
    decoded = codec.decode(coded.data)
    size = len(coded.data)
    return Rendering(
        codec=codec.name,
        quality=coded.quality,
        bytes=size,
        bpp=8 * size / (image.shape[0] * image.shape[1]),
        psnr=psnr(image, decoded),
        ms_ssim=ms_ssim(image, decoded) if min(image.shape[:2]) >= MS_SSIM_SIDE else None,
        picture=decoded,
        fits=found is not None,
    )


def sheet_codecs(codecs: Sequence[Peer], models: Sequence[str]) -> list[Peer]:
    """The codecs of a contact sheet: the models, then JPEG, WebP and AVIF 4:4:4 (all, where none of them is there)."""
    tested = [c for c in codecs if c.name in models]
    return tested + ([c for c in codecs if c.name in _SHEET_PEERS] or [c for c in codecs if c.name not in models])


def contact_sheet_png(pictures: Sequence[tuple[str, Picture]], codecs: Sequence[Peer], bpps: Sequence[float]) -> bytes:
    """A PNG with one row for each picture and rate: a crop of the original and of every codec's file of that size.

    pictures: (name, uint8 [height, width, 3]). bpps: the rates in bits per pixel of the whole picture, all above 0.
    """
    rows = [_sheet_row(name, image, codecs, bpp) for name, image in pictures for bpp in bpps]
    width = max(row.width for row in rows) + 2 * _MARGIN
    height = sum(row.height + _MARGIN for row in rows) + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    top = _MARGIN
    for row in rows:
        sheet.paste(row, (_MARGIN, top))
        top += row.height + _MARGIN
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def curves_png(report: Report) -> bytes:
    """A PNG with PSNR and MS-SSIM over bits per pixel, a labelled curve for each codec, models in front."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.2), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    panels = [("psnr", "PSNR over RGB, dB")]
    if any(p.ms_ssim_db is not None for curve in report.curves.values() for p in curve):
        panels.append(("ms_ssim_db", "MS-SSIM, dB"))
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


def _headline(report: Report) -> str:
    """The first model's BD-rates in words."""
    rates = [
        f"{c.peer} {c.bd_rate_psnr:+.0f} %"
        for c in report.comparisons
        if c.codec == report.models[0] and c.bd_rate_psnr is not None
    ]
    if not rates:
        return "Further up and to the left is better"
    return f"Bytes of {report.models[0]} at equal PSNR (BD-rate), against {', '.join(rates)}"


def _widest_bpp(report: Report) -> float:
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


def _draw_curves(axes: Axes, report: Report, quality: str, widest: float) -> None:
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


def _label_ends(axes: Axes, report: Report, ends: dict[str, tuple[float, float]], widest: float) -> None:
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


def _colour(report: Report, name: str) -> str:
    if name in report.models:
        return _MODEL_COLOURS[report.models.index(name) % len(_MODEL_COLOURS)]
    return _PEER_COLOURS.get(name, _OTHER_COLOUR)


def _sheet_row(name: str, image: Picture, codecs: Sequence[Peer], bpp: float) -> Image.Image:
    """One picture at one rate: a heading, and below it a cell for the original and each codec."""
    pixels = image.shape[0] * image.shape[1]
    nbytes = max(1, int(bpp * pixels / 8))
    window = _crop(image)
    raw = f"{image.nbytes:,} bytes, uncompressed"
    cells = [_cell(image[window], "original", [raw, f"{image.shape[1]} x {image.shape[0]} pixels"])]
    cells += [_rendering_cell(render_at(codec, image, nbytes), window) for codec in codecs]
    width = sum(cell.width for cell in cells) + _MARGIN * (len(cells) - 1)
    row = Image.new("RGB", (width, _LINE + 6 + cells[0].height), "white")
    _write(row, (0, 0), f"{name}, at most {nbytes:,} bytes ({bpp:g} bits per pixel)", 16, _INK)
    for i, cell in enumerate(cells):
        row.paste(cell, (i * (cell.width + _MARGIN), _LINE + 6))
    return row


def _rendering_cell(rendering: Rendering, window: tuple[slice, slice]) -> Image.Image:
    excess = "" if rendering.fits else ", its least"
    similarity = "" if rendering.ms_ssim is None else f"MS-SSIM {rendering.ms_ssim:.4f}, "
    lines = [
        f"{rendering.bytes:,} bytes, {rendering.bpp:.3f} bpp{excess}",
        f"{rendering.psnr:.2f} dB, {similarity}quality {rendering.quality:g}",
    ]
    return _cell(rendering.picture[window], rendering.codec, lines)


def _cell(crop: Picture, title: str, lines: Sequence[str]) -> Image.Image:
    """A crop, enlarged without smoothing, over its caption."""
    height, width = crop.shape[:2]
    cell = Image.new("RGB", (_CROP * _ZOOM, _CROP * _ZOOM + 4 + _LINE * (1 + len(lines))), "white")
    zoom = _CROP * _ZOOM // max(height, width)
    cell.paste(Image.fromarray(crop).resize((width * zoom, height * zoom), Image.Resampling.NEAREST))
    top = _CROP * _ZOOM + 4
    _write(cell, (0, top), title, 16, _INK)
    for i, line in enumerate(lines, start=1):
        _write(cell, (0, top + _LINE * i), line, 13, _MUTED)
    return cell


def _write(image: Image.Image, at: tuple[int, int], text: str, size: int, colour: str) -> None:
    ImageDraw.Draw(image).text(at, text, fill=colour, font=ImageFont.load_default(size))


def _crop(image: Picture) -> tuple[slice, slice]:
    """The window that shows a codec's work: three quarters of the windows on a grid have less detail than it."""
    height, width = (min(_CROP, side) for side in image.shape[:2])
    luma = image.mean(axis=2)
    detail = np.abs(np.diff(luma, axis=0, append=luma[-1:])) + np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    corners = [
        (top, left)
        for top in range(0, image.shape[0] - height + 1, 32)
        for left in range(0, image.shape[1] - width + 1, 32)
    ]
    corners.sort(key=lambda c: (detail[c[0] : c[0] + height, c[1] : c[1] + width].sum(), c))
    top, left = corners[(len(corners) - 1) * 3 // 4]
    return slice(top, top + height), slice(left, left + width)


SHEET_PICTURES = 3
