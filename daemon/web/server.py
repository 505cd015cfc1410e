"""What the monitor shows over HTTP: health, figures, streams, events, control, and the live page.

Guarantees: it listens on loopback unless told otherwise; where a token is set, `/`, `/api` and `/metrics` answer only
it (`Authorization: Bearer`) or the cookie that /api/login gives for it; on loopback without one they answer only to
this machine's own names, so that no web page elsewhere can ask through a browser here; no path of a request reaches the
file system; connections are limited; what it serves is read from copies, so that a slow client holds nothing up.

`/healthz` says whether the worker makes progress, `/readyz` whether models are loaded and every source and the store
work; both are open, for probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import ipaddress
import logging
import math
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.common.connections import HANDSHAKE_SECONDS, Connections, request_log, stop_listening
from aez.daemon.observe.metrics import Metrics
from aez.daemon.web.access import COOKIE_SECONDS, Gate, Wait
from aez.daemon.web.alarms import AlarmView, alarm_routes
from aez.daemon.web.answers import answer, body_of, fault, whole
from aez.daemon.web.live import ROWS
from aez.daemon.web.live_client import LiveClient, LiveView, Wanted
from aez.daemon.web.page_files import page_files
from aez.daemon.web.shadow_routes import ShadowView, shadow_routes
from aez.daemon.web.stream_changes import StreamChanges, stream_routes

__all__ = ["View", "Web"]

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODY_MAX = 64 << 10
#: A silent connection is closed after so many seconds.
_IDLE_SECONDS = 75.0
_EVENTS_MAX, _STREAMS_MAX = 1000, 10_000
#: What a list of events may be asked to leave out.
_SWITCHES = ("open", "unacknowledged", "folded")
#: Pages that follow what happens at once, how often they are told, and after what silence a beat says that all is well.
_LIVE_MAX, _LIVE_SECONDS, _HEARTBEAT_SECONDS, _SLOW_SECONDS = 32, 0.25, 15.0, 10.0
_RETRY_MS = 2000
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/api/login"})
_OPEN_PREFIX = "/page/"  # the page's own files, which tell nothing of the monitor
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class View(LiveView, ShadowView, StreamChanges, AlarmView, Protocol):
    """What the page may ask of the monitor; called from other threads than the worker's."""

    metrics: Metrics

    def health(self) -> Sequence[str]:
        """What is wrong with the process itself, a sentence each."""

    def readiness(self) -> Sequence[str]:
        """What it still waits for, a sentence each."""

    def attention(self) -> Mapping[str, Any]:
        """Streams that are not wholly watched, see `aez.daemon.web.attention`."""

    def rows(self, stream: str, count: int) -> Mapping[str, Any] | None:
        """The last rows of a stream with scores and reconstruction; None where it is not known."""

    def events(
        self,
        *,
        stream: str | None,
        limit: int,
        open_only: bool,
        after: str | None,
        unseen_only: bool = False,
        incident: str | None = None,
        folded: bool = False,
    ) -> Sequence[Mapping[str, Any]]:
        """The latest events first, behind the one of the id `after`. Raises InvalidArgument where that is none's.

        incident: those that this one stands for. folded: without those that an incident stands for.
        """

    def picture(self, event_id: str) -> bytes | None:
        """The worst frame of an event as WebP, a few MiB at most; None where there is none, or no such event."""

    def acknowledge(self, event_id: str, by: str, comment: str) -> bool:
        """Note that a person has seen an event; False where there is none of that id."""

    def comment(self, event_id: str, by: str, text: str) -> bool:
        """Add a comment to an event; False where there is none of that id."""

    def reload(self) -> str:
        """Reload the configuration and say what changed. Raises AezError where it cannot be used."""

    def refresh(self) -> None:
        """Bring gauges up to date before they are read."""


