"""What detectors found, in words: times, durations, one verdict, a table of events for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.words import format_duration, format_time
from aez.codec.detect.events import Event
from aez.codec.detect.score_series import blamed, duration_of

if TYPE_CHECKING:
    from aez.codec.detect.score_series import ScoredSeries

__all__ = ["KINDS", "event_lines"]

#: What a result says of its scores, by their kind.
KINDS = {
    "causal": "causal: a row has the score of the window that ends there, as in a monitor",
    "covering": "covering: a row has the mean over the windows that cover it, and looks ahead; --causal does not",
}


def event_lines(scored: ScoredSeries, shown: int = 50) -> list[str]:
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


def event_cells(event: Event, scored: ScoredSeries) -> tuple[str, str, str, str, str]:
    """Start, end, duration, peak and severity as texts; rows where there is no clock."""
    if event.start_time is None or event.end_time is None:
        count = event.end - event.start
        start, end, lasts = f"row {event.start}", f"row {event.end - 1}", f"{count} row{'s' if count > 1 else ''}"
    else:
        zone = scored.summary.timezone
        start, end = format_time(event.start_time, zone), format_time(event.end_time, zone)
        lasts = format_duration(duration_of(event, scored.period) or 0.0)
    return start, "still open" if event.ongoing else end, lasts, f"{event.peak:.3g}", event.severity
