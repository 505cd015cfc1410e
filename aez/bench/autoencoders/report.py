"""What a sweep over autoencoders measured, and how it is shown: JSON and a table."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from aez.bench.machine import Environment
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain

__all__ = ["Point", "SweepReport"]

#: Figure -> (heading, format).
COLUMNS = {
    "mse": ("error", ".5f"),
    "psnr": ("PSNR, dB", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "explained": ("explained", ".1%"),
    "kl": ("KL, nats", ".2f"),
    "active_units": ("active units", ".0f"),
    "pca_mse": ("error of PCA", ".5f"),
    "pca_psnr": ("PSNR of PCA", ".2f"),
    "pca_explained": ("PCA explained", ".1%"),
    "psnr_before": ("PSNR before", ".2f"),
    "gain": ("gain, dB", "+.2f"),
    "median_psnr": ("median filter", ".2f"),
    "means_psnr": ("non-local means", ".2f"),
    "seconds": ("seconds", ".0f"),
}


@dataclass(frozen=True)
class Point:
    """One network of a sweep: what it was made with, such as `beta 4`, and its figures on items not learned from."""

    label: str
    settings: dict[str, Any]
    figures: dict[str, float | None]


@dataclass(frozen=True)
class SweepReport:
    """A sweep over networks that learned from the same items.

    `facts` are figures of the data and of the sweep as a whole, `notes` what follows, a sentence each. `pictures` are
    PNG files by name.
    """

    kind: str  # beta, bottleneck or noise
    data: str
    items: int
    tested: int
    family: str
    points: tuple[Point, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...]
    environment: Environment
    pictures: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def to_json(self) -> str:
        """Everything measured, as one JSON object."""
        left_out = ("pictures",)
        values = {key: getattr(self, key) for key in self.__dataclass_fields__ if key not in left_out}
        values["points"] = [dataclasses.asdict(point) for point in self.points]
        values["environment"] = dataclasses.asdict(self.environment)
        return json.dumps(plain(values), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        names = [name for name in COLUMNS if any(point.figures.get(name) is not None for point in self.points)]
        rows = [["", *(COLUMNS[name][0] for name in names)]]
        for point in self.points:
            cells = [_said(point.figures.get(name), COLUMNS[name][1]) for name in names]
            rows.append([point.label, *cells])
        head = f"{self.family} on {self.data}: {self.items:,} items to learn from, {self.tested:,} others to measure on"
        lines = [head, *self.environment.lines(), "", *aligned(rows, gap="   ")]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines) + "\n"


def _said(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
