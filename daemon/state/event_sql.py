"""The statements that keep events, in the SQL that SQLite and PostgreSQL share.

Parameters are `:name` and `?`, as SQLite writes them. Times are ns since 1970 UTC. A step of an event changes its row
only when its sequence is above the row's, so that a step that comes again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aez.codec.common.plain import plain
from aez.daemon.common.records import CLOSING, EventRecord, storable

__all__ = [
    "EVENT_COLUMNS",
    "EVENT_TABLES",
    "SEVERITIES",
    "UPSERT_EVENT",
    "event_values",
    "is_closing",
    "storable",
    "stored_record",
]

_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
SEVERITIES = ("warning", "serious", "critical")

#: Creates what is missing of the tables; `{number}` is the type of a key that counts up by itself.
EVENT_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, stream TEXT NOT NULL, model TEXT NOT NULL, sequence BIGINT NOT NULL, action TEXT NOT NULL,
    state TEXT NOT NULL, severity TEXT NOT NULL, start BIGINT NOT NULL, "end" BIGINT, time BIGINT NOT NULL,
    stored BIGINT NOT NULL, event TEXT NOT NULL, acknowledged BIGINT, acknowledged_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS events_by_start ON events (start, id);
CREATE INDEX IF NOT EXISTS events_by_stream ON events (stream, start, id);
CREATE INDEX IF NOT EXISTS events_by_state ON events (state, stored);
CREATE TABLE IF NOT EXISTS comments (
    number {number}, event TEXT NOT NULL, time BIGINT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS comments_by_event ON comments (event, number);
"""
EVENT_COLUMNS = (
    'id, stream, model, sequence, action, state, severity, start, "end", time, stored, event, acknowledged, '
    "acknowledged_by"
)
#: Takes what `event_values` gives; touches one row where the step is new, and none otherwise.
UPSERT_EVENT = """
INSERT INTO events (id, stream, model, sequence, action, state, severity, start, "end", time, stored, event)
VALUES (:id, :stream, :model, :sequence, :action, :state, :severity, :start, :end, :time, :stored, :event)
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, action = excluded.action, state = excluded.state,
    severity = excluded.severity, "end" = excluded."end", time = excluded.time, stored = excluded.stored,
    event = excluded.event, start = CASE WHEN excluded.start < events.start THEN excluded.start ELSE events.start END
WHERE excluded.sequence > events.sequence
"""


def is_closing(action: str) -> bool:
    """Whether an event is closed by such a step."""
    return action in CLOSING


def stored_record(row: tuple[Any, ...]) -> EventRecord:
    """The last record of an event, of its `EVENT_COLUMNS`."""
    id_, stream, model, sequence, action, _, _, _, _, time, _, event, *_ = row
    return EventRecord(id_, sequence, action, stream, model, time, json.loads(event))


def event_values(record: EventRecord, moment: int) -> dict[str, Any]:
    """A record's columns; `moment` is when it is stored."""
    event, text = _as_json(record.event)
    closing = is_closing(record.action)
    start, end = event.get("start_time"), event.get("end_time")
    severity = event.get("severity")
    return {
        "id": storable(record.id),
        "stream": storable(record.stream),
        "model": storable(record.model),
        "sequence": int(record.sequence),
        "action": record.action,
        "state": "closed" if closing else "open",
        "severity": severity if severity in SEVERITIES else SEVERITIES[0],
        "start": start if isinstance(start, int) else int(record.time),
        "end": (end if isinstance(end, int) else int(record.time)) if closing else None,
        "time": int(record.time),
        "stored": moment,
        "event": text,
    }


def _as_json(event: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What an event tells as plain data, and as JSON."""
    try:
        return event, _JSON.encode(event)  # nearly all of them are plain
    except (TypeError, ValueError):
        event = plain(event)
        return event, _JSON.encode(event)
