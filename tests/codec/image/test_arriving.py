"""Pictures in pieces: every pixel once, as soon as nothing that comes can change it, and what came of a cut file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import aez
from aez.codec.errors import CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput
from aez.codec.image.arriving import Decoder, Part
from aez.codec.image.decoding import decode_picture
from tests.kit.places import ROOT
from tests.kit.tiny_pictures import coarse, lively, photo

GOLDEN = ROOT / "tests" / "codec" / "golden"
VECTORS = json.loads((GOLDEN / "vectors.json").read_text())


def fed(decoder: Decoder, data: bytes, size: int) -> list[Part]:
    return [part for at in range(0, len(data), size) for part in decoder.feed(data[at : at + size])]


def placed(parts: list[Part], width: int, height: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Samples [height, width, 3], and how often each pixel was given."""
    pixels = np.zeros((height, width, 3), parts[0].decoded.pixels.dtype if parts else np.uint8)
    count = np.zeros((height, width), np.int64)
    for part in parts:
        where = slice(part.y, part.y + part.height), slice(part.x, part.x + part.width)
        pixels[where] = part.decoded.pixels
        count[where] += 1
    return pixels, count


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
@pytest.mark.parametrize("entry", VECTORS, ids=lambda entry: entry["file"])
def test_parts_are_the_picture(entry: dict[str, Any], size: int) -> None:
    data = (GOLDEN / entry["file"]).read_bytes()
    if size == 1 and len(data) > 6000:
        return
    model = None if entry["model"] is None else GOLDEN / entry["model"]
    decoder = Decoder(model, "cpu", 1)
    parts = fed(decoder, data, size)
    assert decoder.close() == []
    assert decoder.complete
    expected = decode_picture(data, model=model, device="cpu", threads=1)
    assert decoder.header == expected.header
    assert decoder.metadata == expected.metadata
    pixels, count = placed(parts, expected.header.width, expected.header.height)
    assert (count == 1).all()
    difference = np.abs(pixels.astype(np.int32) - expected.pixels.astype(np.int32))
    assert difference.max() <= entry["largest_difference"]
    for part in parts:
        where = slice(part.y, part.y + part.height), slice(part.x, part.x + part.width)
        assert part.array.shape[:2] == part.image.size[::-1] == (part.height, part.width)
        if expected.alpha is not None:
            np.testing.assert_array_equal(part.decoded.alpha, expected.alpha[where])


@pytest.mark.parametrize("model", [lively, coarse])
@pytest.mark.parametrize(("height", "width"), [(300, 430), (70, 500), (500, 70)])
def test_tiles_that_see_each_other_are_as_in_the_whole(model: Any, height: int, width: int) -> None:
    data = aez.encode(photo(height, width), 70, model(), tile=64, content="photo", threads=1)
    expected = decode_picture(data, model=model(), device="cpu", threads=1).pixels
    parts = fed(Decoder(model(), "cpu", 1), data, 700)
    pixels, count = placed(parts, width, height)
    assert (count == 1).all()
    assert np.abs(pixels.astype(np.int32) - expected).max() <= 1  # other rectangles through a float synthesis
    assert (pixels != expected).mean() < 0.001


