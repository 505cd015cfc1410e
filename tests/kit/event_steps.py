"""Records of events for tests of the store and the sinks."""

from __future__ import annotations

from typing import Any

from aez.daemon.common.records import EventRecord

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def step(
    name: str = "a",
    sequence: int = 0,
    action: str | None = None,
    *,
    stream: str = "pump",
    time: int = START,
    **event: Any,
) -> EventRecord:
    """A step of an event: the first opens it, the others update it unless told otherwise."""
    details = {
        "id": name,
        "stream": stream,
        "start_time": START,
        "end_time": time,
        "peak": 3.25,
        "severity": "serious",
        "channels": [{"name": "temperature", "share": 0.75}, {"name": "pressure", "share": 0.25}],
        "ongoing": action != "close",
    }
    if action is None:
        action = "update" if sequence else "open"
    return EventRecord(name, sequence, action, stream, "model-1", time, details | event)


def steps(count: int, prefix: str = "e") -> list[EventRecord]:
    """The first steps of so many events, a second apart."""
    return [
        step(f"{prefix}{number:05d}", time=START + number * SECOND, start_time=START + number * SECOND)
        for number in range(count)
    ]
