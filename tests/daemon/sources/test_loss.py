"""Nothing is lost when the process is killed, and when a broker restarts."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.brokers import Broker, mosquitto, nats_server  # noqa: F401 - fixtures
from tests.kit.places import ROOT
from tests.kit.source_harness import FilesFeeder, Intake, MqttFeeder, NatsFeeder
from tests.kit.waiting import until


class Child:
    """The process that is killed, and what it has kept."""

    def __init__(self, folder: Path, kind: str, options: dict[str, Any]) -> None:
        self._folder = folder
        self._command = [sys.executable, "-m", "tests.kit.source_child", str(folder), kind, json.dumps(options)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def numbers(self) -> list[int]:
        out = self._folder / "out"
        lines = out.read_bytes().split(b"\n")[:-1] if out.exists() else []
        numbers = []
        for line in lines:
            try:
                numbers.append(json.loads(line)["n"])
            except ValueError:  # half a line, written when the kill came; it comes again behind this
                numbers.append(json.loads(b"{" + line.rpartition(b"{")[2])["n"])
        return numbers


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[str, dict[str, Any]], Child]]:
    children: list[Child] = []

    def make(kind: str, options: dict[str, Any]) -> Child:
        children.append(Child(tmp_path, kind, options))
        return children[-1]

    yield make
    for one in children:
        one.kill()


def kill_under_load(child: Child, feed: Callable[[range], None], kills: int, count: int) -> None:
    """Feed `count` messages while the process is killed; all must have come in the end, in order."""
    fed = threading.Thread(target=lambda: [feed(range(n, n + 50)) or time.sleep(0.02) for n in range(0, count, 50)])
    fed.start()
    luck = random.Random(4)
    for _ in range(kills):
        child.start()
        time.sleep(0.5 + luck.random())  # importing takes about half a second
        child.kill()
    fed.join()
    child.start()
    until(lambda: set(child.numbers()) == set(range(count)), 60)
    assert list(dict.fromkeys(child.numbers())) == list(range(count))


@pytest.mark.slow
def test_a_followed_and_rotated_file_through_kills(
    tmp_path: Path, child: Callable[[str, dict[str, Any]], Child]
) -> None:
    feeder = FilesFeeder(tmp_path)

    def feed(numbers: range) -> None:
        if numbers.start % 500 == 0 and feeder.path.exists():
            for age in range(30, 0, -1):
                if (old := tmp_path / f"data.jsonl.{age}").exists():
                    old.rename(tmp_path / f"data.jsonl.{age + 1}")
            feeder.path.rename(tmp_path / "data.jsonl.1")
        feeder.feed(numbers)

    feeder.feed([0])  # what was rotated before the very first start is not asked for
    first = child("file", {"paths": [str(feeder.path)]})
    first.start()
    until(lambda: first.numbers() == [0] and (tmp_path / "position.json").exists())
    first.kill()
    (tmp_path / "out").unlink()
    kill_under_load(first, feed, kills=4, count=5000)


@pytest.mark.slow
def test_mqtt_through_kills(mosquitto: Broker, child: Callable[[str, dict[str, Any]], Child]) -> None:  # noqa: F811
    feeder = MqttFeeder(mosquitto)
    options = {"topics": ["plant/+/data"], "client_id": "monitor", "port": mosquitto.port}
    kill_under_load(child("mqtt", options), feeder.feed, kills=4, count=5000)
    feeder.close()


@pytest.mark.slow
def test_nats_through_kills(nats_server: Broker, child: Callable[[str, dict[str, Any]], Child]) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    options = {"subject": "plant.*.data", "durable": "monitor", "servers": [feeder.url]}
    kill_under_load(child("nats", options), feeder.feed, kills=4, count=5000)


def acknowledging(source: Any, intake: Intake) -> Callable[[Any], None]:
    def put(chunk: Any) -> None:
        intake.put(chunk)
        # A while later, as if a commit lay between.
        threading.Timer(0.02, source.acknowledge, (chunk.position,)).start()

    return put


def test_mqtt_through_restarts_of_the_broker(mosquitto: Broker) -> None:  # noqa: F811
    feeder = MqttFeeder(mosquitto)
    source, intake = feeder.source(), Intake()
    source.start(acknowledging(source, intake))
    for turn in range(3):
        feeder.feed(range(turn * 500, turn * 500 + 500))
        time.sleep(0.2)
        mosquitto.stop()  # not killed: it saves at its end and now and then only, and what it loses is lost
        until(lambda: bool(source.status()))
        assert str(mosquitto.port) in source.status()
        mosquitto.start()
    until(lambda: set(intake.numbers()) == set(range(1500)), 40)
    source.close()
    feeder.close()
    assert list(dict.fromkeys(intake.numbers())) == list(range(1500))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nats_through_restarts_of_the_server(nats_server: Broker, end: str) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    source, intake = feeder.source(), Intake()
    source.start(acknowledging(source, intake))
    for turn in range(3):
        feeder.feed(range(turn * 500, turn * 500 + 500))
        getattr(nats_server, end)()
        until(lambda: bool(source.status()))
        assert str(nats_server.port) in source.status()
        nats_server.start()
    until(lambda: set(intake.numbers()) >= set(range(1500)), 40)
    time.sleep(0.2)
    source.close()
    assert intake.numbers() == list(range(1500))  # each once: the sequence tells what came before


def test_a_broker_that_starts_later_is_found(mosquitto: Broker) -> None:  # noqa: F811
    feeder = MqttFeeder(mosquitto)
    mosquitto.stop()
    source, intake = feeder.source(), Intake()
    source.start(intake.put)
    until(lambda: "cannot reach" in source.status())
    mosquitto.start()
    feeder.feed(range(10))
    until(lambda: intake.numbers() == list(range(10)))
    assert source.status() == ""
    source.close()
    feeder.close()


def test_acknowledgements_of_a_broken_connection_are_not_sent_on_the_next(mosquitto: Broker) -> None:  # noqa: F811
    feeder = MqttFeeder(mosquitto)
    source, intake = feeder.source(), Intake()
    source.start(intake.put)
    feeder.feed(range(100))
    until(lambda: len(intake.numbers()) == 100)
    old = intake.chunks[-1].position
    mosquitto.restart()
    until(lambda: len(intake.numbers()) >= 200)  # all came again, as none was acknowledged
    assert intake.numbers() == [*range(100), *range(100)]
    source.acknowledge(old)
    time.sleep(0.3)
    source.close()
    source, intake = feeder.source(), Intake()
    source.start(intake.put)
    until(lambda: len(intake.numbers()) >= 100)  # so they came once more
    assert intake.numbers() == list(range(100))
    source.acknowledge(intake.chunks[-1].position)
    time.sleep(0.3)
    source.close()
    again, after = feeder.source(), Intake()
    again.start(after.put)
    feeder.feed(range(100, 110))
    until(lambda: len(after.numbers()) >= 10)
    again.close()
    feeder.close()
    assert after.numbers() == list(range(100, 110))
