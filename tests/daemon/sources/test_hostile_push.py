"""What nobody should send to the port that takes pushes: it is refused or closed, and others are served meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aez.daemon.build import parts as build
from aez.daemon.config.reader import load
from aez.daemon.sources import push_requests
from aez.daemon.sources.http_push import HttpOptions, HttpPush
from tests.kit.source_harness import Intake, message, told
from tests.kit.waiting import until

BODY = 100_000


@contextlib.contextmanager
def opened(**options: Any) -> Iterator[tuple[HttpPush, Intake]]:
    source, intake = (
        HttpPush("push", *told(HttpOptions, port=0, **{"body_bytes": BODY, "pending_bytes": 4 * BODY, **options})),
        Intake(),
    )
    source.start(lambda chunk: (intake.put(chunk), source.acknowledge(chunk.position))[0])
    try:
        yield source, intake
    finally:
        source.close()


def ask(source: HttpPush, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", source.port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.read()
        return answer.status


def works(source: HttpPush, intake: Intake) -> bool:
    before = len(intake.chunks)
    return ask(source, "POST", "/push", message(1)) == 204 and len(intake.chunks) == before + 1


def raw(source: HttpPush, *parts: bytes) -> bytes:
    """What comes back until the other side closes; what it refuses to read is not sent any more."""
    with socket.create_connection(("127.0.0.1", source.port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        found = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                found += part
        return found


@pytest.mark.parametrize("begun", [b"", b"POST /push HTT", b"POST /push HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_connection_that_never_asks_is_closed(begun: bytes) -> None:
    with opened(idle_seconds=0.3, connections=2) as (source, intake):
        with contextlib.ExitStack() as stack:
            slow = [socket.create_connection(("127.0.0.1", source.port), timeout=20) for _ in range(2)]
            for connection in slow:
                stack.enter_context(connection)
                connection.sendall(begun)
            for connection in slow:
                with contextlib.suppress(ConnectionError):
                    while connection.recv(1000):  # until it is closed; a time out fails the test
                        pass
        until(lambda: works(source, intake))


def test_headers_that_come_by_the_drop_do_not_keep_it_open() -> None:
    with opened(idle_seconds=0.5) as (source, _), socket.create_connection(("127.0.0.1", source.port)) as connection:
        connection.sendall(b"POST /push HTTP/1.1\r\nHost: x\r\n")
        connection.settimeout(0.05)

        def closed() -> bool:
            try:
                connection.sendall(b"X-Drop: 1\r\n")
                return connection.recv(1000) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        until(closed)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /push HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /push HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 10_000 + b"\r\n",
        b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # as if TLS were spoken here
    ],
)
def test_requests_that_are_none_are_refused_and_closed(head: bytes) -> None:
    with opened(idle_seconds=2.0) as (source, intake):
        answer = raw(source, head)
        assert answer == b"" or answer.split()[1] in (b"400", b"413", b"414", b"431")
        assert not intake.chunks
        assert works(source, intake)


def test_a_chunked_body_without_an_end_is_cut_off() -> None:
    with opened() as (source, intake):
        head = b"POST /push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"4000\r\n" + b"1\n" * 8192 + b"\r\n"
        tracemalloc.start()
        answer = raw(source, head, *[chunk] * 400)  # 6.4 MB, 64 times what is taken
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert answer == b"" or b" 413 " in answer.splitlines()[0]
        assert peak < 8 << 20
        assert not intake.chunks
        assert works(source, intake)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bombs_are_cut_off(coding: str) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(64)]) + packer.flush()
    with opened() as (source, intake):
        tracemalloc.start()
        status = ask(source, "POST", "/write", bomb, Content_Encoding=coding)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert status == 413
        assert peak < 16 << 20
        assert not intake.chunks


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/push/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/x",
        "//etc/passwd",
        "/push%00",
        "/",
    ],
)
def test_no_path_leads_anywhere(path: str) -> None:
    with opened() as (source, intake):
        for method in ("GET", "POST"):
            assert ask(source, method, path, b"{}" if method == "POST" else None) in (404, 405)
        assert not intake.chunks


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X"])
def test_other_methods_take_nothing(method: str) -> None:
    with opened() as (source, intake):
        for path in ("/push", "/write", "/api/v2/write", "/query"):
            assert ask(source, method, path) in (400, 404, 405)
        assert not intake.chunks


def test_the_limits_of_a_configuration_hold(tmp_path: Path) -> None:
    (tmp_path / "pump.aezm").write_bytes(b"a model")
    limits = "[limits]\nconnections = 2\nbody_bytes = 2000\n"
    model = '[[models]]\npath = "pump.aezm"\n'
    (tmp_path / "monitor.toml").write_text(f'{limits}{model}[[sources]]\nkind = "http"\nport = 0\n')
    config = load(tmp_path / "monitor.toml")
    source, intake = build.source(config, config.sources[0]), Intake()
    assert isinstance(source, HttpPush)
    source.start(lambda chunk: (intake.put(chunk), source.acknowledge(chunk.position))[0])
    try:
        assert ask(source, "POST", "/push", b"x" * 2001) == 413
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(socket.create_connection(("127.0.0.1", source.port), timeout=20))
            with pytest.raises((OSError, http.client.HTTPException)):
                ask(source, "POST", "/push", message(1))
        until(lambda: answers(source))
    finally:
        source.close()


def answers(source: HttpPush) -> bool:
    try:
        return ask(source, "POST", "/push", message(1)) == 204
    except (OSError, http.client.HTTPException):
        return False


FORM = b"Content-Type: application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", [b"/push", b"/query"])
def test_a_body_that_does_not_come_is_given_up(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_requests, "_BODY_SECONDS", 0.3)
    with opened(idle_seconds=1.0) as (source, intake):
        answer = raw(source, b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + FORM + b"\r\nContent-Length: 99\r\n\r\nq=")
        assert answer.split()[1] == b"408"
        assert not intake.chunks
        assert works(source, intake)


@pytest.mark.parametrize("form", [FORM + b"; charset=none", FORM + b"\r\nContent-Encoding: gzip", FORM])
def test_forms_that_are_none_are_refused(form: bytes) -> None:
    with opened(idle_seconds=0.3) as (source, _):
        head = b"POST /query HTTP/1.1\r\nHost: x\r\n" + form + b"\r\nContent-Length: 4\r\n\r\n"
        assert raw(source, head + b"q=\xff\xfe").split()[1] == b"400"


def test_noise_harms_nobody_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(11)
    whole = b"POST /write?precision=ms HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 6\r\n\r\nm a=1\n"
    with opened(idle_seconds=0.2) as (source, intake):
        for _ in range(40):
            noise = bytearray(whole)
            for _ in range(rng.randint(1, 8)):
                at = rng.randrange(len(noise))
                noise[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
            answer = raw(source, bytes(noise))
            assert answer == b"" or answer.startswith(b"HTTP/1.")
            assert not answer or answer.split()[1] != b"500"
            assert b"Traceback" not in answer
        assert works(source, intake)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]
