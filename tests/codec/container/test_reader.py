"""The `.aez` container: golden files, every truncation, every flip, streams, random access."""

from __future__ import annotations

import io
import math
import os
import pickle
import random
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.container import chunks
from aez.codec.container.deflate import METADATA_MAX, deflate
from aez.codec.container.image_header import MODES, ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.varint import write_varint
from aez.codec.container.writer import Writer
from aez.codec.entropy.tile import PhaseSymbols, TileDecoder, encode_tile
from aez.codec.errors import AezError, CorruptFile, InvalidArgument, OutputError, TruncatedFile, VersionError
from aez.codec.image.tile_kinds import TileKind, join_kind, split_kind
from tests.kit import reference_decoder, small_model

GOLDEN = Path(__file__).parent / "golden"
ID = bytes(range(8))
EXIF, ICC, XMP = b"EXIF" * 20, bytes(range(256)), b"<x:xmpmeta/>"
HEADER_BYTES = 8 + 22


class Pipe(io.BytesIO):
    """A stream that cannot seek and gives what it has in small pieces."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size, 7) if size and size > 0 else size)


def write(header: ImageHeader, tiles: list[bytes], extras: dict[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for letter, content in (extras or {}).items():
        writer.add(letter, content)
    for number, content in enumerate(tiles):
        writer.tile(number, content)
    writer.close()
    return stream.getvalue()


def sample() -> bytes:
    """Four tiles and EXIF in some 250 bytes."""
    header = ImageHeader(30, 20, "RGBA", 513, ID, 16)
    return write(header, [bytes([65 + n]) * (30 + n) for n in range(4)], {"x": EXIF})


def framed(letter: bytes, payload: bytes) -> bytes:
    body = letter + write_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def assemble(chunks: list[bytes], signature: bytes = chunks.SIGNATURE) -> bytes:
    """A file of ready chunks, of which the first is the header, with a right index."""
    index = b"".join(chunk[:1] + write_varint(len(chunk)) for chunk in chunks[1:])
    end = framed(b"E", index)
    return signature + b"".join(chunks) + end + (len(end) + 8).to_bytes(4, "little") + b"AEZ\x1a"


def read_all(
    data: bytes, stream: type[io.BytesIO] = io.BytesIO, partial: bool = False
) -> tuple[Reader, dict[Any, bytes]]:
    reader = Reader(stream(data), partial=partial)
    return reader, {(c.type, c.tile): c.content for c in reader.chunks()}


# -- golden files: once released never change one, add new ones --------------------------------------------------------


def golden_tiles(header: ImageHeader) -> list[tuple[Any, Any]]:
    symbols = []
    for number in range(header.tiles):
        left, top, right, bottom = header.box(number)
        symbols.append(small_model.make_symbols(number, -(-(bottom - top) // 16), -(-(right - left) // 16)))
    return symbols


def make_golden(header: ImageHeader, extras: dict[str, bytes]) -> bytes:
    tables = small_model.make_tables()
    contents = [
        join_kind(
            TileKind.LEARNED,
            encode_tile(z, [PhaseSymbols(residual, small_model.scale_index(z))], header.level, tables),
        )
        for z, residual in golden_tiles(header)
    ]
    return write(header, contents, extras)


GOLDEN_FILES = {
    "v2_rgb_one_tile": (ImageHeader(37, 50, "RGB", 1024, ID), {}),
    "v2_rgba_tiles": (
        ImageHeader(40, 70, "RGBA", 2048, ID, 32),
        {"x": EXIF, "i": ICC, "m": XMP},
    ),
    "v2_grey_model": (ImageHeader(1, 1, "L", 0, ID, 16), {"M": b"a bundle"}),
    "v2_deep_turned": (ImageHeader(20, 33, "RGB", 2000, ID, 64, 6, 12, (9, 16, 0), (-0.5, 1024.0)), {}),
    "v2_resolution": (ImageHeader(9, 9, "L", 70, ID, 32, 8, resolution=(1181102, 283465)), {"c": bytes(range(36))}),
}


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden_files_decode_for_ever(name: str) -> None:
    header, extras = GOLDEN_FILES[name]
    path = GOLDEN / f"{name}.aez"
    if os.environ.get("AEZ_WRITE_GOLDEN") and not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(make_golden(header, extras))
    data = path.read_bytes()
    reader, found = read_all(data)
    assert reader.header == header
    assert reader.complete
    assert {letter: content for (letter, tile), content in found.items() if tile < 0} == extras

    tables = small_model.make_tables()
    oracle_file = reference_decoder.parse(data)
    assert {key: oracle_file[key] for key in vars(header)} == vars(header)
    for number, (z, residual) in enumerate(golden_tiles(header)):
        index = small_model.scale_index(z)
        decoder = TileDecoder(split_kind(found["T", number])[1], tables, header.level)
        np.testing.assert_array_equal(decoder.hyper(z.shape), z)
        np.testing.assert_array_equal(decoder.residual(index), residual)
        decoder.finish()

        oracle = reference_decoder.Tile(oracle_file["tiles"][number][1:])
        hyper_tables = [tables.hyper[which].tolist() for which in range(len(tables.hyper))]
        assert oracle.hyper(hyper_tables, tables.numbers.tolist(), header.level, *z.shape[1:]) == z.tolist()
        residual_tables = [tables.residual[which].tolist() for which in range(len(tables.residual))]
        assert oracle.residual(residual_tables, index.reshape(-1).tolist()) == residual.reshape(-1).tolist()
        oracle.finish()


@pytest.mark.parametrize("name", ["v2_rgb_one_tile", "v2_grey_model", "v2_deep_turned"])
def test_golden_files_are_written_the_same(name: str) -> None:
    """The writer's bytes change with a version only (deflate may differ between zlib builds: metadata is left out)."""
    assert make_golden(*GOLDEN_FILES[name]) == (GOLDEN / f"{name}.aez").read_bytes()


