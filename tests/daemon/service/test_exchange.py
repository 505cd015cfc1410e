"""A reload that fails half-way: whichever step it is, the old configuration runs on, and nothing is left open."""

from __future__ import annotations

import logging
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.config.reader import load
from aez.daemon.delivery import Deliveries, Delivery
from aez.daemon.engine.engine import Engine
from aez.daemon.files.followed import Files
from aez.daemon.pipeline import Worker
from aez.daemon.service import exchange
from aez.daemon.service.exchange import ReloadFailed
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.sources.http_push import HttpPush
from aez.daemon.state.database import StoreError
from aez.daemon.state.store import Store
from tests.kit.brokers import free_port
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

SIMULATION = Simulation(streams=2, seed=1, every=60, first=40, length=20)
BEFORE = """\
[service]
log_level = "error"
batch_seconds = 0.005
commit_seconds = 0.01
[web]
enabled = false
[[models]]
name = "old"
path = "satellite.aezm"
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
[[sources]]
name = "push"
kind = "http"
port = {port}
stream = "stream"
[[sinks]]
name = "lines"
kind = "json_lines"
path = "old.jsonl"
[[sinks]]
name = "leaves"
kind = "json_lines"
path = "leaves.jsonl"
"""
AFTER = """\
[service]
log_level = "warning"
batch_seconds = 0.007
commit_seconds = 0.01
[web]
enabled = false
[[models]]
name = "new"
path = "other.aezm"
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl", "more.jsonl"]
stream = "stream"
[[sources]]
name = "pushed"
kind = "http"
port = {port}
stream = "stream"
[[sinks]]
name = "lines"
kind = "json_lines"
path = "new.jsonl"
[[sinks]]
name = "comes"
kind = "json_lines"
path = "comes.jsonl"
"""
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Rig:
    """A monitor in a folder of its own; rows come in by its file and its port, in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        save_satellite_model(folder / "satellite.aezm")
        save_satellite_model(folder / "other.aezm", threshold=1.4, name="other")
        (folder / "data.jsonl").touch()
        (folder / "more.jsonl").write_bytes(rows(0, 10).replace(b"sat-", b"more-"))
        self.write(BEFORE)
        self.at = 0
        self.monitor = Monitor(load(folder / "monitor.toml"))
        self.monitor.start()

    def write(self, config: str) -> None:
        (self.folder / "monitor.toml").write_text(config.format(port=self.port))

    def feed(self) -> None:
        """Rows by both ways, and wait until they are scored and stored."""
        monitor = self.monitor
        # A port that was given back, or is had for the first time, is listened at a moment later, in its own thread.
        until(lambda: not any(one.beginning for one in monitor.running.sources.all().values()))
        before = monitor.counts()["rows"]
        with (self.folder / "data.jsonl").open("ab") as file:
            file.write(rows(self.at, 60))
        until(lambda: monitor.counts()["rows"] == before + 120 and monitor.worker.idle)
        with OPENER.open(f"http://127.0.0.1:{self.port}/push", rows(self.at + 60, 60), timeout=30) as answer:
            assert answer.status in (200, 204)
        until(lambda: monitor.counts()["rows"] == before + 240 and monitor.worker.idle)
        self.at += 120

    def delivered(self) -> dict[str, int]:
        """Steps by the file of their sink, once all has been delivered."""
        store = self.monitor.store
        until(lambda: not store.outbox_size())
        return {
            path.name: len(path.read_text().splitlines())
            for path in self.folder.glob("*.jsonl")
            if path.name in ("old.jsonl", "leaves.jsonl", "new.jsonl", "comes.jsonl")
        }

    def sinks(self) -> set[str]:
        """Those that the store knows."""
        with self.monitor.store._database.read() as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sinks")}

    def state(self) -> tuple[Any, ...]:
        """What must be the same again."""
        running = self.monitor.running
        return (
            running.config,
            running.models,
            running.engine.models,
            running.worker.parser,
            running.worker._dead_letters,
            sorted(running.sources.all()),
            running.deliveries,
            self.sinks(),
            logging.getLogger("aez").level,
        )


def rows(at: int, count: int) -> bytes:
    return b"".join(encode(block, "json") for block in SIMULATION.blocks(count, at))


def threads() -> Counter[str]:
    return Counter(one.name for one in threading.enumerate() if not one.name.startswith(("asyncio", "parser")))


def descriptors() -> Counter[str]:
    """What is open, but for the database, of which each thread has a connection."""
    found: Counter[str] = Counter()
    for one in Path("/proc/self/fd").iterdir():
        try:
            target = str(one.readlink())
        except OSError:
            continue
        if "monitor.db" not in target:
            found[target.partition(":")[0]] += 1
    return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.monitor.end()


def fails(call: int, error: Exception, after: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let that call of a function fail, the first being 1; `after` it has done its work."""
    count = 0

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == call and not after:
                raise error
            found = function(*arguments, **options)
            if count == call:
                raise error
            return found

        return wrapped

    return wrap


