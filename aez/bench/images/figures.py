"""A report on picture detectors drawn as bars, and written with them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from aez.bench.images.report import ImagesReport
from aez.bench.saving import save_all, texts

__all__ = ["bars_png", "save_report"]

_OWN, _PEER = "#c2255c", "#868e96"


def save_report(report: ImagesReport, folder: str | Path) -> None:
    """Write images.json, images.txt and images.png into a folder, which is made when missing.

    Needs matplotlib. Raises OutputError.
    """
    save_all(folder, texts(report, "images"))  # before the drawing, which may fail
    save_all(folder, {"images.png": bars_png(report)})


def bars_png(report: ImagesReport) -> bytes:
    """Mean AUROC of every detector, ours in another colour, and a dot for each class, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.1 + 0.42 * len(report.detectors)), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(report.detectors):
        values = [one.auroc for one in report.figures if one.detector == name]
        colour = _OWN if name in report.own else _PEER
        bars = axes.barh(place, report.summary[name]["auroc"], color=colour, height=0.6, alpha=0.85)
        axes.bar_label(bars, [f"{report.summary[name]['auroc']:.3f}"], padding=6, fontsize=9, label_type="center")
        axes.plot(values, [place] * len(values), ".", color="#212529", ms=4)
    axes.set_yticks(range(len(report.detectors)), report.detectors)
    axes.invert_yaxis()
    axes.set(xlim=(0.4, 1.0), xlabel="AUROC: mean over the classes, and each class")
    axes.set_title(f"One class against the others: {report.folder}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()