# -- what is whole reads back ------------------------------------------------------------------------------------------


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    mode=st.sampled_from(MODES),
    level=st.integers(0, 65535),
    shown=st.tuples(
        st.integers(1, 8),
        st.integers(8, 16),
        st.sampled_from([None, (9, 16, 1)]),
        st.sampled_from([None, (0.0, 1.0)]),
        st.sampled_from([None, (300, 2**32 - 1)]),
    ),
    unit=st.integers(1, 9),
    metadata=st.dictionaries(st.sampled_from("ximcM"), st.binary(max_size=300)),
    data=st.data(),
)
@settings(deadline=None)
def test_round_trip(
    width: int,
    height: int,
    mode: str,
    level: int,
    shown: tuple[int, int, Any, Any, Any],
    unit: int,
    metadata: dict[str, bytes],
    data: st.DataObject,
) -> None:
    header = ImageHeader(width, height, mode, level, ID, unit * 16, *shown)
    tiles = [data.draw(st.binary(max_size=200)) for _ in range(header.tiles)]
    extras = {letter: content for letter, content in metadata.items() if letter not in header.refused}
    file = write(header, tiles, extras)
    expected = {
        **{(letter, -1): content for letter, content in extras.items()},
        **{("T", n): t for n, t in enumerate(tiles)},
    }
    for stream in (io.BytesIO, Pipe):
        for partial in (False, True):
            reader, found = read_all(file, stream, partial)
            assert (reader.header, found, reader.complete, reader.damage) == (header, expected, True, [])
            assert sum(info.length for info in reader.inventory) + 16 == len(file)
    reader = Reader(io.BytesIO(file))
    assert reader.extras() == extras
    assert [reader.tile(n) for n in reversed(range(header.tiles))] == tiles[::-1]


@pytest.mark.parametrize("size", [(1024, 1024), (1, 1)])
def test_all_but_the_coded_words_fits_in_64_bytes(size: tuple[int, int]) -> None:
    for count in (0, 100, 1 << 20):
        file = write(ImageHeader(*size, "RGB", 2048, ID), [bytes(count)])
        assert len(file) - count + 5 <= 64  # the tile's own checksum and empty list of escapes take 5 more


