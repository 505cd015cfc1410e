"""Writes `.aez` files as a stream, chunk by chunk."""

from __future__ import annotations

from typing import BinaryIO

from aez.codec.container.chunks import END, END_MARK, HEADER, PAYLOAD_MAX, SIGNATURE, TILE, TRAILER_BYTES, frame
from aez.codec.container.deflate import METADATA_MAX, deflate
from aez.codec.container.header import Header
from aez.codec.container.varint import write_varint
from aez.codec.errors import InvalidArgument, OutputError


class Writer:
    """Writes an `.aez` file front to back, without seeking.

    `add` the model and the chunks that the header's kind has besides, in any order, then `tile` all tiles in ascending
    order, then `close`. The caller owns the stream. Raises InvalidArgument for a wrong order and OutputError when the
    stream does not take the bytes.
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self.header = header
        self._stream = stream
        self._index = bytearray()
        self._seen: set[str] = set()
        self._next_tile = 0
        self._closed = False
        self._put(SIGNATURE)
        self._put(frame(HEADER, header.pack()))

    def add(self, letter: str, content: bytes) -> None:
        """Write the MODEL chunk or one of the header's `EXTRAS`; metadata is compressed here."""
        if letter not in self.header.once or letter in self.header.refused or letter in self._seen:
            raise InvalidArgument(f"a chunk of type {letter!r} cannot be added here, or not once more")
        if self._next_tile:
            raise InvalidArgument(f"a chunk of type {letter!r} comes before the first tile")
        extra = self.header.EXTRAS.get(letter)
        if extra is not None and extra.compressed:
            if len(content) > METADATA_MAX:
                raise InvalidArgument(f"{len(content)} bytes of {extra.name} exceed {METADATA_MAX}")
            content = deflate(content)
        self._chunk(letter, content)
        self._seen.add(letter)

    def tile(self, number: int, content: bytes) -> None:
        """Write the tile that follows the last one written."""
        if number != self._next_tile or number >= self.header.tiles:
            raise InvalidArgument(
                f"tile {number} cannot be written now: {self._next_tile} of {self.header.tiles} tiles are"
            )
        self._chunk(TILE, write_varint(number) + content)
        self._next_tile += 1

    def close(self) -> None:
        """Write the index and the end mark; the stream stays open."""
        if self._next_tile < self.header.tiles:
            raise InvalidArgument(f"only {self._next_tile} of {self.header.tiles} tiles were written")
        length = self._chunk(END, bytes(self._index))
        self._put((length + TRAILER_BYTES).to_bytes(4, "little") + END_MARK)
        self._closed = True

    def _chunk(self, letter: str, payload: bytes) -> int:
        if self._closed:
            raise InvalidArgument("the file is closed")
        if len(payload) > PAYLOAD_MAX:
            raise InvalidArgument(f"a {self.header.names[letter]} chunk of {len(payload)} bytes exceeds {PAYLOAD_MAX}")
        framed = frame(letter, payload)
        self._put(framed)
        self._index += letter.encode("ascii") + write_varint(len(framed))
        return len(framed)

    def _put(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise OutputError(f"{len(data)} bytes cannot be written: {error.strerror or error}") from error
