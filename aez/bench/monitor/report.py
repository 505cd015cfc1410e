"""What measurements found, as figures with their targets, and all of them as one report: JSON and a table."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from aez.bench.machine import Environment
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain

__all__ = ["Figure", "Measured", "MonitorReport"]

Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Figure:
    """One number. target: what it shall be `bound`; None where there is no such claim."""

    what: str
    value: float
    unit: str = ""
    target: float | None = None
    bound: Bound = "at least"

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target


@dataclass(frozen=True)
class Measured:
    """One measurement.

    conditions: what it ran on, a sentence. curves: for plots, by name, (x, y) pairs. failures: what could not be
    measured and why, a sentence each.
    """

    name: str
    conditions: str
    figures: Sequence[Figure]
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    failures: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        figures = [{**asdict(one), "reached": one.reached} for one in self.figures]
        curves = {name: [list(point) for point in points] for name, points in self.curves.items()}
        said = {"name": self.name, "conditions": self.conditions, "failures": list(self.failures)}
        return {**said, "figures": figures, "curves": curves}


@dataclass(frozen=True)
class MonitorReport:
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
            "environment": asdict(self.environment),
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


_NAMED = ("aez", "numpy", "onnxruntime")
_VERDICTS = {None: "", True: "reached", False: "MISSED"}


def _row(figure: Figure) -> list[str]:
    target = "" if figure.target is None else f"{figure.bound} {_number(figure.target)}"
    return [figure.what, _number(figure.value), figure.unit, target, _VERDICTS[figure.reached]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"
