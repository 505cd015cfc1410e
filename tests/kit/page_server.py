"""A server of pages for tests of what browsers load: files with headers of their own, and a record of requests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aez.codec.bundle.bundle import Bundle
from tests.kit.javascript import PACKAGE
from tests.kit.places import ROOT

GOLDEN = ROOT / "tests" / "codec" / "golden"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "png": "image/png",
}
#: What a page with pictures has to allow, and no more.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:"
)


@dataclass
class Served:
    """A file; the second part of it is sent once `rest` is set."""

    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    later: bytes = b""
    rest: threading.Event = field(default_factory=threading.Event)


@dataclass
class PageServer:
    """Files by path. `asked` lists what browsers asked for: the path, and for what ("image", "empty", "script")."""

    files: dict[str, Served]
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, data: bytes | str, **headers: str) -> None:
        content = data.encode() if isinstance(data, str) else data
        self.files[path] = Served(content, {name.replace("_", "-"): value for name, value in headers.items()})

    def fetched(self, path: str) -> int:
        """How often a script fetched it."""
        return self.asked.count((path, "empty"))


@contextmanager
def serving(files: dict[str, Served] | None = None) -> Iterator[PageServer]:
    """A server on a port of its own."""
    served = PageServer(files if files is not None else {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            served.asked.append((path, self.headers.get("Sec-Fetch-Dest", "")))
            file = served.files.get(path)
            if file is None:
                self.send_error(404)
                return
            self.send_response(200)
            kind = _TYPES.get(path.rpartition(".")[2], "application/octet-stream")
            for name, value in {"Content-Type": kind, **file.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # where the browser goes away, as tests of aborts have it
                self.wfile.write(file.data)
                if file.later:
                    self.wfile.flush()
                    file.rest.wait(60)
                    self.wfile.write(file.later)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        for file in served.files.values():
            file.rest.set()
        server.shutdown()
        thread.join()
        server.server_close()


def put_package(served: PageServer) -> None:
    """The package as it is built, the golden files, and their small model by its id."""
    for script in (PACKAGE / "dist").glob("*.js"):
        served.put(f"/dist/{script.name}", script.read_bytes())
    for file in GOLDEN.glob("*.aez"):
        served.put(f"/{file.name}", file.read_bytes())
    golden = Bundle.open(GOLDEN / "golden.aezm")
    served.put(f"/models/{golden.id[:16]}.aezm", golden.decoding_half())
