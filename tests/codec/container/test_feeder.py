"""Files in pieces: the same chunks, the same damage and the same errors as of the whole file."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

from aez.codec.container.feeder import Feeder
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.errors import AezError, CorruptFile, TruncatedFile, UnsupportedInput
from tests.kit.places import ROOT

GOLDEN = ROOT / "tests" / "codec" / "golden"
FILES = [path for path in sorted(GOLDEN.glob("*.aez")) if not path.name.startswith("shipped")]
REFUSED = sorted((GOLDEN / "refused").glob("*.aez"))
Found = list[tuple[str, int, bytes]]


def whole(data: bytes, partial: bool = False) -> tuple[Found, list[str], str]:
    """(chunks, damage, error) of a stream that cannot seek."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    found: Found = []
    damage: list[str] = []
    try:
        reader = Reader(Pipe(data), ImageHeader, partial=partial)
        for chunk in reader.chunks():
            found.append((chunk.type, chunk.tile, chunk.content))
        damage = list(map(str, reader.damage))
    except AezError as error:
        return found, damage, f"{type(error).__name__} {error}"
    return found, damage, ""


def fed(data: bytes, sizes: Any, partial: bool = False) -> tuple[Found, list[str], str]:
    """The same of pieces of such sizes, one after the other."""
    found: Found = []
    feeder = Feeder(ImageHeader, partial=partial)
    try:
        at = 0
        while at < len(data):
            size = next(sizes)
            for chunk in feeder.feed(data[at : at + size]):
                found.append((chunk.type, chunk.tile, chunk.content))
            at += size
        feeder.end()
    except AezError as error:
        return found, [], f"{type(error).__name__} {error}"
    assert feeder.complete == (not feeder.damage)
    return found, list(map(str, feeder.damage)), ""


def pieces(seed: int) -> Any:
    rng = random.Random(seed)
    while True:
        yield rng.choice((1, 2, 3, 7, 50, 1000, 1 << 20)) if seed else 1


@pytest.mark.parametrize("path", [*FILES, *REFUSED], ids=lambda path: path.name)
def test_chunks_and_errors_are_those_of_the_whole_file(path: Any) -> None:
    data = path.read_bytes()
    for partial in (False, True):
        expected = whole(data, partial)
        for seed in (0, 1, 2) if len(data) < 5000 else (1,):
            found = fed(data, pieces(seed), partial)
            if path.name == "signature.aez":  # it is told at the first wrong byte, and the words cite what came
                assert found[:2] == expected[:2]
                assert expected[2].startswith(found[2])
            else:
                assert found == expected


def test_a_chunk_is_given_with_its_last_byte() -> None:
    data = (GOLDEN / "alpha_rgba.aez").read_bytes()
    reader = Reader(io.BytesIO(data), ImageHeader)
    assert list(reader.chunks())
    ends = [info.offset + info.length for info in reader.inventory if info.type in "AT"]
    feeder = Feeder(ImageHeader)
    came = [at + 1 for at, byte in enumerate(data) for _ in feeder.feed(bytes([byte]))]
    assert came == ends
    assert feeder.complete
    with pytest.raises(CorruptFile, match=f"bytes follow the end mark, from byte {len(data)}"):
        feeder.feed(b"\0")


def test_every_cut_gives_what_came() -> None:
    data = (GOLDEN / "learned_tiles.aez").read_bytes()
    for size in range(0, len(data), 3):
        assert fed(data[:size], iter([len(data)])) == whole(data[:size])
        feeder = Feeder(ImageHeader, partial=True)
        tiles = len(list(feeder.feed(data[:size])))
        if feeder.header is None:
            with pytest.raises((TruncatedFile, CorruptFile)):
                feeder.end()
            continue
        feeder.end()
        assert [type(error) for error in feeder.damage] == [TruncatedFile]
        assert f"after {tiles} of 2 whole tiles" in str(feeder.damage[0])


def test_flipped_bits_end_as_in_the_whole_file() -> None:
    data = (GOLDEN / "turned.aez").read_bytes()
    rng = random.Random(5)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.randrange(8, len(data))] ^= 1 << rng.randrange(8)
        for partial in (False, True):
            assert fed(bytes(damaged), pieces(3), partial)[::2] == whole(bytes(damaged), partial)[::2]


def test_what_is_no_file_is_refused_at_its_first_wrong_byte() -> None:
    with pytest.raises(CorruptFile, match=r"no \.aez file"):
        list(Feeder(ImageHeader).feed(b"\x89AEX"))
    assert list(Feeder(ImageHeader).feed(b"\x89AE")) == []


def test_only_media_of_the_kind_that_is_asked_for() -> None:
    class Other(ImageHeader):
        KIND = 1

    with pytest.raises(UnsupportedInput):
        list(Feeder(Other).feed((GOLDEN / "turned.aez").read_bytes()))
