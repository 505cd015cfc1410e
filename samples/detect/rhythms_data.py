"""Series with the rhythm of a shop: two peaks a day, weekends halved, and eight anomalies of four kinds.

One channel, once an hour for 112 days of training and 112 of testing, or every five minutes for 28 and 28, with or
without a trend. The noise is an AR(1) of coefficient 0.7 whose standard deviation is 5 % of the value, or of the mean
over the week, which makes quiet nights relatively noisy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Kind = Literal["wrong weekday", "three hours at 0.3", "two hours at 2.2", "flat day"]
KINDS: tuple[Kind, ...] = ("wrong weekday", "three hours at 0.3", "two hours at 2.2", "flat day")
EACH = 2
DAY = 86_400
#: A Monday.
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
_REMEMBERED, _NOISE, _WEEKEND = 0.7, 0.05, 0.5
_LEVEL = 100.0


@dataclass(frozen=True)
class Setting:
    """One of the suite's four: seconds between rows, days of training and as many of testing, growth over all days."""

    name: str
    period: int
    days: int
    trend: float

    @property
    def rows_a_day(self) -> int:
        return DAY // self.period


SETTINGS = (
    Setting("hourly", 3600, 112, 0.0),
    Setting("hourly, trend", 3600, 112, 0.3),
    Setting("five minutes", 300, 28, 0.0),
    Setting("five minutes, trend", 300, 28, 0.3),
)


@dataclass(frozen=True)
class Anomaly:
    """Rows `start` up to, not including, `end` of the test."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True)
class Rhythm:
    """Train and test float64 [time]; their times, ns since 1970 UTC; what is wrong in the test."""

    setting: Setting
    train: Floats
    test: Floats
    train_time: Ints
    test_time: Ints
    anomalies: tuple[Anomaly, ...]

    @property
    def labels(self) -> Ints:
        """Of the test rows, 0 or 1."""
        found = np.zeros(len(self.test), np.int64)
        for one in self.anomalies:
            found[one.start : one.end] = 1
        return found


def usual(seconds: Floats) -> Floats:
    """What is usual so many seconds after a Monday's midnight, without noise and trend: two peaks, weekends halved."""
    hour = seconds % DAY / 3600
    shape = 0.4 + np.exp(-((hour - 9.5) ** 2) / 8) + 0.8 * np.exp(-((hour - 18.5) ** 2) / 6)
    weekend = seconds // DAY % 7 >= 5
    return _LEVEL * shape * np.where(weekend, _WEEKEND, 1.0)


def make(setting: Setting, seed: int, noise: Literal["of value", "of mean"] = "of value") -> Rhythm:
    """The series of one setting and seed."""
    rng = np.random.default_rng([seed, setting.period, round(100 * setting.trend)])
    rows = 2 * setting.days * setting.rows_a_day
    seconds = np.arange(rows, dtype=np.float64) * setting.period
    grown = 1 + setting.trend * np.arange(rows) / rows
    clean = usual(seconds) * grown
    anomalies = []
    half = rows // 2
    for kind, day in zip(np.repeat(KINDS, EACH).tolist(), _days(rng, setting.days), strict=True):
        start, end = _place(rng, kind, half + day * setting.rows_a_day, setting)
        part = slice(start, end)
        if kind == "wrong weekday":
            shift = (
                5 * DAY if seconds[start] // DAY % 7 < 5 else 2 * DAY
            )  # Monday to Friday as a weekend, or the reverse
            weekday = seconds[start] // DAY % 7
            shift = (5 - weekday if weekday < 5 else 9 - weekday) * DAY
            clean[part] = usual(seconds[part] + shift) * grown[part]
        elif kind == "flat day":
            clean[part] = clean[part].mean()
        else:
            clean[part] *= 0.3 if kind == "three hours at 0.3" else 2.2
        anomalies.append(Anomaly(start - half, end - half, kind))
    size = clean if noise == "of value" else np.full(rows, float(np.mean(usual(np.arange(0, 7 * DAY, 300.0)))))
    values = clean + _NOISE * size * _remembering(rng, rows)
    for one in anomalies:
        if one.kind == "flat day":
            values[half + one.start : half + one.end] = clean[half + one.start]
    time = (START + np.arange(rows, dtype=np.int64) * setting.period) * 10**9
    anomalies.sort(key=lambda one: one.start)
    return Rhythm(setting, values[:half], values[half:], time[:half], time[half:], tuple(anomalies))


def suite(seeds: int = 8) -> Iterator[Rhythm]:
    """All settings, each with so many seeds."""
    for setting in SETTINGS:
        for seed in range(seeds):
            yield make(setting, seed)


def _days(rng: np.random.Generator, days: int) -> list[int]:
    """Days for the anomalies, none beside another."""
    count = EACH * len(KINDS)
    chosen = np.sort(rng.choice(days - count, count, replace=False)) + np.arange(count)
    return rng.permutation(chosen).tolist()


def _place(rng: np.random.Generator, kind: Kind, first: int, setting: Setting) -> tuple[int, int]:
    """(Start, end) of an anomaly of this kind on the day that begins at row `first`."""
    if kind in ("wrong weekday", "flat day"):
        return first, first + setting.rows_a_day
    hours = 3 if kind == "three hours at 0.3" else 2
    start = first + int(rng.integers(0, 24 - hours + 1)) * 3600 // setting.period
    return start, start + hours * 3600 // setting.period


def _remembering(rng: np.random.Generator, rows: int) -> Floats:
    """AR(1) noise [rows] of unit variance."""
    pushes = rng.normal(size=rows) * np.sqrt(1 - _REMEMBERED**2)
    found = np.empty(rows)
    before = rng.normal()
    for row in range(rows):
        before = _REMEMBERED * before + pushes[row]
        found[row] = before
    return found
