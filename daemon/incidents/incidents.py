"""Events of many streams with one cause, told as one: how many there are, and some of their names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from aez.daemon.common.records import EventRecord, storable
from aez.daemon.state.event_sql import SEVERITIES

__all__ = ["STREAM", "Incidents", "cause_of"]

#: Stands for the many streams of an incident.
STREAM = "*"
_EXAMPLES = 10


def cause_of(record: EventRecord) -> str:
    """What an event that opens has in common with others, as text: but for silence model and first channel, too."""
    if record.action not in ("open", "missing", "stuck"):
        return json.dumps([record.action])
    channels = record.event.get("channels") or [{}]
    return json.dumps([record.action, record.model, channels[0].get("name", "")])


@dataclass
class _Incident:
    """One of them. count: events in all; open: of these; told: how many there were in its last record."""

    id: str
    cause: str
    model: str
    first: int
    last: int
    count: int = 0
    open: int = 0
    told: int = 0
    sequence: int = -1
    severity: str = SEVERITIES[0]
    examples: list[str] = field(default_factory=list)
    ended: int = 0

    def record(self, action: str) -> EventRecord:
        """Its next record."""
        self.sequence, self.told = self.sequence + 1, self.count
        kind, *details = json.loads(self.cause)
        event = {
            "id": self.id,
            "kind": "incident",
            "stream": STREAM,
            "cause": {"open": "anomaly"}.get(kind, kind),
            "channels": [{"name": details[1], "share": 1.0}] if len(details) > 1 and details[1] else [],
            "count": self.count,
            "open": self.open,
            "examples": self.examples,
            "start_time": self.first,
            "end_time": self.ended if action == "close" else None,
            "ongoing": action != "close",
            "severity": self.severity,
        }
        time = self.ended if action == "close" else self.last
        return EventRecord(self.id, self.sequence, action, STREAM, self.model, time, event)


class Incidents:
    """Those that one transaction touches. within: ns from one event to the next of the same incident."""

    def __init__(self, connection: Any, within: int) -> None:
        self._connection, self._within = connection, within
        self._touched: dict[str, _Incident] = {}

    def of(self, cause: str, time: int) -> str | None:
        """The incident that an event of this cause belongs to; None where there is none."""
        for one in self._touched.values():
            if one.cause == cause and abs(time - one.last) <= self._within:
                return one.id
        row = self._connection.execute(
            "SELECT id FROM incidents WHERE cause = ? AND last BETWEEN ? AND ? ORDER BY last DESC LIMIT 1",
            (storable(cause), time - self._within, time + self._within),
        ).fetchone()
        return None if row is None or row[0] in self._touched else str(row[0])

    def begin(self, cause: str, record: EventRecord) -> str:
        """A new incident, of which this event is the first."""
        named = json.dumps(["incident", cause, record.id])
        found = hashlib.sha256(named.encode("utf-8", "backslashreplace")).hexdigest()[:32]
        self._touched[found] = _Incident(found, cause, record.model, record.time, record.time)
        return found

    def join(self, incident: str, record: EventRecord) -> bool:
        """An event belongs to it from now on; False where it is over."""
        one = self._load(incident)
        if one is None:
            return False
        one.last = max(one.last, record.time)
        one.count, one.open = one.count + 1, one.open + 1
        severity = str(record.event.get("severity"))
        if severity in SEVERITIES:
            one.severity = max(one.severity, severity, key=SEVERITIES.index)
        if len(one.examples) < _EXAMPLES and record.stream not in one.examples:
            one.examples.append(record.stream)
        return True

    def leave(self, incident: str, record: EventRecord) -> None:
        """An event of it closed."""
        one = self._load(incident)
        if one is not None:
            one.open, one.ended = max(0, one.open - 1), max(one.ended, record.time)

    def records(self) -> list[EventRecord]:
        """What is to be told of those that were touched; and they are written back."""
        found = []
        for one in self._touched.values():
            if one.sequence < 0:
                found.append(one.record("open"))
            elif one.count >= 2 * one.told:
                found.append(one.record("update"))
            if one.open == 0:
                found.append(one.record("close"))
                self._connection.execute("DELETE FROM incidents WHERE id = ?", (one.id,))
                continue
            self._connection.execute(
                "INSERT OR REPLACE INTO incidents (id, cause, last, open, record) VALUES (?, ?, ?, ?, ?)",
                (one.id, storable(one.cause), one.last, one.open, json.dumps(vars(one))),
            )
        self._touched.clear()
        return found

    def _load(self, incident: str) -> _Incident | None:
        if incident not in self._touched:
            row = self._connection.execute("SELECT record FROM incidents WHERE id = ?", (incident,)).fetchone()
            if row is None:
                return None
            self._touched[incident] = _Incident(**json.loads(row[0]))
        return self._touched[incident]
