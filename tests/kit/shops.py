"""Shops of different sizes with one rhythm, and a detector for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aez.codec.series.core import Series
from aez.export.series.train import DetectorConfig, Fitted, fit_detector
from tests.kit.rhythm import rhythmic

SIZES = {"small": 1.0, "middle": 5.0, "large": 40.0}


def shop(name: str, days: int, first: int = 0, size: float | None = None) -> Series:
    """Hourly rows of a shop, by default one of `SIZES`."""
    usual = rhythmic(days, first=first, seed=len(name))
    return replace(usual, values=usual.values * (SIZES[name] if size is None else size) + 7, name=name)


def fitted_shops(folder: Path) -> Fitted:
    """A detector with a scale for each shop."""
    return fit_detector([shop(name, 42) for name in SIZES], DetectorConfig(per_stream_scale=True), folder)
