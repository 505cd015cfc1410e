"""How good a detector is at its limit: rows and events, found, missed and raised for nothing.

Labels are 0 or 1 by row. A measure that is not defined, as a precision without alarms, is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from aez.codec.detect.events import Event
from aez.codec.errors import InvalidArgument

__all__ = [
    "Causes",
    "EventMetrics",
    "PointMetrics",
    "event_metrics",
    "label_events",
    "paired",
    "point_metrics",
    "ratio",
]

Flags = npt.NDArray[np.bool_]
#: (start row, end row exclusive, numbers of the channels behind the anomaly, from 0)
Causes = Sequence[tuple[int, int, Sequence[int]]]

_DAY = 86400.0


def label_events(labels: npt.ArrayLike) -> list[tuple[int, int]]:
    """The runs of labelled rows, (start, end exclusive)."""
    marks = np.asarray(labels).astype(bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class PointMetrics:
    """Rows counted by label and flag, pooled over series; rates are 0..1."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        return ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def false_alarm_rate(self) -> float:
        """FAR: the share of the unlabelled rows that are flagged."""
        return ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def missed_alarm_rate(self) -> float:
        """MAR: the share of the labelled rows that are not flagged."""
        return ratio(self.false_negatives, self.true_positives + self.false_negatives)


def point_metrics(series: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> PointMetrics:
    """Counts over (labels [time], flags [time]) of each series; raises InvalidArgument when their lengths differ."""
    counts = np.zeros(4, np.int64)
    for labels, flags in series:
        marks, alarms = paired(labels, flags)
        counts += np.bincount(2 * marks + alarms, minlength=4)
    true_negatives, false_positives, false_negatives, true_positives = (int(count) for count in counts)
    return PointMetrics(true_positives, false_positives, true_negatives, false_negatives)


@dataclass(frozen=True)
class EventMetrics:
    """Events counted, of one series or (added with `+`) of several.

    labelled: events in the labels; found: those that an alarm overlaps.
    alarms: events that the detector raised; false_alarms: those that overlap no labelled one.
    days: time covered; None where a series has no period.
    delays: for each event found, rows from its start until its alarm was raised, 0 when one was standing; in seconds
        in `delays_seconds`, for series with a period.
    explainable: events found whose causes are labelled; explained: those where the alarm's first channel is one.
    """

    labelled: int
    found: int
    alarms: int
    false_alarms: int
    days: float | None
    delays: tuple[int, ...]
    delays_seconds: tuple[float, ...]
    explainable: int
    explained: int

    @property
    def precision(self) -> float:
        return ratio(self.alarms - self.false_alarms, self.alarms)

    @property
    def recall(self) -> float:
        return ratio(self.found, self.labelled)

    @property
    def false_alarms_per_day(self) -> float:
        return math.nan if not self.days else self.false_alarms / self.days

    @property
    def median_delay(self) -> float:
        """In rows."""
        return median(self.delays) if self.delays else math.nan

    @property
    def median_delay_seconds(self) -> float:
        return median(self.delays_seconds) if self.delays_seconds else math.nan

    @property
    def top_channel_share(self) -> float:
        """The share of the explainable events whose first channel is a labelled cause."""
        return ratio(self.explained, self.explainable)

    def __add__(self, other: EventMetrics) -> EventMetrics:
        return EventMetrics(
            self.labelled + other.labelled,
            self.found + other.found,
            self.alarms + other.alarms,
            self.false_alarms + other.false_alarms,
            None if self.days is None or other.days is None else self.days + other.days,
            self.delays + other.delays,
            self.delays_seconds + other.delays_seconds,
            self.explainable + other.explainable,
            self.explained + other.explained,
        )


def event_metrics(
    labels: npt.ArrayLike,
    events: Sequence[Event],
    *,
    period_seconds: float | None = None,
    causes: Causes | None = None,
    channels: Sequence[str] = (),
    tolerance: int = 0,
) -> EventMetrics:
    """Compare a detector's events with the labelled ones; two belong together when they share a row.

    Args:
        labels: [time], 0 or 1; each run of labelled rows is one event.
        events: the detector's, of the same rows.
        period_seconds: time between rows, for alarms per day and delays in seconds.
        causes: the channels behind labelled events; one belongs to each labelled event that it overlaps.
        channels: the names of the channels by number, as they stand in `events`.
        tolerance: so many rows after a labelled event an alarm still belongs to it (where scores look back over a
            window, they stay high for that long).

    Several alarms within one labelled event are all true ones; the first counts for delay and cause.
    Raises InvalidArgument for a period that is not positive and for causes without the channels' names.
    """
    marks = np.asarray(labels)
    if period_seconds is not None and not period_seconds > 0:
        raise InvalidArgument(f"a period is a positive number of seconds, not {period_seconds}")
    if causes and not channels:
        raise InvalidArgument("labelled causes are channel numbers, and the channels' names are missing")
    alarms = sorted(events, key=lambda event: event.start)
    runs = label_events(marks)
    true_alarms: set[int] = set()
    delays: list[int] = []
    explainable = explained = 0
    for start, end in runs:
        matching = [at for at, alarm in enumerate(alarms) if alarm.start < end + tolerance and alarm.end > start]
        if not matching:
            continue
        true_alarms.update(matching)
        first = alarms[matching[0]]
        delays.append(max(0, first.opened - start))
        blamed = {channels[number] for low, high, by in causes or () if low < end and high > start for number in by}
        if blamed and first.channels:
            explainable += 1
            explained += first.channels[0][0] in blamed
    return EventMetrics(
        labelled=len(runs),
        found=len(delays),
        alarms=len(alarms),
        false_alarms=len(alarms) - len(true_alarms),
        days=None if period_seconds is None else marks.size * period_seconds / _DAY,
        delays=tuple(delays),
        delays_seconds=() if period_seconds is None else tuple(delay * period_seconds for delay in delays),
        explainable=explainable,
        explained=explained,
    )


def paired(labels: npt.ArrayLike, flags: npt.ArrayLike) -> tuple[Flags, Flags]:
    """Both as booleans [time]; raises InvalidArgument when their lengths differ."""
    marks, alarms = np.asarray(labels).astype(bool), np.asarray(flags).astype(bool)
    if marks.ndim != 1 or marks.shape != alarms.shape:
        raise InvalidArgument(f"labels {marks.shape} and flags {alarms.shape} must be two rows of one length")
    return marks, alarms


def ratio(part: float, whole: float) -> float:
    """part / whole, NaN of nothing."""
    return part / whole if whole else math.nan
