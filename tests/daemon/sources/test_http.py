"""Pushing over HTTP: as Telegraf does it, and as nobody should."""

import asyncio
import base64
import gzip
import http.client
import json
import socket
import ssl
import threading
import time
import tracemalloc
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Chunk
from aez.daemon.sources.http_push import HttpOptions, HttpPush
from aez.daemon.sources.push_requests import in_nanoseconds
from tests.kit.certificates import self_signed
from tests.kit.source_harness import Intake, told
from tests.kit.waiting import until

LINES = b"cpu,host=a usage=1.5 1700000000000000000\ncpu,host=b usage=2 1700000000000000001\n"

Opener = Callable[..., tuple[HttpPush, Intake]]


@pytest.fixture
def opened() -> Iterator[Opener]:
    sources: list[HttpPush] = []

    def open_one(durable: bool = True, **options: Any) -> tuple[HttpPush, Intake]:
        source, intake = HttpPush("source", *told(HttpOptions, port=0, **options)), Intake()
        sources.append(source)

        def put(chunk: Chunk) -> None:
            intake.put(chunk)
            if durable:
                source.acknowledge(chunk.position)

        source.start(put)
        return source, intake

    yield open_one
    for source in sources:
        source.close()


def send(
    source: HttpPush, path: str, body: Any = b"", method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", source.port, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def data(intake: Intake) -> list[tuple[str, bytes]]:
    return [(chunk.format, chunk.data) for chunk in intake.chunks]


def test_telegrafs_influxdb_output_is_served(opened: Opener) -> None:
    """What it sends: CREATE DATABASE as a form, then chunked gzip with Basic authentication."""
    source, intake = opened(token="secret")
    basic = "Basic " + base64.b64encode(b"anybody:secret").decode()
    query = urllib.parse.urlencode({"q": 'CREATE DATABASE "telegraf"'})
    form = {"Content_Type": "application/x-www-form-urlencoded", "Authorization": basic}
    status, _, answer = send(source, "/query", query, **form)
    assert status == 200
    assert not any("error" in result for result in json.loads(answer)["results"])
    packed = gzip.compress(LINES)
    headers = {"Content_Encoding": "gzip", "Content_Type": "text/plain; charset=utf-8", "Authorization": basic}
    status, _, answer = send(source, "/write?db=telegraf", iter([packed[:20], packed[20:]]), **headers)
    assert (status, answer) == (204, b"")
    assert data(intake) == [("line", LINES)]


def test_telegrafs_influxdb_v2_output_is_served(opened: Opener) -> None:
    source, intake = opened(token="secret")
    headers = {
        "Content_Encoding": "gzip",
        "Content_Type": "text/plain; charset=utf-8",
        "Authorization": "Token secret",
        "User_Agent": "Telegraf/1.33.0 Go/1.23",
    }
    assert send(source, "/api/v2/write?bucket=b&org=o", gzip.compress(LINES), **headers)[0] == 204
    assert data(intake) == [("line", LINES)]
    assert send(source, "/ping", method="GET")[0] == 204


@pytest.mark.parametrize(
    ("precision", "factor"),
    [("ns", 1), ("n", 1), ("us", 10**3), ("u", 10**3), ("ms", 10**6), ("s", 10**9), ("m", 60 * 10**9)],
)
def test_times_of_any_precision_come_out_in_nanoseconds(precision: str, factor: int) -> None:
    body = b'm,a=1 f=1i,g="x 5" 17\r\nm f=3i\nm f="text 12"\nm f=1 -2\n# 5 6'
    wanted = b'm,a=1 f=1i,g="x 5" %d\r\nm f=3i\nm f="text 12"\nm f=1 %d\n' % (17 * factor, -2 * factor)
    assert in_nanoseconds(body, precision).startswith(wanted)


@given(st.binary(max_size=200), st.sampled_from(["s", "h"]))
def test_any_bytes_can_be_rescaled(body: bytes, precision: str) -> None:
    assert in_nanoseconds(body, precision).count(b"\n") == body.count(b"\n")


def test_an_unknown_precision_is_refused(opened: Opener) -> None:
    source, intake = opened()
    assert send(source, "/write?db=a&precision=fortnight", LINES)[0] == 400
    assert not intake.chunks


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"a":1}\n{"a":2}', b'{"a":1}\n{"a":2}\n'),
        (b'[{"a":1},\n {"a":[2,3]}]', b'{"a":1}\n{"a":[2,3]}\n'),
        (b'{\n "a": 1,\n "b": "x\\ny"\n}\n', b'{"a":1,"b":"x\\ny"}\n'),
        (b"[1, NaN]", b"1\nNaN\n"),
        (b'[{"a":1},', b'[{"a":1},\n'),
        (b"[" * 100_000, b"[" * 100_000 + b"\n"),
        (b'\xff\xfe{"a"', b'\xff\xfe{"a"\n'),
    ],
)
def test_json_comes_one_object_a_line_and_what_is_none_as_it_is(opened: Opener, body: bytes, wanted: bytes) -> None:
    source, intake = opened()
    assert send(source, "/push", body)[0] == 204
    assert data(intake) == [("json", wanted)]


