"""For tests of sources: a queue like the service's, and for each kind a feeder that brings messages to it."""

import asyncio
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import nats
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from aez.daemon.common.limits import Limits
from aez.daemon.common.options import Options, options_of
from aez.daemon.common.records import Chunk
from aez.daemon.files.followed import FileOptions, Files
from aez.daemon.sources.base import Source
from aez.daemon.sources.frames import FrameOptions, Frames
from aez.daemon.sources.http_push import HttpOptions, HttpPush
from aez.daemon.sources.mqtt import Mqtt, MqttOptions
from aez.daemon.sources.nats import Nats, NatsOptions
from aez.daemon.sources.stdin import Stdin, StdinOptions
from tests.kit.brokers import Broker
from tests.kit.waiting import until


def message(number: int) -> bytes:
    return b'{"n":%d}' % number


def told(options: type[Options], **given: Any) -> tuple[Any, Limits]:
    """Options of a source, and the limits that are among what is given."""
    limits = {name: given.pop(name) for name in options_of(Limits) if name in given}
    return options.of(**given), Limits.of(**limits)


class Intake:
    """Takes chunks the way the service does: `put` blocks while `limit` of them are not taken; `full` once it has."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.chunks: list[Chunk] = []
        self._limit = limit
        self._changed = threading.Condition()
        self.full = threading.Event()

    def put(self, chunk: Chunk) -> None:
        with self._changed:
            while len(self.chunks) >= self._limit:
                self.full.set()
                self._changed.wait()
            self.chunks.append(chunk)

    def raise_limit(self) -> None:
        with self._changed:
            self._limit = 1_000_000
            self._changed.notify_all()

    def lines(self) -> list[bytes]:
        return [line for chunk in list(self.chunks) for line in chunk.data.splitlines()]

    def numbers(self) -> list[int]:
        return [json.loads(line)["n"] for line in self.lines()]


class Feeder(Protocol):
    """Brings messages to a source of one kind. replays: what was not acknowledged comes again to a new source."""

    replays: bool

    def source(self) -> Source: ...

    def feed(self, numbers: Iterable[int]) -> None: ...

    def close(self) -> None: ...


class StdinFeeder:
    replays = False

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def source(self) -> Source:
        return Stdin("source", StdinOptions(), descriptor=self._read)

    def feed(self, numbers: Iterable[int]) -> None:
        data = b"".join(message(number) + b"\n" for number in numbers)
        threading.Thread(target=self._write_all, args=(data,), daemon=True).start()

    def _write_all(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._write, data) :]

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)


class FilesFeeder:
    replays = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data.jsonl"

    def source(self) -> Source:
        return Files("source", FileOptions(paths=[str(self.path)], poll_seconds=0.01, scan_seconds=0.02))

    def feed(self, numbers: Iterable[int]) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(message(number) + b"\n" for number in numbers))

    def close(self) -> None:
        pass


class FramesFeeder:
    """Renames whole files into the folder; what is in them is no matter to the source."""

    replays = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def source(self) -> Source:
        return Frames(
            "source", FrameOptions(paths=[str(self.folder / "*.png")], settle_seconds=0.05, scan_seconds=0.01)
        )

    def feed(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            new = self.folder / "new"
            new.write_bytes(message(number) + b"\n")
            new.rename(self.folder / f"{number:06d}.png")

    def close(self) -> None:
        pass


class HttpFeeder:
    """Sends in order, and again what was refused, as a good sender does."""

    replays = True

    def __init__(self) -> None:
        self._source: HttpPush | None = None
        self._pool = ThreadPoolExecutor(1)
        self._ended = False

    def source(self) -> Source:
        self._source = HttpPush("source", HttpOptions(port=0, answer_seconds=0.5))
        return self._source

    def feed(self, numbers: Iterable[int]) -> None:
        parts = list(numbers)
        for start in range(0, len(parts), 100):
            self._pool.submit(self._send, parts[start : start + 100])

    def _send(self, numbers: list[int]) -> None:
        body = b"\n".join(message(number) for number in numbers)
        while not self._ended:
            assert self._source is not None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._source.port}/push", body, timeout=10) as answer:
                    assert answer.status == 204
                    return
            except urllib.error.HTTPError as error:
                error.close()
                if error.code != 503 or error.headers["Retry-After"] != "1":
                    raise
            except OSError:
                pass
            time.sleep(0.02)

    def close(self) -> None:
        self._ended = True
        self._pool.shutdown()


class MqttFeeder:
    replays = True

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="feeder", clean_session=False)
        self._client.max_inflight_messages_set(100)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        # The session has to exist before the first message, or the broker keeps nothing for it.
        source = self.source()
        source.start(lambda _: None)
        until(lambda: not source.status())
        source.close()

    def source(self) -> Source:
        return Mqtt("source", MqttOptions(topics=["plant/+/data"], client_id="monitor", port=self._broker.port))

    def feed(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._client.publish("plant/a/data", message(number), qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class NatsFeeder:
    replays = True

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.call(self._make_stream)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._broker.port}"

    def source(self) -> Source:
        return Nats("source", NatsOptions(subject="plant.*.data", durable="monitor", servers=[self.url]))

    def feed(self, numbers: Iterable[int]) -> None:
        async def publish(context: Any) -> None:
            for number in numbers:
                await context.publish("plant.a.data", message(number))

        self.call(publish)

    async def _make_stream(self, context: Any) -> None:
        await context.add_stream(name="plant", subjects=["plant.>"])

    def call(self, action: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            client = await nats.connect(self.url)
            try:
                return await action(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def close(self) -> None:
        pass
