"""Events in PostgreSQL, for those who look at many monitors in one place.

Guarantee: records are delivered once their transaction is committed. Each step of an event, told by id and sequence,
stands in the table `steps` once, and the event's row in `events` is that of its last step: a record that comes again,
however late, changes nothing. Tables: `events`, `comments` and `steps` in a schema of their own; times are ns since
1970 UTC, `event` is JSON.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aez.daemon.common.options import about, secret
from aez.daemon.common.records import EventRecord
from aez.daemon.common.shared_options import Timeout
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.whole import within
from aez.daemon.state.database import StoreError
from aez.daemon.state.event_sql import UPSERT_EVENT, event_values
from aez.daemon.state.event_store import EventStore, Retention
from aez.daemon.state.postgres import PostgresDatabase, StoreRefused, schema_fault
from aez.daemon.state.slow_clock import SlowClock

__all__ = ["PostgresOptions", "PostgresSink"]

_log = logging.getLogger(__name__)

_INSERT_STEP = """
INSERT INTO steps (id, sequence, action, stream, model, time, event)
VALUES (:id, :sequence, :action, :stream, :model, :time, :event) ON CONFLICT DO NOTHING
"""
_FORGET_SECONDS = 60.0


def _url_fault(url: str) -> str:
    try:
        holds = url.startswith(("postgresql://", "postgres://")) and urlsplit(url).password is not None
    except ValueError:
        return "the url of a PostgreSQL database cannot be read; it looks like postgresql://user@host:5432/database"
    return "the url of a PostgreSQL database holds a password; give it as password_env or _file" if holds else ""


@dataclass(frozen=True, kw_only=True)
class PostgresOptions(Timeout):
    """`kind = "postgres"`."""

    url: str = field(
        metadata=about(
            "such as postgresql://aez@db.example.org:5432/monitoring, without a password; what libpq knows may follow, "
            "such as ?sslmode=verify-full&sslrootcert=FILE",
            check=_url_fault,
        )
    )
    password: str | None = field(default=None, repr=False, metadata=secret("the password of the user"))
    schema: str = field(
        default="aez", metadata=about("the schema of the tables; it is created when missing", check=schema_fault)
    )
    retention_days: float = field(
        default=90.0, metadata=about("closed events are kept so long", low=0.001, high=36_500)
    )
    retention_events: int = field(default=1_000_000, metadata=about("closed events at most", low=1, high=1_000_000_000))


class PostgresSink(Sink):
    """Stores each record; `events` asks for them, as `Store.events` does.

    Closed events beyond the retention go, while others come; see `Retention`.
    """

    Options = PostgresOptions

    def __init__(self, options: PostgresOptions) -> None:
        self.timeout_seconds = options.timeout_seconds
        self._database = PostgresDatabase(
            options.url, password=options.password, schema=options.schema, timeout=options.timeout_seconds
        )
        self._retention = Retention(options.retention_days, options.retention_events)
        self._forgot = 0.0
        self._clock: SlowClock | None = None
        self.events = EventStore(self._database)

    def __repr__(self) -> str:
        return f"PostgresSink({self._database.name!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        if not records:
            return
        moment = time.time_ns()
        rows = [event_values(record, moment) for record in records]

        def write() -> None:
            with self._database.write() as connection:
                connection.executemany(UPSERT_EVENT, rows)
                connection.executemany(_INSERT_STEP, rows)

        self._within(write)
        self._forget(max(record.time for record in records))

    def check(self) -> None:
        self._within(self.events.count)

    def close(self) -> None:
        self._database.close()

    def _forget(self, data_time: int) -> None:
        if time.monotonic() - self._forgot < _FORGET_SECONDS and self._forgot:
            return
        self._forgot = time.monotonic()
        try:
            if self._clock is None:
                self._clock = SlowClock(self.events.latest_end())
            self.events.forget(self._retention, self._clock.follow(data_time))
        except StoreError as error:
            _log.warning("old events could not be deleted: %s", error)

    def _within(self, work: Callable[[], object]) -> None:
        """Do it within the timeout, all in all, also where the server takes connections and then says nothing."""
        try:
            within(self.timeout_seconds, work, self._database.cut)
        except TimeoutError as error:
            name, seconds = self._database.name, self.timeout_seconds
            raise SinkError(f"PostgreSQL at {name} did not answer within {seconds:g} s") from error
        except StoreRefused as error:
            raise Rejected(str(error)) from error
        except StoreError as error:
            raise SinkError(str(error)) from error
