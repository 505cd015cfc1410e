"""What detectors found, in words: times, durations, one verdict, a table of events for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aez.codec.events import Event

if TYPE_CHECKING:
    from aez.codec.score_series import Scored

__all__ = [
    "duration_of",
    "event_lines",
    "format_duration",
    "format_time",
    "is_elapsed",
    "iso_time",
    "listed",
    "verdict",
]

NANOSECONDS = 1_000_000_000
#: Times that lie within three years of 1970 were counted from some start, not read from a clock.
_ELAPSED = 100_000_000 * NANOSECONDS
_CHANNELS_SHOWN = 3
#: Channels to blame for less are not named.
LEAST_SHARE = 0.01


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


def duration_of(event: Event, period: float | None) -> float | None:
    """Seconds from the event's first row to the end of its last one; None without a clock."""
    if event.start_time is None or event.end_time is None:
        return None
    return (event.end_time - event.start_time) / NANOSECONDS + (period or 0.0)


def listed(names: Sequence[str], shown: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def blamed(event: Event, shown: int = _CHANNELS_SHOWN) -> str:
    """The channels that caused an event most, with their shares; the first, and those of one percent and more."""
    named = [pair for rank, pair in enumerate(event.channels[:shown]) if rank == 0 or pair[1] >= LEAST_SHARE]
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in named)


def verdict(scored: Scored) -> str:
    """One sentence: whether anything happened, and the worst of it."""
    rows = f"{scored.rows:,} rows"
    if not scored.events:
        if not scored.scored:
            return f"No verdict: none of {rows} could be scored."
        above = f" ({scored.above:,} of them above it, too few in a row for an event)" if scored.above else ""
        return f"Nothing unusual in {rows}: the highest score is {scored.highest:.3g} times the threshold{above}."
    worst = max(scored.events, key=lambda event: event.peak)
    count = len(scored.events)
    what = "One event" if count == 1 else f"{count:,} events"
    which = "it" if count == 1 else "the worst"
    cause = f", mostly in {blamed(worst, 2)}" if worst.channels else ""
    still = "; one is still open at the end" if scored.events[-1].ongoing else ""
    return (
        f"{what} in {rows}: {which} is {worst.severity}, at {worst.peak:.3g} times the threshold, "
        f"{_span(worst, scored)}{cause}{still}."
    )


def _span(event: Event, scored: Scored) -> str:
    if event.start_time is None or event.end_time is None:
        return f"rows {event.start} to {event.end - 1}"
    lasted = duration_of(event, scored.period)
    began = format_time(event.start_time, scored.summary.timezone)
    return f"from {began} for {format_duration(lasted or 0.0)}"


def event_lines(scored: Scored, shown: int = 50) -> list[str]:
    """A table of the events, the `shown` highest in order of time, with aligned columns and a heading."""
    rows = [("#", "start", "end", "lasts", "peak", "severity", "channels")]
    numbered = list(enumerate(scored.events, 1))
    for number, event in sorted(sorted(numbered, key=lambda pair: -pair[1].peak)[:shown]):
        rows.append((str(number), *event_cells(event, scored), blamed(event)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(scored.events) > shown:
        lines.append(f"... the {shown} highest of {len(scored.events):,}; --events writes all")
    return lines


def event_cells(event: Event, scored: Scored) -> tuple[str, str, str, str, str]:
    """Start, end, duration, peak and severity as texts; rows where there is no clock."""
    if event.start_time is None or event.end_time is None:
        count = event.end - event.start
        start, end, lasts = f"row {event.start}", f"row {event.end - 1}", f"{count} row{'s' if count > 1 else ''}"
    else:
        zone = scored.summary.timezone
        start, end = format_time(event.start_time, zone), format_time(event.end_time, zone)
        lasts = format_duration(duration_of(event, scored.period) or 0.0)
    return start, "still open" if event.ongoing else end, lasts, f"{event.peak:.3g}", event.severity