def test_a_file_may_start_within_a_stream() -> None:
    stream = io.BytesIO(b"before" + sample())
    stream.seek(6)
    reader = Reader(stream)
    assert reader.tile(2) == b"C" * 32
    assert len(list(reader.chunks())) == 5


def test_boxes_cover_the_picture_in_raster_order() -> None:
    header = ImageHeader(40, 17, "RGB", 0, ID, 16)
    assert (header.columns, header.rows, header.tiles) == (3, 2, 6)
    assert header.box(0) == (0, 0, 16, 16)
    assert header.box(5) == (32, 16, 40, 17)
    with pytest.raises(InvalidArgument, match="tile 6"):
        header.box(6)


def test_unknown_chunks_are_skipped_or_refused_by_their_case() -> None:
    header = framed(b"H", ImageHeader(9, 9, "L", 0, ID).pack())
    tile = framed(b"T", b"\0tile")
    reader, found = read_all(assemble([header, framed(b"q", b"?"), framed(b"q", b"?"), tile]))
    assert found == {("T", 0): b"tile"}
    assert [info.type for info in reader.inventory] == ["H", "q", "q", "T", "E"]
    for partial in (False, True):
        with pytest.raises(VersionError, match=r"'Q'.*newer aez"):
            read_all(assemble([header, framed(b"Q", b"?"), tile]), partial=partial)


# -- what is not whole ends in an error --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
def test_truncation_at_every_byte(stream: type[io.BytesIO]) -> None:
    file = sample()
    ends = [info.offset + info.length for info in read_all(file)[0].inventory if info.type == "T"]
    for size in range(len(file)):
        with pytest.raises(TruncatedFile) as raised:
            read_all(file[:size], stream)
        whole = sum(end <= size for end in ends)
        if size >= HEADER_BYTES:
            assert f"{whole} of 4 whole tiles" in str(raised.value)
            reader, found = read_all(file[:size], stream, partial=True)
            assert reader.tiles_read == whole == sum(letter == "T" for letter, _ in found)
            assert len(reader.damage) == 1
            assert not reader.complete


@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
def test_every_flipped_bit_is_an_error(stream: type[io.BytesIO]) -> None:
    file = sample()
    for bit in range(8 * len(file)):
        damaged = bytearray(file)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptFile, VersionError)):
            read_all(bytes(damaged), stream)


def test_every_flipped_byte_leaves_the_other_chunks_whole() -> None:
    file = sample()
    original, contents = read_all(file)
    for position in range(HEADER_BYTES, len(file)):
        damaged = bytearray(file)
        damaged[position] ^= 0xFF
        reader, found = read_all(bytes(damaged), partial=True)
        hit = [info for info in original.inventory if info.offset <= position < info.offset + info.length]
        lost = {key for key in contents if key not in found}
        assert found.items() <= contents.items()
        assert len(lost) == (1 if hit and hit[0].type != "E" else 0)
        assert reader.damage
        assert not reader.complete


def test_damage_names_type_ordinal_and_offset() -> None:
    file = bytearray(sample())
    info = read_all(bytes(file))[0].inventory[3]
    file[info.offset + 10] ^= 1
    with pytest.raises(CorruptFile, match=f"tile chunk \\(number 3 in the file, at byte {info.offset}\\)") as raised:
        read_all(bytes(file))
    assert raised.value.chunk == "tile"
    assert pickle.loads(pickle.dumps(raised.value)).chunk == "tile"


def test_in_a_pipe_damage_is_passed_by_its_length() -> None:
    file = bytearray(sample())
    tiles = [info for info in read_all(bytes(file))[0].inventory if info.type == "T"]
    for info in tiles[1:3]:
        file[info.offset + 10] ^= 1
    reader, found = read_all(bytes(file), Pipe, partial=True)
    assert [tile for letter, tile in found if letter == "T"] == [0, 3]
    assert [error.chunk for error in reader.damage] == ["tile", "tile"]


