"""MQTT and NATS: topics, formats, passwords, TLS, limits, and what is refused."""

import asyncio
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.errors import ServerError
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.sources.messages import as_lines, gather
from aez.daemon.sources.mqtt import Mqtt, MqttOptions
from aez.daemon.sources.nats import Nats, NatsOptions
from tests.kit.brokers import Broker, find_program, mosquitto, nats_server, start_mosquitto, start_nats  # noqa: F401 - fixtures
from tests.kit.certificates import self_signed
from tests.kit.source_harness import Intake, NatsFeeder, message
from tests.kit.waiting import until


@pytest.fixture
def publisher(mosquitto: Broker) -> Iterator[Client]:  # noqa: F811
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def started(source: Mqtt | Nats) -> Intake:
    intake = Intake()
    source.start(intake.put)
    until(lambda: not source.status())
    return intake


def by_stream(intake: Intake) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    for chunk in intake.chunks:
        found.setdefault(chunk.stream, []).extend(json.loads(line)["n"] for line in chunk.data.splitlines())
    return found


def test_wildcards_and_topics_become_streams_each_in_order(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    source = Mqtt("source", MqttOptions(topics=["plant/+/data", "site/#"], client_id="monitor", port=mosquitto.port))
    intake = started(source)
    for number in range(300):
        publisher.publish(["plant/a/data", "plant/b/data", "site/x/y", "other/a"][number % 4], message(number), 1)
    until(lambda: len(intake.numbers()) >= 225)
    for chunk in list(intake.chunks):
        source.acknowledge(chunk.position)
    source.close()
    streams = ("plant/a/data", "plant/b/data", "site/x/y")
    assert by_stream(intake) == {stream: list(range(at, 300, 4)) for at, stream in enumerate(streams)}


def test_all_messages_of_a_flush_over_many_topics_are_acknowledged(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    def open_one() -> Mqtt:
        return Mqtt("source", MqttOptions(topics=["t/#"], client_id="monitor", port=mosquitto.port, gather_seconds=0.2))

    source = open_one()
    intake = started(source)
    for number in range(60):
        publisher.publish(f"t/{number % 7}", message(number) if number % 5 else b" \n", 1)
    until(lambda: len(intake.numbers()) >= 48)
    source.acknowledge(intake.chunks[-1].position)
    time.sleep(0.2)
    source.close()
    again = open_one()
    after = started(again)
    publisher.publish("t/last", message(60), 1)
    until(lambda: len(after.numbers()) > 0)
    again.close()
    assert after.numbers() == [60]  # what the broker has in hand it sends before what is new


def test_a_flush_is_acknowledged_with_its_last_chunk_only(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    options: dict[str, Any] = {"topics": ["t/#"], "client_id": "monitor", "port": mosquitto.port}
    source = Mqtt("source", MqttOptions.of(**options, gather_seconds=0.3))
    intake = started(source)
    for number in range(20):
        publisher.publish(f"t/{number % 4}", message(number), 1)
    until(lambda: len(intake.numbers()) == 20)
    flush = [chunk for chunk in intake.chunks if chunk.received == intake.chunks[-1].received]
    assert len(flush) > 1
    source.acknowledge(flush[0].position)
    time.sleep(0.2)
    source.close()
    again = Mqtt("source", MqttOptions.of(**options))
    after = started(again)
    unconfirmed = sum(chunk.data.count(b"\n") for chunk in flush)
    until(lambda: len(after.numbers()) >= unconfirmed)
    again.close()


def test_empty_messages_are_acknowledged_without_a_chunk(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    source = Mqtt("source", MqttOptions(topics=["t"], client_id="monitor", port=mosquitto.port, receive_maximum=5))
    intake = started(source)
    for _ in range(20):  # more than may be unacknowledged at once
        publisher.publish("t", b"", 1)
    publisher.publish("t", message(1), 1)
    until(lambda: intake.numbers() == [1])
    source.close()


def test_messages_of_quality_zero_come_too(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    source = Mqtt("source", MqttOptions(topics=["t"], client_id="monitor", port=mosquitto.port, receive_maximum=1))
    intake = started(source)
    for number in range(50):
        publisher.publish("t", message(number), 0)
    until(lambda: intake.numbers() == list(range(50)))
    source.close()


def test_the_broker_sends_no_more_than_may_be_unacknowledged(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    source = Mqtt("source", MqttOptions(topics=["t"], client_id="monitor", port=mosquitto.port, receive_maximum=30))
    intake = started(source)
    for number in range(100):
        publisher.publish("t", message(number), 1)
    until(lambda: len(intake.numbers()) == 30)
    time.sleep(0.2)
    assert len(intake.numbers()) == 30
    while len(intake.numbers()) < 100:
        source.acknowledge(intake.chunks[-1].position)
        time.sleep(0.01)
    source.close()
    assert intake.numbers() == list(range(100))


def test_more_than_the_buffer_holds_is_left_with_the_broker(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    source = Mqtt(
        "source",
        MqttOptions(topics=["t"], client_id="monitor", port=mosquitto.port, buffer_bytes=20_000),
        Limits(chunk_bytes=10_000),
    )
    intake = Intake(limit=0)
    source.start(intake.put)
    until(lambda: not source.status())
    for number in range(200):
        publisher.publish("t", b'{"n":%d,"x":"%s"}' % (number, b"x" * 1000), 1)
    time.sleep(0.5)
    assert source._buffered < 25_000
    intake.raise_limit()
    until(lambda: len(intake.numbers()) >= 200)
    source.close()
    assert intake.numbers() == list(range(200))


def test_version_3_1_1_works_as_well(mosquitto: Broker, publisher: Client) -> None:  # noqa: F811
    for first in (0, 10):
        source = Mqtt("source", MqttOptions(topics=["t"], client_id="monitor", port=mosquitto.port, version="3.1.1"))
        intake = started(source)
        for number in range(first, first + 10):
            publisher.publish("t", message(number), 1)
        until(lambda: len(intake.numbers()) >= 10)  # noqa: B023 - waited for within the turn
        source.acknowledge(intake.chunks[-1].position)
        time.sleep(0.2)
        source.close()
        assert intake.numbers() == list(range(first, first + 10))


# paho leaves a socket to the garbage collector when a handshake fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mqtt_with_password_and_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run([find_program("mosquitto_passwd"), "-b", str(passwords), "me", "secret"], check=True)
    for file in (certificate, key, passwords):
        file.chmod(0o644 if file != passwords else 0o600)
    broker = start_mosquitto(
        tmp_path, f"certfile {certificate}", f"keyfile {key}", "allow_anonymous false", f"password_file {passwords}"
    )
    options: dict[str, Any] = {"topics": ["t"], "client_id": "monitor", "host": "localhost", "port": broker.port}
    try:
        source = Mqtt("source", MqttOptions.of(**options, username="me", password="secret", tls_ca=str(certificate)))
        started(source)
        source.close()
        refused = Mqtt("source", MqttOptions.of(**options, username="me", password="wrong", tls_ca=str(certificate)))
        refused.start(Intake().put)
        until(lambda: "refuse" in refused.status() or "uthori" in refused.status())
        assert "wrong" not in refused.status()
        refused.close()
        untrusting = Mqtt("source", MqttOptions.of(**options, username="me", password="secret", tls=True))
        untrusting.start(Intake().put)
        until(lambda: "cannot reach" in untrusting.status())
        untrusting.close()
    finally:
        broker.stop()


def test_nats_with_a_token_and_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    (tmp_path / "store").mkdir()
    broker = start_nats(
        tmp_path / "store", "--tls", "--tlscert", str(certificate), "--tlskey", str(key), "--auth", "s3"
    )
    url = f"tls://localhost:{broker.port}"
    try:
        source = Nats(
            "source", NatsOptions(subject="t.>", durable="m", servers=[url], token="s3", tls_ca=str(certificate))
        )
        source.start(Intake().put)
        until(lambda: "no stream matches" in source.status().lower() or "NotFound" in source.status())
        source.close()
        refused = Nats(
            "source", NatsOptions(subject="t.>", durable="m", servers=[url], token="wrong", tls_ca=str(certificate))
        )
        refused.start(Intake().put)
        until(lambda: "uthori" in refused.status())
        assert "wrong" not in refused.status()
        refused.close()
    finally:
        broker.stop()


def waiting(feeder: NatsFeeder, durable: str) -> Any:
    """What the server says of the consumer."""
    return feeder.call(lambda context: context.consumer_info("plant", durable))


def test_subjects_become_streams_and_one_chunk_is_acknowledged_with_all_before(nats_server: Broker) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    source = feeder.source()
    intake = started(source)

    async def publish(context: Any) -> None:
        for number in range(200):
            await context.publish(f"plant.{'ab'[number % 2]}.data", message(number) if number % 10 else b"")
        await context.publish("plant.a.other", message(1000))

    feeder.call(publish)
    until(lambda: len(intake.numbers()) >= 180)
    source.acknowledge(intake.chunks[-1].position)
    until(lambda: waiting(feeder, "monitor").num_ack_pending == 0)
    source.close()
    numbers = [number for number in range(200) if number % 10]
    assert by_stream(intake) == {
        "plant.a.data": [number for number in numbers if number % 2 == 0],
        "plant.b.data": [number for number in numbers if number % 2],
    }
    information = waiting(feeder, "monitor")
    assert information.num_ack_pending == 0
    assert information.num_pending == 0


def test_a_stream_made_anew_is_read_from_its_beginning(nats_server: Broker) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    source = feeder.source()
    intake = started(source)
    feeder.feed(range(100))
    until(lambda: len(intake.numbers()) == 100)
    position = json.loads(json.dumps(intake.chunks[-1].position))
    source.acknowledge(position)
    source.close()
    feeder.call(lambda context: context.delete_stream("plant"))
    feeder.call(feeder._make_stream)
    feeder.feed(range(50))
    again, after = feeder.source(), Intake()
    again.start(after.put, position)
    until(lambda: len(after.numbers()) >= 50)
    again.close()
    assert after.numbers() == list(range(50))


def test_a_consumer_deleted_under_the_source_is_made_anew(nats_server: Broker) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    source = feeder.source()
    intake = started(source)
    feeder.feed(range(100))
    until(lambda: len(intake.numbers()) == 100)
    with contextlib.suppress(ServerError):  # nats-server 2.9 deletes it, and may complain about a folder
        feeder.call(lambda context: context.delete_consumer("plant", "monitor"))
    feeder.feed(range(100, 200))
    until(lambda: len(intake.numbers()) >= 200)
    source.close()
    assert intake.numbers() == list(range(200))


def test_messages_that_the_server_sends_again_are_put_once(nats_server: Broker) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    source = Nats(
        "source", NatsOptions(subject="plant.*.data", durable="m", servers=[feeder.url], acknowledge_seconds=0.5)
    )
    intake = started(source)
    feeder.feed(range(50))
    until(lambda: len(intake.numbers()) == 50)
    until(lambda: waiting(feeder, "m").num_redelivered >= 50)  # no acknowledgement: it sends all again
    feeder.feed(range(50, 100))
    until(lambda: len(intake.numbers()) >= 100)
    source.acknowledge(intake.chunks[-1].position)
    until(lambda: waiting(feeder, "m").num_ack_pending == 0)
    source.close()
    assert intake.numbers() == list(range(100))


def test_a_message_lost_on_its_way_is_noticed_and_fetched_before_the_next(nats_server: Broker) -> None:  # noqa: F811
    class Losing(Nats):
        lost = 0

        async def _received(self, arrived: Msg) -> None:
            if arrived.data == message(20) and not self.lost:
                self.lost += 1
                self._asked -= 1
            else:
                await super()._received(arrived)

    feeder = NatsFeeder(nats_server)
    source = Losing("source", NatsOptions(subject="plant.*.data", durable="m", servers=[feeder.url]))
    intake = started(source)
    feeder.feed(range(50))
    until(lambda: len(intake.numbers()) >= 50)
    source.close()
    assert source.lost == 1
    assert intake.numbers() == list(range(50))


def test_more_messages_than_are_asked_for_at_once_arrive(nats_server: Broker) -> None:  # noqa: F811
    feeder = NatsFeeder(nats_server)
    source = Nats("source", NatsOptions(subject="plant.*.data", durable="m", servers=[feeder.url], pull_messages=10))
    intake = Intake()
    source.start(lambda chunk: (intake.put(chunk), source.acknowledge(chunk.position))[0])
    feeder.feed(range(500))
    until(lambda: len(intake.numbers()) >= 500)
    source.close()
    assert intake.numbers() == list(range(500))


def test_a_stream_that_is_not_there_yet_is_waited_for(nats_server: Broker) -> None:  # noqa: F811
    url = f"nats://127.0.0.1:{nats_server.port}"
    source, intake = Nats("source", NatsOptions(subject="late.>", durable="m", servers=[url])), Intake()
    source.start(intake.put)
    until(lambda: "not connected" not in source.status())
    assert source.status()

    async def make() -> None:
        client = await nats.connect(url)
        context = client.jetstream()
        await context.add_stream(name="late", subjects=["late.>"])
        await context.publish("late.a", message(1))
        await client.close()

    asyncio.run(make())
    until(lambda: intake.numbers() == [1])
    source.close()


def test_sources_end_their_threads(mosquitto: Broker, nats_server: Broker) -> None:  # noqa: F811
    before = set(threading.enumerate())
    feeder = NatsFeeder(nats_server)
    sources = [feeder.source(), Mqtt("source", MqttOptions(topics=["t"], client_id="m", port=mosquitto.port))]
    for source in sources:
        started(source)  # type: ignore[arg-type]
        source.close()
    assert set(threading.enumerate()) - before == set()


def test_messages_of_csv_and_arrow_stay_apart() -> None:
    messages = [("a", b"x,y\n1,2\n"), ("a", b"x,z\n3,4\n"), ("b", b"")]
    assert gather(messages, "csv") == messages[:2]
    assert gather(messages, "arrow") == messages[:2]
    assert gather([("a", b"1\n"), ("b", b"2\n"), ("a", b"3\n")], "json") == [("a", b"1\n3\n"), ("b", b"2\n")]
    assert as_lines(b" arrow \n", "arrow") == b" arrow \n"


@pytest.mark.parametrize(
    "options",
    [
        {"topics": []},
        {"topics": "t"},
        {"client_id": ""},
        {"version": "4"},
        {"receive_maximum": 0},
        {"receive_maximum": 65_536},
        {"format": "xml"},
    ],
)
def test_wrong_options_of_mqtt_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Mqtt("source", MqttOptions.of(**{"topics": ["t"], "client_id": "m", **options}))


@pytest.mark.parametrize(
    "options", [{"subject": ""}, {"durable": ""}, {"durable": "a.b"}, {"servers": []}, {"pull_messages": 0}]
)
def test_wrong_options_of_nats_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Nats("source", NatsOptions.of(**{"subject": "t", "durable": "m", **options}))
