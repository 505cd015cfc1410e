"""The frame of every chunk: a letter, a length, the payload, a CRC; and what the letters mean."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from aez.codec.container.varint import write_varint
from aez.codec.errors import CorruptFile

MAJOR_VERSION = 1
SIGNATURE = b"\x89AEZ\r\n\x1a" + bytes([MAJOR_VERSION])
END_MARK = b"AEZ\x1a"
TRAILER_BYTES = 4 + len(END_MARK)
HEADER, EXIF, ICC, XMP, ALPHA, MODEL, TILE, END = "H", "x", "i", "m", "A", "M", "T", "E"
CHUNK_NAMES = {
    HEADER: "header",
    EXIF: "EXIF",
    ICC: "ICC profile",
    XMP: "XMP",
    ALPHA: "alpha",
    MODEL: "model",
    TILE: "tile",
    END: "index",
}
COMPRESSED = (EXIF, ICC, XMP)
ONCE = (EXIF, ICC, XMP, ALPHA, MODEL)
PAYLOAD_MAX = 1 << 30
METADATA_MAX = 1 << 24


@dataclass(frozen=True)
class ChunkInfo:
    """Where a chunk lies: `offset` from the signature and `length` of the whole chunk, in bytes."""

    type: str
    ordinal: int
    offset: int
    length: int
    payload: int

    @property
    def name(self) -> str:
        """What the chunk is, for people."""
        return CHUNK_NAMES.get(self.type, f"unknown chunk {self.type!r}")

    def __str__(self) -> str:
        """Name, ordinal and offset, as error messages cite it."""
        return f"the {self.name} chunk (number {self.ordinal} in the file, at byte {self.offset})"


@dataclass(frozen=True)
class Chunk:
    """A chunk that passed its checksum. `content` is what was handed to the writer; `tile` is -1 outside tiles."""

    info: ChunkInfo
    content: bytes = field(repr=False)
    tile: int = -1

    @property
    def type(self) -> str:
        """The chunk's letter."""
        return self.info.type


def frame(letter: str, payload: bytes) -> bytes:
    """The bytes of a chunk: letter, length, payload, CRC."""
    body = letter.encode("ascii") + write_varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def deflate(content: bytes) -> bytes:
    """Raw DEFLATE of metadata."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def inflate(payload: bytes, info: ChunkInfo) -> bytes:
    """What `deflate` packed, at most METADATA_MAX bytes. Raises CorruptFile."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(payload, METADATA_MAX + 1)
    except zlib.error as error:
        raise CorruptFile(f"{info} does not decompress", info.name) from error
    if len(content) > METADATA_MAX:
        raise CorruptFile(f"{info} decompresses to more than {METADATA_MAX} bytes", info.name)
    if not unpacker.eof or unpacker.unused_data:
        raise CorruptFile(f"{info} does not end where its compressed data ends", info.name)
    return content
