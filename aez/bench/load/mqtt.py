"""Load and ear for MQTT: `python -m aez.bench.load.mqtt publish|listen ...`, each a process of its own.

`publish PORT OUT STREAMS RATE ROWS EVERY LENGTH` sends `ROWS` rows of each stream with QoS 1, RATE messages a second in
all, to the topics `sat/STREAM`, and writes to OUT the first row's time (ns since 1970 UTC), the seconds of processor,
and when it published each message (`time.monotonic()`), in their order. `listen PORT OUT` writes each message of
`events/#` with its arrival, until SIGTERM, or until whoever started it has gone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from aez.bench.load.telemetry import messages
from aez.codec.errors import AezError
from aez.daemon.simulate.satellites import Simulation

__all__ = ["connected", "publish"]


def connected(port: int, in_flight: int = 10_000) -> Client:
    """A client of the broker at that port of loopback, with its thread; it connects again. Raises OSError."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(in_flight)
    client.on_socket_open = _without_delay
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _without_delay(client: Client, userdata: Any, connection: Any) -> None:  # noqa: ARG001 - the shape of a handler
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def publish(port: int, out: Path, streams: int, rate: float, rows: int, every: int, length: int) -> None:
    """See the module."""
    period = streams / rate
    start = time.time_ns() // 1_000_000 * 1_000_000
    simulation = Simulation(
        streams=streams, seed=1, period=period, start=start, every=every, first=every // 2, length=length, orbit=3000
    )
    given = [(f"sat/{stream}", line) for stream, line in messages(simulation, rows)]
    client = connected(port)
    times = []
    begun, cpu = time.monotonic() + 0.2, time.process_time()
    for number, (topic, data) in enumerate(given):
        wait = begun + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        times.append(time.monotonic())
        last = client.publish(topic, data, qos=1)
    last.wait_for_publish(60)
    if not last.is_published():
        raise AezError("the broker did not take all messages")
    client.disconnect()
    client.loop_stop()
    found = {"start": start, "cpu_seconds": time.process_time() - cpu, "begun": begun, "times": times}
    out.write_text(json.dumps(found))


def listen(port: int, out: Path) -> None:
    """See the module; makes OUT once it hears."""
    came: list[tuple[float, bytes]] = []
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    client = connected(port)
    client.on_message = lambda _client, _data, message: came.append((time.monotonic(), bytes(message.payload)))
    client.on_subscribe = lambda *_: out.touch()
    client.subscribe("events/#", qos=1)
    parent = os.getppid()
    while not end.wait(1.0) and os.getppid() == parent:
        pass
    client.disconnect()
    client.loop_stop()
    out.write_text("".join(json.dumps([at, json.loads(payload)]) + "\n" for at, payload in came))


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        port, out, streams, rate, rows, every, length = sys.argv[2:]
        publish(int(port), Path(out), int(streams), float(rate), int(rows), int(every), int(length))
    else:
        listen(int(sys.argv[2]), Path(sys.argv[3]))
