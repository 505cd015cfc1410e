"""The events as people ask for them: list, one, acknowledge, comment, and forgetting the old.

Holds each event's last record; what people add is in the database when the method returns. The same statements run on
SQLite (`aez.daemon.state.database`) and on PostgreSQL (`aez.daemon.state.postgres`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventKind, EventRecord, kind_of, storable
from aez.daemon.state.event_sql import EVENT_COLUMNS, SEVERITIES

__all__ = ["Comment", "EventDatabase", "EventStore", "Retention", "StoredEvent"]

State = Literal["open", "closed"]

_MOST = 1000  # events in one answer
_LONGEST_COMMENT = 10_000


class EventDatabase(Protocol):
    """Where the tables of `event_sql` are.

    A connection has `execute` and `executemany`, with parameters `?` and `:name`; what is raised within one takes the
    transaction back.
    """

    def read(self) -> AbstractContextManager[Any]: ...
    def write(self, durable: bool = True) -> AbstractContextManager[Any]: ...
    def give_back_space(self) -> None: ...


@dataclass(frozen=True)
class Comment:
    """What somebody wrote; time in ns since 1970 UTC."""

    time: int
    author: str
    text: str


@dataclass(frozen=True)
class Retention:
    """How long closed events stay; open ones always do.

    days: after their end, by the time of the data. events: closed ones beyond so many go, those that were stored first.
    state_days: states of streams that were not heard of for so long go as well.
    Source positions stay for ever. An event that was forgotten would be reported anew by a replay of its data.
    """

    days: float = 90.0
    events: int = 100_000
    state_days: float = 90.0

    def __post_init__(self) -> None:
        for name in ("days", "events", "state_days"):
            if not getattr(self, name) > 0:
                raise InvalidArgument(f"{name} of the retention is more than 0, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class StoredEvent:
    """An event as it stands.

    state: "open" or "closed"; kind: "anomaly", "silence" of a stream, "missing" or "stuck" channels, or "incident" of
    many. start, end: ns since 1970 UTC; `end` is None while it is open. record: its last one. stored: when that was
    written, by this machine's clock.
    acknowledged, acknowledged_by: when and by whom; None and "" where nobody did.
    """

    record: EventRecord
    state: State
    kind: EventKind
    severity: str
    start: int
    end: int | None
    stored: int
    acknowledged: int | None = None
    acknowledged_by: str = ""
    comments: tuple[Comment, ...] = ()
    comment_count: int = field(default=0)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def stream(self) -> str:
        return self.record.stream

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "id": self.id,
            "stream": self.stream,
            "model": self.record.model,
            "kind": self.kind,
            "state": self.state,
            "severity": self.severity,
            "start": self.start,
            "end": self.end,
            "sequence": self.record.sequence,
            "action": self.record.action,
            "time": self.record.time,
            "stored": self.stored,
            "event": dict(self.record.event),
            "acknowledged": self.acknowledged,
            "acknowledged_by": self.acknowledged_by,
            "comment_count": self.comment_count,
            "comments": [{"time": one.time, "author": one.author, "text": one.text} for one in self.comments],
        }


class EventStore:
    """Events in a database; every method may be called from any thread and raises as the database does."""

    def __init__(self, database: EventDatabase) -> None:
        self._database = database

    def list(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        stream: str | None = None,
        state: State | None = None,
        severity: str | None = None,
        acknowledged: bool | None = None,
        limit: int = 100,
        after: str | None = None,
        incident: str | None = None,
        folded: bool = False,
    ) -> tuple[StoredEvent, ...]:
        """Events, the latest start first, without their comments.

        Args:
            since: ns since 1970 UTC; events that had not ended before it.
            until: ns since 1970 UTC; events that started before it.
            stream: of this one.
            state: "open" or "closed".
            severity: this one or worse.
            acknowledged: whether somebody acknowledged it.
            limit: at most so many, 1 to 1000.
            after: the id of the last event of the page before.
            incident: the id of one; the events that it stands for.
            folded: without the events that an incident stands for.

        Raises InvalidArgument for values out of range and an `after` that is no event's.
        """
        if not 1 <= limit <= _MOST:
            raise InvalidArgument(f"a list holds 1 to {_MOST} events, not {limit}; ask for the next with after=")
        where, values = _conditions(since, until, stream, state, severity, acknowledged)
        values["limit"] = limit
        if incident is not None:
            where.append("id IN (SELECT event FROM held WHERE why IN ('incident', 'joined') AND incident = :incident)")
            values["incident"] = storable(incident)
        if folded:
            where.append("id NOT IN (SELECT event FROM held WHERE why = 'incident')")
        with self._database.read() as connection:
            if after is not None:
                found = connection.execute("SELECT start FROM events WHERE id = ?", (storable(after),)).fetchone()
                if found is None:
                    raise InvalidArgument(f"there is no event {after!r} to go on after")
                where.append("(start, id) < (:start, :after)")
                values |= {"start": found[0], "after": storable(after)}
            rows = connection.execute(
                f"SELECT {EVENT_COLUMNS}, (SELECT count(*) FROM comments WHERE comments.event = events.id) FROM events "
                f"WHERE {' AND '.join(where)} ORDER BY start DESC, id DESC LIMIT :limit",
                values,
            ).fetchall()
        return tuple(_event(row[:-1], comment_count=row[-1]) for row in rows)

    def get(self, event: str) -> StoredEvent | None:
        """One event with its comments, the oldest first; None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(f"SELECT {EVENT_COLUMNS} FROM events WHERE id = ?", (storable(event),)).fetchone()
            comments = connection.execute(
                "SELECT time, author, text FROM comments WHERE event = ? ORDER BY number", (storable(event),)
            ).fetchall()
        return None if row is None else _event(row, tuple(Comment(*one) for one in comments), len(comments))

    def open_records(self) -> tuple[EventRecord, ...]:
        """The last record of every open event, the earliest start first."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {EVENT_COLUMNS} FROM events WHERE state = 'open' ORDER BY start, id"
            ).fetchall()
        return tuple(_event(row).record for row in rows)

    def latest_end(self) -> int | None:
        """When the last closed event ended, by the time of the data; None where there is none."""
        with self._database.read() as connection:
            found = connection.execute("SELECT max(\"end\") FROM events WHERE state = 'closed'").fetchone()[0]
            return None if found is None else int(found)

    def count(self, state: State | None = None) -> int:
        """How many there are."""
        with self._database.read() as connection:
            where, values = ("", ()) if state is None else (" WHERE state = ?", (state,))
            found: int = connection.execute(f"SELECT count(*) FROM events{where}", values).fetchone()[0]
            return found

    def acknowledge(self, event: str, by: str, now: int | None = None) -> bool:
        """Note that somebody has seen it; False when somebody had before, which stays. InvalidArgument for no event."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE events SET acknowledged = ?, acknowledged_by = ? WHERE id = ? AND acknowledged IS NULL",
                (_now(now), storable(by), storable(event)),
            ).rowcount
            if not done:
                self._require(connection, event)
            return bool(done)

    def comment(self, event: str, author: str, text: str, now: int | None = None) -> Comment:
        """Add a comment. Raises InvalidArgument for no event, an empty comment, or one over 10,000 characters."""
        text = text.strip()
        if not 1 <= len(text) <= _LONGEST_COMMENT:
            raise InvalidArgument(f"a comment has 1 to {_LONGEST_COMMENT} characters, not {len(text)}")
        written = Comment(_now(now), storable(author), storable(text))
        with self._database.write() as connection:
            self._require(connection, event)
            connection.execute(
                "INSERT INTO comments(event, time, author, text) VALUES (?, ?, ?, ?)",
                (storable(event), written.time, written.author, written.text),
            )
        return written

    def forget(self, retention: Retention, now: int | None = None, most: int = 1000) -> int:
        """Delete events that the retention no longer keeps, at most `most` at once; returns how many went.

        now: ns since 1970 UTC, the time of the data; no step of a clock may move it far (see `SlowClock`). None: none
        goes for its age.

        Call it now and then; each call holds up the writers for a moment only.
        """
        oldest = -(2**63) if now is None else now - int(retention.days * 86_400e9)
        with self._database.write(durable=False) as connection:
            closed = connection.execute("SELECT count(*) FROM events WHERE state = 'closed'").fetchone()[0]
            surplus = min(max(0, closed - retention.events), most)
            gone = [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM events WHERE state = 'closed' AND \"end\" < ? ORDER BY stored LIMIT ?",
                    (oldest, most),
                )
            ]
            if len(gone) < surplus:
                known = set(gone)
                first = "SELECT id FROM events WHERE state = 'closed' ORDER BY stored LIMIT ?"
                more = (row[0] for row in connection.execute(first, (surplus,)))
                gone += [one for one in more if one not in known][: surplus - len(gone)]
            connection.executemany("DELETE FROM comments WHERE event = ?", [(one,) for one in gone])
            connection.executemany("DELETE FROM events WHERE id = ?", [(one,) for one in gone])
        self._database.give_back_space()
        return len(gone)

    @staticmethod
    def _require(connection: Any, event: str) -> None:
        if connection.execute("SELECT 1 FROM events WHERE id = ?", (storable(event),)).fetchone() is None:
            raise InvalidArgument(f"there is no event {event!r}")


