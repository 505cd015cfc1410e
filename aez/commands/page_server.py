"""Serves pages of the JavaScript package at 127.0.0.1, with what they ask for beside themselves.

Requests choose by name among what is served; no path reaches the file system. A request for another host's name is
refused, so that no page from elsewhere can read the files by giving this machine a name of its own.
"""

from __future__ import annotations

import shutil
import webbrowser
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aez import messages
from aez.codec.errors import InvalidArgument, ModelError

HOST = "127.0.0.1"
BYTES = "application/octet-stream"
JSON = "application/json"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


class Served(NamedTuple):
    """What a request gets: bytes, or the file of a path, and its Content-Type."""

    data: bytes | Path
    kind: str = BYTES


class PageServer(ThreadingHTTPServer):
    """Serves until `serve_forever` is interrupted: `folders` of the package, and `others` by their paths.

    `start` is the page, and its query. Raises InvalidArgument for a port that cannot be had.
    """

    daemon_threads = True

    def __init__(
        self, start: str, folders: tuple[str, ...], port: int = 0, others: Mapping[str, Served] | None = None
    ) -> None:
        self.start, self.folders, self.others = start, folders, dict(others or {})
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InvalidArgument(f"port {port} cannot be had: {error.strerror or error}") from error

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.server_port}{self.start}"

    @property
    def hosts(self) -> frozenset[str]:
        """What a request may call this server."""
        return frozenset(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @cached_property
    def page(self) -> dict[str, Served]:
        """The files of the package by path."""
        package = files("aez.codec") / "js"
        return {
            f"/{folder}/{file.name}": Served(file.read_bytes(), kind)
            for folder in self.folders
            for file in (package / folder).iterdir()
            if (kind := TYPES.get(Path(file.name).suffix)) is not None
        }

    def find(self, path: str) -> Served | None:
        """What a path names; None where nothing does. Raises ModelError for a model that cannot be had."""
        return self.page.get(path) or self.others.get(path)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server_close()


def show(server: PageServer, no_browser: bool) -> None:
    """Say where the page is, open it, and serve it until Ctrl+C."""
    messages.result(server.address)
    messages.note("Ctrl+C ends it")
    if not no_browser:
        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        messages.summary("ended")


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.headers.get("Host") not in self.server.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this server goes by another name")
            return
        if path == "/":
            self._answer(HTTPStatus.FOUND, b"", TYPES[".html"], Location=self.server.start)
            return
        try:
            found = self.server.find(path)
        except ModelError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
            return
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "no such file")
        elif isinstance(found.data, Path):
            self._send_file(found.data, found.kind)
        else:
            self._answer(HTTPStatus.OK, found.data, found.kind)

    def _send_file(self, path: Path, kind: str) -> None:
        try:
            stream = path.open("rb")
        except OSError as error:
            self._refuse(HTTPStatus.NOT_FOUND, f"{path.name} cannot be read: {error.strerror}")
            return
        with stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            self._head(HTTPStatus.OK, size, kind)
            shutil.copyfileobj(stream, self.wfile)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer(status, f"{why}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, data: bytes, kind: str, **headers: str) -> None:
        self._head(status, len(data), kind, **headers)
        self.wfile.write(data)

    def _head(self, status: HTTPStatus, size: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: what went wrong stands on the page."""
