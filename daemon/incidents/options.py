"""`[alarms]`: how many messages people get."""

from __future__ import annotations

from dataclasses import dataclass, field

from aez.daemon.common.options import Options, about

__all__ = ["Alarms"]


@dataclass(frozen=True, kw_only=True)
class Alarms(Options):
    """What holds messages back; what they are of is recorded all the same."""

    group_streams: int = field(
        default=10,
        metadata=about(
            "events of more streams with one cause are one incident; 0 for never", low=0, high=10_000_000, live=True
        ),
    )
    group_seconds: float = field(
        default=60.0, metadata=about("they begin within so long, by the data's time", low=0.001, high=86_400, live=True)
    )
    events_per_day: int = field(
        default=100,
        metadata=about(
            "events of a stream that are sent on one day, by the data's time and in UTC; 0 for no bound",
            low=0,
            high=1_000_000_000,
            live=True,
        ),
    )
