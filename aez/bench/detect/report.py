"""What `aez bench detect` found: as a table for people, as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.bench.machine import Environment
from aez.bench.table_text import aligned
from aez.codec.common.plain import plain

__all__ = ["CaseFigures", "Column", "DetectReport", "Trace"]

_WIDTH = 116


@dataclass(frozen=True)
class CaseFigures:
    """One detector on one case: figures by name (NaN where not defined), and what it said of the training data."""

    case: str
    detector: str
    figures: dict[str, float]
    fit_seconds: float
    score_seconds: float
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """Scores of a case for a drawing: labels [time], scores [time] by detector; `limited`: 1 is their limit."""

    case: str
    labels: npt.NDArray[np.uint8]
    scores: Mapping[str, npt.NDArray[np.float64]]
    limited: bool


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, and how a summary is shown in it."""

    title: str
    text: Callable[[Mapping[str, float]], str]


def _number(key: str, digits: int = 3, factor: float = 1.0) -> Callable[[Mapping[str, float]], str]:
    def text(summary: Mapping[str, float]) -> str:
        value = summary.get(key, math.nan) * factor
        return "-" if math.isnan(value) else f"{value:.{digits}f}"

    return text


def _part(part: str, whole: str) -> Callable[[Mapping[str, float]], str]:
    return lambda summary: f"{summary[part]:.0f}/{summary[whole]:.0f}"


_TIMES = (Column("fit s", _number("fit_seconds", 1)), Column("score s", _number("score_seconds", 2)))
_SERIES_COLUMNS = (
    Column("VUS-PR", _number("vus_pr")),
    Column("AUC-PR", _number("auc_pr")),
    Column("AUC-ROC", _number("auc_roc")),
    Column("events", _part("events_found", "events")),
    Column("precision", _number("event_precision", 2)),
    Column("false/d", _number("false_alarms_per_day", 2)),
    Column("at 1/d", _number("events_found_equal", 0)),
    Column("delay", _number("median_delay_rows", 0)),
    Column("top ch.", _number("top_channel_share", 2)),
    Column("alarm %", _number("alarm_share", 1, 100)),
    *_TIMES,
)
_LIMIT_COLUMNS = (
    Column("limit", _number("limit", 2)),
    Column("normal above %", _number("normal_above", 2, 100)),
    Column("events", _part("events_found", "events")),
    Column("precision", _number("event_precision", 2)),
    Column("false/d", _number("false_alarms_per_day", 2)),
    Column("worst", _number("worst_false_alarms_per_day", 1)),
    Column("delay", _number("median_delay_rows", 0)),
    Column("cases", _number("cases", 0)),
)
_LIMIT_RULES = (
    (
        "Thresholds: all rows of the table share a detector and its scores; each limit comes from the scores of the "
        "held-out training rows, and is judged on the test rows. The best F1 alone sees the test's labels: it says "
        "what a limit could reach there, and is no result."
    ),
    (
        "Limit: 1 is the shipped one; median over the cases. Normal above: share of the unlabelled test rows above it. "
        "Worst: false alarms a day of the case with most. --alarms: what `aez train series` makes of it by default."
    ),
)
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "skab": (
        Column("F1", _number("f1")),
        Column("FAR %", _number("false_alarm_rate", 1, 100)),
        Column("MAR %", _number("missed_alarm_rate", 1, 100)),
        Column("NAB-type", _number("nab_standard", 1)),
        Column("low FP", _number("nab_low_fp", 1)),
        Column("low FN", _number("nab_low_fn", 1)),
        *_TIMES,
    ),
    "nab": (
        Column("standard", _number("nab_standard", 1)),
        Column("low FP", _number("nab_low_fp", 1)),
        Column("low FN", _number("nab_low_fn", 1)),
        Column("windows", _part("windows_found", "windows")),
        Column("false rows", _number("false_alarm_rows", 0)),
        Column("AUC-PR", _number("auc_pr")),
        *_TIMES,
    ),
    "smd": _SERIES_COLUMNS,
    "folder": _SERIES_COLUMNS,
}
_TITLES = {"skab": "SKAB", "nab": "NAB", "smd": "SMD", "folder": "folder"}


@dataclass(frozen=True)
class DetectReport:
    """Figures of one benchmark.

    kind: of `detect.data.LOADERS`; folder: its name; detectors: in the table's order, `own` among them.
    settings: of our detectors. summary: figures by detector, over all cases. failures: (detector, case, why).
    thresholds: by our detector and way of choosing its limit, figures over all cases; empty unless asked for.
    """

    kind: str
    folder: str
    detectors: tuple[str, ...]
    own: tuple[str, ...]
    cases: tuple[str, ...]
    quick: bool
    settings: Mapping[str, Any]
    jobs: int
    rules: tuple[str, ...]
    summary: Mapping[str, Mapping[str, float]]
    figures: tuple[CaseFigures, ...]
    failures: tuple[tuple[str, str, str], ...]
    environment: Environment
    traces: tuple[Trace, ...] = field(default=(), repr=False)
    thresholds: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Everything but the traces as one JSON object; figures that are not defined are null."""
        figures = {
            "benchmark": self.kind,
            "folder": self.folder,
            "quick": self.quick,
            "cases": self.cases,
            "own": self.own,
            "settings": self.settings,
            "processes": self.jobs,
            "rules": self.rules,
            "environment": dataclasses.asdict(self.environment),
            "summary": self.summary,
            "per_case": [dataclasses.asdict(one) for one in self.figures],
            "failures": [dict(zip(("detector", "case", "reason"), one, strict=True)) for one in self.failures],
        }
        if self.thresholds:
            figures["thresholds"] = self.thresholds
        return json.dumps(plain(figures), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def table(self) -> str:
        """The report as text."""
        count = f"{len(self.cases)} case{'s' if len(self.cases) != 1 else ''}"
        lines = [
            f"Detection on {_TITLES[self.kind]}: {count} of {self.folder}{' (quick)' if self.quick else ''}",
            *self.environment.lines(self.jobs),
        ]
        if self.settings:
            lines.append(f"settings: {', '.join(f'{key}={value}' for key, value in self.settings.items())}")
        lines += ["", *_rows("detector", _COLUMNS[self.kind], {name: self.summary[name] for name in self.detectors})]
        for name, ways in self.thresholds.items():
            lines += ["", *_rows(f"{name}, threshold by", _LIMIT_COLUMNS, ways)]
        lines.append("")
        settings_rule = ("The settings above change our detectors, not the peers.",) if self.settings else ()
        for rule in (*self.rules, *settings_rule, *(_LIMIT_RULES if self.thresholds else ())):
            lines += textwrap.wrap(rule, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        if self.failures:
            lines += ["", "Not measured:", *(f"  {who} on {case}: {why}" for who, case, why in self.failures)]
        return "\n".join(lines) + "\n"


def _rows(title: str, columns: Sequence[Column], summaries: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A table as lines: its heading, and a row for each summary."""
    heading = [title, *(column.title for column in columns)]
    return aligned([heading, *([name, *(c.text(summary) for c in columns)] for name, summary in summaries.items())])
