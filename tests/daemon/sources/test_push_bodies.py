"""Bodies of pushes: packed, cut short, damaged, of no use, and those whose sender goes away."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.daemon.common.records import Chunk
from aez.daemon.sources.http_push import HttpOptions, HttpPush
from aez.daemon.sources.unpacking import unpacker
from tests.kit.source_harness import Intake
from tests.kit.waiting import until

LINES = b"".join(b"cpu,host=a usage=%d %d\n" % (number, number) for number in range(1000))


@pytest.fixture
def served() -> Iterator[tuple[HttpPush, Intake]]:
    source, intake = HttpPush("plant", HttpOptions(port=0)), Intake()

    def put(chunk: Chunk) -> None:
        if b"useless" in chunk.data:
            assert chunk.refused is not None
            chunk.refused("nothing of it can be used: syntax: no JSON")
        else:
            intake.put(chunk)
        source.acknowledge(chunk.position)

    source.start(put)
    yield source, intake
    source.close()


def post(source: HttpPush, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", source.port, timeout=20)
    try:
        connection.request("POST", "/write", body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def raw_deflate(data: bytes) -> bytes:
    pack = zlib.compressobj(wbits=-15)
    return pack.compress(data) + pack.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(LINES)),
        ("GZIP", gzip.compress(LINES[:24]) + gzip.compress(LINES[24:])),
        ("gzip", gzip.compress(LINES) + bytes(100)),
        ("deflate", zlib.compress(LINES)),
        ("deflate", raw_deflate(LINES)),
        ("identity", LINES),
    ],
)
def test_packed_bodies_are_taken(served: tuple[HttpPush, Intake], coding: str, body: bytes) -> None:
    source, intake = served
    assert post(source, body, Content_Encoding=coding)[0] == 204
    assert b"".join(chunk.data for chunk in intake.chunks) == LINES


@pytest.mark.parametrize("cut", [0.01, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_that_are_cut_short_are_refused_with_the_reason(
    served: tuple[HttpPush, Intake], coding: str, cut: float
) -> None:
    source, intake = served
    body = gzip.compress(LINES) if coding == "gzip" else zlib.compress(LINES)
    status, answer = post(source, body[: max(1, int(len(body) * cut))], Content_Encoding=coding)
    assert status == 400
    assert "it is cut short" in answer["error"]
    assert not intake.chunks


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(LINES)[:-5] + b"\xff" + gzip.compress(LINES)[-4:], 400),
        ("gzip", gzip.compress(LINES) + b"more", 400),
        ("gzip", LINES, 400),
        ("zstd", LINES, 415),
    ],
)
def test_damaged_bodies_are_refused(served: tuple[HttpPush, Intake], coding: str, body: bytes, status: int) -> None:
    source, intake = served
    assert post(source, body, Content_Encoding=coding)[0] == status
    assert not intake.chunks


@given(st.binary(max_size=3000), st.lists(st.integers(1, 500), max_size=20), st.sampled_from(["gzip", "deflate"]))
def test_bodies_unpack_however_they_are_cut(body: bytes, cuts: list[int], coding: str) -> None:
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    unpack, found, at = unpacker(coding), b"", 0
    assert unpack is not None
    for size in [*cuts, len(packed)]:
        found += b"".join(unpack.pieces(packed[at : at + size]))
        at += size
    unpack.end()
    assert found == body


def test_a_body_of_which_nothing_can_be_used_is_answered_with_the_reason(served: tuple[HttpPush, Intake]) -> None:
    source, _ = served
    status, answer = post(source, b"useless\n")
    assert (status, answer["error"]) == (400, "nothing of it can be used: syntax: no JSON")
    assert post(source, LINES)[0] == 204


def test_senders_that_go_away_leave_one_line_and_no_traceback(
    served: tuple[HttpPush, Intake], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    source, intake = served
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", source.port)) as peer:
            peer.sendall(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            until(lambda: source._requests._held)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: not source._requests._held)
    assert post(source, LINES)[0] == 204
    told = [message for message in caplog.messages if "went away" in message]
    assert told == ["source plant: a sender at 127.0.0.1 went away in the middle of a body"]
    assert "Traceback" not in caplog.text + capfd.readouterr().err
    assert len(intake.chunks) == 1
