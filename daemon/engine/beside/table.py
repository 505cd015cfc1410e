"""What a model takes beside the windows of its streams: their scale, or phases and a trailing level, or nothing."""

from __future__ import annotations

from typing import Any

from aez.daemon.engine.beside.scales import Scales
from aez.daemon.engine.beside.season_levels import SeasonLevels

__all__ = ["BesideTable", "beside_table"]

BesideTable = Scales | SeasonLevels


def beside_table(detector: Any, period: int | None, warm_up: int) -> BesideTable | None:
    """The table of it for a model; None where that takes windows alone. `period`: ns between rows, None: no clock."""
    if (seasons := getattr(detector, "seasons", None)) is not None:
        usual = round((detector.period or 0) * 1e9)
        return SeasonLevels(seasons, detector.window, period or usual)
    scales = getattr(detector, "scales", None)
    return None if scales is None else Scales(scales, warm_up)