def test_one_tile_of_a_damaged_file() -> None:
    file = bytearray(sample())
    info = read_all(bytes(file))[0].inventory[3]
    file[info.offset + 10] ^= 1
    for data in (file, file[:-1]):
        reader = Reader(io.BytesIO(data), partial=True)
        assert reader.tile(2) == b"C" * 32
        with pytest.raises(CorruptFile, match="tile"):
            reader.tile(1)
    with pytest.raises(TruncatedFile):
        Reader(io.BytesIO(file[:-1])).tile(2)


def test_random_mutations_never_crash() -> None:
    rng = random.Random(3)
    original, contents = read_all(sample())
    for _ in range(1500):
        file = bytearray(sample())
        for _ in range(rng.randrange(1, 4)):
            start = rng.randrange(len(file))
            file[start : start + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        for stream in (io.BytesIO, Pipe):
            try:
                reader, found = read_all(bytes(file), stream, partial=rng.random() < 0.5)
            except AezError:
                continue
            assert found.items() <= contents.items()
            assert reader.header == original.header


@pytest.mark.parametrize(
    ("letters", "message"),
    [
        ("HT0", "holds 1 of 2 tiles"),
        ("HT0M", "before the first tile"),
        ("HMT1T0", "tile 1 where tile 0"),
        ("HMT0T0T1", "tile 0 where tile 1"),
        ("HMT0T1T2", "tile 2 where tile 2 of 2"),
        ("HMMT0T1", "no place"),
        ("HHMT0T1", "no place"),
        ("T0T1", "where the header should"),
    ],
)
def test_files_that_lack_or_repeat_chunks(letters: str, message: str) -> None:
    ready = {"H": framed(b"H", ImageHeader(17, 9, "LA", 0, ID, 16).pack()), "M": framed(b"M", b"model")}
    chunks: list[bytes] = []
    for letter in letters:
        if letter.isdigit():
            chunks[-1] = framed(b"T", bytes([int(letter)]) + b"tile")
        else:
            chunks.append(ready.get(letter, b""))
    with pytest.raises(CorruptFile, match=message):
        read_all(assemble(chunks))


@pytest.mark.parametrize("letter", [b"x", b"M"])
def test_what_a_reader_wants_first_does_not_stand_behind_a_tile(letter: bytes) -> None:
    header = framed(b"H", ImageHeader(17, 9, "L", 0, ID, 16).pack())
    late = framed(letter, deflate(b"EXIF"))
    file = assemble([header, framed(b"T", b"\0a"), framed(b"q", b""), late, framed(b"T", b"\1b")])
    for stream in (io.BytesIO, Pipe):
        with pytest.raises(CorruptFile, match="before the first tile"):
            read_all(file, stream)
    with pytest.raises(CorruptFile, match="behind a tile"):
        Reader(io.BytesIO(file)).tile(0)
    writer = Writer(io.BytesIO(), ImageHeader(17, 9, "L", 0, ID, 16))
    writer.tile(0, b"a")
    with pytest.raises(InvalidArgument, match="before the first tile"):
        writer.add(letter.decode(), b"EXIF")


def test_other_files_are_no_aez_files() -> None:
    with pytest.raises(CorruptFile, match=r"no \.aez file.*89 50 4e 47"):
        Reader(io.BytesIO(b"\x89PNG\r\n\x1a\n0000"))
    with pytest.raises(TruncatedFile, match="0 bytes"):
        Reader(io.BytesIO(b""))


def test_other_versions_kinds_and_modes_need_a_newer_aez() -> None:
    file = sample()
    with pytest.raises(VersionError, match=r"version 3.*newer"):
        Reader(io.BytesIO(file[:7] + b"\3" + file[8:]))
    with pytest.raises(VersionError, match=r"version 1.*no released aez"):
        Reader(io.BytesIO(file[:7] + b"\1" + file[8:]))
    payload = ImageHeader(9, 9, "L", 0, ID).pack()
    for first, message in ((1, "array"), (2, "series"), (3, "unknown"), (0x40, "pixel mode 4")):
        with pytest.raises(VersionError, match=message):
            Reader(io.BytesIO(assemble([framed(b"H", bytes([first]) + payload[1:]), framed(b"T", b"\0")])))
    for follows in (0x80, 0xC0):
        with pytest.raises(VersionError, match="fields 0x80"):
            Reader(io.BytesIO(assemble([framed(b"H", bytes([0, follows]) + payload[2:]), framed(b"T", b"\0")])))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\0\0\0\1\0\0" + ID + b"\1",  # width 0
        b"\0\0\1\1\0\0" + ID + b"\0",  # tile 0
        b"\0\0\1\1\0\0" + ID,  # no tile
        b"\0\0\1\1\0\0" + ID + b"\x81\1",  # tiles of 2064 pixels
        b"\0\0\1\1\0\0" + ID + b"\1\0",  # a byte too many
        b"\0\0\x81\0\1\0\0" + ID + b"\1",  # padded number
        b"\0\0\x80\x80\x80\x80\x08\1\0\0" + ID + b"\1",  # width 2^31
        b"\0\0" + b"\xff" * 12 + b"\1\1\0\0" + ID + b"\1",
        b"\0\x08\1\1\0\0" + ID + b"\1\x08",  # eight bits, said twice
        b"\0\x08\1\1\0\0" + ID + b"\1\x11",  # 17 bits
        b"\0\x10\1\1\0\0" + ID + b"\1\1\1\2",  # neither full nor limited range
        b"\0\x10\1\1\0\0" + ID + b"\1\1\1",  # code points cut off
        b"\0\x20\1\1\0\0" + ID + b"\1" + struct.pack("<2f", 1, 1),  # an empty range
        b"\0\x20\1\1\0\0" + ID + b"\1" + struct.pack("<2f", 0, float("nan")),
        b"\0\x40\1\1\0\0" + ID + b"\1\1",  # one resolution of two
        b"\0\x40\1\1\0\0" + ID + b"\1\1\0",  # a resolution of nothing
        bytes(65),
    ],
)
def test_unsound_headers_are_refused(payload: bytes) -> None:
    with pytest.raises(CorruptFile):
        Reader(io.BytesIO(chunks.SIGNATURE + framed(b"H", payload)))


