"""The monitor's measurements drawn where a picture says more, and written with their drawings."""

from __future__ import annotations

import textwrap
from io import BytesIO
from pathlib import Path
from typing import Any

from aez.bench.monitor.report import Measured, MonitorReport
from aez.bench.saving import save_all, texts

__all__ = ["curves_png", "save_report"]


def save_report(report: MonitorReport, folder: str | Path) -> None:
    """Write monitor.json, monitor.txt and a plot of each measurement with curves into a folder, made when missing.

    Needs matplotlib. Raises OutputError.
    """
    save_all(folder, texts(report, "monitor"))  # before the drawings, which may fail
    save_all(folder, {f"monitor-{one.name}.png": curves_png(one) for one in report.measured if one.curves})


def curves_png(one: Measured) -> bytes:
    """Each curve below the others over seconds, or, of whole milliseconds, as a histogram; a PNG."""
    import matplotlib.figure

    figure: Any = matplotlib.figure.Figure(figsize=(8, 2.4 * len(one.curves) + 0.6), layout="constrained")
    panels = figure.subplots(len(one.curves), 1, squeeze=False, sharex=True)[:, 0]
    for panel, (name, points) in zip(panels, one.curves.items(), strict=True):
        x, y = [point[0] for point in points], [point[1] for point in points]
        if name.endswith("by ms"):
            panel.bar(x, y, width=1.0, align="edge", color="#31688e")
            panel.set_xlabel("ms")
            for mark in one.figures:
                if mark.target is not None and mark.unit == "ms":
                    panel.axvline(mark.value, color="#b5361c", linewidth=1)
                    panel.annotate(f" {mark.what.rpartition(' ')[2]}", (mark.value, max(y)), color="#b5361c")
        else:
            panel.plot(x, y, color="#31688e", linewidth=1)
            panel.set_ylim(bottom=0)
        panel.set_ylabel(name)
        panel.spines[["top", "right"]].set_visible(False)
    if not panels[-1].get_xlabel():
        panels[-1].set_xlabel("seconds")
    figure.suptitle("\n".join(textwrap.wrap(one.conditions, 100)), fontsize=9)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    return drawn.getvalue()
