"""What the monitor shows over HTTP: health, figures, streams, events, and control.

Guarantees: it listens on loopback unless told otherwise; where a token is set, `/`, `/api` and `/metrics` answer only$
it (`Authorization: Bearer`); no path of a request reaches the file system; what it serves is read from copies, so that
a slow client holds nothing up.

`/healthz` says whether the worker makes progress, `/readyz` whether models are loaded and every source and the store
work; both are open, for probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.metrics import Metrics

__all__ = ["View", "Web"]

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODY_MAX = 64 << 10
_EVENTS_MAX = 1000
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class View(Protocol):
    """What the page may ask of the monitor; called from other threads than the worker's."""

    metrics: Metrics

    def health(self) -> Sequence[str]:
        """What is wrong with the process itself, a sentence each."""

    def readiness(self) -> Sequence[str]:
        """What it still waits for, a sentence each."""

    def streams(self) -> Sequence[Mapping[str, Any]]:
        """One entry for each stream."""

    def events(self, *, stream: str | None, limit: int, open_only: bool) -> Sequence[Mapping[str, Any]]:
        """The latest events first."""

    def acknowledge(self, event_id: str, by: str, comment: str) -> bool:
        """Note that a person has seen an event; False where there is none of that id."""

    def reload(self) -> str:
        """Reload the configuration and say what changed. Raises AezError where it cannot be used."""

    def refresh(self) -> None:
        """Bring gauges up to date before they are read."""


class Web:
    """The server, in a thread of its own. `port` is the real one once `start` has returned."""

    def __init__(self, view: View, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        self.view, self.host, self.port = view, host, port
        self._token = token
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._error: OSError | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Listen. Raises InvalidArgument where the address cannot be had."""
        if not _is_loopback(self.host) and not self._token:
            _log.warning("the page listens on %s without a token; set web.token_env or web.token_file", self.host)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            reason = self._error.strerror or self._error
            raise InvalidArgument(f"web.port {self.port} of {self.host} cannot be used: {reason}") from self._error

    def stop(self) -> None:
        """Close the port; waits a few seconds for answers that are under way."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(lambda: self._end.set() if self._end else None)
            self._thread.join(5)

    def application(self) -> web.Application:
        """The routes."""
        made = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX)
        made.router.add_get("/healthz", self._healthz)
        made.router.add_get("/readyz", self._readyz)
        made.router.add_get("/metrics", self._metrics)
        made.router.add_get("/api/streams", self._streams)
        made.router.add_get("/api/events", self._events)
        made.router.add_post("/api/events/{id}/acknowledge", self._acknowledge)
        made.router.add_post("/api/reload", self._reload)
        made.router.add_get("/", self._page)
        return made

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._started.set()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port)
            try:
                await site.start()
            except OSError as error:
                self._error = error
                return
            self.port = int(runner.addresses[0][1])
            self._started.set()
            await self._end.wait()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The token, and headers; an error becomes JSON and never a traceback."""
        try:
            if request.path not in _OPEN_PATHS and not self._allowed(request):
                response: web.StreamResponse = _fault(401, "this needs the token: Authorization: Bearer ...")
                response.headers["WWW-Authenticate"] = "Bearer"
            elif request.method == "POST" and not _same_origin(request):
                response = _fault(403, "requests that change something must come from this page or from a program")
            else:
                response = await handler(request)
        except web.HTTPException as error:
            response = _fault(error.status, error.reason)
        except AezError as error:
            response = _fault(400, str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the page's client gets an answer and the log the cause
            _log.exception("a request for %s failed", request.path[:200])
            response = _fault(500, "this failed; the log says why")
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _allowed(self, request: web.Request) -> bool:
        if not self._token:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(errors="surrogateescape"), self._token.encode()
        )

    async def _healthz(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the shape of a handler
        return _verdict(await asyncio.to_thread(self.view.health))

    async def _readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return _verdict(await asyncio.to_thread(self.view.readiness))

    async def _metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002
        def text() -> bytes:
            self.view.refresh()
            return self.view.metrics.text()

        body = await asyncio.to_thread(text)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _streams(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return _json({"streams": list(await asyncio.to_thread(self.view.streams))})

    async def _events(self, request: web.Request) -> web.Response:
        limit = _whole(request.query.get("limit", "100"), "limit", 1, _EVENTS_MAX)
        open_only = request.query.get("open", "false").lower() in ("1", "true", "yes")
        stream = request.query.get("stream")
        found = await asyncio.to_thread(lambda: self.view.events(stream=stream, limit=limit, open_only=open_only))
        return _json({"events": list(found)})

    async def _acknowledge(self, request: web.Request) -> web.Response:
        try:
            body = await request.json() if request.can_read_body else {}
        except ValueError as error:
            raise InvalidArgument("the body is no JSON") from error
        if not isinstance(body, dict):
            raise InvalidArgument("the body is a JSON object with `by` and `comment`")
        by, comment = str(body.get("by", ""))[:200], str(body.get("comment", ""))[:4000]
        event_id = request.match_info["id"]
        if not await asyncio.to_thread(self.view.acknowledge, event_id, by, comment):
            return _fault(404, "there is no event of that id")
        return _json({"acknowledged": event_id})

    async def _reload(self, request: web.Request) -> web.Response:  # noqa: ARG002
        try:
            done = await asyncio.to_thread(self.view.reload)
        except AezError as error:
            faults = [str(fault) for fault in getattr(error, "faults", ())]
            return _json({"reloaded": False, "error": str(error), "faults": faults}, 422)
        return _json({"reloaded": True, "changes": done})

    async def _page(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """The live page has its place here."""
        return web.Response(text="aez monitor: /healthz /readyz /metrics /api/streams /api/events\n")


def _json(data: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(data, status=status, dumps=lambda found: json.dumps(found, default=str))


def _fault(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)


def _verdict(problems: Sequence[str]) -> web.Response:
    return _json({"ok": not problems, "problems": list(problems)}, 503 if problems else 200)


def _whole(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise InvalidArgument(f"{name} is a whole number from {low} to {high}, not {text[:40]!r}")
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _same_origin(request: web.Request) -> bool:
    """Browsers tell where a request comes from; programs do not, and need no check."""
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host
