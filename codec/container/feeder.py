"""A file that comes in pieces of any size: each chunk is given back as soon as its last byte is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

from aez.codec.container.chunks import CHUNK_NAMES, END, PAYLOAD_MAX, SIGNATURE, TRAILER_BYTES, Chunk, ChunkInfo
from aez.codec.container.ends import check_end, read_header
from aez.codec.container.header import HEADER_MAX, Header
from aez.codec.container.order import ChunkOrder
from aez.codec.container.source import ChunkSource, NoChunk
from aez.codec.errors import CorruptFile, TruncatedFile

H = TypeVar("H", bound=Header)
_LENGTH_BYTES, _CRC_BYTES = 5, 4


class _Arrived:
    """The bytes that have come and were not read, as a stream that cannot seek."""

    def __init__(self) -> None:
        self.data = bytearray()

    def seekable(self) -> bool:
        return False

    def read(self, count: int) -> bytes:
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def frame(self, start: int, payload_max: int) -> int:
        """Bytes up to the end of the chunk that begins at `start`, so far as its length says; 0 while none is there.

        Where no length can be read they are those that show it.
        """
        length = 0
        for place, octet in enumerate(self.data[start + 1 : start + 1 + _LENGTH_BYTES]):
            length |= (octet & 0x7F) << (7 * place)
            if octet < 0x80:
                head = start + 2 + place
                return head if length > payload_max else head + length + _CRC_BYTES
        head = start + 1 + _LENGTH_BYTES
        return head if len(self.data) >= head else 0


class Feeder(Generic[H]):
    """What `Reader.chunks` gives, of a file that is handed over piece by piece, with the same checks.

    `feed` gives the chunks that are whole with the new bytes, `end` says that no more come. `header` is None until it
    is there; `partial` collects damage behind it in `damage`. `complete` once everything came and was sound. Raises
    CorruptFile, TruncatedFile, VersionError; UnsupportedInput for a file that is none of `kind`.
    """

    def __init__(self, kind: type[H], *, partial: bool = False) -> None:
        self.header: H | None = None
        self.damage: list[CorruptFile] = []
        self.complete = False
        self._kind, self._partial = kind, partial
        self._arrived = _Arrived()
        self._source = ChunkSource(cast(Any, self._arrived))
        self._order: ChunkOrder | None = None
        self._read: list[ChunkInfo] = []
        self._ordinal = 1
        self._over = False

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks between header and index that are whole now, in the order of the file.

        The bytes are taken at once, and what comes of them as it is iterated.
        """
        if self.complete and data:
            self.complete = False
            self._report(
                CorruptFile(f"bytes follow the end mark, from byte {self._source.position} on", CHUNK_NAMES[END])
            )
        self._arrived.data += data
        return self._chunks()

    def end(self) -> None:
        """Check that the file is whole. Raises TruncatedFile."""
        if self._over:
            return
        if self.header is None:
            self._take_header()  # raises: a whole one was taken before
            return
        try:
            self._source.chunk(self._ordinal)
        except TruncatedFile as error:
            self._cut_off(error)
            return
        self._cut_off(TruncatedFile("the file ends in its end mark", "end mark"))

    def _cut_off(self, error: TruncatedFile) -> None:
        assert self.header is not None
        assert self._order is not None
        self._over = True
        tiles = f"after {self._order.tiles} of {self.header.tiles} whole tiles"
        self._report(TruncatedFile(f"{error}, {tiles}", error.chunk))

    def _chunks(self) -> Iterator[Chunk]:
        if self.header is None:
            data = self._arrived.data
            common = min(len(data), len(SIGNATURE))
            end = self._arrived.frame(len(SIGNATURE), HEADER_MAX)
            if data[:common] == SIGNATURE[:common] and (not end or len(data) < end):
                return
            self._take_header()
        while not self._over:
            end = self._arrived.frame(0, PAYLOAD_MAX)
            if self._arrived.data[:1] == END.encode() and end:
                end += TRAILER_BYTES
            begun = not self._arrived.data or self._arrived.data[:1].isalpha()  # else it is no chunk, whatever comes
            if begun and (not end or len(self._arrived.data) < end):
                return
            chunk = self._next()
            if chunk is not None:
                yield chunk

    def _take_header(self) -> None:
        self.header, _ = read_header(self._source, self._kind)
        self._order = ChunkOrder(self.header, self._partial)

    def _next(self) -> Chunk | None:
        """The next chunk, if it is one to hand on; it is whole, or shows that it cannot be."""
        assert self.header is not None
        assert self._order is not None
        try:
            self._ordinal += 1
            info, payload = self._source.chunk(self._ordinal - 1)
            if info.type == END:
                self._over = True
                check_end(self._source, info, payload, None if self.damage else self._read)
                missing = self._order.missing()
                if missing is not None and not self.damage:
                    raise missing
                self.complete = not self.damage
                return None
            self._read.append(info)
            chunk = self._order.open(info, payload)
            return chunk if info.type in self.header.names else None
        except CorruptFile as error:
            self._over = self._over or isinstance(error, NoChunk) or error.chunk == CHUNK_NAMES[END]
            self._report(error)
            return None

    def _report(self, error: CorruptFile) -> None:
        if not self._partial:
            self._over = True
            raise error
        self.damage.append(error)
