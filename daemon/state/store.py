"""What a monitor must not forget: source positions, stream states, events, and what each sink has still to get.

**Guarantee.** `Store.commit` writes the positions of the sources, the states of the streams and the new steps of events
in one transaction that is on the disk when it returns. Killed before, the store stands as if the rows behind those
positions had never come, and the sources bring them again; killed after, nothing of them is needed again. A step of an
event (its id and sequence) is taken once, however often a replay makes it.

**Outbox.** Each step goes into an outbox, and each sink has a cursor in it that moves once the sink took the step. So
every step reaches every sink; one is repeated to a sink only when the process ended after the sink took it and before
its cursor was written (id and sequence tell the receiver). A sink that is down holds back itself alone. The outbox
holds at most `outbox_limit` steps: beyond that the oldest go, and each sink that had not got them counts them as
`dropped`.

Events go to PostgreSQL by a sink (`aez.daemon.sinks.postgres`): what a monitor needs to go on after it was killed stays
in a file beside it, which no network takes away.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from aez.codec.common.plain import plain
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord, Position, storable
from aez.daemon.state import steps
from aez.daemon.state.alarm_sql import ALARM_TABLES
from aez.daemon.state.database import Database, StoreCorrupt, StoreError, StoreFull, StoreLocked, Synchronous
from aez.daemon.state.event_sql import EVENT_TABLES
from aez.daemon.state.event_store import EventStore, Retention

__all__ = [
    "Pending",
    "SinkProgress",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoredState",
]

Result = TypeVar("Result")
_VERSION = 2
#: Statements that make a store of a version one of the next; the schema, which creates what is missing, runs behind.
_MIGRATIONS: Mapping[int, str] = {1: ""}
_SCHEMA = (
    EVENT_TABLES.format(number="INTEGER PRIMARY KEY")
    + ALARM_TABLES
    + """
