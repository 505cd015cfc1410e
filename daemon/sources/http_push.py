"""Telemetry that is pushed over HTTP.

Delivery: at least once, for senders that repeat what was not confirmed. A request is answered with 204 when all that
follows from it is durable, and with 503 and Retry-After when that takes longer than `answer_seconds`, when too much is
waiting already, or when the process is stopping; it may then be stored all the same, and its repetition with it. In the
order of arrival. Memory: `pending_bytes` over all requests, `body_bytes` for one (413 beyond it), both unpacked.

POST /push takes JSON Lines, a JSON array, CSV (text/csv) or an Arrow stream (application/vnd.apache.arrow.stream), and
one picture of a stream at /push?stream=NAME (image/png, image/jpeg and the like).
POST /write and /api/v2/write take line protocol the way InfluxDB 1 and 2 do, so that Telegraf's outputs influxdb and
influxdb_v2 need nothing but this address; /ping and `CREATE DATABASE` at /query are answered for them. Bodies may be
packed with gzip or deflate. Never 429: Telegraf's influxdb output throws away what is answered with any 4xx.

With a token, requests need `Authorization: Bearer <token>`, `Token <token>`, or Basic with the token as password.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls
from aez.daemon.common.connections import HANDSHAKE_SECONDS, Connections, request_log
from aez.daemon.common.records import Chunk, Position
from aez.daemon.sources import Put, Source
from aez.daemon.sources.messages import as_lines

_log = logging.getLogger(__name__)

_CONTENT_TYPES = {
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/jsonl": "json",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
}
# A line's time stands behind the last space; a text in quotes cannot end like that.
_TIME = re.compile(rb" (-?[0-9]+)(?=[ \t\r]*$)", re.MULTILINE)
_TO_NANOSECONDS = {"": b"", "n": b"", "ns": b"", "u": b"000", "us": b"000", "ms": b"000000", "s": b"000000000"}
_SECONDS = {"m": 60, "h": 3600}
_CONVERTED_AT_ONCE = 1 << 16  # bytes; more is left to another thread, so that other requests go on
_QUERY_BYTES = 10_000  # of a form at /query
_BODY_SECONDS = 60.0  # a body that comes slower than that is given up


class _Waiting:
    """A request whose data are on their way. number: of its chunk."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chunk: Chunk, number: int) -> None:
        self.loop = loop
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
    """What is posted to an address.

    host, port: where to listen; port 0 takes a free one; host None: listen nowhere, `routes` are mounted elsewhere.
    token: what senders must show; None: nothing. tls_certificate, tls_key: files, for HTTPS. format: of bodies at /push
    whose Content-Type does not tell. body_bytes: the largest body, unpacked. answer_seconds: how long a sender waits
    for an answer; Telegraf gives up after 5. pending_bytes: what may wait at once. connections: that may be open at
    once; further ones are closed (where it listens itself). idle_seconds: how long a connection stays without a whole
    request.

    Raises:
        InvalidArgument: an empty token, or a value out of range.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str | None = "127.0.0.1",
        port: int = 8086,
        token: str | None = None,
        tls_certificate: str | None = None,
        tls_key: str | None = None,
        format: str = "json",
        body_bytes: int = 16 << 20,
        answer_seconds: float = 4.0,
        pending_bytes: int = 64 << 20,
        connections: int = 256,
        idle_seconds: float = 75.0,
    ) -> None:
        super().__init__(name, format)
        if token == "":
            raise InvalidArgument(f"Source {name!r}: the token is empty; leave it out to take data from anybody.")
        if not 0 <= port <= 65_535:
            raise InvalidArgument(f"Source {name!r}: port is {port}; use 0 to 65535.")
        if body_bytes < 1 or pending_bytes < body_bytes:
            raise InvalidArgument(f"Source {name!r}: pending_bytes is {pending_bytes}; use body_bytes or more.")
        #: Where it listens; the port that was found, once started with port 0.
        self.host, self.port = host, port
        self._token = token
        self._certificate, self._key = tls_certificate, tls_key
        self._tls = tls.server_context(tls_certificate, tls_key) if tls_certificate else None
        self._body_bytes = body_bytes
        self._answer_seconds = answer_seconds
        self._pending_bytes = pending_bytes
        self._connections, self._idle_seconds = connections, idle_seconds
        self._lock = threading.Condition()
        self._queue: deque[_Waiting] = deque()  # not yet put
        self._unacknowledged: deque[_Waiting] = deque()
        self._held = 0  # bytes of all requests
        self._number = 0
        self._started = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._ready = threading.Event()

    def routes(self) -> list[web.RouteDef]:
        """What it answers, for `Application.add_routes`; the application's own limit on bodies plays no part."""
        return [
            web.post("/push", self._answer_to(self._push)),
            web.post("/write", self._answer_to(self._write)),
            web.post("/api/v2/write", self._answer_to(self._write)),
            web.post("/query", self._answer_to(self._query)),
            web.get("/ping", _ping),  # and HEAD
        ]

    def start(self, put: Put, position: Position | None = None) -> None:  # noqa: ARG002 - senders repeat
        self._put = put
        self._started = True
        self._spawn(self._hand_on)
        if self.host is not None:
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
        )
        await runner.setup()
        listener = None
        try:
            listener = await self._open_port(runner)
            await self._closing.wait()
        finally:
            if listener is not None:
                listener.close()
            await runner.cleanup()

    async def _open_port(self, runner: web.AppRunner) -> asyncio.Server | None:
        server = runner.server
        assert server is not None
        assert self._closing is not None
        protocol = Connections(self._connections, server)
        encrypted: dict[str, Any] = {"ssl": self._tls, "ssl_handshake_timeout": HANDSHAKE_SECONDS} if self._tls else {}
        pause = 0.5
        while not self._closing.is_set():
            try:
                loop = asyncio.get_running_loop()
                listener = await loop.create_server(protocol, self.host, self.port, backlog=128, **encrypted)
            except OSError as error:
                self._set_trouble(f"cannot listen at {self.host}:{self.port}: {error.strerror or error}.")
                self._ready.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause)
                pause = min(2 * pause, 30.0)
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

    def _answer_to(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if not self._admits(request):
                headers = {"WWW-Authenticate": 'Bearer realm="aez"'}
                return _refusal(401, "unauthorized", "the token is missing or wrong", headers)
            if self._stopping.is_set() or not self._started:
                return _later("stopping")
            return await handler(request)

        return answer

    def _admits(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        shown = shown.strip()
        if scheme.lower() == "basic":
            try:
                shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return False
        elif scheme.lower() not in ("bearer", "token"):
            return False
        return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._token.encode())

    async def _push(self, request: web.Request) -> web.Response:
        is_image = request.content_type.startswith("image/")
        format = "image" if is_image else _CONTENT_TYPES.get(request.content_type, self.format)
        stream = request.query.get("stream") if format == "image" else None
        return await self._take(request, format, lambda body: as_lines(body, format), stream)

    async def _write(self, request: web.Request) -> web.Response:
        precision = request.query.get("precision", "")
        if precision not in _TO_NANOSECONDS and precision not in _SECONDS:
            return _refusal(400, "invalid", "precision is none of ns, us, ms, s, m, h")
        return await self._take(request, "line", lambda body: in_nanoseconds(body, precision))

    async def _query(self, request: web.Request) -> web.Response:
        query: object = request.query.get("q")
        small = 0 < (request.content_length or 0) < _QUERY_BYTES
        if query is None and small and request.content_type == "application/x-www-form-urlencoded":
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    query = (await request.post()).get("q")
            except TimeoutError:
                return _refusal(408, "timeout", "the body came too slowly")
            except (web.RequestPayloadError, ValueError, LookupError):  # the last for a character set
                return _refusal(400, "invalid", "the form cannot be read")
        if isinstance(query, str) and query.strip().upper().startswith("CREATE DATABASE"):
            return web.json_response({"results": [{"statement_id": 0}]})
        return _refusal(400, "invalid", "nothing can be queried here")

    async def _take(
        self, request: web.Request, format: str, convert: Callable[[bytes], bytes], stream: str | None = None
    ) -> web.Response:
        """Read the body, queue it, and answer when it is durable."""
        held = 0
        parts = []
        if (request.content_length or 0) > self._body_bytes:
            return self._too_large()
        try:
            try:
                async with asyncio.timeout(_BODY_SECONDS):
                    async for part in request.content.iter_any():
                        if held + len(part) > self._body_bytes:
                            return self._too_large()
                        if self._held + len(part) > self._pending_bytes:
                            return _later("too much is waiting")
                        held += len(part)
                        self._held += len(part)
                        parts.append(part)
            except TimeoutError:
                return _refusal(408, "timeout", "the body came too slowly")
            except web.RequestPayloadError:
                return _refusal(400, "invalid", "the body is damaged, or not packed as Content-Encoding says")
            data = b"".join(parts)
            parts.clear()
            if held <= _CONVERTED_AT_ONCE:
                data = convert(data)
            else:
                data = await asyncio.get_running_loop().run_in_executor(None, convert, data)
            return await self._queued(data, format, stream) if data.strip() else web.Response(status=204)
        finally:
            self._held -= held

    async def _queued(self, data: bytes, format: str, stream: str | None) -> web.Response:
        with self._lock:
            if self._stopping.is_set():
                return _later("stopping")
            self._number += 1
            chunk = Chunk(self.name, data, format, {"request": self._number}, time.monotonic(), stream)
            waiting = _Waiting(asyncio.get_running_loop(), chunk, self._number)
            self._queue.append(waiting)
            self._lock.notify_all()
        try:
            async with asyncio.timeout(self._answer_seconds):
                durable = await waiting.answer
        except TimeoutError:
            return _later("not stored yet")
        finally:
            self._forget(waiting)
        return web.Response(status=204) if durable else _later("stopping")

    def _forget(self, waiting: _Waiting) -> None:
        """Nobody waits any more: what was not put yet need not be, as the sender repeats it."""
        with self._lock, contextlib.suppress(ValueError):
            self._queue.remove(waiting)

    def _too_large(self) -> web.Response:
        reason = f"the body is larger than {self._body_bytes} bytes; send less at a time"
        response = _refusal(413, "request too large", reason)
        response.force_close()
        return response


def in_nanoseconds(body: bytes, precision: str) -> bytes:
    """Line protocol whose times count in `precision`, with times in ns; lines without a time stay as they are."""
    if precision in _SECONDS:
        seconds = _SECONDS[precision]

        def scaled(match: re.Match[bytes]) -> bytes:
            # More than 20 digits are no time in any unit; the parser says so.
            return match[0] if len(match[1]) > 20 else b" %d" % (int(match[1]) * seconds * 1_000_000_000)

        return _TIME.sub(scaled, body)
    zeros = _TO_NANOSECONDS[precision]
    return _TIME.sub(rb" \g<1>" + zeros, body) if zeros else body


def _later(reason: str) -> web.Response:
    response = _refusal(503, "unavailable", f"{reason}; send it again", {"Retry-After": "1"})
    response.force_close()
    return response


def _refusal(status: int, code: str, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that clients of InfluxDB 1 (error) and 2 (code, message) understand."""
    return web.json_response({"error": reason, "code": code, "message": reason}, status=status, headers=headers)


async def _ping(request: web.Request) -> web.Response:
    del request
    return web.Response(status=204, headers={"X-Influxdb-Version": "aez"})
