"""The frame of every chunk, whatever the file holds: a letter, a length, the payload, a CRC."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from aez.codec.container.varint import write_varint

MAJOR_VERSION = 2
SIGNATURE = b"\x89AEZ\r\n\x1a" + bytes([MAJOR_VERSION])
END_MARK = b"AEZ\x1a"
TRAILER_BYTES = 4 + len(END_MARK)
HEADER, MODEL, TILE, END = "H", "M", "T", "E"
#: The chunks of every kind of file; a kind's header knows those that it has besides.
CHUNK_NAMES = {HEADER: "header", MODEL: "model", TILE: "tile", END: "index"}
PAYLOAD_MAX = 1 << 30
_CRC_BYTES = 4


@dataclass(frozen=True)
class ChunkInfo:
    """Where a chunk lies: `offset` from the signature and `length` of the whole chunk, in bytes; `name` for people."""

    type: str
    ordinal: int
    offset: int
    length: int
    payload: int
    name: str

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


def payload_in(length: int) -> int:
    """Bytes of the payload of a chunk of so many bytes; 0 where no chunk is so short."""
    framed = length - 1 - _CRC_BYTES  # the payload and its length
    prefix = next((count for count in range(1, 6) if framed - count < 1 << 7 * count), 5)
    return max(0, framed - prefix)
