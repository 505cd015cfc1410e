"""What a measurement found, as figures with their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Figure", "Measured"]

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