NO_THREAD = RuntimeError("can't start new thread")
STORE = StoreError("the disk is full")
STEPS = {
    "the first new source is made": (exchange, "source", fails(1, InvalidArgument("no"))),
    "the second new source is made": (exchange, "source", fails(2, InvalidArgument("no"))),
    "sinks are registered": (Store, "register_sinks", fails(1, STORE)),
    "sinks are registered, and it is told late": (Store, "register_sinks", fails(1, STORE, after=True)),
    "sinks begin": (Deliveries, "start", fails(1, NO_THREAD)),
    "the second sink begins": (Delivery, "start", fails(2, NO_THREAD)),
    "parsers are made": (exchange, "parsers", fails(1, MemoryError("no room"))),
    "models are fitted": (exchange.models, "watched", fails(1, InvalidArgument("no"))),
    "the worker is asked": (Worker, "settle", fails(1, STORE)),
    "the file stops": (Files, "stop", fails(1, NO_THREAD)),
    "the port stops": (HttpPush, "stop", fails(1, NO_THREAD)),
    "what they gave becomes durable": (Worker, "settle", fails(2, STORE)),
    "the worker does not answer": (Worker, "call", fails(2, TimeoutError("the worker does not answer"))),
    "the file closes": (Files, "close", fails(1, OSError(9, "bad"), after=True)),
    "the port closes": (HttpPush, "close", fails(1, OSError(9, "bad"))),
    "positions are read": (Store, "positions", fails(1, STORE)),
    "the new file begins": (Files, "start", fails(1, NO_THREAD)),
    "the new port begins": (HttpPush, "start", fails(1, NO_THREAD)),
    "the new port has begun": (HttpPush, "start", fails(1, NO_THREAD, after=True)),
    "the worker settles for the last time": (Worker, "settle", fails(3, STORE)),
    "the worker never comes to it": (Worker, "exchange", fails(1, TimeoutError("the worker does not answer"))),
    "the engine refuses": (Engine, "replace_models", fails(1, InvalidArgument("the model cannot be run"))),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_leaves_all_as_it_was(rig: Rig, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.feed()
    first = rig.delivered()
    assert first["old.jsonl"] == first["leaves.jsonl"] > 0
    state, threads_before, open_before = rig.state(), threads(), descriptors()

    rig.write(AFTER)
    owner, name, failing = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name)))
        with pytest.raises(ReloadFailed, match=r"; the old configuration goes on$"):
            rig.monitor.reload()

    assert rig.state() == state
    until(lambda: threads() <= threads_before)
    until(lambda: descriptors() <= open_before)
    rig.feed()  # by the old file and the old port, both again
    second = rig.delivered()
    assert second["old.jsonl"] == second["leaves.jsonl"] > first["old.jsonl"]
    assert not {"new.jsonl", "comes.jsonl"} & set(second)
    assert {event.record.model for event in rig.monitor.store.events.list(limit=1000)} == {"old"}
    assert not any(table.names and "more-01" in table.names for table in rig.monitor.running.engine.tables())

    said = "models; sources push, pushed, telemetry; sinks; service.log_level, service.batch_seconds"
    assert rig.monitor.reload() == said
    assert rig.sinks() == {"lines", "comes"}
    assert sorted(rig.monitor.running.sources.all()) == ["pushed", "telemetry"]
    assert [one.name for one in rig.monitor.running.engine.models] == ["new"]
    until(lambda: threads()["sink-comes"] == threads()["sink-lines"] == 1)
    until(lambda: rig.monitor.counts()["rows"] == 500)  # the two of more.jsonl, too
    rig.feed()
    third = rig.delivered()
    assert third["new.jsonl"] == third["comes.jsonl"] > 0
    assert (third["old.jsonl"], third["leaves.jsonl"]) == (second["old.jsonl"], second["leaves.jsonl"])


