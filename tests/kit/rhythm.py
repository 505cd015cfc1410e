"""Hourly rows with days and weeks, drawn small, and a detector of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aez.codec.series.core import Series
from aez.export.series.train import DetectorConfig, Fitted, fit_detector

HOUR = 3600 * 10**9
#: A Monday.
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 10**9


def rhythmic(
    days: int, first: int = 0, seed: int = 0, trend: float = 0.0, channels: int = 1, noise: float = 3.0
) -> Series:
    """Rows of `days` days from day `first` on: a peak at noon, half on weekends, in each of the channels."""
    hours = np.arange(days * 24, dtype=np.int64) + 24 * first
    load = (20 + 80 * np.exp(-((hours % 24 - 12.0) ** 2) / 18)) * np.where(hours // 24 % 7 >= 5, 0.5, 1.0)
    load = load * (1 + trend * hours / 2400)
    drawn = np.random.default_rng([seed, first]).normal(size=(len(hours), channels))
    names = tuple(f"load{number}" for number in range(channels))
    return Series(load[:, None] + noise * drawn, names, START + hours * HOUR, "UTC", "shop")


def fitted_rhythm(folder: Path, days: int = 42) -> Fitted:
    """A detector of two channels that was made from so many days."""
    return fit_detector([rhythmic(days, channels=2)], DetectorConfig(), folder)


def as_saturday(series: Series, day: int) -> Series:
    """The series, of whose days from its first on one, a Monday to Friday, is as a Saturday."""
    values: npt.NDArray[np.float64] = series.values.copy()
    values[24 * day : 24 * day + 24] /= 2
    return Series(values, series.channels, series.time, series.timezone, series.name)
