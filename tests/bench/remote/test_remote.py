"""`aez bench remote`: the file that it makes is a sound one, and what it counts is what was sent."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from aez.bench.remote.picture import repeated_file
from aez.bench.remote.server import RangeServer
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.image.decoding import decode_picture
from tests.kit.commands import run
from tests.kit.places import TINY


def test_nine_tiles_make_a_picture_of_any_size() -> None:
    data = repeated_file(530, 80, TINY, 50)
    reader = Reader(io.BytesIO(data), ImageHeader)
    assert (reader.header.width, reader.header.height, reader.header.tile, reader.header.tiles) == (530, 530, 80, 49)
    assert len({reader.tile(number) for number in range(49)}) == 9
    decoded = decode_picture(data, model=TINY)
    assert decoded.pixels.shape == (530, 530, 3)
    assert decoded.pixels.std() > 5
    np.testing.assert_array_equal(decoded.pixels[90:150, 90:150], decoded.pixels[250:310, 250:310])


def test_the_command_counts_what_the_server_sends(tmp_path: Path) -> None:
    given = ["-m", TINY, "--region", 100, "--count", 3]
    report = json.loads(run("bench", "remote", *given, "--side", 1024, "--tile", 128, "--json").output)
    assert (report["width"], report["height"], report["tile"], len(report["places"])) == (1024, 1024, 128, 3)
    for place in report["places"]:
        assert place["requests"][0] == 1
        assert place["bytes"][0] == 4096
        assert 1 < place["requests"][1] <= 3
        assert 0 < sum(place["bytes"]) < report["bytes"]
    path = tmp_path / "a.aez"
    path.write_bytes(repeated_file(530, 80, TINY, 50))
    told = run("bench", "remote", path, *given).output
    assert "530x530 pixels in tiles of 80" in told
    assert run("bench", "remote", path, "-m", TINY, "--region", 531).exit_code == 2
    assert run("bench", "remote", tmp_path / "none.aez").exit_code == 5


def test_the_server_sends_ranges_as_servers_do() -> None:
    server = RangeServer({"a": b"0123456789"})
    assert server.answer("a", "bytes=2-4").body == b"234"
    assert server.answer("a", "bytes=8-99").headers == {"Content-Range": "bytes 8-9/10"}
    several = server.answer("a", "bytes=0-1,8-9")
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    assert several.spans == ((0, 2), (8, 10))
    assert several.body.count(b"Content-Range") == 2
    assert (server.answer("a", "bytes=10-11").status, server.answer("b", "").status) == (416, 404)
    assert server.answer("a", "").body == b"0123456789"
