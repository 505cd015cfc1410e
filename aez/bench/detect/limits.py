"""What each way of choosing a threshold gives on data that it has not seen: events found, and alarms for nothing.

All ways see the same scores of the same detector: those of held-out training rows to choose from, those of the test
rows to be judged on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import numpy.typing as npt

from aez.bench.detect.metrics import EventMetrics, event_metrics, ratio
from aez.codec.detect.events import DEFAULT_RULE, EventTracker, find_events
from aez.codec.detect.thresholds import (
    StreamingPeaksOverThreshold,
    alarm_budget,
    best_f1,
    peaks_over_threshold,
    percentile,
)
from aez.codec.errors import InvalidArgument
from aez.export.series.data.sufficiency import margin_of
from aez.export.series.train import MARGIN

__all__ = ["ORACLE", "WAYS", "LimitFigures", "Trial", "compare_limits"]

Floats = npt.NDArray[np.float64]

ALARMS_PER_DAY, RISK = 1.0, 1e-4
#: Budgets that are promised, beside each other.
BUDGETS = (0.1, 1.0, 10.0)
_DAY, _ROWS_PER_DAY = 86_400.0, 1440.0
_LEAST = 1e-12


@dataclass(frozen=True)
class Trial:
    """One detector on one case: scores of which 1 is the limit that the detector came with.

    held_out: [n], of normal rows that set the limit. test: [time], of the rows to judge. labels: [time], 0 or 1.
    period_seconds: time between rows; None where there is no clock, and 1440 rows count as a day for the budget.
    """

    held_out: Floats
    test: Floats
    labels: npt.NDArray[np.uint8]
    period_seconds: float | None

    @property
    def rows_per_day(self) -> float:
        return _DAY / self.period_seconds if self.period_seconds else _ROWS_PER_DAY


def _budget(alarms: float, trial: Trial) -> float:
    """The limit of so many alarms a day, as `aez train series --alarms` sets it."""
    rows = trial.rows_per_day
    return margin_of(alarms, trial.held_out.size / rows, MARGIN) * alarm_budget(trial.held_out, alarms, rows)


def _streaming(trial: Trial) -> Floats:
    """The limit at each row [time]; the rows of an open event teach nothing."""
    limit = StreamingPeaksOverThreshold(trial.held_out, RISK)
    tracker = EventTracker(DEFAULT_RULE)
    limits = np.empty(trial.test.size)
    for row, score in enumerate(trial.test.tolist()):
        limits[row] = limit.threshold
        tracker.update(row, score / limits[row])
        if tracker.current is None:
            limit.update(score)
    return limits


#: The one way that looks at the labels of the rows that it is judged on: what a limit could reach, not a result.
ORACLE = "best F1 (sees the labels)"
#: From a trial to its limit, or to one for each row.
WAYS: dict[str, Callable[[Trial], float | Floats]] = {
    "as shipped": lambda _: 1.0,
    f"budget, {ALARMS_PER_DAY:g} alarm a day, no margin": lambda t: alarm_budget(
        t.held_out, ALARMS_PER_DAY, t.rows_per_day
    ),
    **{f"budget, --alarms {alarms:g}": partial(_budget, alarms) for alarms in BUDGETS},
    "percentile 95": lambda t: percentile(t.held_out, 95),
    "percentile 99": lambda t: percentile(t.held_out, 99),
    "percentile 99.9": lambda t: percentile(t.held_out, 99.9),
    f"peaks over threshold, {RISK:g}": lambda t: peaks_over_threshold(t.held_out, RISK),
    f"streaming peaks, {RISK:g}": _streaming,
    ORACLE: lambda t: best_f1(t.test, t.labels).threshold,
}


@dataclass(frozen=True)
class LimitFigures:
    """One way on one case, or (added with `+`) on several.

    events: at the limit, by the default rule. limits: one for each case, the mean where it moves; 1 is the shipped one.
    normal: unlabelled rows; above: those of them above the limit. worst: false alarms a day of the case with most.
    """

    events: EventMetrics
    limits: tuple[float, ...]
    normal: int
    above: int
    worst: float = math.nan

    def __add__(self, other: LimitFigures) -> LimitFigures:
        return LimitFigures(
            self.events + other.events,
            self.limits + other.limits,
            self.normal + other.normal,
            self.above + other.above,
            float(np.fmax(self.worst, other.worst)),
        )

    def as_dict(self) -> dict[str, float]:
        """Plain figures; NaN where one is not defined."""
        events = self.events
        return {
            "cases": float(len(self.limits)),
            "limit": median(self.limits) if self.limits else math.nan,
            "normal_above": ratio(self.above, self.normal),
            "events": float(events.labelled),
            "events_found": float(events.found),
            "alarms": float(events.alarms),
            "false_alarms": float(events.false_alarms),
            "event_precision": events.precision,
            "false_alarms_per_day": events.false_alarms_per_day,
            "worst_false_alarms_per_day": self.worst,
            "median_delay_rows": events.median_delay,
        }


def compare_limits(trial: Trial) -> dict[str, LimitFigures]:
    """Figures of each of the `WAYS` that can be taken: a tail needs enough rows, the best F1 a label."""
    found = {}
    for name, way in WAYS.items():
        try:
            limit = np.maximum(way(trial), _LEAST)
        except InvalidArgument:
            continue
        scores = trial.test / limit
        normal = trial.labels == 0
        events = event_metrics(trial.labels, find_events(scores), period_seconds=trial.period_seconds)
        found[name] = LimitFigures(
            events=events,
            limits=(float(np.mean(limit)),),
            normal=int(np.count_nonzero(normal)),
            above=int(np.count_nonzero(scores[normal] > 1)),
            worst=events.false_alarms_per_day,
        )
    return found