def test_the_content_type_tells_the_format(opened: Opener) -> None:
    source, intake = opened()
    assert send(source, "/push", b"a,b\n1,2", Content_Type="text/csv; charset=utf-8")[0] == 204
    arrow = b"\x00\n \r\narrow \n"
    assert send(source, "/push", arrow, Content_Type="application/vnd.apache.arrow.stream")[0] == 204
    assert data(intake) == [("csv", b"a,b\n1,2\n"), ("arrow", arrow)]


@pytest.mark.parametrize("body", [b"", b"\n \r\n", b"[]"])
def test_a_body_with_nothing_in_it_is_fine(opened: Opener, body: bytes) -> None:
    source, intake = opened()
    assert send(source, "/push", body)[0] == 204
    assert not intake.chunks


def test_an_answer_waits_until_the_data_are_durable(opened: Opener) -> None:
    source, intake = opened(durable=False)
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(send(source, "/write", LINES)[0]))
    sender.start()
    until(lambda: len(intake.chunks) == 1)
    time.sleep(0.1)
    assert not answers
    source.acknowledge(intake.chunks[0].position)
    sender.join(5)
    assert answers == [204]


def test_what_is_not_durable_in_time_is_asked_for_again(opened: Opener) -> None:
    source, intake = opened(durable=False, answer_seconds=0.1)
    status, headers, answer = send(source, "/write", LINES)
    assert status == 503
    assert float(headers["Retry-After"]) > 0
    assert "not stored" in json.loads(answer)["error"]
    assert len(intake.chunks) == 1


def test_too_much_at_once_is_refused_and_taken_later(opened: Opener) -> None:
    source, intake = opened(durable=False, body_bytes=2000, pending_bytes=3000, answer_seconds=5)
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(send(source, "/write", b"x" * 1800)[0]))
    first.start()
    until(lambda: len(intake.chunks) == 1)
    status, headers, _ = send(source, "/write", b"y" * 1800)
    assert status == 503
    assert "Retry-After" in headers
    source.acknowledge(intake.chunks[0].position)
    first.join(5)
    assert answers == [204]
    second = threading.Thread(target=lambda: answers.append(send(source, "/write", b"y" * 1800)[0]))
    second.start()
    until(lambda: len(intake.chunks) == 2)
    source.acknowledge(intake.chunks[1].position)
    second.join(5)
    assert answers == [204, 204]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_413(opened: Opener, chunked: bool) -> None:
    source, intake = opened(body_bytes=2000, pending_bytes=4000)
    assert send(source, "/write", iter([b"x" * 1000] * 3) if chunked else b"x" * 2001)[0] == 413
    assert send(source, "/write", b"x" * 2000)[0] == 204
    assert len(intake.chunks) == 1


