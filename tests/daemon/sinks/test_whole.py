"""The timeout of a sink is the whole of an attempt, whatever the peer does meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aez.daemon.sinks.alertmanager import AlertmanagerOptions, AlertmanagerSink
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.mqtt import MqttSink, MqttSinkOptions
from aez.daemon.sinks.nats import NatsSink, NatsSinkOptions
from aez.daemon.sinks.webhook import WebhookOptions, WebhookSink
from aez.daemon.sinks.whole import within
from tests.kit.certificates import Authority
from tests.kit.event_steps import steps
from tests.kit.sink_receivers import MqttReceiver, NatsReceiver, PostgresReceiver, Receiver
from tests.kit.waiting import standing_still

Drips = Callable[[bytes], int]
_SECONDS = 0.3


@pytest.fixture
def drips() -> Iterator[Drips]:
    """A server that answers everything with a byte every 20 ms, and never comes to an end."""
    ending, listeners = threading.Event(), list[socket.socket]()

    def answer(connection: socket.socket, text: bytes) -> None:
        with connection:
            for place in range(100_000):
                if ending.wait(0.02):
                    return
                try:
                    connection.sendall(text[place : place + 1] or b"x")
                except OSError:
                    return

    def accept(listener: socket.socket, text: bytes) -> None:
        while not ending.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection, text)).start()

    def start(text: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, text)).start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    ending.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
SINKS: dict[str, tuple[bytes, Callable[[int, Path], Sink]]] = {
    "webhook": (
        HEAD,
        lambda port, _: WebhookSink(WebhookOptions(url=f"http://127.0.0.1:{port}", timeout_seconds=_SECONDS)),
    ),
    "alertmanager": (
        HEAD + b"\r\n",
        lambda port, _: AlertmanagerSink(AlertmanagerOptions(url=f"http://127.0.0.1:{port}", timeout_seconds=_SECONDS)),
    ),
    "https": (
        b"\x16\x03\x03\x40\x00",  # a record of a handshake that is long in coming
        lambda port, folder: WebhookSink(
            WebhookOptions(
                url=f"https://127.0.0.1:{port}",
                timeout_seconds=_SECONDS,
                tls_ca=str(Authority(folder).file),
            )
        ),
    ),
    "mqtt": (
        b"\x30\xff\xff\x7f",  # a message of 2 MB
        lambda port, _: MqttSink(MqttSinkOptions(port=port, timeout_seconds=_SECONDS)),
    ),
    "nats": (
        b"INFO {",
        lambda port, _: NatsSink(NatsSinkOptions(servers=[f"nats://127.0.0.1:{port}"], timeout_seconds=_SECONDS)),
    ),
}


@pytest.mark.parametrize("kind", SINKS)
def test_a_peer_that_sends_a_byte_at_a_time_holds_nobody(drips: Drips, kind: str, tmp_path: Path) -> None:
    text, make = SINKS[kind]
    sink = make(drips(text), tmp_path)
    with pytest.raises(SinkError, match=r"did not answer within 0\.3 s") as caught:
        sink.deliver(steps(3))
    assert not isinstance(caught.value, Rejected)
    sink.close()


@pytest.mark.parametrize("kind", [MqttReceiver, NatsReceiver, PostgresReceiver])
def test_a_server_that_stands_still_holds_nobody_and_gets_all_once_it_goes_on(
    kind: Callable[[Path], Receiver], tmp_path: Path
) -> None:
    receiver = kind(tmp_path)
    sink = receiver.sink()
    try:
        sink.deliver(steps(1, "a"))
        for name in ("timeout_seconds", "_timeout"):
            setattr(sink, name, 1.0)
        with standing_still(_process(receiver)), pytest.raises(SinkError, match="did not a"):
            sink.deliver(steps(1, "b"))
        for name in ("timeout_seconds", "_timeout"):
            setattr(sink, name, 20.0)
        sink.deliver(steps(1, "b"))
        assert list(dict.fromkeys(receiver.steps(2))) == [("a00000", 0), ("b00000", 0)]
    finally:
        sink.close()
        receiver.stop()


def _process(receiver: Receiver) -> int:
    """The process that answers a sink."""
    if isinstance(receiver, PostgresReceiver):
        with receiver.server.connect() as connection:
            found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'aez'").fetchone()
        assert found is not None
        return int(found[0])
    assert isinstance(receiver, (MqttReceiver, NatsReceiver))
    process = receiver.broker._process
    assert process is not None
    return process.pid


def test_within_gives_what_comes_in_time_and_leaves_behind_what_does_not() -> None:
    assert within(10, lambda: 7) == 7
    with pytest.raises(KeyError):
        within(10, lambda: {}[1])
    held = threading.Event()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.05, lambda: held.wait(60), held.set)
    assert time.monotonic() - begun < 30
