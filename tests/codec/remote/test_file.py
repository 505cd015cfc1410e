"""Files elsewhere: they read as local ones do, in few requests, and what goes wrong on the way is one sentence."""

from __future__ import annotations

import io
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from aez.codec.errors import AezError, UnsupportedInput
from aez.codec.remote import http
from aez.codec.remote.address import is_url, shown
from aez.codec.remote.file import FIRST_BYTES, RemoteFile, Spans, open_url
from aez.codec.remote.http import HttpRanges
from tests.kit.range_server import OddServer, serve

DATA = random.Random(0).randbytes(300_000)


class Counted:
    """Bytes in memory, and what was asked of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def begin(self, count: int) -> tuple[bytes, int]:
        return self.data[:count], len(self.data)

    def fetch(self, spans: Spans) -> list[bytes]:
        assert all(0 <= start < stop <= len(self.data) for start, stop in spans)
        self.asked += spans
        return [self.data[start:stop] for start, stop in spans]


@pytest.fixture
def server() -> Iterator[OddServer]:
    with serve(DATA) as running:
        yield running


def test_it_reads_as_a_file_in_memory_does() -> None:
    chance = random.Random(1)
    for size in (0, 1, FIRST_BYTES, FIRST_BYTES + 1, 300_000):
        far, near = RemoteFile(Counted(DATA[:size])), io.BytesIO(DATA[:size])
        for _ in range(300):
            place, whence = chance.randint(0, size + 10), chance.choice([0, 2])
            place = -min(place, size) if whence == 2 else place
            assert far.seek(place, whence) == near.seek(place, whence)
            if chance.random() < 0.3:
                far.prefetch([(chance.randint(-9, size), chance.randint(0, size + 9)) for _ in range(3)])
            count = chance.choice([0, 1, 7, 5000, -1])
            assert far.read(count) == near.read(count)
            assert far.tell() == near.tell()
    with pytest.raises(ValueError, match="before the file"):
        far.seek(-1)


def test_neighbours_are_one_request_and_nothing_comes_twice() -> None:
    counted = Counted(DATA)
    far = RemoteFile(counted)
    far.prefetch([(90_000, 100_000), (50_000, 60_000), (60_000, 70_000), (71_000, 72_000)])
    assert counted.asked == [(50_000, 72_000), (90_000, 100_000)]
    far.prefetch([(0, 100), (55_000, 75_000), (89_000, 95_000)])
    assert counted.asked[2:] == [(72_000, 75_000), (89_000, 90_000)]
    far.seek(50_000)
    assert far.read(25_000) == DATA[50_000:75_000]
    assert len(counted.asked) == 4


def test_reading_on_takes_more_with_each_request() -> None:
    counted = Counted(DATA * 40)
    far = RemoteFile(counted)
    while far.read(1000):
        pass
    assert len(counted.asked) < 16
    assert sum(stop - start for start, stop in counted.asked) + FIRST_BYTES == len(counted.data)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from aez.codec.remote import file

    monkeypatch.setattr(file, "_HELD_MAX", 50_000)
    counted = Counted(DATA)
    far = RemoteFile(counted)
    for start in range(0, 280_000, 20_000):
        far.prefetch([(start, start + 10_000)])
    assert sum(map(len, far._held.values())) <= 50_000
    assert (far.seek(0), far.read()) == (0, DATA)


def test_a_web_server_sends_what_is_asked_for_alone(server: OddServer) -> None:
    for path in ("a.aez", "moved/a.aez?signature=secret"):
        server.answers.clear()
        far = open_url(server.url(path))
        far.prefetch([(10_000, 11_000), (200_000, 200_001)])
        far.seek(10_000)
        assert far.read(1000) == DATA[10_000:11_000]
        assert server.sent == FIRST_BYTES + 1001
        assert far.seek(0, io.SEEK_END) == len(DATA)


@pytest.mark.parametrize(("several", "requests"), [("all", 1), ("first", 4), ("none", 4)])
def test_more_than_two_ranges_are_one_request_where_the_server_knows_such(
    server: OddServer, several: Literal["all", "first", "none"], requests: int
) -> None:
    """Where it does not, that is asked once for each file."""
    server.several = several
    spans = [(10_000, 11_000), (100_000, 100_001), (250_000, len(DATA))]
    far = HttpRanges(server.url("a.aez"))
    far.begin(100)
    for known in (False, True):
        server.answers.clear()
        assert far.fetch(spans) == [DATA[start:stop] for start, stop in spans]
        assert len(server.answers) == requests - (known and requests > 1)


def test_several_ranges_of_another_version_are_refused(server: OddServer) -> None:
    far = HttpRanges(server.url("a.aez"))
    far.begin(100)
    server.etag = '"2"'
    with pytest.raises(UnsupportedInput, match="it changed while it was read; open it anew"):
        far.fetch([(100, 200), (10_000, 11_000), (100_000, 100_001)])


def test_a_store_of_fsspec_is_read_in_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(DATA)
    far = open_url(f"file://{path}")
    assert (far.seek(100_000), far.read(10)) == (100_000, DATA[100_000:100_010])
    (tmp_path / "short").write_bytes(b"12")
    assert open_url(f"file://{tmp_path}/short").read() == b"12"
    for url, reason in (
        (f"file://{tmp_path}/none", "does not exist"),
        (f"file://{tmp_path}", "no file with a size"),
        ("nosuch://user:secret@host/a.aez", "nosuch://host/a.aez cannot be read: Protocol not known"),
    ):
        with pytest.raises(UnsupportedInput, match=reason):
            open_url(url)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"ranges": False}, "the server sends whole files alone, and no ranges; download the file first"),
        ({"cut": 100}, "the answer was cut off within bytes 0 to 4095"),
        ({"status": 404}, "it does not exist (status 404)"),
        ({"status": 403}, "the server refuses it (status 403)"),
        ({"status": 500}, "Internal Server Error (status 500)"),
        ({"content_range": "bytes 0-4095/*"}, "the server does not tell the file's size"),
        ({"content_range": "bytes 1-4096/300000"}, "the server sends bytes 1 to 4096, not 0 to 4095"),
        ({"wait": 1.0}, "the server did not answer within 0.2 seconds"),
    ],
)
def test_a_server_that_does_wrong_is_told_of(
    server: OddServer, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, object], reason: str
) -> None:
    if "wait" in wrong:
        monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.2)
    for name, value in wrong.items():
        setattr(server, name, value)
    with pytest.raises(UnsupportedInput) as caught:
        open_url(server.url("a.aez?key=secret"))
    assert str(caught.value).startswith(f"{server.url('a.aez')} cannot be read: {reason}")


def test_a_file_that_changes_while_it_is_read_is_refused(server: OddServer) -> None:
    for change in ("etag", "size", "shrunk"):
        server.files["a.aez"], server.etag = DATA, '"1"'
        far = open_url(server.url("a.aez"))
        if change == "etag":
            server.etag = '"2"'
        else:
            server.files["a.aez"] = DATA + b"." if change == "size" else DATA[:5000]
        with pytest.raises(UnsupportedInput, match="it changed while it was read; open it anew"):
            far.prefetch([(100_000, 100_001)])


def test_a_connection_that_breaks_later_is_told_of(server: OddServer) -> None:
    server.sound, server.cut = 1, 3
    far = open_url(server.url("a.aez"))
    with pytest.raises(UnsupportedInput, match="cut off within bytes 100000 to 100099"):
        far.prefetch([(100_000, 100_100)])


def test_no_file_no_server_and_no_network_are_told_of(server: OddServer) -> None:
    server.files["empty"] = b""
    with pytest.raises(UnsupportedInput, match="empty cannot be read: it is empty"):
        open_url(server.url("empty"))
    with socket.socket() as taken:  # nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnsupportedInput, match="there is no way to it: Cannot connect to host 127"):
            open_url(f"http://127.0.0.1:{taken.getsockname()[1]}/a.aez")
    for url in ("http://", "http://no host/", "https://[::1/a.aez"):
        with pytest.raises(UnsupportedInput, match="cannot be read"):
            open_url(url)


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(AezError, match=r"pip install 'aez\[remote\]'"):
        open_url("https://example.org/a.aez")


def test_addresses_are_told_from_paths_and_without_secrets() -> None:
    for url in ("http://a/b", "HTTPS://a/b", "s3://bucket/key", "file:///tmp/a"):
        assert is_url(url)
    for path in ("a.aez", "/tmp/a.aez", "C://a.aez", b"http://a", Path("http://a")):
        assert not is_url(path)
    assert shown("https://me:secret@host:80/a/b.aez?key=1#x") == "https://host:80/a/b.aez"
