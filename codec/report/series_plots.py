"""Pictures of a scored series: its score against the threshold, which channel is to blame when, and the channels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.codec.common.words import NANOSECONDS, is_elapsed
from aez.codec.detect.events import Event
from aez.codec.detect.score_series import ScoredSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NORMAL_COLOUR", "SEVERITY_COLOURS", "draw_plot", "plot_png"]

NORMAL_COLOUR = "#2e7d4f"
SEVERITY_COLOURS = {"warning": "#d99a00", "serious": "#dd6b10", "critical": "#c4212f"}
_INK, _QUIET, _LIMIT = "#1f4e79", "#8a8f98", "#c4212f"
_HEAT_CHANNELS, _SERIES_CHANNELS, _NUMBERED = 24, 5, 20
#: From this score on, a linear axis would hide what lies around the threshold.
_LOG_FROM = 8.0
_NAME = 24
#: Higher scores are drawn as this, infinite ones too.
_DRAWN = 1e9


@dataclass(frozen=True, eq=False)
class _Axis:
    """Where rows lie on the horizontal axis: times, seconds or rows."""

    edges: NDArray[Any]  #: [bins + 1]
    label: str
    at: Callable[[int, int | None], Any]  #: the place of a row and its time


def draw_plot(scored: ScoredSeries, units: Sequence[str] = ()) -> Figure:
    """Score with threshold and numbered events; heat map of the channels' scores; the channels that stand out most.

    `units` has one text for each channel. Raises AezError where matplotlib is not installed.
    """
    library("matplotlib", "monitor")
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    order = _ranked(scored)
    heat, shown = order[:_HEAT_CHANNELS], order[:_SERIES_CHANNELS]
    heights = [2.3, 0.6 + 0.24 * len(heat), *[1.15] * len(shown)]
    figure = Figure(figsize=(12, sum(heights) + 0.8), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    axis = _axis(scored)
    _draw_score(panels[0], scored, axis)
    _draw_heat(figure, panels[1], scored, axis, heat)
    names = scored.summary.channels
    for panel, channel in zip(panels[2:], shown, strict=True):
        unit = units[channel] if channel < len(units) else ""
        _draw_channel(panel, scored, axis, channel, f"{_short(names[channel])}{f' ({_plain(unit)})' if unit else ''}")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
    panels[0].set_xlim(axis.edges[0], axis.edges[-1])
    panels[-1].set_xlabel(axis.label, fontsize=9)
    if axis.edges.dtype.kind == "M":
        locator = AutoDateLocator()
        panels[-1].xaxis.set_major_locator(locator)
        panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    title = f"{_plain(scored.stream) or 'series'}: {_counted(len(scored.events))} in {scored.rows:,} rows"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def plot_png(scored: ScoredSeries, units: Sequence[str] = (), dpi: int = 110) -> bytes:
    """The picture of `draw_plot` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    draw_plot(scored, units).savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _draw_score(panel: Axes, scored: ScoredSeries, axis: _Axis) -> None:
    from matplotlib.ticker import FuncFormatter

    score = np.minimum(scored.overview.score, _DRAWN)
    _shade(panel, scored, axis)
    panel.stairs(score, axis.edges, color=_INK, lw=1, baseline=None)
    panel.axhline(1, color=_LIMIT, lw=1, ls="--")
    highest = np.nanmax(score, initial=1.0)
    if highest >= _LOG_FROM:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(_number))
        lowest = score[score > 0].min(initial=0.5)
        panel.set_ylim(max(min(float(lowest), 0.5) * 0.8, 0.02), 2 * highest)
    else:
        panel.set_ylim(0, 1.18 * max(float(highest), 1.1))
    panel.annotate(
        "threshold",
        (1, 1),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=_LIMIT,
    )
    panel.set_ylabel(f"{scored.kind} score", fontsize=9)
    # The highest events carry their number in the table.
    numbered = sorted(enumerate(scored.events, 1), key=lambda pair: -pair[1].peak)[:_NUMBERED]
    for number, event in numbered:
        panel.annotate(
            str(number),
            (axis.at(*_peak(scored, event)), min(event.peak, _DRAWN)),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold",
            color=SEVERITY_COLOURS[event.severity],
        )


