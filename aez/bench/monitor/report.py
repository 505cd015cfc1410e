"""The measurements as one report: a table, JSON, and plots where a picture says more."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aez.bench.machine import Environment
from aez.bench.monitor.figures import Figure, Measured
from aez.bench.table_text import aligned
from aez.codec.common.files import write_whole
from aez.codec.common.plain import plain
from aez.codec.errors import OutputError

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """What was measured, and where."""

    measured: Sequence[Measured]
    environment: Environment
    seed: int
    quick: bool = False

    @property
    def missed(self) -> list[str]:
        """The figures whose target was not reached."""
        return [
            f"{one.name}: {figure.what}" for one in self.measured for figure in one.figures if figure.reached is False
        ]

    @property
    def failures(self) -> list[str]:
        """What could not be measured, and why."""
        return [f"{one.name}: {text}" for one in self.measured for text in one.failures]

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        found = {
            "seed": self.seed,
            "quick": self.quick,
            "environment": dataclasses.asdict(self.environment),
            "measured": [one.as_dict() for one in self.measured],
        }
        return json.dumps(plain(found), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """Everything but the curves, for people."""
        place = self.environment
        versions = ", ".join(f"{name} {version}" for name, version in place.versions.items() if name in _NAMED)
        lines = [f"aez bench monitor, {place.date}: {place.cpu}, {place.cores} cores; {place.system}; {versions}"]
        if self.quick:
            lines.append("quick: a tenth of the load, for a try; not the figures to go by")
        for one in self.measured:
            lines += ["", one.name, *textwrap.wrap(one.conditions, 112, initial_indent="  ", subsequent_indent="  ")]
            lines += ["  " + line for line in aligned([_row(figure) for figure in one.figures])]
            lines += [f"  FAILED: {text}" for text in one.failures]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def save(self, folder: Path) -> None:
        """Write monitor.json, monitor.txt and a plot of each measurement with curves. Raises OutputError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error
        write_whole(folder / "monitor.json", self.to_json().encode(), force=True)
        write_whole(folder / "monitor.txt", self.table().encode(), force=True)
        for one in self.measured:
            if one.curves:
                _plot(one, folder / f"monitor-{one.name}.png")


_NAMED = ("aez", "numpy", "onnxruntime")
_VERDICTS = {None: "", True: "reached", False: "MISSED"}


def _row(figure: Figure) -> list[str]:
    target = "" if figure.target is None else f"{figure.bound} {_number(figure.target)}"
    return [figure.what, _number(figure.value), figure.unit, target, _VERDICTS[figure.reached]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


def _plot(one: Measured, path: Path) -> None:
    """Each curve below the others over seconds, or, of whole milliseconds, as a histogram."""
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
    figure.savefig(path, dpi=120)
