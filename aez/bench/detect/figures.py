"""A detection report drawn, as bars of the main figures and scores beside the labels, and written with its drawings."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aez.bench.detect.metrics import label_events
from aez.bench.detect.report import DetectReport, Trace
from aez.bench.saving import save_all, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars_png", "save_report", "scores_png"]

_OWN, _PEER, _LABEL, _LIMIT = "#c2255c", "#868e96", "#ffd8a8", "#212529"
_BARS = {
    "smd": (("vus_pr", "VUS-PR"), ("auc_pr", "AUC-PR")),
    "folder": (("vus_pr", "VUS-PR"), ("auc_pr", "AUC-PR")),
    "skab": (("f1", "F1"), ("nab_standard", "NAB-type, standard")),
    "nab": (("nab_standard", "NAB, standard"), ("auc_pr", "AUC-PR")),
}
_LINES = ("#c2255c", "#6741d9", "#0b7285", "#e8590c")
#: A score is drawn down to this: what is far below the limit tells nothing.
_LOWEST = 1e-2


def save_report(report: DetectReport, folder: str | Path) -> None:
    """Write detect.json, detect.txt, figures.png and scores.png into a folder, which is made when missing.

    Needs matplotlib. Raises OutputError.
    """
    save_all(folder, texts(report, "detect"))  # before the drawings, which may fail
    plots = {"figures.png": bars_png(report)}
    if report.traces:
        plots["scores.png"] = scores_png(report)
    save_all(folder, plots)


def bars_png(report: DetectReport) -> bytes:
    """The report's two main figures for every detector, ours in another colour, as a PNG."""
    from matplotlib.figure import Figure

    shown = [
        (key, title)
        for key, title in _BARS[report.kind]
        if any(math.isfinite(report.summary[name].get(key, math.nan)) for name in report.detectors)
    ]
    figure = Figure(figsize=(5.5 * max(len(shown), 1), 0.9 + 0.38 * len(report.detectors)), layout="constrained")
    panels = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
    for axes, (key, title) in zip(panels, shown, strict=False):
        values = [report.summary[name].get(key, math.nan) for name in report.detectors]
        colours = [_OWN if name in report.own else _PEER for name in report.detectors]
        bars = axes.barh(range(len(values)), np.nan_to_num(values), color=colours, height=0.7)
        digits = 1 if max(np.abs(np.nan_to_num(values))) > 2 else 3
        texts = ["-" if math.isnan(value) else f"{value:.{digits}f}" for value in values]
        axes.bar_label(bars, texts, padding=3, fontsize=9)
        axes.set_yticks(range(len(values)), report.detectors)
        axes.invert_yaxis()
        axes.set_title(title, loc="left")
        axes.margins(x=0.15)
        _quiet(axes)
    return _png(figure)


def scores_png(report: DetectReport) -> bytes:
    """Scores of our detectors over the traced cases, labelled rows shaded, the limit where there is one, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 2.8 * len(report.traces)), layout="constrained")
    for axes, trace in zip(figure.subplots(len(report.traces), 1, squeeze=False)[:, 0], report.traces, strict=True):
        _draw(axes, trace)
    return _png(figure)


def _draw(axes: Axes, trace: Trace) -> None:
    for start, end in label_events(trace.labels):
        axes.axvspan(start, max(end, start + len(trace.labels) / 1000), color=_LABEL, lw=0)
    for (name, score), colour in zip(trace.scores.items(), _LINES, strict=False):
        axes.plot(np.maximum(score, _LOWEST), lw=0.7, color=colour, label=name)
    if trace.limited:
        axes.axhline(1, color=_LIMIT, lw=0.8, ls="--", label="limit")
    axes.set(yscale="log", xlabel="row of the test", ylabel="score")
    axes.set_title(f"{trace.case}: scores, labelled rows shaded", loc="left")
    axes.margins(x=0)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
    _quiet(axes)


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()