def _draw_heat(figure: Figure, panel: Axes, scored: ScoredSeries, axis: _Axis, channels: Sequence[int]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter

    blame = np.minimum(scored.overview.channel_score[:, channels].T, _DRAWN)
    high = max(10.0, float(np.nanmax(blame, initial=1.0)))
    # From nearly white, up to the threshold, so that what stands out is dark; grey where there is no score.
    colours = colormaps["OrRd"].with_extremes(bad="#dfe3e8", under="#fffaf3")
    rows = np.arange(len(channels) + 1)
    with np.errstate(invalid="ignore"):
        filled = np.ma.masked_invalid(np.maximum(blame, 1e-6))
    mesh = panel.pcolormesh(
        axis.edges, rows, filled, norm=LogNorm(1.0, high), cmap=colours, shading="flat", rasterized=True
    )
    names = scored.summary.channels
    panel.set_yticks(rows[:-1] + 0.5, [_short(names[channel]) for channel in channels])
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(len(channels), 0)
    more = len(names) - len(channels)
    panel.set_ylabel(f"channels\n({more} more, lower)" if more else "channels", fontsize=9)
    bar = figure.colorbar(mesh, ax=panel, pad=0.005, fraction=0.02, extend="min")
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_number))
    bar.set_label("channel's score", fontsize=8)


def _draw_channel(panel: Axes, scored: ScoredSeries, axis: _Axis, channel: int, label: str) -> None:
    low, high = scored.overview.low[:, channel], scored.overview.high[:, channel]
    _shade(panel, scored, axis)
    if scored.overview.width == 1:
        panel.stairs(low, axis.edges, color=_INK, lw=0.9, baseline=None)
    else:
        panel.fill_between(axis.edges[:-1], low, high, step="post", color=_INK, lw=0.4, alpha=0.9)
    panel.set_title(label, fontsize=9, loc="left", pad=3)
    panel.margins(y=0.12)
    panel.grid(axis="y", alpha=0.25)


def _shade(panel: Axes, scored: ScoredSeries, axis: _Axis) -> None:
    for event in scored.events:
        colour = SEVERITY_COLOURS[event.severity]
        start, end = axis.at(event.start, event.start_time), axis.at(event.end, event.end_time)
        panel.axvspan(start, end, color=colour, alpha=0.16, lw=0)
        # A line is seen also where the span is narrower than a pixel.
        panel.axvline(start, color=colour, lw=0.7, alpha=0.6)


def _axis(scored: ScoredSeries) -> _Axis:
    overview = scored.overview
    if overview.time is None or overview.end is None:
        edges = np.append(np.arange(len(overview.score)) * overview.width, overview.rows).astype(np.float64)
        return _Axis(edges, "row", lambda row, time: float(row))  # noqa: ARG005 - the shape of `at`
    times = np.append(overview.time, max(overview.end, int(overview.time[-1]) + 1))
    if is_elapsed(overview.end):
        return _Axis(times / NANOSECONDS, "seconds", lambda row, time: (time or 0) / NANOSECONDS)  # noqa: ARG005
    label = "time" if scored.summary.timezone is None else "time (UTC)"
    return _Axis(times.astype("M8[ns]"), label, lambda row, time: np.datetime64(time or 0, "ns"))  # noqa: ARG005


def _peak(scored: ScoredSeries, event: Event) -> tuple[int, int | None]:
    """Row and time of an event's peak; the time is that of the run that holds it, but within the event."""
    time = scored.overview.time
    if time is None or event.start_time is None or event.end_time is None:
        return event.peak_row, None
    near = int(time[event.peak_row // scored.overview.width])
    return event.peak_row, min(max(near, event.start_time), event.end_time)


def _ranked(scored: ScoredSeries) -> list[int]:
    """Channels by what they have to do with the events, weighed by peaks; then by their highest score."""
    names = scored.summary.channels
    blame = dict.fromkeys(names, 0.0)
    for event in scored.events:
        for name, share in event.channels:
            blame[name] += share * min(event.peak, 100.0)
    highest = np.nan_to_num(np.fmax.reduce(scored.overview.channel_score, axis=0), nan=-1.0)
    return sorted(range(len(names)), key=lambda i: (-blame[names[i]], -highest[i]))


def _short(name: str) -> str:
    return _plain(name if len(name) <= _NAME else name[: _NAME - 1] + "\u2026")


def _plain(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign would begin a formula."""
    return "".join(c if c.isprintable() else "\u00b7" for c in text).replace("$", r"\$")


def _number(value: float, place: int | None) -> str:  # noqa: ARG001 - the shape of a tick formatter
    return f"{value:g}"


def _counted(events: int) -> str:
    return "no event" if not events else "1 event" if events == 1 else f"{events:,} events"
