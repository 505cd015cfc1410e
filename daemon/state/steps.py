"""Steps of events into the store and the outbox, in the transaction of a commit.

A step that is there already changes nothing. What is new goes past a desk, which marks it and says whether it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aez.daemon.common.records import EventRecord, storable
from aez.daemon.state.event_sql import UPSERT_EVENT, event_values

__all__ = ["Arranged", "Desk", "put_out", "take"]

_JSON = json.JSONEncoder(separators=(",", ":"))
_OUT = """
INSERT INTO outbox (id, sequence, action, stream, model, time, event)
VALUES (:id, :sequence, :action, :stream, :model, :time, :event)
"""
_CURVE = "INSERT OR REPLACE INTO curves (event, curve) VALUES (?, ?)"


class Arranged(NamedTuple):
    """A step as it is to be stored, and whether sinks get it."""

    record: EventRecord
    sent: bool


class Desk(Protocol):
    """Decides which steps are sent; see `aez.daemon.incidents.desk`."""

    def arrange(self, connection: Any, records: Sequence[EventRecord], now: int) -> list[Arranged]:
        """The steps, all of them new, marked, and others that follow from them; `now` is ns since 1970 UTC."""


def take(connection: Any, records: Iterable[EventRecord], now: int, desk: Desk | None) -> int:
    """Write steps; returns how many were new."""
    fresh = _new(connection, records)
    arranged = (
        [Arranged(one, True) for one in fresh] if desk is None or not fresh else desk.arrange(connection, fresh, now)
    )
    out: list[dict[str, Any]] = []
    curves: dict[str, Mapping[str, Any]] = {}  # the last one of each event
    for record, sent in arranged:
        step = event_values(record, now)
        if connection.execute(UPSERT_EVENT, step).rowcount == 1 and sent:
            out.append(step)
        if record.curve is not None:
            curves.pop(step["id"], None)  # so that it stands behind the others
            curves[step["id"]] = record.curve
    connection.executemany(_OUT, out)
    connection.executemany(_CURVE, [(event, _JSON.encode(curve)) for event, curve in curves.items()])
    return len(fresh)


def put_out(connection: Any, record: EventRecord, now: int) -> None:
    """Send the last step of an event that was held back, and store it as it is."""
    step = event_values(record, now)
    connection.execute("UPDATE events SET event = :event WHERE id = :id", {"id": step["id"], "event": step["event"]})
    connection.execute(_OUT, step)


def _new(connection: Any, records: Iterable[EventRecord]) -> list[EventRecord]:
    """Those that the store does not have, in their order."""
    known: dict[str, int] = {}
    found = []
    for record in records:
        event = storable(record.id)
        if event not in known:
            row = connection.execute("SELECT sequence FROM events WHERE id = ?", (event,)).fetchone()
            known[event] = -1 if row is None else int(row[0])
        if record.sequence > known[event]:
            known[event] = record.sequence
            found.append(record)
    return found
