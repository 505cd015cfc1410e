"""Times, durations and lists in words."""

from __future__ import annotations

import itertools
from collections.abc import Collection

__all__ = ["NANOSECONDS", "format_duration", "format_time", "is_elapsed", "iso_time", "listed"]

NANOSECONDS = 1_000_000_000
#: Times that lie within three years of 1970 were counted from some start, not read from a clock.
_ELAPSED = 100_000_000 * NANOSECONDS
_DURATIONS = (
    *((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s")),
    *((1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
)


def iso_time(time: int, decimals: int | None = None) -> str:
    """ISO 8601 text in UTC of ns since 1970, with as many decimals as it has, or 0..9 `decimals`, rounded down."""
    import numpy as np  # only here: commands take words from this file before they need NumPy

    whole, _, fraction = str(np.datetime64(time, "ns")).partition(".")
    fraction = fraction.rstrip("0") if decimals is None else fraction[:decimals]
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def is_elapsed(time: int) -> bool:
    """Whether a time in ns was counted from a start of its own."""
    return abs(time) < _ELAPSED


def format_time(time: int, timezone: str | None) -> str:
    """For a person: `2024-01-31 23:59:59 UTC`, without the zone where the data has none; `12.5 s` of a counted time."""
    if is_elapsed(time):
        return f"{time / NANOSECONDS:g} s"
    return iso_time(time).removesuffix("Z").replace("T", " ") + ("" if timezone is None else " UTC")


def format_duration(seconds: float, digits: int = 3, finest: str = "ms") -> str:
    """For a person: `450 ms`, `42 s`, `7.5 min`, `3.2 h`, `4 days`; `finest` is the smallest unit, down to `ns`."""
    for unit, name in _DURATIONS:
        if name == finest or seconds >= (2 * unit if unit > 1 else unit):
            return f"{seconds / unit:.{digits}g} {name}"
    raise ValueError(f"{finest!r} is no unit of time")


def listed(names: Collection[str], shown: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(itertools.islice(names, shown)) + more
