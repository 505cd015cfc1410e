"""What goes wrong with brokers, in sentences: two clients of one name, threads that end, servers without JetStream."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, Literal

import nats.errors
import nats.js.errors
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from aez.codec.errors import InvalidArgument
from aez.daemon.common.addresses import host_fault, mqtt_filter_fault, subject_fault, url_fault
from aez.daemon.common.nats_connection import nats_failure
from aez.daemon.sources import mqtt as module
from aez.daemon.sources.http_push import HttpOptions
from aez.daemon.sources.mqtt import Mqtt, MqttOptions
from aez.daemon.sources.nats import Nats, NatsOptions
from tests.kit.brokers import Broker, find_program, free_port, mosquitto  # noqa: F401 - a fixture
from tests.kit.source_harness import Intake, message
from tests.kit.waiting import until


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_another_client_with_the_same_id_is_said_and_forgotten_once_it_has_gone(
    mosquitto: Broker,  # noqa: F811
    version: Literal["5", "3.1.1"],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    options = MqttOptions(topics=["a/#"], client_id="twin", port=mosquitto.port, version=version)
    source = Mqtt("source", options)
    source.start(Intake().put)
    until(lambda: not source.status())
    protocol = MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311
    twin = Client(CallbackAPIVersion.VERSION2, "twin", protocol=protocol)
    twin.reconnect_delay_set(1, 1)
    twin.connect("127.0.0.1", mosquitto.port)
    twin.loop_start()
    until(lambda: "'twin'" in source.status() and "give each monitor its own" in source.status().lower())
    twin.disconnect()
    twin.loop_stop()
    monkeypatch.setattr(module, "_RIVAL_SECONDS", 0.1)
    until(lambda: not source.status())
    source.close()
    assert len([text for text in caplog.messages if "'twin'" in text]) == 1


@pytest.mark.filterwarnings("ignore:unclosed <socket", "ignore:Exception ignored in. <socket")  # paho leaves them
def test_a_thread_that_ends_by_a_defect_is_said_and_started_again(
    mosquitto: Broker,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    source, intake = Mqtt("source", MqttOptions(topics=["a/#"], client_id="m", port=mosquitto.port)), Intake()
    deadly = [True]

    def received(*about: Any) -> None:
        if deadly.pop() if deadly else False:
            raise RuntimeError("a defect")
        Mqtt._received(source, *about)

    source._client.on_message = received
    source.start(intake.put)
    until(lambda: not source.status())
    publisher = Client(CallbackAPIVersion.VERSION2)
    publisher.connect("127.0.0.1", mosquitto.port)
    publisher.loop_start()
    publisher.publish("a/b", message(1), 1)
    until(lambda: any("ended by a defect" in text for text in caplog.messages))
    until(lambda: not source.status())
    until(lambda: intake.numbers() == [1])  # it was not acknowledged, and comes again
    publisher.disconnect()
    publisher.loop_stop()
    source.close()


def test_a_server_without_jetstream_is_told_in_a_sentence(tmp_path: Path) -> None:
    port = free_port()
    broker = Broker([find_program("nats-server"), "-a", "127.0.0.1", "-p", str(port)], port, tmp_path / "log")
    broker.start()
    source = Nats("source", NatsOptions(subject="t.>", servers=[f"nats://127.0.0.1:{port}"]))
    try:
        source.start(Intake().put)
        until(lambda: source.status() != "not connected yet.")
        assert source.status().endswith(
            "the server has no JetStream, or it is not ready; start it with jetstream enabled."
        )
        time.sleep(0.1)  # it is tried again meanwhile
        assert "lost" not in source.status()
    finally:
        source.close()
        broker.stop()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (nats.errors.NoServersError(), "no server can be reached"),
        (nats.errors.AuthorizationError(), "it refuses the login"),
        (nats.errors.Error("nats: 'Authorization Violation'"), "it refuses the login"),
        (nats.errors.NoRespondersError(), "the server has no JetStream"),
        (nats.js.errors.ServiceUnavailableError(), "the server has no JetStream"),
        (nats.js.errors.NotFoundError(), "what was asked for is not there"),
        (nats.js.errors.APIError(code=400, description="no such thing"), "the server refuses it: no such thing"),
        (nats.errors.TimeoutError(), "it does not answer in time"),
        (nats.errors.MaxPayloadError(), "the server takes no message of that size"),
        (nats.errors.StaleConnectionError(), "the server does not answer any more"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (EOFError(), "EOFError"),
    ],
)
def test_errors_of_nats_are_clauses_for_people(error: Exception, said: str) -> None:
    told = nats_failure(error)
    assert told.startswith(said)
    assert "nats:" not in told
    assert "None" not in told


@pytest.mark.parametrize(
    "topic",
    [
        "sat/#/x",
        "sat/x#",
        "sat/+x",
        "x+/y",
        "",
        "#/a",
        "$share/g",
        "$share//t",
        "$share/g+/t",
        "$share/g/",
        "a" * 70_000,
    ],
)
def test_topic_filters_that_cannot_be_are_refused(topic: str) -> None:
    assert mqtt_filter_fault(topic)
    with pytest.raises(InvalidArgument, match="topics: "):
        MqttOptions(topics=["a/b", topic], client_id="m")


@pytest.mark.parametrize("topic", ["#", "+", "a/+/b/#", "/", "/a//b", "$share/g/a/#", "$SYS/#", "ü/+", "a b"])
def test_topic_filters_that_can_be_are_taken(topic: str) -> None:
    assert not mqtt_filter_fault(topic)


@pytest.mark.parametrize(
    ("subject", "fits"), [("a.>", 1), ("*", 1), ("a.*.b", 1), ("a..b", 0), ("a.>.b", 0), ("a b", 0)]
)
def test_subjects_are_checked(subject: str, fits: int) -> None:
    assert bool(subject_fault(subject)) is not bool(fits)


@pytest.mark.parametrize("host", ["x" * 64, "a b", "a..b", "host:80", "http://host", "[::1]", "me@host", "\ud800"])
def test_hosts_that_are_no_names_are_refused_where_they_stand(host: str) -> None:
    assert host_fault(host)
    for options in (lambda: HttpOptions(host=host), lambda: MqttOptions(topics=["a"], client_id="m", host=host)):
        with pytest.raises(InvalidArgument, match="host: "):
            options()


@pytest.mark.parametrize(
    "url", ["http://a..b/", "http://a b/", "ftp://host", "http://", "http://me:x@host", "http://h:0"]
)
def test_addresses_to_post_to_are_checked(url: str) -> None:
    assert url_fault(url)
    assert "x@" not in url_fault(url)


@pytest.mark.parametrize(
    "host", ["localhost", "::1", "0.0.0.0", "fe80::1%eth0", "broker-1.example.org", "bücher.example"]
)
def test_hosts_are_taken(host: str) -> None:
    assert not host_fault(host)
