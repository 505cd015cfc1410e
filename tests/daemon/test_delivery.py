"""Delivery: each step to each sink, whoever is down, and whenever the process is killed."""

from __future__ import annotations

import itertools
import json
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon import delivery
from aez.daemon.common.records import DeliveryStatus, EventRecord
from aez.daemon.delivery import Deliveries, Retry
from aez.daemon.observe.metrics import Metrics
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.state.store import Store
from tests.kit.event_steps import step, steps
from tests.kit.places import ROOT
from tests.kit.sink_receivers import RECEIVERS, HttpServer, Receiver
from tests.kit.waiting import until

QUICK = Retry(first=0.01, longest=0.05, trip_after=3)


class Collector(Sink):
    """Takes everything; `fault` may say what to raise for a delivery."""

    def __init__(self, fault: Callable[[Sequence[EventRecord]], Exception | None] = lambda _: None) -> None:
        self.fault = fault
        self.calls: list[list[str]] = []
        self.refreshed: list[list[str]] = []
        self.closed = 0

    def deliver(self, records: Sequence[EventRecord]) -> None:
        error = self.fault(records)
        if error is not None:
            raise error
        self.calls.append([record.id for record in records])

    def refresh(self, records: Sequence[EventRecord]) -> None:
        self.refreshed.append([record.id for record in records])

    def close(self) -> None:
        self.closed += 1

    @property
    def ids(self) -> list[str]:
        return [name for call in self.calls for name in call]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as opened:
        yield opened


def wait_for(event: threading.Event) -> None:
    assert event.wait(30)


def status(deliveries: Deliveries, name: str = "sink") -> DeliveryStatus:
    return next(one for one in deliveries.statuses() if one.name == name)


def ids(records: Sequence[EventRecord]) -> list[str]:
    return [record.id for record in records]


def test_a_commit_wakes_the_sinks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_IDLE_SECONDS", 600.0)
    sink = Collector()
    deliveries = Deliveries(store, {"sink": sink})
    deliveries.start()
    for number, record in enumerate(steps(10)):  # the later ones find it waiting
        store.commit({}, {}, [record])
        until(lambda number=number: status(deliveries).delivered > number)
    assert sink.ids == ids(steps(10))
    assert status(deliveries) == DeliveryStatus("sink", 0, 10, 0, 0, 0, 0, "closed", "", 0.0)
    assert deliveries.stop()
    assert sink.closed == 1


def test_batches_are_bounded(store: Store) -> None:
    sink = Collector()
    deliveries = Deliveries(store, {"sink": sink}, batch=4)
    store.commit({}, {}, steps(10))
    deliveries.start()
    assert deliveries.stop(drain_seconds=20)
    assert [len(call) for call in sink.calls] == [4, 4, 2]


def test_a_sink_that_is_down_delays_itself_alone_and_gets_everything_later(store: Store) -> None:
    down = threading.Event()
    down.set()
    slow, hanging, fast = Collector(lambda _: SinkError("down") if down.is_set() else None), Collector(), Collector()
    release = threading.Event()
    hanging.fault = lambda _: wait_for(release)
    deliveries = Deliveries(store, {"slow": slow, "hanging": hanging, "fast": fast}, retry=QUICK)
    deliveries.start()
    for record in steps(50):
        store.commit({}, {}, [record])
    until(lambda: fast.ids == ids(steps(50)))
    until(lambda: status(deliveries, "slow").circuit == "open")
    assert (slow.ids, hanging.ids) == ([], [])
    assert status(deliveries, "slow").pending == 50
    assert status(deliveries, "slow").last_error == "down"
    assert status(deliveries, "slow").lag > 0
    down.clear()
    release.set()
    until(lambda: slow.ids == hanging.ids == ids(steps(50)))
    until(lambda: status(deliveries, "slow").circuit == "closed")
    assert len(slow.calls[0]) == 1  # the probe
    assert deliveries.stop()
    assert store.outbox_size() == 0


def test_a_sink_that_hangs_counts_as_failing_and_is_said_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "_HUNG_SECONDS", 0.0)
    hanging, release = Collector(), threading.Event()
    hanging.timeout_seconds = 0.05
    hanging.fault = lambda _: wait_for(release)
    deliveries = Deliveries(store, {"sink": hanging})
    deliveries.start()
    store.commit({}, {}, steps(3))
    until(lambda: status(deliveries).last_error)
    assert "it hangs: a delivery goes on for" in status(deliveries).last_error
    metrics = Metrics()
    metrics.set_sinks(deliveries.statuses())
    assert metrics.sink_up.labels("sink")._value.get() == 0
    assert [one.levelname for one in caplog.records if "hangs" in one.message] == ["ERROR"]
    release.set()
    until(lambda: status(deliveries).delivered == 3)
    until(lambda: not status(deliveries).last_error)
    assert deliveries.stop()


