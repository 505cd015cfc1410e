"""Kinds of content: writer and reader serve a header that is no picture's, and callers say what they can use."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from aez.codec.container import kinds
from aez.codec.container.header import ExtraChunk, Header
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.varint import Fields, write_varint
from aez.codec.container.writer import Writer
from aez.codec.errors import CorruptFile, InvalidArgument, UnsupportedInput, VersionError

ID = bytes(range(8))


@dataclass(frozen=True)
class Rows(Header):
    """A made-up header of kind 2: so many blocks, and units where its flag is set."""

    KIND: ClassVar[int] = 2
    EXTRAS: ClassVar[Mapping[str, ExtraChunk]] = {"U": ExtraChunk("units", compressed=True), "n": ExtraChunk("note")}

    blocks: int
    units: bool = False

    @property
    def tiles(self) -> int:
        return self.blocks

    @property
    def refused(self) -> tuple[str, ...]:
        return () if self.units else ("U",)

    def pack(self) -> bytes:
        return bytes([self.KIND | self.units << 4]) + write_varint(self.blocks)

    @classmethod
    def unpack(cls, high: int, fields: Fields) -> Rows:
        return cls(fields.varint(), bool(high))


@pytest.fixture
def rows_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "HEADERS", {**kinds.HEADERS, Rows.KIND: Rows})


def write(header: Header, extras: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for letter, content in extras.items():
        writer.add(letter, content)
    for number in range(header.tiles):
        writer.tile(number, bytes([number]))
    writer.close()
    return stream.getvalue()


@pytest.mark.usefixtures("rows_known")
def test_a_file_of_another_kind_reads_back() -> None:
    extras = {"U": b"degrees" * 20, "n": b"a note", "M": b"a bundle"}
    data = write(Rows(3, units=True), extras)
    reader = Reader(io.BytesIO(data), Rows)
    found = {(chunk.type, chunk.tile): chunk.content for chunk in reader.chunks()}
    assert reader.header == Rows(3, units=True)
    assert found == {**{(k, -1): v for k, v in extras.items()}, **{("T", n): bytes([n]) for n in range(3)}}
    assert reader.complete
    assert [info.name for info in reader.inventory][:4] == ["header", "units", "note", "model"]
    assert Reader(io.BytesIO(data)).extras() == extras
    assert len(data) < len(extras["U"])  # which is compressed


@pytest.mark.usefixtures("rows_known")
def test_chunks_of_a_picture_are_none_of_another_kind() -> None:
    with pytest.raises(InvalidArgument, match="'i'"):
        write(Rows(1), {"i": b""})
    with pytest.raises(InvalidArgument, match="'U'"):
        write(Rows(1), {"U": b""})
    needs = write(Rows(1, units=True), {"U": b""})
    with pytest.raises(VersionError, match=r"'U'.*newer aez"):  # where a picture's header stands before it
        list(Reader(io.BytesIO(_with_header(needs, ImageHeader(9, 9, "L", 0, ID)))).chunks())
    with pytest.raises(CorruptFile, match="no place"):
        list(Reader(io.BytesIO(_with_header(needs, Rows(1)))).chunks())


@pytest.mark.usefixtures("rows_known")
def test_who_asks_for_a_picture_gets_no_other_kind() -> None:
    data = write(Rows(1), {})
    assert Reader(io.BytesIO(data)).header == Rows(1)
    with pytest.raises(UnsupportedInput, match="kind series, not image"):
        Reader(io.BytesIO(data), ImageHeader)


def test_a_reserved_kind_needs_a_newer_aez() -> None:
    with pytest.raises(VersionError, match=r"kind 2 \(series\).*newer aez"):
        Reader(io.BytesIO(write(Rows(1), {})))


def test_the_first_chunk_is_a_header_whatever_its_letter() -> None:
    data = write(ImageHeader(9, 9, "L", 0, ID), {"M": b""})
    chunks = Reader(io.BytesIO(data))
    list(chunks.chunks())
    model = next(info for info in chunks.inventory if info.type == "M")
    headless = data[:8] + data[model.offset :]
    with pytest.raises(CorruptFile, match="where the header should"):
        Reader(io.BytesIO(headless))


def _with_header(data: bytes, header: Header) -> bytes:
    """A file whose header chunk is another one's."""
    other = io.BytesIO()
    Writer(other, header)
    reader = Reader(io.BytesIO(data))
    return other.getvalue() + data[8 + reader.inventory[0].length :]
