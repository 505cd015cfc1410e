"""Telemetry that is pushed over HTTP.

Delivery: at least once, for senders that repeat what was not confirmed. A request is answered with 204 when all that
follows from it is durable, and with 503 and Retry-After when that takes longer than `answer_seconds`, when too much is
waiting already, or when the process is stopping; it may then be stored all the same, and its repetition with it. One
of which nothing can be used gets 400 and the reason; where some of it can, the rest goes to the dead letters. In the
order of arrival. Memory: `pending_bytes` over all requests, `limits.body_bytes` for one (413 beyond it), both unpacked.

POST /push takes JSON Lines, a JSON array, CSV (text/csv) or an Arrow stream (application/vnd.apache.arrow.stream), and
one picture of a stream at /push?stream=NAME (image/png, image/jpeg and the like).
POST /write and /api/v2/write take line protocol the way InfluxDB 1 and 2 do, so that Telegraf's outputs influxdb and
influxdb_v2 need nothing but this address; /ping and `CREATE DATABASE` at /query are answered for them. /api/v1/write
takes Prometheus remote write 1.0, and /v1/metrics OTLP in protobuf, as line protocol of the measurements `prometheus`
and `otlp`; see `push_metrics`. Bodies may be packed with gzip or deflate. Never 429: Telegraf's influxdb output throws
away what is answered with any 4xx.

With a token, requests need `Authorization: Bearer <token>`, `Token <token>`, or Basic with the token as password.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls
from aez.daemon.common.addresses import host_fault
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import about, secret
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.retry import Backoff
from aez.daemon.common.shared_options import MessageFormat, ServerTls
from aez.daemon.sources.base import Put, Source, SourceOptions

if TYPE_CHECKING:
    from aiohttp import web

    from aez.daemon.common.connections import Connections

_PENDING_BYTES = 64 << 20
_SAID_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HttpOptions(SourceOptions, ServerTls):
    """`kind = "http"`."""

    format: MessageFormat = field(
        default="json", metadata=about("what bodies at /push are whose Content-Type does not tell")
    )
    host: str = field(
        default="127.0.0.1", metadata=about("the address to listen at; 0.0.0.0 for all", check=host_fault)
    )
    port: int = field(
        default=8086,
        metadata=about("the port; 8086 is InfluxDB's, 0 takes a free one", low=0, high=65_535, listens=True),
    )
    token: str | None = field(default=None, repr=False, metadata=secret("the token that pushes need"))
    answer_seconds: float = field(
        default=4.0,
        metadata=about("a sender waits so long for an answer; Telegraf gives up after 5", low=0.1, high=600),
    )
    idle_seconds: float = field(
        default=75.0, metadata=about("a connection stays so long without a whole request", low=0.1, high=3600)
    )
    pending_bytes: int | None = field(
        default=None,
        metadata=about(
            "what may wait at once; 64 MiB by default, or `limits.body_bytes` where that is more", low=1024, high=2**40
        ),
    )


class _Waiting:
    """A request whose data are on their way. number: of its chunk."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chunk: Chunk, number: int) -> None:
        self.loop = loop
        self.refusal = ""  # why nothing of it can be used
        chunk = dataclasses.replace(chunk, refused=lambda reason: setattr(self, "refusal", reason))
        self.chunk: Chunk | None = chunk  # until it is put
        self.number = number
        self.answer: asyncio.Future[bool] = loop.create_future()

    def resolve(self, durable: bool) -> None:
        def answer() -> None:
            if not self.answer.done():
                self.answer.set_result(durable)

        with contextlib.suppress(RuntimeError):  # the loop has ended, and the sender has gone with it
            self.loop.call_soon_threadsafe(answer)