def test_parts_come_before_the_file_is_whole() -> None:
    data = aez.encode(photo(520, 520), 70, lively(), tile=128, content="photo", threads=1)
    given = 0.0
    decoder, shares = Decoder(lively(), "cpu", 1), []
    for at in range(0, len(data), 500):
        given += sum(part.width * part.height for part in decoder.feed(data[at : at + 500]))
        shares.append(given / 520**2)
    assert shares[len(shares) // 2] > 0.25
    assert shares[-1] == 1
    exact = aez.encode(photo(200, 200), lossless=True, tile=64)
    ends = [chunk["offset"] + chunk["bytes"] for chunk in aez.info(exact)["chunks"] if chunk["type"] == "T"]
    decoder = aez.Decoder()
    assert len(decoder.feed(exact[: ends[5]])) == 6  # exact tiles wait for nothing
    assert len(decoder.feed(exact[ends[5] :])) == 10


def test_a_cut_file_gives_the_tiles_that_came() -> None:
    data = aez.encode(photo(300, 430), 70, lively(), tile=64, content="photo", threads=1)
    chunks = [chunk for chunk in aez.info(data)["chunks"] if chunk["type"] == "T"]
    for tiles in (0, 1, 5, 7, 17, 34):
        cut = data[: chunks[tiles]["offset"] + 20]
        strict = Decoder(lively(), "cpu", 1)
        early = fed(strict, cut, 1000)
        with pytest.raises(TruncatedFile, match=f"after {tiles} of 35 whole tiles"):
            strict.close()
        decoder = Decoder(lively(), "cpu", 1, partial=True)
        parts = fed(decoder, cut, 1000)
        assert [(part.x, part.y) for part in parts] == [(part.x, part.y) for part in early]
        parts += decoder.close()
        assert not decoder.complete
        assert isinstance(decoder.damage[0], TruncatedFile)
        _, count = placed(parts, 430, 300)
        expected = np.zeros_like(count)
        for number in range(tiles):
            y, x = divmod(number, 7)
            expected[64 * y : 64 * y + 64, 64 * x : 64 * x + 64] = 1
        np.testing.assert_array_equal(count, expected)


def test_a_damaged_tile_is_left_out() -> None:
    data = bytearray(aez.encode(photo(130, 200), 70, lively(), tile=64, content="photo", threads=1))
    (hit,) = [chunk for chunk in aez.info(bytes(data))["chunks"] if chunk["type"] == "T"][5:6]
    data[hit["offset"] + 12] ^= 1
    with pytest.raises(CorruptFile, match="checksum"):
        fed(Decoder(lively(), "cpu", 1), bytes(data), 300)
    decoder = Decoder(lively(), "cpu", 1, partial=True)
    parts = fed(decoder, bytes(data), 300) + decoder.close()
    _, count = placed(parts, 200, 130)
    assert (count[64:128, 64:128] == 0).all()
    assert count.sum() == 200 * 130 - 64 * 64
    assert "checksum" in str(decoder.damage[0])


def test_files_that_need_no_model_ask_for_none() -> None:
    data = (GOLDEN / "exact_rgb.aez").read_bytes()
    assert len(fed(Decoder("no-such-model"), data, 50)) == 2
    with pytest.raises(ModelError, match="no model"):
        fed(Decoder(), (GOLDEN / "learned_tiles.aez").read_bytes(), 50)
    embedded = fed(Decoder(device="cpu", threads=1), (GOLDEN / "learned_embedded.aez").read_bytes(), 5000)
    assert len(embedded) == 1


def test_what_a_decoder_refuses() -> None:
    with pytest.raises(CorruptFile, match=r"no \.aez file"):
        Decoder().feed(b"nothing of the kind")
    with pytest.raises(TruncatedFile):
        Decoder(partial=True).close()
    with pytest.raises(UnsupportedInput, match="limit of 100 pixels"):
        Decoder(max_pixels=100).feed((GOLDEN / "exact_rgb.aez").read_bytes())
    closed = Decoder()
    assert closed.feed(b"") == []
    with pytest.raises(TruncatedFile):
        closed.close()
    assert closed.close() == []
    with pytest.raises(InvalidArgument, match="closed"):
        closed.feed(b"")


@pytest.mark.parametrize(
    "entry", json.loads((GOLDEN / "refused" / "refused.json").read_text()), ids=lambda e: e["file"]
)
def test_files_to_refuse_are_refused_in_pieces_too(entry: dict[str, Any]) -> None:
    path: Path = GOLDEN / "refused" / entry["file"]
    if path.suffix != ".aez":
        return
    data = path.read_bytes()
    decoder = Decoder(None if b"PK\3\4" in data else GOLDEN / "golden.aezm", "cpu", 1)

    def all_of_it() -> None:
        fed(decoder, data, 40)
        decoder.close()

    with pytest.raises(aez.AezError) as raised:
        all_of_it()
    assert type(raised.value).__name__ == entry["error"]