def test_bytes_behind_the_end_mark_are_an_error() -> None:
    for stream in (io.BytesIO, Pipe):
        with pytest.raises(CorruptFile, match="follow the end mark"):
            read_all(sample() + b"\0", stream)


def test_an_index_that_lies_is_an_error() -> None:
    header = framed(b"H", ImageHeader(9, 9, "L", 0, ID).pack())
    tile = framed(b"T", b"\0tile")
    for index in (b"", b"T", b"T\x80", b"T\x0a", b"\xffT", b"t\x0b", b"T\x05T\x06", b"T\x0b" * 2):
        end = framed(b"E", index)
        file = chunks.SIGNATURE + header + tile + end + (len(end) + 8).to_bytes(4, "little") + b"AEZ\x1a"
        with pytest.raises(CorruptFile, match="index"):
            read_all(file)
        with pytest.raises(CorruptFile, match="index"):
            Reader(io.BytesIO(file)).tile(0)


def test_claims_allocate_nothing() -> None:
    """A picture of 2^31-1 pixels each way, a chunk of 2^30 bytes and a metadata bomb cost no memory."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(200)) + bomb.flush()
    header = framed(b"H", ImageHeader(2**31 - 1, 2**31 - 1, "RGB", 0, ID, 16).pack())
    tracemalloc.start()
    try:
        with pytest.raises(TruncatedFile):
            read_all(chunks.SIGNATURE + header + b"T" + write_varint(1 << 30) + b"123")
        with pytest.raises(CorruptFile, match="no length"):
            read_all(chunks.SIGNATURE + header + b"T" + write_varint((1 << 30) + 1) + b"123")
        with pytest.raises(CorruptFile, match="decompresses to more"):
            read_all(assemble([header, framed(b"x", packed)]))
        with pytest.raises(CorruptFile, match=r"0 of 18014398509481984 tiles|0 tiles"):
            read_all(assemble([header]))
        assert tracemalloc.get_traced_memory()[1] < 3 * METADATA_MAX
    finally:
        tracemalloc.stop()


def test_metadata_that_does_not_inflate_is_an_error() -> None:
    header = framed(b"H", ImageHeader(9, 9, "L", 0, ID).pack())
    tile = framed(b"T", b"\0tile")
    good = deflate(b"exif")
    for payload in (b"", b"\xff\xff", good[:-1], good + b"\0"):
        with pytest.raises(CorruptFile, match="EXIF"):
            read_all(assemble([header, framed(b"x", payload), tile]))
        reader, found = read_all(assemble([header, framed(b"x", payload), tile]), partial=True)
        assert list(found) == [("T", 0)]
        assert len(reader.damage) == 1


# -- misuse ------------------------------------------------------------------------------------------------------------


def test_a_pipe_gives_no_single_tiles_and_is_read_once() -> None:
    reader = Reader(Pipe(sample()))
    with pytest.raises(InvalidArgument, match="pipe"):
        reader.tile(0)
    assert len(list(reader.chunks())) == 5
    with pytest.raises(InvalidArgument, match="once"):
        list(reader.chunks())


def test_tiles_outside_the_picture_are_refused() -> None:
    reader = Reader(io.BytesIO(sample()))
    for number in (-1, 4):
        with pytest.raises(InvalidArgument, match=f"tile {number}"):
            reader.tile(number)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "0x9"),
        ({"height": 2**31}, "2147483648"),
        ({"mode": "CMYK"}, "CMYK"),
        ({"level": 65536}, "65536"),
        ({"model_id": b"123"}, "3 bytes"),
        ({"tile": 24}, "24"),
        ({"tile": 0}, "tile size 0"),
        ({"orientation": 9}, "orientation 9"),
        ({"bits": 17}, "17 bits"),
        ({"cicp": (1, 2, 2)}, "code points"),
        ({"cicp": (1, 256, 1)}, "code points"),
        ({"value_range": (1.0, 1.0)}, "no range"),
        ({"value_range": (0.0, math.inf)}, "no range"),
        ({"value_range": (0.1, 1.0)}, "float32"),
        ({"value_range": (0.0, 1e39)}, "no range"),
        ({"resolution": (0, 5)}, "resolution"),
        ({"resolution": (5, 2**32)}, "resolution"),
    ],
)
def test_headers_that_cannot_be_written_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ImageHeader(**{"width": 9, "height": 9, "mode": "L", "level": 0, "model_id": ID, **values})


def test_the_writer_demands_its_order() -> None:
    writer = Writer(io.BytesIO(), ImageHeader(17, 9, "LA", 0, ID, 16))
    for letter in "TEHQ":
        with pytest.raises(InvalidArgument, match=letter):
            writer.add(letter, b"")
    with pytest.raises(InvalidArgument, match="tile 1"):
        writer.tile(1, b"")
    writer.add("M", b"")
    with pytest.raises(InvalidArgument, match="M"):
        writer.add("M", b"")
    with pytest.raises(InvalidArgument, match="exceed"):
        writer.add("x", bytes(METADATA_MAX + 1))
    writer.tile(0, b"")
    with pytest.raises(InvalidArgument, match="only 1 of 2"):
        writer.close()
    writer.tile(1, b"")
    with pytest.raises(InvalidArgument, match="tile 2"):
        writer.tile(2, b"")
    with pytest.raises(InvalidArgument, match="before the first tile"):
        writer.add("x", b"")
    writer.close()
    with pytest.raises(InvalidArgument, match="closed"):
        writer.close()


def test_a_stream_that_takes_nothing_is_an_output_error() -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        Writer(Full(), ImageHeader(9, 9, "L", 0, ID))
