"""A web server on this machine that sends ranges of files in memory, and counts them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Answer", "RangeServer", "serving"]

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True)
class Answer:
    """What the server says: the `body` begins at byte `start` of the file; `length` is the one it tells."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    start: int = 0
    length: int | None = None


@dataclass
class RangeServer:
    """`files` by path, sent `delay` seconds after they are asked for; `answers` has what was sent."""

    files: dict[str, bytes]
    delay: float = 0.0
    address: str = ""
    answers: list[Answer] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Bytes of all bodies."""
        return sum(len(answer.body) for answer in self.answers)

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"{self.address}/{path}"

    def answer(self, path: str, wanted: str) -> Answer:
        """What comes for a path and the value of the header Range, empty where it has none."""
        data = self.files.get(path)
        if data is None:
            return Answer(404, {})
        asked = _RANGE.fullmatch(wanted)
        if asked is None:
            return Answer(200, {}, data)
        start = int(asked[1])
        body = data[start : int(asked[2]) + 1]
        if not body:
            return Answer(416, {})
        return Answer(206, {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{len(data)}"}, body, start)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    server: Any

    def do_GET(self) -> None:
        ours: RangeServer = self.server.ours
        time.sleep(ours.delay)
        answer = ours.answer(self.path.partition("?")[0].lstrip("/"), self.headers.get("Range", ""))
        ours.answers.append(answer)
        length = len(answer.body) if answer.length is None else answer.length
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = self.close_connection or length != len(answer.body)

    def log_message(self, *_: object) -> None:
        """Nothing is said of what is served."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no reason to say anything."""


@contextmanager
def serving(server: RangeServer) -> Iterator[RangeServer]:
    """The server at a free port, until the block ends."""
    listening = _Listener(("127.0.0.1", 0), _Handler)
    listening.ours = server  # type: ignore[attr-defined]
    server.address = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