class HttpPush(Source):
    """What is posted to an address. Without `listens` it opens no port, and its `routes` are mounted elsewhere."""

    Options = HttpOptions

    def __init__(self, name: str, options: HttpOptions, limits: Limits | None = None, *, listens: bool = True) -> None:
        super().__init__(name, options, limits)
        from aez.daemon.sources.push_requests import PushRequests  # aiohttp comes with it

        body_bytes = self.limits.body_bytes
        pending_bytes = options.pending_bytes or max(_PENDING_BYTES, body_bytes)
        if pending_bytes < body_bytes:
            raise InvalidArgument(
                f"Source {name!r}: pending_bytes is {pending_bytes}; use limits.body_bytes, {body_bytes}, or more."
            )
        #: Where it listens; the port that was found, once started with port 0.
        self.host, self.port = options.host, options.port
        self._listens = listens
        self._certificate, self._key = options.tls_certificate, options.tls_key
        self._tls = tls.server_context(self._certificate, self._key) if self._certificate else None
        self._answer_seconds, self._idle_seconds = options.answer_seconds, options.idle_seconds
        self._requests = PushRequests(
            self.format,
            options.token,
            body_bytes=body_bytes,
            pending_bytes=pending_bytes,
            takes=lambda: self._started and not self._stopping.is_set(),
            queued=self._queued,
            vanished=self._vanished,
            unpacks=listens,
        )
        self._lock = threading.Condition()
        self._queue: deque[_Waiting] = deque()  # not yet put
        self._unacknowledged: deque[_Waiting] = deque()
        self._number = 0
        self._vanishings, self._vanishings_said = 0, 0.0
        self._started = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._ready = threading.Event()

    def routes(self) -> list[web.RouteDef]:
        """What it answers, for `Application.add_routes`; the application's own limit on bodies plays no part."""
        return self._requests.routes()

    def start(self, put: Put, position: Position | None = None) -> None:  # noqa: ARG002 - senders repeat
        self._put = put
        self._started = True
        self._spawn(self._hand_on)
        if self._listens:
            self._trouble = "not listening yet."
            self._spawn(self._serve, "serve")
            self._ready.wait(10)

    def renew(self) -> None:
        if self._tls is not None and self._certificate is not None:
            tls.load(self._tls, self._certificate, self._key)

    def acknowledge(self, position: Position) -> None:
        with self._lock:
            while self._unacknowledged and self._unacknowledged[0].number <= position["request"]:
                self._unacknowledged.popleft().resolve(durable=True)

    def stop(self, timeout: float = 5.0) -> None:
        self._stopping.set()
        with self._lock:
            self._lock.notify_all()
            refused, self._queue = self._queue, deque()
        for waiting in refused:
            waiting.resolve(durable=False)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.name.endswith("-read"):
                thread.join(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        self.stop()
        with self._lock:
            refused, self._unacknowledged = self._unacknowledged, deque()
        for waiting in refused:
            waiting.resolve(durable=False)
        loop, closing = self._loop, self._closing
        if loop is not None and closing is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(closing.set)
        super().stop()

    def _serve(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        from aiohttp import web

        from aez.daemon.common.connections import Connections, request_log, stop_listening

        self._closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        application = web.Application()
        application.add_routes(self.routes())
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=request_log(),
            keepalive_timeout=self._idle_seconds,
            lingering_time=2.0,  # for the rest of a body that was refused, so that the sender sees the answer
            shutdown_timeout=2,
            auto_decompress=False,  # it takes what is cut short for whole
        )
        await runner.setup()
        assert runner.server is not None
        connections = Connections(self.limits.connections, runner.server)
        listener = None
        try:
            listener = await self._open_port(connections)
            await self._closing.wait()
        finally:
            if listener is not None:
                await stop_listening(listener)
            await runner.cleanup()
            await connections.end()

    async def _open_port(self, connections: Connections) -> asyncio.Server | None:
        from aez.daemon.common.connections import HANDSHAKE_SECONDS

        assert self._closing is not None
        encrypted: dict[str, Any] = {"ssl": self._tls, "ssl_handshake_timeout": HANDSHAKE_SECONDS} if self._tls else {}
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                loop = asyncio.get_running_loop()
                listener = await loop.create_server(connections, self.host, self.port, backlog=128, **encrypted)
            except OSError as error:
                self._set_trouble(f"cannot listen at {self.host}:{self.port}: {error.strerror or error}.")
                self._ready.set()
                await backoff.wait_async(self._closing)
            else:
                self.port = listener.sockets[0].getsockname()[1]
                self._set_trouble("")
                self._ready.set()
                return listener
        return None

    def _hand_on(self) -> None:
        """Put what requests brought, in the order of their arrival."""
        while not self._stopping.is_set():
            with self._lock:
                while not self._queue and not self._stopping.is_set():
                    self._lock.wait(0.5)
                if self._stopping.is_set():
                    return
                waiting = self._queue.popleft()
                chunk, waiting.chunk = waiting.chunk, None
                self._unacknowledged.append(waiting)
            assert chunk is not None
            self._put(chunk)

    async def _queued(self, data: bytes, format: str, stream: str | None) -> str:
        """Queue a body and wait until it is durable; else why not. Raises Unusable where nothing of it can be used."""
        with self._lock:
            if self._stopping.is_set():
                return "stopping"
            self._number += 1
            chunk = Chunk(self.name, data, format, {"request": self._number}, time.monotonic(), stream, body=True)
            waiting = _Waiting(asyncio.get_running_loop(), chunk, self._number)
            self._queue.append(waiting)
            self._lock.notify_all()
        try:
            async with asyncio.timeout(self._answer_seconds):
                durable = await waiting.answer
        except TimeoutError:
            return "not stored yet"
        finally:
            self._forget(waiting)
        if durable and waiting.refusal:
            from aez.daemon.sources.push_requests import Unusable

            raise Unusable(waiting.refusal)
        return "" if durable else "stopping"

    def _vanished(self, address: str) -> None:
        """A sender went away in the middle of a body; said once a minute, as anybody can do that without end."""
        self._vanishings += 1
        if self._vanishings == 1 or time.monotonic() - self._vanishings_said > _SAID_SECONDS:
            more = f", as {self._vanishings - 1} did before" if self._vanishings > 1 else ""
            _log.info("source %s: a sender at %s went away in the middle of a body%s", self.name, address, more)
            self._vanishings, self._vanishings_said = 1, time.monotonic()

    def _forget(self, waiting: _Waiting) -> None:
        """Nobody waits any more: what was not put yet need not be, as the sender repeats it."""
        with self._lock, contextlib.suppress(ValueError):
            self._queue.remove(waiting)
