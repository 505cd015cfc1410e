"""Telemetry that keeps coming while the monitor, or a broker, does not: into a file, MQTT or NATS.

Each runs in a thread from `start` to `stop`, `rate` messages a second, and keeps all that it fed in a file of JSON
Lines, for a run without disturbance. `stop` returns once the last message is taken; every stream then has equally many.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from aez.bench.load.process import until
from aez.bench.load.telemetry import messages
from aez.codec.errors import AezError
from aez.daemon.simulate.satellites import Simulation

__all__ = ["Feeder", "FileFeeder", "MqttFeeder", "NatsFeeder"]

_TURN_SECONDS = 0.02
_END_SECONDS = 120.0


class Feeder(ABC):
    """Feeds a simulation. path: of what was fed. fed: messages so far."""

    def __init__(self, path: Path, simulation: Simulation, rate: float) -> None:
        self.path, self.fed = path, 0
        self._simulation, self._rate = simulation, rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End behind a row of every stream. Raises AezError where not all was taken."""
        self._end.set()
        self._thread.join(_END_SECONDS)
        if self._failure is not None or self._thread.is_alive():
            raise AezError(f"the telemetry could not be fed: {self._failure or 'it takes too long'}")

    def wait_for(self, more: int) -> None:
        """Wait until so many more messages were fed. Raises AezError when that takes minutes."""
        wanted = self.fed + more
        until(lambda: self.fed >= wanted or self._failure, 300, f"{more} messages more are fed")

    @abstractmethod
    def _feed(self, turns: Iterator[list[tuple[str, bytes]]]) -> None:
        """Feed all turns, each a few messages, as they come."""

    def _run(self) -> None:
        try:
            with self.path.open("ab", buffering=0) as kept:
                self._feed(self._turns(kept))
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self._failure = error

    def _turns(self, kept: Any) -> Iterator[list[tuple[str, bytes]]]:
        """Messages by the clock until the end is asked for."""
        given = messages(self._simulation, 1_000_000)
        each = self._simulation.streams * max(1, round(self._rate * _TURN_SECONDS / self._simulation.streams))
        begun = time.monotonic()
        while not self._end.is_set():
            turn = list(islice(given, each))
            self._keep(kept, turn)
            yield turn
            self.fed += len(turn)
            time.sleep(max(0.0, begun + self.fed / self._rate - time.monotonic()))

    def _keep(self, kept: Any, turn: list[tuple[str, bytes]]) -> None:
        kept.write(b"".join(line for _, line in turn))


class FileFeeder(Feeder):
    """Appends to a file that is followed, often half a line first."""

    def _feed(self, turns: Iterator[list[tuple[str, bytes]]]) -> None:
        for _ in turns:
            pass

    def _keep(self, kept: Any, turn: list[tuple[str, bytes]]) -> None:
        data = b"".join(line for _, line in turn)
        cut = random.Random(self.fed).randrange(len(data))
        kept.write(data[:cut])
        time.sleep(0.001)
        kept.write(data[cut:])


class MqttFeeder(Feeder):
    """Publishes with QoS 1 to sat/STREAM, the next messages once the broker has confirmed the last.

    So they keep their order when it restarts: paho sends what is published in the moment of a reconnection before what
    has waited for it.
    """

    def __init__(self, path: Path, simulation: Simulation, rate: float, port: int) -> None:
        super().__init__(path, simulation, rate)
        self._port = port

    def _feed(self, turns: Iterator[list[tuple[str, bytes]]]) -> None:
        from aez.bench.load.mqtt import connected

        taken = [0]

        def confirmed(*_: Any) -> None:
            taken[0] += 1

        client = connected(self._port)
        client.on_publish = confirmed
        sent = 0
        for turn in turns:
            until(client.is_connected, _END_SECONDS, "the broker is back", pause=0.001)
            for stream, line in turn:
                client.publish(f"sat/{stream}", line, qos=1)
            sent += len(turn)
            until(lambda sent=sent: taken[0] >= sent, _END_SECONDS, "the broker confirms", pause=0.001)  # type: ignore[misc]
        client.disconnect()
        client.loop_stop()


class NatsFeeder(Feeder):
    """Publishes to the JetStream stream SAT, subjects sat.STREAM, each message until it is confirmed."""

    def __init__(self, path: Path, simulation: Simulation, rate: float, port: int) -> None:
        super().__init__(path, simulation, rate)
        self._port = port

    def _feed(self, turns: Iterator[list[tuple[str, bytes]]]) -> None:
        asyncio.run(self._publish(turns))

    async def _publish(self, turns: Iterator[list[tuple[str, bytes]]]) -> None:
        import nats

        async def silent(_: Exception) -> None:
            """A server that is away is no news."""

        client = await nats.connect(
            f"nats://127.0.0.1:{self._port}", max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=silent
        )
        stream = client.jetstream(timeout=2)
        await stream.add_stream(name="SAT", subjects=["sat.*"], duplicate_window=600)
        number = 0
        for turn in turns:
            for name, line in turn:
                number += 1
                await self._one(stream, f"sat.{name}", line, str(number))
        await client.close()

    @staticmethod
    async def _one(stream: Any, subject: str, line: bytes, number: str) -> None:
        for _ in range(600):
            with contextlib.suppress(Exception):
                # The number lets the server drop what it has, where only its confirmation was lost.
                await stream.publish(subject, line, headers={"Nats-Msg-Id": number})
                return
            await asyncio.sleep(0.1)
        raise AezError("the NATS server takes no message")
