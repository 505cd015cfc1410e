"""What a model takes beside the windows of its streams: their scale, phases and a trailing level, or nothing."""

from __future__ import annotations

from typing import Any

from aez.daemon.engine.beside.cycle_levels import CycleLevels
from aez.daemon.engine.beside.scaled_levels import ScaledLevels
from aez.daemon.engine.beside.scales import Scales
from aez.daemon.engine.beside.season_levels import SeasonLevels

__all__ = ["BesideTable", "beside_table"]

BesideTable = Scales | SeasonLevels | ScaledLevels


def beside_table(detector: Any, period: int | None, warm_up: int) -> BesideTable | None:
    """The table of it for a model; None where that takes windows alone. `period`: ns between rows, None: no clock."""
    scales = getattr(detector, "scales", None)
    table = None if scales is None else Scales(scales, warm_up)
    if (seasons := getattr(detector, "seasons", None)) is None:
        return table
    usual = round((detector.period or 0) * 1e9)
    levels = (
        CycleLevels(seasons, detector.window)
        if seasons.cycle
        else SeasonLevels(seasons, detector.window, period or usual)
    )
    return levels if table is None else ScaledLevels(table, levels)