def test_a_source_that_cannot_be_brought_back_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.feed()
    rig.write(AFTER)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "replace_models", fails(1, InvalidArgument("no"))(Engine.replace_models))
        patch.setattr(exchange, "source", fails(3, InvalidArgument("gone"))(exchange.source))
        with pytest.raises(ReloadFailed) as caught:
            rig.monitor.reload()
    assert str(caught.value) == "no; the old configuration goes on; source push could not be brought back"
    assert sorted(rig.monitor.running.sources.all()) == ["telemetry"]
    rig.write(BEFORE)


def test_a_swap_that_nobody_waits_for_any_more_is_never_run(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = rig.monitor.worker
    held, reached = threading.Event(), threading.Event()

    def settle() -> None:
        reached.set()
        held.wait(60)

    swapped: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(worker, "settle", settle)
        with pytest.raises(TimeoutError):
            worker.exchange(lambda: swapped.append(1), timeout=0.2)
        assert reached.is_set()
        held.set()
        worker.call(lambda: None)
    assert not swapped


def test_a_monitor_that_ends_takes_no_configuration(rig: Rig) -> None:
    rig.monitor.end()
    rig.write(AFTER)
    with pytest.raises(AezError, match="ending"):
        rig.monitor.reload()
    assert rig.monitor.config.models[0].name == "old"


@pytest.mark.parametrize("part", ["store", "page", "sinks", "worker", "first source", "second source"])
def test_a_start_that_fails_closes_what_it_opened(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from aez.daemon.service import monitor as life

    save_satellite_model(tmp_path / "satellite.aezm")
    text = BEFORE.format(port=free_port()).replace("enabled = false", f"port = {free_port()}")
    (tmp_path / "monitor.toml").write_text(text)
    (tmp_path / "data.jsonl").touch()
    owner, name, failing = {
        "store": (life, "Store", fails(1, STORE)),
        "page": (life.Web, "start", fails(1, NO_THREAD, after=True)),
        "sinks": (Delivery, "start", fails(2, NO_THREAD)),
        "worker": (Worker, "start", fails(1, NO_THREAD)),
        "first source": (Files, "start", fails(1, NO_THREAD, after=True)),
        "second source": (HttpPush, "start", fails(1, NO_THREAD, after=True)),
    }[part]
    threads_before, open_before = threads(), descriptors()
    monitor = Monitor(load(tmp_path / "monitor.toml"))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name)))
        with pytest.raises((StoreError, RuntimeError)):
            monitor.start()
    until(lambda: threads() <= threads_before)
    until(lambda: descriptors() <= open_before)
    monitor.end()  # does nothing more
    again = Monitor(load(tmp_path / "monitor.toml"))  # the state, the ports and the files are free
    again.start()
    assert not again.view.readiness()
    again.end()