def test_an_open_circuit_probes_with_a_single_step_after_pauses_that_grow(store: Store) -> None:
    sizes: list[int] = []
    times: list[float] = []

    def fault(records: Sequence[EventRecord]) -> Exception:
        sizes.append(len(records))
        times.append(time.monotonic())
        return SinkError("down")

    deliveries = Deliveries(store, {"sink": Collector(fault)}, retry=Retry(first=0.02, longest=0.3, trip_after=3))
    store.commit({}, {}, steps(10))
    deliveries.start()
    until(lambda: len(sizes) >= 7)
    assert deliveries.stop()
    assert sizes[:7] == [10, 10, 10, 1, 1, 1, 1]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= 0.5 * min(0.3, 0.02 * 2**number) for number, pause in enumerate(pauses))


@pytest.mark.parametrize("failures", [1, 2, 5, 10, 10_000])
def test_pauses_double_to_the_longest_and_vary(failures: int) -> None:
    pauses = [Retry(first=1, longest=60).pause(failures) for _ in range(200)]
    whole = min(60, 2.0 ** min(failures - 1, 60))
    assert whole / 2 <= min(pauses) < 0.6 * whole
    assert 0.9 * whole < max(pauses) <= whole


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 2, "longest": 1}, {"trip_after": 0}])
def test_a_senseless_retry_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        Retry(**wrong)  # type: ignore[arg-type]


def test_news_do_not_hurry_a_sink_that_fails(store: Store) -> None:
    tries: list[int] = []
    sink = Collector(lambda records: tries.append(len(records)) or SinkError("down"))  # type: ignore[func-returns-value]
    other = Collector()
    deliveries = Deliveries(store, {"sink": sink, "other": other}, retry=Retry(first=600, longest=600))
    deliveries.start()
    for record in steps(20):
        store.commit({}, {}, [record])
        until(lambda record=record: record.id in other.ids)
    until(lambda: tries)
    assert len(tries) == 1
    assert deliveries.stop(close_seconds=60)


def test_what_is_refused_for_good_is_put_aside_and_the_rest_goes_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"e00003", "e00007"}
    sink = Collector(lambda records: Rejected("no") if bad & set(ids(records)) else None)
    deliveries = Deliveries(store, {"sink": sink}, retry=QUICK)
    store.commit({}, {}, steps(10))
    deliveries.start()
    assert deliveries.stop(drain_seconds=20)
    assert sink.ids == [name for name in ids(steps(10)) if name not in bad]
    assert (status(deliveries).delivered, status(deliveries).rejected, status(deliveries).pending) == (8, 2, 0)
    assert [(record.id, reason) for record, reason in store.rejected("sink")] == [("e00007", "no"), ("e00003", "no")]
    assert "e00003" in caplog.text


