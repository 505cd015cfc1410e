"""Times, durations and lists in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NANOSECONDS = 1_000_000_000


#: Times that lie within three years of 1970 were counted from some start, not read from a clock.
_ELAPSED = 100_000_000 * NANOSECONDS


def iso_time(time: int) -> str:
    """ISO 8601 text in UTC of ns since 1970, with as many decimals as it has."""
    text = str(np.datetime64(time, "ns"))
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"


def is_elapsed(time: int) -> bool:
    """Whether a time in ns was counted from a start of its own."""
    return abs(time) < _ELAPSED


def format_time(time: int, timezone: str | None) -> str:
    """For a person: `2024-01-31 23:59:59 UTC`, without the zone where the data has none; `12.5 s` of a counted time."""
    if is_elapsed(time):
        return f"{time / NANOSECONDS:g} s"
    return iso_time(time).removesuffix("Z").replace("T", " ") + ("" if timezone is None else " UTC")


def format_duration(seconds: float) -> str:
    """For a person: `450 ms`, `42 s`, `7.5 min`, `3.2 h`, `4 days`."""
    for unit, name in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= (2 * unit if unit > 1 else unit):
            return f"{seconds / unit:.3g} {name}"
    return f"{1000 * seconds:.3g} ms"


def listed(names: Sequence[str], shown: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
