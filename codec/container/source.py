"""A stream as chunks: bounded reads, positions, checksums."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import BinaryIO

from aez.codec.container.chunks import CHUNK_NAMES, PAYLOAD_MAX, ChunkInfo
from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import CorruptFile, TruncatedFile, VersionError

_PIECE = 1 << 18
_LENGTH_BYTES = 5
_CRC_BYTES = 4


class NoChunk(CorruptFile):
    """No chunk starts where one should, so nothing tells where the next one does."""


class ChunkSource:
    """A stream with a position that counts from the signature, read in bounded pieces."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seekable = stream.seekable()
        self.position = 0
        #: What chunks are called, once the header tells; before, no letter is known to be unknown.
        self.names: Mapping[str, str] | None = None
        #: How a stream that is far away is told what will be read.
        self._prefetch = getattr(stream, "prefetch", None)
        self._stream = stream
        self._base = stream.tell() if self.seekable else 0

    def read(self, count: int) -> bytes:
        """`count` bytes, fewer only at the end of the stream."""
        data = bytearray()
        while len(data) < count:
            piece = self._stream.read(min(_PIECE, count - len(data)))
            if not piece:
                break
            data += piece
        self.position += len(data)
        return bytes(data)

    @property
    def far(self) -> bool:
        """Whether each place that is read costs a request, unless it was expected."""
        return self._prefetch is not None

    def expect(self, spans: Iterable[tuple[int, int]]) -> None:
        """Say which (start, stop) will be read soon; only a stream that is far away cares."""
        if self._prefetch is not None:
            self._prefetch([(self._base + start, self._base + stop) for start, stop in spans])

    def peek(self) -> str:
        """The letter of the chunk at the position; empty at the end. The stream can seek."""
        letter = self.read(1)
        self.seek(self.position - len(letter))
        return letter.decode("latin-1")

    def seek(self, position: int) -> None:
        if position != self.position:
            self._stream.seek(self._base + position)
            self.position = position

    def size(self) -> int:
        """Bytes from the signature to the end of the stream."""
        self.position = self._stream.seek(0, 2) - self._base
        return self.position

    def chunk(self, ordinal: int, payload_max: int = PAYLOAD_MAX) -> tuple[ChunkInfo, bytes]:
        """The chunk at the position and its payload, checked. Raises CorruptFile, TruncatedFile, VersionError."""
        start = self.position
        letter = self.read(1)
        if not letter:
            raise TruncatedFile(f"the file ends at byte {start}, before its index")
        if not letter.isalpha():
            raise NoChunk(f"byte {start} starts no chunk: it is 0x{letter[0]:02x}, not a letter")
        begun = self.named(letter.decode("ascii"), ordinal, start, 0, 0)
        length = self._length(begun, payload_max)
        framing = self.position - start + _CRC_BYTES
        info = replace(begun, length=framing + length, payload=length)
        payload = self.read(length)
        checksum = self.read(_CRC_BYTES)
        if len(checksum) < _CRC_BYTES:
            raise TruncatedFile(f"the file ends in {info}", info.name)
        if zlib.crc32(payload, zlib.crc32(letter + write_varint(length))) != int.from_bytes(checksum, "little"):
            raise CorruptFile(f"{info} fails its checksum", info.name)
        if letter.isupper() and self.names is not None and info.type not in self.names:
            raise VersionError(f"{info} must be understood and is not: install a newer aez")
        return info, payload

    def named(self, letter: str, ordinal: int, offset: int, length: int, payload: int) -> ChunkInfo:
        """A `ChunkInfo` with the name that the letter has in this file."""
        name = (CHUNK_NAMES if self.names is None else self.names).get(letter, f"unknown {letter!r}")
        return ChunkInfo(letter, ordinal, offset, length, payload, name)

    def _length(self, info: ChunkInfo, payload_max: int) -> int:
        octets = b""
        while len(octets) < _LENGTH_BYTES and (not octets or octets[-1] > 0x7F):
            octet = self.read(1)
            if not octet:
                raise TruncatedFile(f"the file ends in {info}", info.name)
            octets += octet
        try:
            length = Fields(octets).varint()
        except ValueError:
            length = payload_max + 1
        if length > payload_max:
            raise NoChunk(f"{info} gives no length within {payload_max} bytes", info.name)
        return length
