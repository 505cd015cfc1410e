"""What a bundle says of its seasons, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.manifest_values import positive, whole, wrong
from aez.codec.detect.rhythm.calendar import KINDS, Calendar, Season, days_of
from aez.codec.detect.rhythm.seasons import SEASON_CENTRE, SEASON_WIDTH, KnownLevel, Seasons
from aez.codec.errors import InvalidArgument, ModelError
from aez.codec.series.zones import check_zone

__all__ = ["read_seasons", "season_values"]

Float = NDArray[np.float32]

_BINS_MAX, _ROWS_MAX = 4096, 1 << 40


def season_values(bundle: Bundle, channels: int) -> Seasons | None:
    """The seasons that a model's graph takes the phase of; None where it takes none. Raises ModelError."""
    about = bundle.coding.get("seasons")
    if about is None:
        return None
    return read_seasons(about, bundle.array(SEASON_CENTRE), bundle.array(SEASON_WIDTH), channels, bundle.name)


def read_seasons(about: Any, centre: Float, width: Float, channels: int, name: str) -> Seasons:
    """The seasons that a manifest's value tells of, with their tables; `name` is the model's. Raises ModelError."""
    if not isinstance(about, dict) or not isinstance(about.get("seasons"), list) or not about["seasons"]:
        raise wrong("seasons", about, "an object with seasons")
    seasons = tuple(_season(one) for one in about["seasons"])
    ends = np.cumsum([1 + one.bins for one in seasons])
    for table, array, rows in ((SEASON_CENTRE, centre, ends[-1]), (SEASON_WIDTH, width, ends[0])):
        if array.dtype != np.float32 or array.shape != (rows, channels) or not np.isfinite(array).all():
            raise ModelError(f"{table} of model {name} is no finite float32 [{rows}, {channels}]")
    if not (width > 0).all():
        raise ModelError(f"a width in the seasons of model {name} is not above 0")
    try:
        holidays = days_of([str(one) for one in about.get("holidays", ())])
        timezone = str(about.get("timezone", "UTC"))
        check_zone(timezone)
    except (InvalidArgument, TypeError) as error:
        raise ModelError(f"the seasons of model {name}: {error}") from error
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


def _flags(about: dict[str, Any], name: str, count: int) -> NDArray[np.bool_]:
    value = about.get(name)
    if not isinstance(value, list) or len(value) != count or not all(isinstance(one, bool) for one in value):
        raise wrong(name, value, f"a list of {count} flags")
    return np.array(value, bool)


def _streams(about: dict[str, Any], count: int) -> dict[str, KnownLevel]:
    value = about.get("streams", {})
    try:
        found = {
            str(name): KnownLevel(
                (int(one["times"][0]), int(one["times"][1])),
                (np.array(one["levels"][0], np.float32), np.array(one["levels"][1], np.float32)),
            )
            for name, one in value.items()
        }
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise wrong("streams", value, "times and levels by the name of a stream") from error
    for known in found.values():
        if not all(level.shape == (count,) and np.isfinite(level).all() for level in known.levels):
            raise wrong("streams", value, f"{count} levels of each stream")
    return found
