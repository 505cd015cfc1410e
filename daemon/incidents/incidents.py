"""Events with one cause, told as one: those of many streams, and those of one stream's channels that stop together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from aez.daemon.common.records import EventRecord, storable
from aez.daemon.state.event_sql import SEVERITIES

__all__ = ["STOPS", "STREAM", "Incidents", "Some", "cause_of", "cause_within", "moment_of"]

#: Stands for the many streams of an incident.
STREAM = "*"
_EXAMPLES = 10
#: What channels of one stream may do together.
STOPS = ("missing", "stuck")
#: Up to so many channels each one more is told, and beyond when they have doubled.
_EACH_TOLD = 16


def cause_of(record: EventRecord) -> str:
    """What an event that opens has in common with others, as text: but for silence model and first channel, too."""
    if record.action not in ("open", "missing", "stuck"):
        return json.dumps([record.action])
    channels = record.event.get("channels") or [{}]
    return json.dumps([record.action, record.model, channels[0].get("name", "")])


def cause_within(record: EventRecord) -> str:
    """What a channel that stops has in common with others of its stream, as text."""
    return json.dumps([record.action, record.model, "", record.stream])


def moment_of(record: EventRecord) -> int:
    """When what it tells of began, ns: a channel is found to stop later than it does, the first time."""
    start = record.event.get("start_time") if record.action in STOPS and not record.sequence else None
    return start if isinstance(start, int) else record.time


def _names(record: EventRecord) -> list[str]:
    return [str(one.get("name")) for one in record.event.get("channels") or ()]


@dataclass
class _Incident:
    """One of them. count: events in all; open: of these; told: how many there were in its last record.

    first, last: when they began, ns. seen: the time of the last record. stream, channels: of one within a stream.
    """

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
    seen: int = 0
    stream: str = STREAM
    channels: list[str] = field(default_factory=list)

    @property
    def within(self) -> bool:
        """Whether it is of one stream."""
        return self.stream != STREAM

    @property
    def due(self) -> bool:
        """Whether it has grown enough to be told of again."""
        each = self.within and self.count <= _EACH_TOLD
        return self.count > self.told if each else self.count >= 2 * self.told

    def add(self, record: EventRecord) -> None:
        """An event belongs to it from now on, perhaps again."""
        self.last, self.seen, self.open = max(self.last, moment_of(record)), max(self.seen, record.time), self.open + 1
        self.first = min(self.first, moment_of(record))
        names = _names(record)
        new = [name for name in names if name not in self.channels] if self.within else []
        self.count += not self.within or bool(new) or not names
        self.channels += new
        severity = str(record.event.get("severity"))
        if severity in SEVERITIES:
            self.severity = max(self.severity, severity, key=SEVERITIES.index)
        example = ", ".join(new) if self.within else record.stream
        if len(self.examples) < _EXAMPLES and example and example not in self.examples:
            self.examples.append(example)

    def record(self, action: str) -> EventRecord:
        """Its next record."""
        self.sequence, self.told = self.sequence + 1, self.count
        kind, *details = json.loads(self.cause)
        names = self.channels or details[1:2]
        event = {
            "id": self.id,
            "kind": "incident",
            "stream": self.stream,
            "cause": {"open": "anomaly"}.get(kind, kind),
            "channels": [{"name": name, "share": 1 / len(names)} for name in names if name],
            "count": self.count,
            "open": self.open,
            "examples": self.examples,
            "start_time": self.first,
            "end_time": self.ended if action == "close" else None,
            "ongoing": action != "close",
            "severity": self.severity,
        }
        time = self.ended if action == "close" else max(self.last, self.seen)
        return EventRecord(self.id, self.sequence, action, self.stream, self.model, time, event)


class Some:
    """Whether a table has any rows, asked once in a transaction: mostly it has none, and need not be asked for each."""

    def __init__(self, connection: Any, table: str) -> None:
        self._connection, self._table = connection, table
        self._found: bool | None = None

    def put(self) -> None:
        """Whoever asks puts a row in."""
        self._found = True

    def __bool__(self) -> bool:
        if self._found is None:
            self._found = self._connection.execute(f"SELECT 1 FROM {self._table} LIMIT 1").fetchone() is not None
        return self._found


class Incidents:
    """Those that one transaction touches. within: ns from one event to the next of the same incident."""

    def __init__(self, connection: Any, within: int) -> None:
        self._connection, self._within = connection, within
        self._touched: dict[str, _Incident] = {}
        self._some = Some(connection, "incidents")

    def of(self, cause: str, time: int) -> str | None:
        """The incident that an event of this cause belongs to; None where there is none."""
        for one in self._touched.values():
            if one.cause == cause and abs(time - one.last) <= self._within and not (one.within and not one.open):
                return one.id
        if not self._some:
            return None
        row = self._connection.execute(
            "SELECT id FROM incidents WHERE cause = ? AND last BETWEEN ? AND ? ORDER BY last DESC LIMIT 1",
            (storable(cause), time - self._within, time + self._within),
        ).fetchone()
        return None if row is None or row[0] in self._touched else str(row[0])

    def begin(self, cause: str, record: EventRecord, stream: str = STREAM) -> str:
        """A new incident, of which this event is the first; `stream`, where all of it is of one."""
        named = json.dumps(["incident", cause, record.id, *([record.sequence] if record.sequence else [])])
        found = hashlib.sha256(named.encode("utf-8", "backslashreplace")).hexdigest()[:32]
        moment = moment_of(record)
        self._touched[found] = _Incident(found, cause, record.model, moment, moment, stream=stream)
        return found

    def join(self, incident: str, record: EventRecord) -> bool:
        """An event belongs to it from now on; False where it is over."""
        one = self._load(incident)
        if one is None:
            return False
        one.add(record)
        return True

    def leave(self, incident: str, record: EventRecord) -> None:
        """An event of it closed."""
        one = self._load(incident)
        if one is not None:
            one.open, one.ended = max(0, one.open - 1), max(one.ended, record.time)

    def records(self, within: bool) -> list[EventRecord]:
        """What is to be told of those that were touched, of one stream each or of many; and they are written back."""
        found = []
        for one in [one for one in self._touched.values() if one.within == within]:
            del self._touched[one.id]
            if one.sequence < 0:
                found.append(one.record("open"))
            elif one.due:
                found.append(one.record("update"))
            if one.open == 0:
                found.append(one.record("close"))
                self._connection.execute("DELETE FROM incidents WHERE id = ?", (one.id,))
                continue
            self._some.put()
            self._connection.execute(
                "INSERT OR REPLACE INTO incidents (id, cause, last, open, record) VALUES (?, ?, ?, ?, ?)",
                (one.id, storable(one.cause), one.last, one.open, json.dumps(vars(one))),
            )
        return found

    def _load(self, incident: str) -> _Incident | None:
        if incident not in self._touched:
            row = self._connection.execute("SELECT record FROM incidents WHERE id = ?", (incident,)).fetchone()
            if row is None:
                return None
            self._touched[incident] = _Incident(**json.loads(row[0]))
        return self._touched[incident]
