"""Events in a real PostgreSQL: once each, as SQLite has them, through restarts, and forgotten when they are old."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aez.cli import main
from aez.codec.errors import InvalidArgument
from aez.daemon.delivery import Deliveries, Retry
from aez.daemon.sinks.base import Rejected, SinkError
from aez.daemon.sinks.postgres import PostgresOptions, PostgresSink
from aez.daemon.state.event_store import EventStore, Retention
from aez.daemon.state.postgres import PostgresDatabase
from aez.daemon.state.store import Store
from tests.kit.event_steps import SECOND, START, step, steps
from tests.kit.postgres_server import PASSWORD, PostgresServer, running_postgres
from tests.kit.satellite_model import save_satellite_model

DAY = 86_400 * SECOND


@pytest.fixture
def server() -> PostgresServer:
    found = running_postgres()
    found.empty()
    return found


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.url()


@pytest.fixture
def sink(url: str) -> Iterator[PostgresSink]:
    made = PostgresSink(PostgresOptions(url=url, password=PASSWORD))
    yield made
    made.close()


def rows(server: PostgresServer, statement: str) -> list[Any]:
    with server.connect() as connection:
        return connection.execute(statement.encode()).fetchall()


def test_a_thousand_events_delivered_again_change_nothing(server: PostgresServer, sink: PostgresSink) -> None:
    opened = steps(1000)
    closed = [step(one.id, 1, "close", time=one.time + SECOND, start_time=one.time) for one in opened]
    everything = [*opened, *closed]
    for start in range(0, len(everything), 100):
        sink.deliver(everything[start : start + 100])
    before = rows(server, "SELECT * FROM aez.events ORDER BY id"), rows(server, "SELECT * FROM aez.steps")
    assert [len(part) for part in before] == [1000, 2000]
    for start in range(0, len(everything), 100):
        sink.deliver(everything[start : start + 100])
    sink.deliver(opened[::-1][:50])  # late, and alone
    after = rows(server, "SELECT * FROM aez.events ORDER BY id"), rows(server, "SELECT * FROM aez.steps")
    assert after == before
    assert sink.events.count("closed") == 1000


def test_a_server_that_restarts_in_the_middle_loses_no_step(
    server: PostgresServer, sink: PostgresSink, tmp_path: Path
) -> None:
    with Store(tmp_path / "store.db") as store:
        deliveries = Deliveries(store, {"postgres": sink}, batch=10, retry=Retry(0.01, 0.1))
        deliveries.start()
        for number, one in enumerate(steps(300)):
            store.commit({}, {}, [one])
            if number % 100 == 50:
                server.stop()
                server.start()
        end = time.monotonic() + 30
        while store.progress("postgres").pending and time.monotonic() < end:
            time.sleep(0.01)
        assert deliveries.stop(1.0)
        assert store.progress("postgres").pending == 0
    found = rows(server, "SELECT id, sequence FROM aez.steps ORDER BY number")
    assert found == [(one.id, 0) for one in steps(300)]


def answers(events: EventStore) -> list[Any]:
    """What an event store says to all that can be asked of it, but for the time of storing."""
    asked: list[dict[str, Any]] = [
        {},
        {"stream": "fan"},
        {"stream": "a\ud800b"},
        {"state": "open"},
        {"state": "closed", "severity": "serious"},
        {"since": START + 25 * SECOND, "until": START + 40 * SECOND},
        {"acknowledged": True},
        {"acknowledged": False, "limit": 2},
        {"after": "d", "limit": 2},
    ]
    found: list[Any] = [[one.as_dict() for one in events.list(**wanted)] for wanted in asked]
    found += [[found.as_dict() if (found := events.get(name)) else None for name in ("a", "b", "none")]]
    found += [[one.id for one in events.open_records()], events.count(), events.count("closed")]
    return json.loads(re.sub(r'"stored": \d+', '"stored": 0', json.dumps(found)))


def people(events: EventStore) -> list[Any]:
    """What they do to the events, and what they are told."""
    said: list[Any] = [events.acknowledge("a", "ann", START), events.acknowledge("a", "bob", START)]
    said += [events.comment("b", "ann", " seen <b> ", START), events.comment("b", "bob\ud800", "ü", START + 1)]
    for wrong in (lambda: events.acknowledge("none", ""), lambda: events.comment("none", "", "x")):
        with pytest.raises(InvalidArgument, match="there is no event") as caught:
            wrong()
        said.append(str(caught.value))
    with pytest.raises(InvalidArgument, match="to go on after") as caught:
        events.list(after="none")
    return [*said, str(caught.value)]


def test_it_answers_as_the_store_in_sqlite_does(sink: PostgresSink, tmp_path: Path) -> None:
    records = []
    for number, name in enumerate("abcdef"):
        about: dict[str, Any] = {
            "stream": ("pump", "fan", "a\ud800b")[number % 3],
            "start_time": START + 10 * number * SECOND,
            "severity": ("warning", "serious", "critical")[number % 3],
        }
        records.append(step(name, time=about["start_time"] + SECOND, **about))
        if number % 2 == 0:
            end = about["start_time"] + 5 * SECOND
            records.append(step(name, 1, "close", time=end, end_time=end, **about))
    with Store(tmp_path / "store.db") as store:
        store.commit({}, {}, records)
        sink.deliver(records)
        assert people(sink.events) == people(store.events)
        assert answers(sink.events) == answers(store.events)
        for retention in (Retention(events=2), Retention(days=1)):
            later = START + 2 * DAY  # by the time of the data
            assert sink.events.forget(retention, later) == store.events.forget(retention, later) > 0
            assert answers(sink.events)[-3:] == answers(store.events)[-3:]


def test_old_events_go_with_their_steps_and_comments(server: PostgresServer, url: str) -> None:
    small = PostgresSink(PostgresOptions(url=url, password=PASSWORD, retention_events=5))
    small.deliver([step(f"old{number}", 1, "close") for number in range(20)])
    small.close()
    again = PostgresSink(PostgresOptions(url=url, password=PASSWORD, retention_events=5))
    again.deliver([step("new", 0)])
    assert again.events.count() == 6
    assert rows(server, "SELECT count(*) FROM aez.steps") == [(6,)]
    again.close()


def test_a_wrong_password_and_a_missing_database_are_errors_that_name_the_server(url: str) -> None:
    for made, words in (
        (PostgresSink(PostgresOptions(url=url, password="s3cr3t-wrong")), "password authentication failed"),
        (PostgresSink(PostgresOptions(url=f"{url}-none", password=PASSWORD)), "does not exist"),
        (PostgresSink(PostgresOptions(url="postgresql://me@127.0.0.1:1/x", password=PASSWORD)), "refused"),
    ):
        with pytest.raises(SinkError, match=words) as caught:
            made.check()
        assert "127.0.0.1" in str(caught.value)
        assert "s3cr3t" not in str(caught.value) + repr(made)
        assert not isinstance(caught.value, Rejected)
        made.close()


def test_a_user_who_may_not_create_tables_can_use_those_that_are_there(
    server: PostgresServer, sink: PostgresSink
) -> None:
    with server.connect() as connection:
        connection.execute(b"DROP ROLE IF EXISTS clerk")
        connection.execute(f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'".encode())
    clerk = PostgresSink(PostgresOptions(url=server.url("clerk"), password=PASSWORD))
    with pytest.raises(SinkError, match="permission denied"):
        clerk.deliver(steps(1))
    sink.check()  # makes them
    with server.connect() as connection:
        connection.execute(b"GRANT USAGE ON SCHEMA aez TO clerk")
        connection.execute(b"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA aez TO clerk")
    clerk.deliver(steps(3))
    clerk.close()
    assert sink.events.count() == 3
    with server.connect() as connection:
        connection.execute(b"DROP OWNED BY clerk")
        connection.execute(b"DROP ROLE clerk")


def test_tables_of_a_newer_version_are_left_alone(server: PostgresServer, url: str, sink: PostgresSink) -> None:
    sink.check()
    rows(server, "UPDATE aez.format SET version = 99 RETURNING version")
    newer = PostgresSink(PostgresOptions(url=url, password=PASSWORD))
    with pytest.raises(SinkError, match="update aez"):
        newer.deliver(steps(1))
    newer.close()


def test_what_the_server_can_never_keep_is_rejected(sink: PostgresSink) -> None:
    noise = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(3000))  # no index takes so long a name
    with pytest.raises(Rejected, match="index"):
        sink.deliver([step("a"), step("b", stream=noise)])
    with pytest.raises(Rejected, match="out of range"):
        sink.deliver([step("a", 2**70)])
    assert sink.events.count() == 0
    sink.deliver([step("a")])
    assert sink.events.count() == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "postgresql://me:s3cr3t@host/x"}, "password_env"),
        ({"url": "postgresql://host:port:s3cr3t/x"}, "cannot be read"),
        ({"url": "host=/run dbname=x", "schema": 'a"; DROP'}, "lower-case"),
        ({"url": "host=/run dbname=x", "timeout_seconds": 0}, "timeout_seconds: it is 0.1 to 600, not 0"),
        ({"url": "host=/run dbname=x", "retention_days": 0}, "retention"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        PostgresSink(PostgresOptions.of(**options))
    assert "s3cr3t" not in str(caught.value)


def test_two_monitors_that_come_at_once_make_the_tables_once(url: str) -> None:
    made = [PostgresDatabase(url, password=PASSWORD) for _ in range(6)]
    found: list[int] = []
    threads = [threading.Thread(target=lambda one=one: found.append(EventStore(one).count())) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for one in made:
        one.close()
    assert found == [0] * 6


def test_the_commands_look_into_a_sink_that_is_named(url: str, sink: PostgresSink, tmp_path: Path) -> None:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "password").write_text(PASSWORD)
    config = tmp_path / "monitor.toml"
    config.write_text(
        '[[models]]\npath = "satellite.aezm"\n[[sources]]\nkind = "stdin"\n[[sinks]]\nkind = "console"\n'
        f'[[sinks]]\nname = "office"\nkind = "postgres"\nurl = "{url}"\npassword_file = "password"\n'
    )
    sink.deliver(steps(3))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["monitor", "events", *arguments])

    listed = run("list", str(config), "--from-sink", "office", "--json")
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == ["e00002", "e00001", "e00000"]
    assert run("acknowledge", str(config), "e00001", "--by", "ann", "--from-sink", "office").exit_code == 0
    assert json.loads(run("show", str(config), "e00001", "--from-sink", "office").stdout)["acknowledged_by"] == "ann"
    refused = run("list", str(config), "--from-sink", "console")
    assert refused.exit_code == 2
    assert "no sink 'console' of the kind postgres; it has office" in refused.stderr
