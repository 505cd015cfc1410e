"""What comes to a push source as requests, and what they are answered; see `http_push` for what is guaranteed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, web

from aez.codec.errors import AezError
from aez.daemon.sources.messages import as_lines
from aez.daemon.sources.push_metrics import otlp_lines, remote_write_lines
from aez.daemon.sources.unpacking import Unpacker, unpacker

__all__ = ["PushRequests", "Unusable", "in_nanoseconds"]

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


class Unusable(Exception):
    """Nothing of a body can be used, which a repetition would not change."""


class PushRequests:
    """Answers requests; all but making one happens in the listener's loop.

    format: of bodies at /push whose Content-Type does not tell. token: what senders must show; None: nothing.
    body_bytes: the largest body, unpacked. pending_bytes: of all bodies that wait. takes: whether data are taken now.
    queued: takes a body, its format and its stream, and says why it is not durable; nothing where it is; raises
    Unusable. vanished: hears of the address of a sender that went away in the middle of a body. unpacks: whether bodies
    come as they were packed; else the listener has unpacked them.
    """

    def __init__(
        self,
        format: str,
        token: str | None,
        *,
        body_bytes: int,
        pending_bytes: int,
        takes: Callable[[], bool],
        queued: Callable[[bytes, str, str | None], Awaitable[str]],
        vanished: Callable[[str], None],
        unpacks: bool,
    ) -> None:
        self.format = format
        self._token = token
        self._body_bytes, self._pending_bytes = body_bytes, pending_bytes
        self._takes, self._queued = takes, queued
        self._vanished, self._unpacks = vanished, unpacks
        self._held = 0  # bytes of all requests

    def routes(self) -> list[web.RouteDef]:
        """For `Application.add_routes`."""
        return [
            web.post("/push", self._answer_to(self._push)),
            web.post("/write", self._answer_to(self._write)),
            web.post("/api/v2/write", self._answer_to(self._write)),
            web.post("/api/v1/write", self._answer_to(self._remote_write)),
            web.post("/v1/metrics", self._answer_to(self._otlp)),
            web.post("/query", self._answer_to(self._query)),
            web.get("/ping", _ping),  # and HEAD
        ]

    def _answer_to(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if not self._admits(request):
                headers = {"WWW-Authenticate": 'Bearer realm="aez"'}
                return _refusal(401, "unauthorized", "the token is missing or wrong", headers)
            if not self._takes():
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

    async def _remote_write(self, request: web.Request) -> web.Response:
        if "2.0" in request.headers.get("X-Prometheus-Remote-Write-Version", "") or "io.prometheus.write.v2" in str(
            request.headers.get("Content-Type")
        ):
            return _refusal(415, "invalid", "remote write 1.0 is read here, and not 2.0")
        return await self._take(
            request, "line", lambda body: remote_write_lines(body, self._body_bytes), unpack=Unpacker()
        )

    async def _otlp(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-protobuf":
            return _refusal(
                415, "invalid", "OTLP is read in protobuf here; set the exporter's protocol to http/protobuf"
            )
        answer = await self._take(request, "line", otlp_lines)
        return web.Response(content_type="application/x-protobuf") if answer.status == 204 else answer

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
        self,
        request: web.Request,
        format: str,
        convert: Callable[[bytes], bytes],
        stream: str | None = None,
        unpack: Unpacker | None = None,
    ) -> web.Response:
        """Read the body, queue it, and answer when it is durable."""
        if (request.content_length or 0) > self._body_bytes:
            return self._too_large()
        if unpack is None:
            unpack = unpacker(request.headers.get("Content-Encoding", "")) if self._unpacks else Unpacker()
        if unpack is None:
            return _refusal(415, "invalid", "the body is packed in a way that is not known; use gzip or deflate")
        held: list[int] = []
        try:
            data = await self._body(request, unpack, held)
            if isinstance(data, web.Response):
                return data
            try:
                if sum(held) <= _CONVERTED_AT_ONCE:
                    data = convert(data)
                else:
                    data = await asyncio.get_running_loop().run_in_executor(None, convert, data)
            except ValueError as error:
                raise Unusable(f"the body cannot be used: {error}") from error
            reason = await self._queued(data, format, stream) if data.strip() else ""
            return _later(reason) if reason else web.Response(status=204)
        except Unusable as error:
            return _refusal(400, "invalid", str(error))
        except AezError as error:  # a library is missing
            return _refusal(501, "unavailable", str(error))
        finally:
            self._held -= sum(held)

    async def _body(self, request: web.Request, unpack: Unpacker, held: list[int]) -> bytes | web.Response:
        """The body, unpacked, or what to answer without one. held: gets the sizes of what is held."""
        parts, size = [], 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for came in request.content.iter_any():
                    for part in unpack.pieces(came):
                        if size + len(part) > self._body_bytes:
                            return self._too_large()
                        if self._held + len(part) > self._pending_bytes:
                            return _later("too much is waiting")
                        size += len(part)
                        self._held += len(part)
                        held.append(len(part))
                        parts.append(part)
            unpack.end()
        except TimeoutError:
            return _refusal(408, "timeout", "the body came too slowly")
        except ValueError as error:
            return _refusal(400, "invalid", f"the body cannot be used: {error}")
        except (web.RequestPayloadError, ConnectionError, ClientError):
            if request.transport is None or request.transport.is_closing():
                self._vanished(request.remote or "an unknown address")
            return _refusal(400, "invalid", "the body is damaged, or not packed as Content-Encoding says")
        return b"".join(parts)

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