def _conditions(
    since: int | None,
    until: int | None,
    stream: str | None,
    state: State | None,
    severity: str | None,
    acknowledged: bool | None,
) -> tuple[list[str], dict[str, Any]]:
    """Conditions of SQL, which all hold, and their parameters, for the filters of `EventStore.list`."""
    if state not in (None, "open", "closed"):
        raise InvalidArgument(f"an event is open or closed, not {state!r}")
    where: list[str] = ["TRUE"]
    values: dict[str, Any] = {}
    if since is not None:
        where.append('("end" IS NULL OR "end" >= :since)')
        values["since"] = since
    if until is not None:
        where.append("start < :until")
        values["until"] = until
    if stream is not None:
        where.append("stream = :stream")
        values["stream"] = storable(stream)
    if state is not None:
        where.append("state = :state")
        values["state"] = state
    if severity is not None:
        if severity not in SEVERITIES:
            raise InvalidArgument(f"a severity is one of {', '.join(SEVERITIES)}, not {severity!r}")
        worse = SEVERITIES[SEVERITIES.index(severity) :]
        where.append(f"severity IN ({', '.join(repr(one) for one in worse)})")
    if acknowledged is not None:
        where.append(f"acknowledged IS {'NOT ' if acknowledged else ''}NULL")
    return where, values


def _now(now: int | None) -> int:
    return time.time_ns() if now is None else now


def _kind(action: str, details: Mapping[str, Any]) -> EventKind:
    if details.get("kind") == "incident":
        return "incident"
    return kind_of(action)


def _event(row: tuple[Any, ...], comments: tuple[Comment, ...] = (), comment_count: int = 0) -> StoredEvent:
    (id_, stream, model, sequence, action, state, severity, start, end, at, stored, event, acknowledged, by) = row
    details: Mapping[str, Any] = json.loads(event)
    return StoredEvent(
        record=EventRecord(id_, sequence, action, stream, model, at, details),
        state=state,
        kind=_kind(action, details),
        severity=severity,
        start=start,
        end=end,
        stored=stored,
        acknowledged=acknowledged,
        acknowledged_by=by,
        comments=comments,
        comment_count=comment_count,
    )