def test_a_small_body_that_unpacks_to_a_huge_one_takes_little_memory(opened: Opener) -> None:
    source, intake = opened(body_bytes=1 << 20)
    bomb = gzip.compress(bytes(200 << 20))
    tracemalloc.start()
    status = send(source, "/write", bomb, Content_Encoding="gzip")[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 413
    assert peak < 20 << 20
    assert not intake.chunks


def test_a_damaged_body_is_400(opened: Opener) -> None:
    source, _ = opened()
    assert send(source, "/write", b"this is no gzip", Content_Encoding="gzip")[0] == 400


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer wrong", "Bearer", "Token secretx", "secret", "Basic !!!", "Basic c2VjcmV0", "Digest secret"],
)
@pytest.mark.parametrize("path", ["/push", "/write", "/api/v2/write", "/query"])
def test_without_the_token_nothing_is_taken(opened: Opener, path: str, shown: str | None) -> None:
    source, intake = opened(token="secret")
    headers = {} if shown is None else {"Authorization": shown}
    status, _, answer = send(source, path, LINES, **headers)
    assert status == 401
    assert b"secret" not in answer
    assert not intake.chunks


def test_tokens_of_other_alphabets_work(opened: Opener) -> None:
    source, _ = opened(token="schlüssel")
    assert send(source, "/write", LINES, Authorization="Bearer schlüssel".encode().decode("latin-1"))[0] == 204


def test_while_stopping_requests_are_sent_back_and_those_under_way_answered(opened: Opener) -> None:
    source, intake = opened(durable=False, answer_seconds=10)
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(send(source, "/write", LINES)[0]))
    sender.start()
    until(lambda: len(intake.chunks) == 1)
    source.stop()
    assert send(source, "/write", LINES)[0] == 503
    source.acknowledge(intake.chunks[0].position)
    sender.join(5)
    assert answers == [204]
    assert len(intake.chunks) == 1


def test_it_can_be_mounted_in_another_application() -> None:
    source, intake = HttpPush("source", HttpOptions(), listens=False), Intake()

    async def run() -> int:
        application = web.Application(client_max_size=10)
        application.add_routes(source.routes())
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()

        def put(chunk: Chunk) -> None:
            intake.put(chunk)
            source.acknowledge(chunk.position)

        source.start(put)
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/write"
        async with aiohttp.ClientSession() as session, session.post(url, data=LINES) as answer:
            status = answer.status
        await runner.cleanup()
        return status

    assert asyncio.run(run()) == 204
    source.close()
    assert data(intake) == [("line", LINES)]


def test_a_port_that_is_taken_is_named_and_tried_again(opened: Opener) -> None:
    first, _ = opened()
    second, intake = HttpPush("second", HttpOptions(port=first.port)), Intake()
    second.start(intake.put)
    assert str(first.port) in second.status()
    first.close()
    until(lambda: not second.status())
    second.close()


def test_connections_beyond_the_limit_are_closed(opened: Opener) -> None:
    source, intake = opened(connections=3)
    idle = [socket.create_connection(("127.0.0.1", source.port), timeout=10) for _ in range(3)]
    time.sleep(0.1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        send(source, "/write", LINES)
    for connection in idle:
        connection.close()

    def taken() -> bool:
        try:
            return send(source, "/write", LINES)[0] == 204
        except (http.client.RemoteDisconnected, ConnectionError):
            return False  # it has not noticed yet

    until(taken)
    assert len(intake.chunks) == 1


def test_it_listens_with_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    source, intake = (
        HttpPush("source", HttpOptions(port=0, tls_certificate=str(certificate), tls_key=str(key))),
        Intake(),
    )
    source.start(lambda chunk: (intake.put(chunk), source.acknowledge(chunk.position))[0])
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection("localhost", source.port, context=context, timeout=10)
    connection.request("POST", "/write", LINES)
    assert connection.getresponse().status == 204
    connection.close()
    source.close()


@pytest.mark.parametrize(
    "options", [{"token": ""}, {"port": 70000}, {"body_bytes": 0}, {"body_bytes": 20_000, "pending_bytes": 19_999}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        HttpPush("source", *told(HttpOptions, **options))
