"""What `aez bench images` found: as a table for people, as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aez.bench.machine import Environment
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain

__all__ = ["ClassFigures", "ImagesReport"]

_RULES = (
    "Each class in turn is the only one to learn from; the test holds all classes, the others being abnormal.",
    "AUROC: the chance that a picture of another class scores above one of the learned class.",
    "Flagged: shares above the shipped threshold, which 1 % of the normal pictures held out in training exceed.",
    "All detectors learn from the same 70 % of the class's training pictures and set their limit on the other 30 %.",
)


@dataclass(frozen=True)
class ClassFigures:
    """One detector with one class as the normal one; shares and AUROC in 0..1."""

    detector: str
    normal: str
    auroc: float
    flagged_normal: float
    flagged_others: float
    train: int
    test: int
    fit_seconds: float
    score_seconds: float


@dataclass(frozen=True)
class ImagesReport:
    """Figures of all detectors and classes. `score` is what our scores are made of, `pictures` their size."""

    folder: str
    pictures: str
    classes: tuple[str, ...]
    detectors: tuple[str, ...]
    own: tuple[str, ...]
    quick: bool
    score: str
    figures: tuple[ClassFigures, ...]
    skipped: tuple[str, ...]
    environment: Environment

    @property
    def summary(self) -> Mapping[str, Mapping[str, float]]:
        """Means over the classes, by detector."""
        keys = ("auroc", "flagged_normal", "flagged_others", "fit_seconds", "score_seconds")
        return {
            name: {key: _mean([getattr(one, key) for one in self.figures if one.detector == name]) for key in keys}
            for name in self.detectors
        }

    def to_json(self) -> str:
        """Everything as one JSON object; figures that are not defined are null."""
        report = {**dataclasses.asdict(self), "summary": self.summary, "rules": _RULES}
        return json.dumps(plain(report), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        train = sorted({one.train for one in self.figures})
        learned = f"{train[0]:,}" if train[0] == train[-1] else f"{train[0]:,} to {train[-1]:,}"
        judged = f"{max(one.test for one in self.figures):,}"
        lines = [
            f"One class of pictures against the others on {self.folder}{' (quick)' if self.quick else ''}",
            f"{len(self.classes)} classes, {learned} pictures of {self.pictures} to learn from, {judged} to judge on",
            *self.environment.lines(),
            f"score: {self.score}",
            "",
        ]
        rows = [["detector", "AUROC", "lowest", "flagged normal %", "flagged others %", "fit s", "score s"]]
        for name, means in self.summary.items():
            lowest = min(one.auroc for one in self.figures if one.detector == name)
            shares = (f"{100 * means['flagged_normal']:.2f}", f"{100 * means['flagged_others']:.1f}")
            times = (f"{means['fit_seconds']:.1f}", f"{means['score_seconds']:.1f}")
            rows.append([name, f"{means['auroc']:.4f}", f"{lowest:.3f}", *shares, *times])
        by_class = [["AUROC by class", *self.classes]]
        by_class += [
            [name, *(f"{one.auroc:.3f}" for one in self.figures if one.detector == name)] for name in self.detectors
        ]
        lines += [*aligned(rows), "", *aligned(by_class), ""]
        lines += [f"- {rule}" for rule in _RULES]
        if self.skipped:
            lines += ["", "Not read:", *(f"  {text}" for text in self.skipped)]
        return "\n".join(lines) + "\n"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