class Web:
    """The server, in a thread of its own. `port` is the real one once `start` has returned.

    token: what must be shown; None: nothing. tls: for HTTPS. connections: that may be open at once; further ones are
    closed.
    """

    def __init__(
        self,
        view: View,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        connections: int = 100,
    ) -> None:
        self.view, self.host, self.port = view, host, port
        self._gate = Gate(token) if token else None
        self._tls, self._connections = tls, connections
        self._files = page_files()
        self._live = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._error: OSError | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def address(self) -> str:
        """Of the page, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/"

    def start(self) -> None:
        """Listen. Raises InvalidArgument where the address cannot be had."""
        if not _is_loopback(self.host) and self._gate is None:
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
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(5)

    def application(self) -> web.Application:
        """The routes."""
        made = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX)
        made.router.add_get("/healthz", self._healthz)
        made.router.add_get("/readyz", self._readyz)
        made.router.add_get("/metrics", self._metrics)
        made.router.add_get("/api/summary", self._summary)
        made.router.add_get("/api/streams", self._streams)
        made.router.add_get("/api/attention", self._attention)
        made.router.add_get("/api/rows", self._rows)
        made.router.add_get("/api/live", self._follow, allow_head=False)
        made.router.add_get("/api/events", self._events)
        made.router.add_get("/api/events/{id}", self._event)
        made.router.add_get("/api/events/{id}/picture", self._picture)
        made.router.add_post("/api/events/{id}/acknowledge", self._acknowledge)
        made.router.add_post("/api/events/{id}/comment", self._comment)
        made.router.add_routes(stream_routes(self.view))
        made.router.add_routes(alarm_routes(self.view))
        made.router.add_post("/api/reload", self._reload)
        made.router.add_routes(shadow_routes(self.view))
        made.router.add_post("/api/login", self._login)
        made.router.add_get("/page/{name}", self._file)
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
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            logger=request_log(),
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=2.0,
            shutdown_timeout=2.0,
        )
        await runner.setup()

        assert runner.server is not None
        connections = Connections(self._connections, runner.server)
        encrypted: dict[str, Any] = {"ssl": self._tls, "ssl_handshake_timeout": HANDSHAKE_SECONDS} if self._tls else {}
        listener = None
        try:
            try:
                listener = await self._loop.create_server(connections, self.host, self.port, backlog=128, **encrypted)
            except OSError as error:
                self._error = error
                return
            except UnicodeError:  # of a host that cannot be a name
                self._error = OSError(errno.EINVAL, f"{self.host!r} is no name of a host")
                return
            self.port = int(listener.sockets[0].getsockname()[1])
            self._started.set()
            await self._end.wait()
        finally:
            if listener is not None:
                await stop_listening(listener)
            await runner.cleanup()
            await connections.end()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The token, and headers; an error becomes JSON and never a traceback."""
        try:
            response = self._refused(request) or await handler(request)
        except web.HTTPException as error:
            response = fault(error.status, error.reason)
        except Wait as wait:
            response = fault(429, str(wait))
            response.headers["Retry-After"] = str(math.ceil(wait.seconds))
        except AezError as error:
            response = fault(400, str(error))
        except TimeoutError:
            response = fault(503, "the monitor is busy; ask again in a moment")
            response.headers["Retry-After"] = "1"
        except Exception:  # noqa: BLE001 - whatever it is, the page's client gets an answer and the log the cause
            _log.exception("a request for %s failed", request.path[:200])
            response = fault(500, "this failed; the log says why")
        if not response.prepared:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        """The answer to a request that is not let in; None for one that is. Raises Wait."""
        path = request.path
        if path not in _OPEN_PATHS and not path.startswith(_OPEN_PREFIX):
            if self._gate is None and _is_loopback(self.host) and not _is_own_name(request.host):
                return fault(403, "without a token this answers to localhost and addresses only; set web.token_env")
            if self._gate is not None and not self._allowed(self._gate, request):
                if path == "/":
                    response: web.StreamResponse = self._send("login.html", 401)
                else:
                    response = fault(401, "this needs the token: Authorization: Bearer ...")
                response.headers["WWW-Authenticate"] = "Bearer"
                return response
        if request.method == "POST" and not _same_origin(request):
            return fault(403, "requests that change something must come from this page or from a program")
        return None

    def _allowed(self, gate: Gate, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return gate.shows(given.strip(), request.remote or "")
        cookie = request.cookies.get(self._cookie_name)
        return cookie is not None and gate.knows(cookie)

    @property
    def _cookie_name(self) -> str:
        return f"aez_{self.port}"  # browsers send a host's cookies to all of its ports

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

    async def _summary(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return answer(await asyncio.to_thread(self.view.summary))

    async def _streams(self, request: web.Request) -> web.Response:
        wanted = _wanted(request, whole(request.query.get("limit", "1000"), "limit", 1, _STREAMS_MAX))

        def page() -> Mapping[str, Any]:
            return self.view.streams(search=wanted.search, state=wanted.state, offset=wanted.offset, limit=wanted.limit)

        return answer(await asyncio.to_thread(page))

    async def _attention(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return answer(await asyncio.to_thread(self.view.attention))

    async def _rows(self, request: web.Request) -> web.Response:
        stream = request.query.get("stream")
        if stream is None:
            raise InvalidArgument("say which stream: /api/rows?stream=NAME")
        count = whole(request.query.get("rows", str(ROWS)), "rows", 1, ROWS)
        found = await asyncio.to_thread(self.view.rows, stream, count)
        return fault(404, "there is no stream of that name") if found is None else answer(found)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events until the page goes, or stays too long behind."""
        wanted = _wanted(request, whole(request.query.get("limit", "50"), "limit", 1, 500))
        if self._live >= _LIVE_MAX:
            response = fault(503, f"{_LIVE_MAX} pages follow already; close one of them")
            response.headers["Retry-After"] = "10"
            return response
        following = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        self._live += 1
        client = LiveClient(self.view, wanted)
        try:
            await following.prepare(request)
            await self._tell(request, following, client)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()  # what it did not take by now, it will not
        except AezError as error:
            _log.warning("a page is told to connect anew: %s", error)
        finally:
            self._live -= 1
            client.close()
        return following

    async def _tell(self, request: web.Request, following: web.StreamResponse, client: LiveClient) -> None:
        await following.write(f"retry: {_RETRY_MS}\n\n".encode())
        last = time.monotonic()
        while not self._end.is_set() and request.transport is not None and not request.transport.is_closing():
            news = await asyncio.to_thread(client.news)
            if not news and time.monotonic() - last >= _HEARTBEAT_SECONDS:
                news = "event: beat\ndata: {}\n\n"
            if news:
                async with asyncio.timeout(_SLOW_SECONDS):
                    await following.write(news.encode())
                last = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LIVE_SECONDS):
                    await self._end.wait()

    async def _events(self, request: web.Request) -> web.Response:
        limit = whole(request.query.get("limit", "100"), "limit", 1, _EVENTS_MAX)
        yes = {name: request.query.get(name, "false").lower() in ("1", "true", "yes") for name in _SWITCHES}
        words = {name: request.query.get(name) for name in ("stream", "after", "incident")}

        def listed() -> Sequence[Mapping[str, Any]]:
            switches = {"open_only": yes["open"], "unseen_only": yes["unacknowledged"], "folded": yes["folded"]}
            return self.view.events(limit=limit, **words, **switches)  # type: ignore[arg-type]

        return answer({"events": list(await asyncio.to_thread(listed))})

    async def _event(self, request: web.Request) -> web.Response:
        found = await asyncio.to_thread(self.view.event, request.match_info["id"])
        return fault(404, "there is no event of that id") if found is None else answer(found)

    async def _picture(self, request: web.Request) -> web.Response:
        found = await asyncio.to_thread(self.view.picture, request.match_info["id"])
        if found is None:
            return fault(404, "there is no picture of an event of that id, or it is no longer kept")
        # A worse frame may replace it while the event is open.
        headers = {"Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(found).hexdigest()[:16]}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=found, headers={**headers, "Content-Type": "image/webp"})

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        by, comment = str(body.get("by", ""))[:200], str(body.get("comment", ""))[:4000]
        event_id = request.match_info["id"]
        if not await asyncio.to_thread(self.view.acknowledge, event_id, by, comment):
            return fault(404, "there is no event of that id")
        return answer({"acknowledged": event_id})

    async def _comment(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        by, text = str(body.get("by", ""))[:200], str(body.get("text", ""))[:4000]
        event_id = request.match_info["id"]
        if not await asyncio.to_thread(self.view.comment, event_id, by, text):
            return fault(404, "there is no event of that id")
        return answer({"commented": event_id})

    async def _login(self, request: web.Request) -> web.Response:
        """A cookie for the token."""
        body = await body_of(request)
        if self._gate is not None and not self._gate.shows(str(body.get("token", "")), request.remote or ""):
            return fault(401, "that is not the token")
        response = answer({"ok": True})
        if self._gate is not None:
            response.set_cookie(
                self._cookie_name,
                self._gate.cookie(),
                max_age=COOKIE_SECONDS,
                httponly=True,
                samesite="Strict",
                secure=self._tls is not None,
            )
        return response

    async def _reload(self, request: web.Request) -> web.Response:  # noqa: ARG002
        try:
            done = await asyncio.to_thread(self.view.reload)
        except AezError as error:
            faults = [str(fault) for fault in getattr(error, "faults", ())]
            return answer({"reloaded": False, "error": str(error), "faults": faults}, 422)
        return answer({"reloaded": True, "changes": done})

    async def _page(self, request: web.Request) -> web.Response:
        return self._send("index.html", 200, request)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files or name.endswith(".html"):
            return fault(404, "there is no such file")
        return self._send(name, 200, request)

    def _send(self, name: str, status: int, request: web.Request | None = None) -> web.Response:
        file = self._files[name]
        headers = {"Cache-Control": "no-cache", "ETag": file.tag}
        if request is not None and request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.data, status=status, headers={**headers, "Content-Type": file.kind})


def _verdict(problems: Sequence[str]) -> web.Response:
    return answer({"ok": not problems, "problems": list(problems)}, 503 if problems else 200)


def _wanted(request: web.Request, limit: int) -> Wanted:
    query = request.query
    return Wanted(
        stream=query.get("stream"),
        search=query.get("search", "")[:200],
        state=query.get("state") or None,
        offset=whole(query.get("offset", "0"), "offset", 0, 100_000_000),
        limit=limit,
    )


def _is_own_name(host: str) -> bool:
    """Whether a request names this machine by an address or as localhost; any other name may be anybody's."""
    name, _, port = host.rpartition(":")
    name = name if name and port.isdigit() else host
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _same_origin(request: web.Request) -> bool:
    """Browsers tell where a request comes from; programs do not, and need no check."""
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host
