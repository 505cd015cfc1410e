"""What every source keeps to, whatever it reads from."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.build.opening import open_source
from aez.daemon.config.kinds import SOURCES
from aez.daemon.sources.base import Source
from aez.daemon.sources.stdin import StdinOptions
from tests.kit.brokers import start_mosquitto, start_nats
from tests.kit.source_harness import (
    Feeder,
    FilesFeeder,
    FramesFeeder,
    HttpFeeder,
    Intake,
    MqttFeeder,
    NatsFeeder,
    StdinFeeder,
)
from tests.kit.waiting import until


@pytest.fixture(params=["stdin", "file", "frames", "http", "mqtt", "nats"])
def feeder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeder]:
    folder = tmp_path_factory.mktemp("feeder")
    broker = None
    feeder: Feeder
    if request.param == "stdin":
        feeder = StdinFeeder()
    elif request.param == "file":
        feeder = FilesFeeder(folder)
    elif request.param == "frames":
        feeder = FramesFeeder(folder)
    elif request.param == "http":
        feeder = HttpFeeder()
    elif request.param == "mqtt":
        broker = start_mosquitto(folder)
        feeder = MqttFeeder(broker)
    else:
        broker = start_nats(folder)
        feeder = NatsFeeder(broker)
    yield feeder
    feeder.close()
    if broker is not None:
        broker.stop()


@pytest.fixture
def opened(feeder: Feeder) -> Iterator[Callable[[], Source]]:
    sources: list[Source] = []

    def open_one() -> Source:
        sources.append(feeder.source())
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


def acknowledge_all(source: Source, intake: Intake) -> threading.Event:
    """Acknowledge each chunk soon after it came, from another thread, until the event is set."""
    ended = threading.Event()

    def run() -> None:
        done = 0
        while not ended.wait(0.002):
            if len(intake.chunks) > done:
                done = len(intake.chunks)
                source.acknowledge(intake.chunks[done - 1].position)

    threading.Thread(target=run, daemon=True).start()
    return ended


def test_every_message_arrives_once_and_in_order(feeder: Feeder, opened: Callable[[], Source]) -> None:
    source, intake = opened(), Intake()
    source.start(intake.put)
    ended = acknowledge_all(source, intake)
    feeder.feed(range(1000))
    feeder.feed(range(1000, 2000))
    until(lambda: len(intake.numbers()) >= 2000)
    ended.set()
    assert intake.numbers() == list(range(2000))
    assert not source.status()
    assert not source.done.is_set()


def test_chunks_hold_whole_messages_and_say_where_they_are_from(feeder: Feeder, opened: Callable[[], Source]) -> None:
    if isinstance(feeder, FramesFeeder):
        pytest.skip("each picture is a chunk of its own")
    source, intake = opened(), Intake()
    begun = time.monotonic()
    source.start(intake.put)
    ended = acknowledge_all(source, intake)
    feeder.feed(range(5000))
    until(lambda: len(intake.numbers()) >= 5000)
    ended.set()
    assert 1 <= len(intake.chunks) <= 2500  # many in one
    for chunk in intake.chunks:
        assert chunk.source == "source"
        assert chunk.format == "json"
        assert chunk.data.endswith(b"\n")
        assert begun <= chunk.received <= time.monotonic()
        assert json.loads(json.dumps(chunk.position)) == chunk.position


def test_a_full_queue_holds_the_source_back_and_loses_nothing(feeder: Feeder, opened: Callable[[], Source]) -> None:
    source, intake = opened(), Intake(limit=1)
    source.start(intake.put)
    ended = acknowledge_all(source, intake)
    feeder.feed(range(10))
    until(lambda: len(intake.chunks) == 1)
    feeder.feed(range(10, 3000))
    assert intake.full.wait(60)  # it wants to put more, and waits
    assert len(intake.chunks) == 1
    intake.raise_limit()
    until(lambda: bool(intake.numbers()) and set(intake.numbers()) >= set(range(3000)))
    ended.set()
    first_seen = list(dict.fromkeys(intake.numbers()))
    assert first_seen == list(range(3000))


def test_nothing_is_put_after_stop(feeder: Feeder, opened: Callable[[], Source]) -> None:
    source, intake = opened(), Intake()
    source.start(intake.put)
    feeder.feed(range(100))
    until(lambda: len(intake.chunks) > 0)
    begun = time.monotonic()
    source.stop(timeout=300)
    assert time.monotonic() - begun < 60
    count = len(intake.chunks)
    feeder.feed(range(100, 200))
    other, after = opened(), Intake()
    other.start(after.put)
    ended = acknowledge_all(other, after)
    until(lambda: set(after.numbers()) >= set(range(100, 200)))
    ended.set()
    assert len(intake.chunks) == count
    source.acknowledge(intake.chunks[-1].position)  # still possible, and again, and of old
    source.acknowledge(intake.chunks[0].position)
    source.close()
    source.close()


def test_stop_returns_while_the_queue_stays_full(feeder: Feeder, opened: Callable[[], Source]) -> None:
    source, intake = opened(), Intake(limit=0)
    source.start(intake.put)
    feeder.feed(range(100))
    assert intake.full.wait(60)
    begun = time.monotonic()
    source.stop(timeout=0.2)
    assert time.monotonic() - begun < 4  # without the timeout it would wait for 5 s
    intake.raise_limit()


def test_a_source_that_was_never_started_can_be_closed_and_another_takes_its_place(
    feeder: Feeder, opened: Callable[[], Source]
) -> None:
    unused = opened()
    unused.close()
    assert not unused.status()
    assert not unused.done.is_set()
    source, intake = opened(), Intake()
    source.start(intake.put)
    ended = acknowledge_all(source, intake)
    feeder.feed(range(10))
    until(lambda: len(intake.numbers()) >= 10)
    ended.set()
    assert intake.numbers() == list(range(10))


def test_a_source_is_started_once(feeder: Feeder, opened: Callable[[], Source]) -> None:
    del feeder
    source = opened()
    source.start(Intake().put)
    with pytest.raises(InvalidArgument, match="started"):
        source.start(Intake().put)


def test_after_a_restart_it_goes_on_behind_what_was_acknowledged(feeder: Feeder, opened: Callable[[], Source]) -> None:
    if not feeder.replays:
        pytest.skip("what a pipe gave once it does not give again")
    first, before = opened(), Intake()
    first.start(before.put)
    feeder.feed(range(500))
    until(lambda: len(before.chunks) > 0)
    durable = before.chunks[0]
    first.acknowledge(durable.position)
    first.stop()
    time.sleep(0.05)
    first.close()
    kept = [json.loads(line)["n"] for line in durable.data.splitlines()]

    second, after = opened(), Intake()
    second.start(after.put, json.loads(json.dumps(durable.position)))
    ended = acknowledge_all(second, after)
    feeder.feed(range(500, 1000))
    until(lambda: set(kept + after.numbers()) >= set(range(1000)))
    ended.set()
    assert after.numbers() == list(range(len(kept), 1000))


def test_what_was_never_acknowledged_all_comes_again(feeder: Feeder, opened: Callable[[], Source]) -> None:
    if not feeder.replays:
        pytest.skip("what a pipe gave once it does not give again")
    first, before = opened(), Intake()
    first.start(before.put)
    feeder.feed(range(300))
    until(lambda: len(before.numbers()) >= 100)
    first.close()
    second, after = opened(), Intake()
    second.start(after.put)
    ended = acknowledge_all(second, after)
    until(lambda: len(after.numbers()) >= 300)
    ended.set()
    assert after.numbers() == list(range(300))


def test_an_unknown_kind_or_option_is_named() -> None:
    assert set(SOURCES) == {"stdin", "file", "frames", "http", "mqtt", "nats"}
    with pytest.raises(InvalidArgument, match="'kafka'"):
        open_source("kafka", "a", StdinOptions())
    with pytest.raises(InvalidArgument, match="'colour'"):
        StdinOptions.of(colour="red")
    with pytest.raises(InvalidArgument, match="'xml'"):
        StdinOptions.of(format="xml")
    with pytest.raises(InvalidArgument, match="mqtt does not take StdinOptions"):
        open_source("mqtt", "a", StdinOptions())
