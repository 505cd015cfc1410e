"""What a bundle says of its seasons, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.calendar import KINDS, Calendar, Season, days_of
from aez.codec.detect.manifest_values import positive, whole, wrong
from aez.codec.detect.seasons import SEASON_CENTRE, SEASON_WIDTH, Seasons
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.series.zones import check_zone

__all__ = ["season_values"]

_BINS_MAX, _ROWS_MAX = 4096, 1 << 40


def season_values(bundle: Bundle, channels: int) -> Seasons | None:
    """The seasons that a model's graph takes the phase of; None where it takes none. Raises ModelError."""
    about = bundle.coding.get("seasons")
    if about is None:
        return None
    if not isinstance(about, dict) or not isinstance(about.get("seasons"), list) or not about["seasons"]:
        raise wrong("seasons", about, "an object with seasons")
    seasons = tuple(_season(one) for one in about["seasons"])
    centre, width = bundle.array(SEASON_CENTRE), bundle.array(SEASON_WIDTH)
    ends = np.cumsum([1 + one.bins for one in seasons])
    for name, array, rows in ((SEASON_CENTRE, centre, ends[-1]), (SEASON_WIDTH, width, ends[0])):
        if array.dtype != np.float32 or array.shape != (rows, channels) or not np.isfinite(array).all():
            raise ModelError(f"{name} of model {bundle.name} is no finite float32 [{rows}, {channels}]")
    if not (width > 0).all():
        raise ModelError(f"a width in the seasons of model {bundle.name} is not above 0")
    try:
        holidays = days_of([str(one) for one in about.get("holidays", ())])
        timezone = str(about.get("timezone", "UTC"))
        check_zone(timezone)
    except (InvalidArgument, TypeError) as error:
        raise ModelError(f"the seasons of model {bundle.name}: {error}") from error
    return Seasons(
        Calendar(seasons, timezone, holidays),
        tuple(np.split(centre, ends[:-1])),
        width,
        _flags(about, "multiplies", channels),
        _flags(about, "follows", channels),
        whole(about, "memory_rows", _ROWS_MAX),
        max(1, round(positive(about, "block_seconds") * 1e9)),
        _streams(about, channels),
    )


def _season(one: Any) -> Season:
    if not isinstance(one, dict) or one.get("kind") not in KINDS:
        raise wrong("seasons", one, f"a season of a kind of {', '.join(KINDS)}")
    bins = whole(one, "bins", _BINS_MAX)
    if one["kind"] == "week" and bins % 7:
        raise wrong("bins", bins, "a multiple of 7")
    return Season(one["kind"], bins)


def _flags(about: dict[str, Any], name: str, count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    value = about.get(name)
    if not isinstance(value, list) or len(value) != count or not all(isinstance(one, bool) for one in value):
        raise wrong(name, value, f"a list of {count} flags")
    return np.array(value, bool)


def _streams(about: dict[str, Any], count: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    value = about.get("streams", {})
    try:
        found = {str(name): [float(one) for one in level] for name, level in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise wrong("streams", value, "levels by the name of a stream") from error
    if not all(len(level) == count and all(map(math.isfinite, level)) for level in found.values()):
        raise wrong("streams", value, f"{count} levels of each stream")
    return {name: np.array(level, np.float32) for name, level in found.items()}