CREATE TABLE IF NOT EXISTS positions (source TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states (
    stream TEXT NOT NULL UNIQUE, model TEXT NOT NULL, stored INTEGER NOT NULL, state BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS states_by_age ON states (stored);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, sequence INTEGER NOT NULL, action TEXT NOT NULL,
    stream TEXT NOT NULL, model TEXT NOT NULL, time INTEGER NOT NULL, event TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sinks (
    name TEXT PRIMARY KEY, cursor INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejected (
    number INTEGER PRIMARY KEY, sink TEXT NOT NULL, time INTEGER NOT NULL, reason TEXT NOT NULL, record TEXT NOT NULL
);
"""
)

_UPSERT_STATE = """
INSERT INTO states (stream, model, stored, state) VALUES (?, ?, ?, ?) ON CONFLICT (stream)
DO UPDATE SET model = excluded.model, stored = excluded.stored, state = excluded.state
"""
_REJECTED_KEPT = 1000


class StoredState(NamedTuple):
    """What a stream's scoring goes on from; `model` is the id of the model that made it."""

    model: str
    data: bytes


class Pending(NamedTuple):
    """A step in the outbox that a sink has still to get; numbers rise by one."""

    number: int
    record: EventRecord


@dataclass(frozen=True)
class SinkProgress:
    """Where a sink stands, in steps of events since it was registered.

    pending: still to get. delivered: taken. dropped: lost beyond the outbox's bound. rejected: refused for good.
    """

    name: str
    pending: int
    delivered: int
    dropped: int
    rejected: int


class Store:
    """The store of one monitor. Every method may be called from any thread.

    path: an SQLite file on a local disk, created when missing. outbox_limit: steps of events kept for slow sinks.
    exclusive: for the monitor itself, of which one runs at a time; commands that look on leave it out.
    synchronous, busy_seconds, check: see `Database`.

    All methods raise StoreError where the file cannot be read or written (StoreFull, StoreLocked: what was asked has
    not happened and may be asked again) and StoreCorrupt where it is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        exclusive: bool = False,
        outbox_limit: int = 100_000,
        synchronous: Synchronous = "full",
        busy_seconds: float = 5.0,
        check: bool = True,
    ) -> None:
        if outbox_limit < 1:
            raise InvalidArgument(f"an outbox holds 1 step of an event or more, not {outbox_limit}")
        self._database = Database(
            path,
            _SCHEMA,
            _VERSION,
            migrations=_MIGRATIONS,
            exclusive=exclusive,
            synchronous=synchronous,
            busy_seconds=busy_seconds,
            check=check,
        )
        self.events = EventStore(self._database)
        self.outbox_limit = outbox_limit
        #: Decides which steps are sent; all are without one.
        self.desk: steps.Desk | None = None
        self._listeners: tuple[Callable[[], None], ...] = ()

    def commit(
        self,
        positions: Mapping[str, Position] | None = None,
        states: Mapping[str, bytes] | None = None,
        events: Sequence[EventRecord] = (),
        *,
        models: Mapping[str, str] | str = "",
        now: int | None = None,
    ) -> int:
        """Write all of it in one transaction; on the disk at return. The same again changes nothing.

        Args:
            positions: by source.
            states: by stream, replacing what was kept.
            events: in their order.
            models: the id of the model behind each state, by stream, or one for all.
            now: ns since 1970 UTC, by default this machine's clock.

        Returns how many of the events were new.
        """
        moment = time.time_ns() if now is None else now
        # Made ready outside the transaction, so that it is short.
        placed = [(storable(source), json.dumps(plain(position))) for source, position in (positions or {}).items()]
        kept = [
            (storable(key), storable(models if isinstance(models, str) else models.get(key, "")), moment, state)
            for key, state in (states or {}).items()
        ]
        with self._database.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO positions (source, position) VALUES (?, ?)", placed)
            connection.executemany(_UPSERT_STATE, kept)
            fresh = steps.take(connection, events, moment, self.desk)
            if fresh:
                self._trim(connection)
        if fresh:
            for listener in self._listeners:
                listener()
        return fresh

    def try_to_write(self) -> None:
        """Write something and take it back, on the disk at return: finds out whether a commit could be written now."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO positions (source, position) VALUES ('', '{}')")
            connection.execute("DELETE FROM positions WHERE source = ''")

    def trouble(self) -> str:
        """Why nothing can be written although nothing was tried: the file is not there any more. Empty where it is."""
        return self._database.trouble()

    def say(self, **facts: Any) -> None:
        """Tell commands who holds the store; only where it is exclusive."""
        self._database.say(facts)

    def positions(self) -> dict[str, dict[str, Any]]:
        """The position of each source that has one."""
        with self._database.read() as connection:
            return {source: json.loads(position) for source, position in connection.execute("SELECT * FROM positions")}

    def state(self, stream: str) -> StoredState | None:
        """The state of a stream; None where none is kept. The caller compares its model with the one it runs."""
        with self._database.read() as connection:
            row = connection.execute("SELECT model, state FROM states WHERE stream = ?", (storable(stream),)).fetchone()
        return None if row is None else StoredState(*row)

    def states(self) -> Iterator[tuple[str, StoredState]]:
        """The states of all streams, by name, for a start."""
        last = ""
        while True:  # in pages: a reader that stays for long would keep the log from being cut
            with self._database.read() as connection:
                rows = connection.execute(
                    "SELECT stream, model, state FROM states WHERE stream > ? ORDER BY stream LIMIT 500", (last,)
                ).fetchall()
            for stream, model, state in rows:
                yield stream, StoredState(model, state)
            if not rows:
                return
            last = rows[-1][0]

    def last_heard(self) -> dict[str, int]:
        """When each stream's state was last stored, ns since 1970 UTC by this machine's clock."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT stream, stored FROM states"))

    def forget_states(self, streams: Iterable[str]) -> None:
        """Drop the states of these streams, as for a model that changed."""
        with self._database.write() as connection:
            connection.executemany("DELETE FROM states WHERE stream = ?", [(storable(one),) for one in streams])

    def forget(self, retention: Retention, now: int | None, wall: int, most: int = 1000) -> int:
        """As `EventStore.forget`, and the states of streams that were not heard of, at most `most` at once.

        wall: this machine's clock, ns since 1970 UTC; no step of it may move it far (see `SlowClock`).
        """
        gone = self.events.forget(retention, now, most)
        with self._database.write(durable=False) as connection:
            connection.execute(
                "DELETE FROM states WHERE rowid IN (SELECT rowid FROM states WHERE stored < ? LIMIT ?)",
                (wall - int(retention.state_days * 86_400e9), most),
            )
        return gone

    def curve(self, event: str) -> dict[str, Any] | None:
        """The rows of an event, see `aez.daemon.alarms.curve`; None where none are kept."""
        with self._database.read() as connection:
            row = connection.execute("SELECT curve FROM curves WHERE event = ?", (storable(event),)).fetchone()
        return None if row is None else json.loads(row[0])

    def sent_open_records(self) -> tuple[EventRecord, ...]:
        """The last record of every open event that sinks know of, the earliest start first."""
        with self._database.read() as connection:
            held = {row[0] for row in connection.execute("SELECT event FROM held")}
        return tuple(one for one in self.events.open_records() if storable(one.id) not in held)

    def forget_curves(self, kept: int) -> None:
        """Delete those of events that are gone, and all but the latest `kept`."""
        with self._database.write(durable=False) as connection:
            connection.execute("DELETE FROM curves WHERE event NOT IN (SELECT id FROM events)")
            connection.execute(
                "DELETE FROM curves WHERE number <= (SELECT number FROM curves ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (kept,),
            )

    def change(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """What a function makes of a transaction, on the disk at return; sinks hear where it added to the outbox."""
        with self._database.write() as connection:
            before = _end(connection)
            found = function(connection)
            grown = _end(connection) > before
        if grown:
            for listener in self._listeners:
                listener()
        return found

    def look(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """What a function reads."""
        with self._database.read() as connection:
            return function(connection)

    def register_sinks(self, names: Iterable[str]) -> dict[str, int]:
        """Say which sinks there are; a new one gets what comes from now on.

        Others that the store knew are struck out, so that they hold nothing back. Returns how many steps each of those
        had still to get.
        """
        wanted = [storable(name) for name in names]
        with self._database.write() as connection:
            end = _end(connection)
            left = {
                name: end - cursor
                for name, cursor in connection.execute("SELECT name, cursor FROM sinks")
                if name not in wanted
            }
            connection.executemany("DELETE FROM sinks WHERE name = ?", [(name,) for name in left])
            connection.executemany(
                "INSERT OR IGNORE INTO sinks (name, cursor) VALUES (?, ?)", [(name, end) for name in wanted]
            )
            self._trim(connection)
        return left

    def pending(self, sink: str, limit: int = 100) -> list[Pending]:
        """The next steps that a sink has to get, in order. Raises InvalidArgument for a sink not registered."""
        with self._database.read() as connection:
            cursor = self._cursor(connection, sink)
            rows = connection.execute(
                "SELECT number, id, sequence, action, stream, model, time, event FROM outbox WHERE number > ? "
                "ORDER BY number LIMIT ?",
                (cursor, limit),
            ).fetchall()
        return [
            Pending(number, EventRecord(id_, sequence, action, stream, model, at, json.loads(event)))
            for number, id_, sequence, action, stream, model, at, event in rows
        ]

    def delivered(self, sink: str, first: int, last: int) -> None:
        """The sink took the steps numbered first to last. Outlives the process; see `Database.write` for power cuts."""
        with self._database.write(durable=False) as connection:
            # Where the outbox overflowed meanwhile, these were counted as dropped.
            connection.execute(
                "UPDATE sinks SET dropped = max(0, dropped - max(0, min(cursor, :last) - :first + 1)), "
                "cursor = max(cursor, :last), delivered = delivered + :last - :first + 1 WHERE name = :name",
                {"first": first, "last": last, "name": storable(sink)},
            )
            self._trim(connection)

    def reject(self, sink: str, pending: Pending, reason: str) -> None:
        """The sink refuses this step for good: it is put aside with the reason, and counted.

        The last 1,000 are kept, see `rejected`.
        """
        with self._database.write(durable=False) as connection:
            connection.execute(
                "UPDATE sinks SET dropped = max(0, dropped - (cursor >= :number)), cursor = max(cursor, :number), "
                "rejected = rejected + 1 WHERE name = :name",
                {"number": pending.number, "name": storable(sink)},
            )
            record = json.dumps(plain(asdict(pending.record)))
            connection.execute(
                "INSERT INTO rejected (sink, time, reason, record) VALUES (?, ?, ?, ?)",
                (storable(sink), time.time_ns(), storable(reason), record),
            )
            connection.execute(
                "DELETE FROM rejected WHERE number <= (SELECT max(number) FROM rejected) - ?", (_REJECTED_KEPT,)
            )
            self._trim(connection)

    def rejected(self, sink: str, limit: int = 100) -> list[tuple[EventRecord, str]]:
        """What a sink refused and why, the latest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT record, reason FROM rejected WHERE sink = ? ORDER BY number DESC LIMIT ?",
                (storable(sink), limit),
            ).fetchall()
        return [(EventRecord(**json.loads(record)), reason) for record, reason in rows]

    def progress(self, sink: str) -> SinkProgress:
        """Where a sink stands. Raises InvalidArgument for one not registered."""
        with self._database.read() as connection:
            cursor = self._cursor(connection, sink)
            counts = connection.execute(
                "SELECT delivered, dropped, rejected FROM sinks WHERE name = ?", (storable(sink),)
            ).fetchone()
            return SinkProgress(sink, _end(connection) - cursor, *counts)

    def outbox_size(self) -> int:
        """Steps of events that at least one sink has still to get."""
        with self._database.read() as connection:
            size: int = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
            return size

    def listen(self, listener: Callable[[], None]) -> None:
        """Call it after each commit that added to the outbox, in the committing thread; it must be quick."""
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        self._listeners = tuple(one for one in self._listeners if one != listener)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self._database.size

    def close(self) -> None:
        """Close the file; may be called again."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Drop what every sink has, and the oldest beyond the bound."""
        end = _end(connection)
        floor = end - self.outbox_limit
        connection.execute(
            "UPDATE sinks SET dropped = dropped + :floor - cursor, cursor = :floor WHERE cursor < :floor",
            {"floor": floor},
        )
        (slowest,) = connection.execute("SELECT coalesce(min(cursor), ?) FROM sinks", (end,)).fetchone()
        connection.execute("DELETE FROM outbox WHERE number <= ?", (slowest,))

    @staticmethod
    def _cursor(connection: sqlite3.Connection, sink: str) -> int:
        row = connection.execute("SELECT cursor FROM sinks WHERE name = ?", (storable(sink),)).fetchone()
        if row is None:
            raise InvalidArgument(f"the store knows no sink {sink!r}; register_sinks names them")
        return int(row[0])


def _end(connection: sqlite3.Connection) -> int:
    """The highest number the outbox ever gave."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return 0 if row is None else int(row[0])
