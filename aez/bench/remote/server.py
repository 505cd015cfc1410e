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

_RANGES = re.compile(r"bytes=(\d+-\d+(?:,\d+-\d+)*)")
_BOUNDARY = "aez_boundary"


@dataclass(frozen=True)
class Answer:
    """What the server says: the `body` has the `spans` of the file; `length` is the one it tells."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    spans: tuple[tuple[int, int], ...] = ()
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
        asked = _RANGES.fullmatch(wanted)
        if asked is None:
            return Answer(200, {}, data)
        spans = [(int(first), int(last) + 1) for first, last in (one.split("-") for one in asked[1].split(","))]
        return _part(data, *spans[0]) if len(spans) == 1 else _parts([_part(data, *span) for span in spans])


def _part(data: bytes, start: int, stop: int) -> Answer:
    body = data[start:stop]
    if not body:
        return Answer(416, {})
    stop = start + len(body)
    return Answer(206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, body, ((start, stop),))


def _parts(parts: list[Answer]) -> Answer:
    """Several ranges in one answer (RFC 9110, 14.6)."""
    if any(part.status != 206 for part in parts):
        return Answer(416, {})
    heads = [f"\r\n--{_BOUNDARY}\r\nContent-Range: {part.headers['Content-Range']}\r\n\r\n" for part in parts]
    body = b"".join(head.encode() + part.body for head, part in zip(heads, parts, strict=True))
    kind = {"Content-Type": f"multipart/byteranges; boundary={_BOUNDARY}"}
    return Answer(206, kind, body + f"\r\n--{_BOUNDARY}--\r\n".encode(), tuple(part.spans[0] for part in parts))


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
