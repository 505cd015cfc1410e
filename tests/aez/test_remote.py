"""Pictures that lie elsewhere: the same pixels as of a file here, and little of the file is moved."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aez
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput
from aez.codec.remote.file import FIRST_BYTES
from tests.kit.commands import run
from tests.kit.places import TINY
from tests.kit.range_server import OddServer, serve
from tests.kit.tiny_pictures import photo

PIXELS = photo(640, 800)


@pytest.fixture(scope="module")
def data() -> bytes:
    """A picture of the tiny model, ten tiles by eight, that brings its model."""
    meta = {"exif": b"II*\0\x08\0\0\0" + b"\0\0" + b"\0\0\0\0", "xmp": b"<x/>"}
    return aez.encode(PIXELS, 90, TINY, tile=80, content="photo", embed_model=True, **meta)


@pytest.fixture
def server(data: bytes) -> Iterator[OddServer]:
    with serve(data) as running:
        yield running


def test_opening_takes_the_first_bytes(server: OddServer, data: bytes) -> None:
    with aez.open(server.url("a.aez")) as image:
        assert (image.size, image.mode, image.format) == ((800, 640), "RGB", "AEZ")
        assert image.info["xmp"] == aez.decode(data).info["xmp"] == b"<x/>"
    assert [answer.spans for answer in server.answers] == [((0, FIRST_BYTES),)]


def test_regions_are_those_of_the_file_here_and_come_in_at_most_four_requests(server: OddServer, data: bytes) -> None:
    chance = random.Random(0)
    options: dict[str, Any] = {"model": TINY, "threads": 1}
    for _ in range(12):
        width, height = chance.randint(1, 160), chance.randint(1, 160)
        box = chance.randint(0, 800 - width), chance.randint(0, 640 - height), width, height
        with aez.open(server.url("a.aez"), **options) as image:
            server.answers.clear()
            part = image.region(*box)
            assert len(server.answers) <= 3, "the index, and rows of tiles: beside the opening"
            np.testing.assert_array_equal(
                np.asarray(part), np.asarray(aez.open(io.BytesIO(data), **options).region(*box))
            )
            server.answers.clear()
            image.region(*box)
            assert server.answers == []


def test_a_region_moves_its_tiles_and_what_they_see(server: OddServer) -> None:
    chunks = aez.info(server.url("a.aez"))["chunks"]
    tiles = [chunk for chunk in chunks if chunk["type"] == "T"]
    with aez.open(server.url("a.aez"), model=TINY) as image:
        server.answers.clear()
        image.region(330, 250, 60, 60)  # within tile 34, whose model sees its neighbours
    (index,), rows = [answer.spans for answer in server.answers]
    assert index[1] == chunks[-1]["offset"] + chunks[-1]["bytes"] + 8
    assert index[0] <= chunks[-1]["offset"]
    first = (tiles[number] for number in (23, 33, 43))
    last = (tiles[number] for number in (25, 35, 45))
    assert sorted(rows) == [(a["offset"], b["offset"] + b["bytes"]) for a, b in zip(first, last, strict=True)]


def test_the_model_in_the_file_is_read_where_none_is_here(
    server: OddServer, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = next(chunk for chunk in aez.info(data)["chunks"] if chunk["type"] == "M")
    whole = np.asarray(aez.decode(data))
    with aez.open(server.url("a.aez")) as image:
        part = np.asarray(image.region(330, 250, 60, 60))
        assert np.abs(part.astype(int) - whole[250:310, 330:390]).max() <= 1
    assert server.sent > model["bytes"]
    (tmp_path / "tiny.aezm").write_bytes(TINY.read_bytes())
    monkeypatch.setenv("AEZ_MODELS", str(tmp_path))
    server.answers.clear()
    with aez.open(server.url("a.aez")) as image:
        np.testing.assert_array_equal(np.asarray(image.region(330, 250, 60, 60)), part)
    assert server.sent < model["bytes"]


def test_exact_tiles_need_no_neighbours_and_alpha_comes_along() -> None:
    pixels = np.dstack([PIXELS, np.indices(PIXELS.shape[:2]).sum(axis=0).astype(np.uint8)])
    with serve(aez.encode(pixels, lossless=True, tile=64)) as server:
        with aez.open(server.url("a.aez"), model="no-such-model") as image:
            np.testing.assert_array_equal(np.asarray(image.region(70, 70, 20, 30)), pixels[70:100, 70:90])
        assert len(server.answers) <= 4, "header, index, alpha, a tile"


def test_thumbnails_and_whole_pictures_take_one_more_request(server: OddServer, data: bytes) -> None:
    near = aez.open(io.BytesIO(data))
    near.thumbnail((90, 90))
    with aez.open(server.url("a.aez")) as image:
        image.thumbnail((90, 90))
        assert image.size == near.size == (90, 72)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(near))
    assert len(server.answers) == 2
    assert server.sent == len(data)
    with aez.open(server.url("a.aez")) as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), np.asarray(aez.decode(data)))
        image.verify()


def test_file_objects_are_opened_and_stay_open(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aez"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.seek(7)
        with aez.open(file, model=TINY) as image:
            part = np.asarray(image.region(8, 16, 24, 32))
            image.thumbnail((100, 100))
            np.testing.assert_array_equal(np.asarray(image.region(8, 16, 24, 32)), part)
        assert not file.closed
    with aez.open(path, model=TINY) as image:
        np.testing.assert_array_equal(np.asarray(image.region(8, 16, 24, 32)), part)
    with pytest.raises(InvalidArgument, match="cannot seek"):
        aez.open(sys.__stdout__ if sys.__stdout__ and not sys.__stdout__.seekable() else _Pipe(data))
    with pytest.raises(TypeError, match="not by int"):
        aez.open(5)  # type: ignore[arg-type]


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_a_damaged_file_elsewhere_is_one_as_here(server: OddServer, data: bytes) -> None:
    tile = [chunk for chunk in aez.info(data)["chunks"] if chunk["type"] == "T"][34]
    damaged = bytearray(data)
    damaged[tile["offset"] + 30] ^= 1
    server.files |= {"damaged": bytes(damaged), "short": data[:-3], "no": b"GIF89a" * 99}
    with aez.open(server.url("damaged"), model=TINY) as image:
        image.region(0, 0, 40, 40)
        with pytest.raises(CorruptFile, match=r"tile chunk \(number .*\) fails its checksum"):
            image.region(330, 250, 60, 60)
    with aez.open(server.url("damaged"), model=TINY, partial=True) as image:
        assert np.asarray(image.region(330, 250, 99, 60))[0, 0].tolist() == [128, 128, 128]
    with aez.open(server.url("short"), model=TINY) as image, pytest.raises(TruncatedFile):
        image.region(0, 0, 40, 40)
    with pytest.raises(CorruptFile, match=r"no .aez file"):
        aez.open(server.url("no"))
    with pytest.raises(UnsupportedInput, match="does not exist"):
        aez.open(server.url("none.aez"))
    plain = aez.encode(PIXELS, 90, TINY, tile=80, content="photo")
    server.files["plain"] = plain
    with aez.open(server.url("plain")) as image, pytest.raises(ModelError, match="there is no model"):
        image.region(0, 0, 40, 40)
    server.files["plain"] = plain + b"1"
    with aez.open(server.url("plain"), model=TINY) as image:
        server.files["plain"] = plain
        with pytest.raises(UnsupportedInput, match="changed while it was read"):
            image.region(0, 0, 40, 40)


def test_info_reads_the_two_ends(server: OddServer, data: bytes) -> None:
    url = server.url("a.aez")
    near = aez.info(data)
    assert aez.info(url) == {**near, "kinds": None, "max_error": None, "alpha_bytes": None}
    assert len(server.answers) == 2
    assert server.sent < FIRST_BYTES + 1000
    ended = run("info", url)
    assert ended.exit_code == 0
    assert "800x640 RGB" in ended.output
    assert "80 tiles of at most 80 pixels a side (not read)" in ended.output
    assert json.loads(run("info", "--json", url).output)["file"] == url
    gone = run("info", server.url("none.aez"))
    assert gone.exit_code == 5
    assert "none.aez cannot be read: it does not exist (status 404)" in gone.output


def test_a_url_is_decoded_to_a_file(server: OddServer, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.aez").write_bytes(data)
    url = server.url("a.aez")
    for more in ([], ["--region", "330,250,60,60"]):
        server.answers.clear()
        assert run("decode", url, "-o", tmp_path / "far.png", "--force", *more).exit_code == 0
        assert (server.sent == len(data)) == (not more)
        assert run("decode", tmp_path / "a.aez", "-o", tmp_path / "near.png", "--force", *more).exit_code == 0
        with Image.open(tmp_path / "far.png") as far, Image.open(tmp_path / "near.png") as near:
            assert np.abs(np.asarray(far).astype(int) - np.asarray(near)).max() <= 1
    assert run("decode", url + "?key=1", "-o", f"{tmp_path}/folder/").exit_code == 0
    assert (tmp_path / "folder" / "a.png").is_file()
    beside = run("decode", url)
    assert beside.exit_code == 2
    assert "name a file or a folder with -o" in beside.output
    server.ranges = False
    failed = run("decode", url, "-o", tmp_path / "none.png")
    assert failed.exit_code == 5
    assert not (tmp_path / "none.png").exists()
