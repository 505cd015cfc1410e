"""Rows with a period and no clock, drawn small, and a detector of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from aez.codec.series.core import Series
from aez.export.series.train import DetectorConfig, Fitted, fit_detector

Floats = npt.NDArray[np.float64]
#: Rows of the period.
BINS = 48


def cycling(rows: int, begin: float = 0.0, seed: int = 0, noise: float = 0.05, late: float = 0.0) -> Series:
    """Rows of one channel from a phase on, 0..1: a wave and a knock in each period, which is longer by a share."""
    phase = (begin + np.arange(rows) / (BINS * (1 + late))) % 1
    value = np.sin(2 * np.pi * phase) + 2 * np.exp(-(((phase - 0.3) / 0.04) ** 2) / 2)
    drawn = np.random.default_rng([seed, rows]).normal(size=rows)
    return Series((value + noise * drawn)[:, None], ("force",), None, None, "press")


def fitted_cycle(folder: Path, periods: int = 60) -> Fitted:
    """A detector that was made from so many periods."""
    return fit_detector([cycling(periods * BINS)], DetectorConfig(), folder)


def without_knock(series: Series, first: int) -> Series:
    """The series, of which a period from a row on repeats one value."""
    values: Floats = series.values.astype(np.float64)
    values[first : first + BINS] = values[first]
    return Series(values, series.channels, series.time, series.timezone, series.name)