def test_a_fault_in_a_sink_is_retried_and_what_it_says_is_not_told(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [KeyError("s3cr3t"), RuntimeError("s3cr3t")]
    sink = Collector(lambda _: faults.pop() if faults else None)
    deliveries = Deliveries(store, {"sink": sink}, retry=QUICK)
    store.commit({}, {}, steps(1))
    deliveries.start()
    until(lambda: sink.ids)
    assert deliveries.stop()
    assert status(deliveries).failures == 2
    assert "RuntimeError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_stopping_delivers_what_is_pending_within_the_bound(store: Store) -> None:
    sink = Collector(lambda _: time.sleep(0.01))  # type: ignore[func-returns-value]
    deliveries = Deliveries(store, {"sink": sink}, batch=1)
    store.commit({}, {}, steps(20))
    deliveries.start()
    assert deliveries.stop(drain_seconds=20)
    assert sink.ids == ids(steps(20))


def test_stopping_does_not_wait_for_a_sink_that_fails_or_hangs(store: Store) -> None:
    release = threading.Event()
    sinks = {
        "down": Collector(lambda _: SinkError("down")),
        "hanging": Collector(lambda _: wait_for(release)),
    }
    deliveries = Deliveries(store, sinks, retry=QUICK)
    store.commit({}, {}, steps(3))
    deliveries.start()
    until(lambda: status(deliveries, "down").circuit == "open")
    begun = time.monotonic()
    assert not deliveries.stop(drain_seconds=0.2, close_seconds=0.2)
    assert time.monotonic() - begun < 5
    release.set()
    assert deliveries.stop(close_seconds=20)
    assert store.progress("down").pending == 3


def test_open_events_are_told_again_to_sinks_that_forget(store: Store) -> None:
    sink = Collector()
    sink.refresh_seconds = 0.05
    deliveries = Deliveries(store, {"sink": sink})
    store.commit({}, {}, [step("a"), step("b")])
    deliveries.start()
    until(lambda: len(sink.refreshed) >= 3)
    assert sink.refreshed[0] == ["a", "b"]
    store.commit({}, {}, [step("a", 1, "close")])
    until(lambda: ["b"] in sink.refreshed)
    assert deliveries.stop()


def test_a_sink_no_longer_configured_is_told_of(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    Deliveries(store, {"old": Collector()})
    store.commit({}, {}, steps(2))
    Deliveries(store, {"new": Collector()})
    assert "old" in caplog.text
    assert "2 steps" in caplog.text


def test_a_store_in_trouble_is_tried_again(store: Store, tmp_path: Path) -> None:
    import sqlite3

    with Store(tmp_path / "store.db", busy_seconds=0.05) as impatient:
        sink = Collector()
        deliveries = Deliveries(impatient, {"sink": sink}, retry=QUICK)
        store.commit({}, {}, steps(1))
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        deliveries.start()
        until(lambda: status(deliveries).failures >= 2)
        other.execute("ROLLBACK")
        other.close()
        until(lambda: status(deliveries).pending == 0)
        assert deliveries.stop()
    assert set(sink.ids) == {"e00000"}


@pytest.mark.parametrize("kind", RECEIVERS)
def test_every_kind_of_sink_gets_all_after_its_receiver_was_down(kind: str, store: Store, tmp_path: Path) -> None:
    receiver: Receiver = RECEIVERS[kind](tmp_path / "receiver" if kind in ("mqtt", "nats") else tmp_path)
    try:
        other = Collector()
        deliveries = Deliveries(store, {"sink": receiver.sink(), "other": other}, retry=QUICK, batch=7)
        deliveries.start()
        for round_ in range(2):
            store.commit({}, {}, steps(10, f"up{round_}-"))
            until(lambda: status(deliveries).pending == 0)
            receiver.broken()
            store.commit({}, {}, steps(20, f"down{round_}-"))
            until(lambda: status(deliveries).failed_in_row >= 2)
            until(lambda: status(deliveries, "other").pending == 0)
            receiver.mended()
            until(lambda: status(deliveries).pending == 0)
        assert deliveries.stop()
        wanted = [
            (record.id, 0) for round_ in range(2) for record in steps(10, f"up{round_}-") + steps(20, f"down{round_}-")
        ]
        assert list(dict.fromkeys(receiver.steps(len(wanted)))) == wanted
        assert other.ids == [name for name, _ in wanted]
    finally:
        receiver.stop()


DELIVERER = """
import os, sys, time
sys.path.insert(0, {root!r})
from tests.kit.event_steps import step
from aez.daemon.delivery import Deliveries, Retry
from aez.daemon.sinks.json_lines import JsonLinesOptions, JsonLinesSink
from aez.daemon.sinks.webhook import WebhookOptions, WebhookSink
from aez.daemon.state.store import Store
store = Store({path!r}, exclusive=True)
sinks = {{
    "file": JsonLinesSink(JsonLinesOptions(path={file!r}, rotate_bytes=50_000, max_files=10_000, fsync=False)),
    "hook": WebhookSink(WebhookOptions(url={url!r}, secret="key")),
}}
deliveries = Deliveries(store, sinks, batch=5, retry=Retry(first=0.01, longest=0.05))
deliveries.start()
number = store.positions().get("source", {{"at": -1}})["at"] + 1
end = {end}
while end is None or number < end:
    events = [step("e%06d" % number), step("e%06d" % number, 1, "close")]
    store.commit({{"source": {{"at": number}}}}, {{"pump": b"%d" % number}}, events)
    if not number % 5:
        os.write(1, b"%d\\n" % number)
    number += 1
    while store.outbox_size() > 100:
        time.sleep(0.005)
assert deliveries.stop(drain_seconds=60)
assert store.outbox_size() == 0, store.outbox_size()
print(number)
"""


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_at_any_moment_every_step_reaches_every_sink(tmp_path: Path, kills: int) -> None:
    """The file holds each once; the webhook gets again at most the batch that was under way at each kill."""
    server = HttpServer()
    # Now and then the receiver fails, so that kills fall into retries as well.
    rng = random.Random(kills)
    server.judge = lambda _: 503 if rng.random() < 0.1 else None
    file = tmp_path / "events.jsonl"

    def script(end: int | None) -> str:
        return DELIVERER.format(
            root=str(ROOT),
            path=str(tmp_path / "s.db"),
            file=str(file),
            url=f"http://127.0.0.1:{server.port}",
            end=end,
        )

    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", script(None)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline(), process.stderr.read().decode()
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    with Store(tmp_path / "s.db") as store:
        end = store.positions()["source"]["at"] + 3
    run = subprocess.run([sys.executable, "-c", script(end)], capture_output=True, text=True, timeout=120)
    server.stop()
    assert run.returncode == 0, run.stderr
    wanted = [(f"e{number:06d}", sequence) for number in range(end) for sequence in range(2)]
    files = sorted(tmp_path.glob("events.jsonl.*"), key=lambda path: -int(path.suffix[1:]))
    lines = [json.loads(line) for path in (*files, file) for line in path.read_text().splitlines()]
    assert [(line["id"], line["sequence"]) for line in lines] == wanted
    posted = [(one["id"], one["sequence"]) for _, _, body in server.posts for one in json.loads(body)["events"]]
    assert list(dict.fromkeys(posted)) == wanted
    assert sum(Counter(posted).values()) - len(wanted) <= 5 * kills
