"""The sinks for MQTT and NATS against Mosquitto and nats-server: what is theirs alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.mqtt import MqttSink, MqttSinkOptions
from aez.daemon.sinks.nats import NatsSink, NatsSinkOptions
from tests.kit.brokers import Broker, mosquitto, start_mosquitto, start_nats
from tests.kit.event_steps import step, steps
from tests.kit.sink_receivers import MqttReceiver, NatsReceiver
from tests.kit.waiting import standing_still

__all__ = ["mosquitto"]


@pytest.fixture
def nats_receiver(tmp_path: Path) -> Iterator[NatsReceiver]:
    receiver = NatsReceiver(tmp_path / "nats")
    yield receiver
    receiver.stop()


@pytest.fixture
def mqtt_receiver(tmp_path: Path) -> Iterator[MqttReceiver]:
    receiver = MqttReceiver(tmp_path / "mqtt")
    yield receiver
    receiver.stop()


def test_a_record_published_again_is_dropped_by_the_stream(nats_receiver: NatsReceiver) -> None:
    first, again = nats_receiver.sink(), nats_receiver.sink()
    first.deliver(steps(3))
    again.deliver([*steps(5), step("e00000", 1)])
    first.close()
    again.close()
    assert nats_receiver.steps() == [*((record.id, 0) for record in steps(5)), ("e00000", 1)]


def test_a_subject_that_no_stream_takes_is_named(nats_receiver: NatsReceiver) -> None:
    url = f"nats://127.0.0.1:{nats_receiver.broker.port}"
    sink = NatsSink(NatsSinkOptions(servers=[url], token="s3cr3t-token", subject="other.{stream}", timeout_seconds=5))
    with pytest.raises(SinkError, match=r"no JetStream stream .* other\.pump"):
        sink.deliver(steps(1))
    sink.close()


def test_a_payload_beyond_the_servers_limit_is_rejected(nats_receiver: NatsReceiver) -> None:
    sink = nats_receiver.sink()
    with pytest.raises(Rejected, match="bytes"):
        sink.deliver([step(padding="x" * (2 << 20))])
    sink.deliver([step("b")])
    sink.close()
    assert nats_receiver.steps() == [("b", 0)]


def test_the_topic_tells_stream_and_action(mosquitto: Broker) -> None:
    from paho.mqtt import subscribe

    sink = MqttSink(
        MqttSinkOptions(host="127.0.0.1", port=mosquitto.port, topic="plant/{action}/{stream}", retain=True)
    )
    sink.deliver([step("a", stream="line 1/pump+2"), step("b", 1, "close")])
    sink.close()
    # It comes later: the broker has kept them.
    found = subscribe.simple("plant/#", msg_count=2, hostname="127.0.0.1", port=mosquitto.port)
    assert {message.topic: json.loads(message.payload)["id"] for message in found} == {
        "plant/open/line 1_pump_2": "a",
        "plant/close/pump": "b",
    }


@pytest.mark.parametrize("kind", ["mqtt", "nats"])
def test_a_broker_that_hangs_is_given_up_in_time_and_everything_comes_once_it_goes_on(
    kind: str, request: pytest.FixtureRequest
) -> None:
    receiver: Any = request.getfixturevalue(f"{kind}_receiver")
    sink = receiver.sink()
    sink._timeout = 0.5
    sink.deliver(steps(1, "before"))
    assert receiver.broker._process is not None
    with standing_still(receiver.broker._process.pid):
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(SinkError):
                sink.deliver(steps(3, "hung"))
            assert time.monotonic() - begun < 20
    sink._timeout = 10
    sink.deliver(steps(3, "hung"))
    sink.close()
    wanted = ["before00000", *(record.id for record in steps(3, "hung"))]
    assert list(dict.fromkeys(name for name, _ in receiver.steps(4))) == wanted


@pytest.mark.parametrize("kind", ["mqtt", "nats"])
def test_a_wrong_password_is_said_and_not_told(kind: str, request: pytest.FixtureRequest) -> None:
    receiver: Any = request.getfixturevalue(f"{kind}_receiver")
    port = receiver.broker.port
    sink: Sink = (
        MqttSink(MqttSinkOptions(host="127.0.0.1", port=port, username="me", password="s3cr3t-wrong"))
        if kind == "mqtt"
        else NatsSink(NatsSinkOptions(servers=[f"nats://127.0.0.1:{port}"], token="s3cr3t-wrong"))
    )
    for attempt in (sink.check, lambda: sink.deliver(steps(1))):
        with pytest.raises(SinkError, match=r"[Aa]uthori") as caught:
            attempt()
        assert "s3cr3t" not in str(caught.value)
    sink.close()


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket", "ignore:Exception ignored in. <ssl.SSLSocket")
@pytest.mark.parametrize("kind", ["mqtt", "nats"])
def test_brokers_are_spoken_to_over_verified_tls(kind: str, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    pem, key = map(str, certificate)
    if kind == "mqtt":
        broker = start_mosquitto(tmp_path, f"certfile {pem}", f"keyfile {key}")
    else:
        broker = start_nats(tmp_path, "--tls", "--tlscert", pem, "--tlskey", key)

    def sink(host: str, ca_file: str | None) -> Sink:
        if kind == "mqtt":
            return MqttSink(MqttSinkOptions(host=host, port=broker.port, tls=True, tls_ca=ca_file))
        return NatsSink(NatsSinkOptions(servers=[f"tls://{host}:{broker.port}"], tls_ca=ca_file, create_jetstream="E"))

    try:
        for untrusted in (sink("127.0.0.1", None), sink("localhost", pem)):
            with pytest.raises(SinkError, match="not trusted"):
                untrusted.deliver(steps(1))
            untrusted.close()
        trusted = sink("127.0.0.1", pem)
        trusted.deliver(steps(3))
        trusted.close()
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (MqttSink, {"host": ""}),
        (MqttSink, {"port": 0}),
        (MqttSink, {"topic": "a/#"}),
        (MqttSink, {"topic": ""}),
        (MqttSink, {"password": "s3cr3t"}),
        (MqttSink, {"tls_ca": "x"}),
        (MqttSink, {"timeout_seconds": 0}),
        (NatsSink, {"servers": ["http://host"]}),
        (NatsSink, {"servers": ["nats://me:s3cr3t@host"]}),
        (NatsSink, {"servers": ["nats://s3cr3t@host"]}),
        (NatsSink, {"servers": ["nats://host:port"]}),
        (NatsSink, {"subject": "a..b"}),
        (NatsSink, {"subject": "a.>"}),
        (NatsSink, {"subject": ""}),
        (NatsSink, {"create_jetstream": "a.b"}),
        (NatsSink, {"token": "s3cr3t", "username": "me"}),
        (NatsSink, {"password": "s3cr3t"}),
        (NatsSink, {"timeout_seconds": -1}),
        (NatsSink, {"tls_ca": "/nowhere/ca.pem"}),
    ],
)
def test_wrong_options_are_refused(kind: type[Sink], options: dict[str, Any]) -> None:
    defaults = {"host": "localhost"} if kind is MqttSink else {}
    with pytest.raises(InvalidArgument) as caught:
        kind(kind.Options.of(**(defaults | options)))
    assert "s3cr3t" not in str(caught.value)
