"""The `.aez` byte format: a signature, chunks with a checksum each, an index, an end mark. `FORMAT.md` is its page.

Guarantees: both sides stream; nothing is allocated from a number that the bytes do not back; a flipped or missing
byte raises an error that names the chunk (strict) or is listed in `Reader.damage` while every whole chunk is still
given back (partial). What the file holds is not known here: the header says how many tiles and which chunks it has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Generic, TypeVar, cast, overload

from aez.codec.container.chunks import (
    CHUNK_NAMES,
    END,
    END_MARK,
    HEADER,
    MAJOR_VERSION,
    SIGNATURE,
    TILE,
    TRAILER_BYTES,
    Chunk,
    ChunkInfo,
)
from aez.codec.container.header import HEADER_MAX, Header
from aez.codec.container.kinds import kind_name, unpack_header
from aez.codec.container.order import ChunkOrder, split_tile
from aez.codec.container.source import ChunkSource, NoChunk
from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import CorruptFile, InvalidArgument, TruncatedFile, UnsupportedInput, VersionError

H = TypeVar("H", bound=Header)


class Reader(Generic[H]):
    """Reads an `.aez` file that starts where `stream` stands.

    `chunks` goes through a file in order and needs no seeking; `tile` and `extras` jump through the index and do. With
    `partial`, damage behind the header is listed in `damage` instead of raised, and every whole chunk is still given
    back. Raises TruncatedFile, CorruptFile, VersionError, and OSError from the stream, which the caller owns. One
    thread at a time.

    `kind` is the class of the headers that the caller can use, all by default: `Reader(stream, ImageHeader)` raises
    UnsupportedInput for a file that holds no picture.
    """

    @overload
    def __init__(self: Reader[Header], stream: BinaryIO, kind: None = None, *, partial: bool = False) -> None: ...

    @overload
    def __init__(self, stream: BinaryIO, kind: type[H], *, partial: bool = False) -> None: ...

    def __init__(self, stream: BinaryIO, kind: type[H] | None = None, *, partial: bool = False) -> None:
        self._source = ChunkSource(stream)
        self._partial = partial
        self._entries: list[ChunkInfo] | None = None
        self._tiles: dict[int, ChunkInfo] = {}
        header, info = self._read_header()
        if kind is not None and not isinstance(header, kind):
            raise UnsupportedInput(f"the file holds media of kind {kind_name(header.KIND)}, not {kind_name(kind.KIND)}")
        self.header = cast(H, header)
        self._source.names = header.names
        self._body = info.offset + info.length
        #: The chunks that `chunks` has read so far and whose checksums hold, header and index included.
        self.inventory: list[ChunkInfo] = [info]
        #: What was wrong, in partial mode.
        self.damage: list[CorruptFile] = []
        #: Whether `chunks` has read the whole file and everything in it was sound.
        self.complete = False
        self._order = ChunkOrder(self.header, partial)

    @property
    def tiles_read(self) -> int:
        """Count of whole tiles that `chunks` has given back so far."""
        return self._order.tiles

    def chunks(self) -> Iterator[Chunk]:
        """All chunks between the header and the index, each checked, in the order of the file.

        Chunks that this version does not know and may skip are in `inventory` only. To iterate once more takes a
        seekable stream, or InvalidArgument.
        """
        self._restart()
        known = self.header.names
        for info, payload in self._sound_chunks():
            self.inventory.append(info)
            if info.type == END:
                break
            try:
                chunk = self._order.open(info, payload)
            except CorruptFile as error:
                self._report(error)
                continue
            if info.type in known:
                yield chunk
        missing = self._order.missing()
        if missing is not None and not self.damage:
            self._report(missing)
        self.complete = not self.damage

    def tile(self, number: int) -> bytes:
        """Content of one tile, in any order; needs a seekable stream.

        Raises InvalidArgument for a number outside the picture, CorruptFile (also in partial mode) for a tile that is
        damaged or not there.
        """
        if not 0 <= number < self.header.tiles:
            raise InvalidArgument(f"tile {number} is outside 0..{self.header.tiles - 1}")
        self._locate()
        if number not in self._tiles:
            raise CorruptFile(f"tile {number} of {self.header.tiles} is not in the file", "tile")
        info, payload = self._listed(self._tiles[number])
        found, content = split_tile(info, payload)
        if found != number:
            raise CorruptFile(f"{info} holds tile {found}, not {number} as the index says", info.name)
        return content

    def extras(self) -> dict[str, bytes]:
        """Contents of all chunks that are no tiles, by letter, without reading the tiles; needs a seekable stream."""
        order = ChunkOrder(self.header, self._partial)
        contents: dict[str, bytes] = {}
        for entry in self._locate():
            if entry.type in self.header.once:
                try:
                    contents[entry.type] = order.open(*self._listed(entry)).content
                except CorruptFile as error:
                    self._report(error)
        return contents

    def _read_header(self) -> tuple[Header, ChunkInfo]:
        signature = self._source.read(len(SIGNATURE))
        common = len(SIGNATURE) - 1
        if signature[:common] != SIGNATURE[: min(common, len(signature))]:
            raise CorruptFile(f"this is no .aez file: it starts with the bytes {signature.hex(' ')}", "signature")
        if len(signature) < len(SIGNATURE):
            raise TruncatedFile(f"the file ends in the signature, after {len(signature)} bytes", "signature")
        if signature != SIGNATURE:
            raise VersionError(
                f"the file has format version {signature[common]}, and this aez reads version {MAJOR_VERSION}: "
                "install a newer aez"
            )
        info, payload = self._source.chunk(0, HEADER_MAX)
        if info.type != HEADER:
            raise CorruptFile(f"{info} stands where the header should", "header")
        return unpack_header(payload), info

    def _restart(self) -> None:
        if self._source.position != self._body and not self._source.seekable:
            raise InvalidArgument("a stream that cannot seek is read only once")
        self._order = ChunkOrder(self.header, self._partial)
        del self.inventory[1:]
        self.damage.clear()
        self.complete = False

    def _report(self, error: CorruptFile) -> None:
        if not self._partial:
            raise error
        self.damage.append(error)

    def _sound_chunks(self) -> Iterator[tuple[ChunkInfo, bytes]]:
        """Chunks that pass their checksums, up to and with the index."""
        if self._partial and self._source.seekable:
            try:
                entries = self._load_index()
            except CorruptFile:
                self._source.seek(self._body)  # the walk reports what is wrong
            else:
                return self._listed_chunks(entries)
        elif self._source.seekable:
            self._source.seek(self._body)
        return self._walk()

    def _listed_chunks(self, entries: list[ChunkInfo]) -> Iterator[tuple[ChunkInfo, bytes]]:
        """The chunks of a sound index; damage in one does not hide the next."""
        for entry in entries:
            try:
                found = self._listed(entry)
            except CorruptFile as error:
                self._report(error)
            else:
                yield found

    def _walk(self) -> Iterator[tuple[ChunkInfo, bytes]]:
        """Chunks one after the other; the length of a damaged one is trusted to find the next."""
        for ordinal in itertools.count(1):
            try:
                info, payload = self._source.chunk(ordinal)
                if info.type == END:
                    self._check_end(info, payload)
            except TruncatedFile as error:
                tiles = f"after {self.tiles_read} of {self.header.tiles} whole tiles"
                self._report(TruncatedFile(f"{error}, {tiles}", error.chunk))
                return
            except CorruptFile as error:
                self._report(error)
                if isinstance(error, NoChunk) or error.chunk == CHUNK_NAMES[END]:
                    return
            else:
                yield info, payload
                if info.type == END:
                    return

    def _check_end(self, info: ChunkInfo, payload: bytes) -> None:
        """Check the index against the chunks that were read, then the trailer, then that nothing follows."""
        listed = [entry.type.encode("ascii") + write_varint(entry.length) for entry in self.inventory[1:]]
        if not self.damage and payload != b"".join(listed):
            raise CorruptFile(f"{info} does not list the chunks that stand in the file", info.name)
        trailer = self._source.read(TRAILER_BYTES)
        if len(trailer) < TRAILER_BYTES:
            raise TruncatedFile("the file ends in its end mark", "end mark")
        if trailer != (info.length + TRAILER_BYTES).to_bytes(4, "little") + END_MARK:
            raise CorruptFile(f"the end mark behind {info} is damaged: {trailer.hex(' ')}", info.name)
        if self._source.read(1):
            raise CorruptFile(f"bytes follow the end mark, from byte {self._source.position - 1} on", info.name)

    def _locate(self) -> list[ChunkInfo]:
        """Where the chunks lie: from the index, or in partial mode by reading the file where there is none."""
        if self._entries is None:
            if not self._source.seekable:
                raise InvalidArgument("one tile alone takes a file that can seek, not a pipe")
            try:
                self._entries = self._load_index()
                self._tiles = dict(enumerate(entry for entry in self._entries if entry.type == TILE))
            except CorruptFile:
                if not self._partial:
                    raise
                self._tiles = {chunk.tile: chunk.info for chunk in self.chunks() if chunk.type == TILE}
                self._entries = self.inventory[1:]
        return self._entries

    def _load_index(self) -> list[ChunkInfo]:
        """The chunks behind the header as the index lists them, itself last. Raises CorruptFile, TruncatedFile."""
        end = self._source.size() - TRAILER_BYTES
        self._source.seek(max(end, 0))
        trailer = self._source.read(TRAILER_BYTES)
        if end < self._body or trailer[4:] != END_MARK:
            raise TruncatedFile("the file does not end with its end mark: it is cut off, or something was appended")
        start = end + TRAILER_BYTES - int.from_bytes(trailer[:4], "little")
        if start < self._body:
            raise CorruptFile(f"the end mark points to byte {start}, where no index can be", CHUNK_NAMES[END])
        self._source.seek(start)
        info, payload = self._source.chunk(0)
        if info.type != END or self._source.position != end:
            raise CorruptFile(f"the end mark points to byte {start}, where the index is not", CHUNK_NAMES[END])
        return self._parse_index(info, payload)

    def _parse_index(self, end: ChunkInfo, payload: bytes) -> list[ChunkInfo]:
        fields = Fields(payload)
        entries: list[ChunkInfo] = []
        offset = self._body
        try:
            while fields.rest:
                letter, length = fields.take(1).decode("ascii"), fields.varint()
                if letter in (HEADER, END):
                    raise ValueError(f"it lists a chunk of type {letter}")
                entries.append(self._source.named(letter, len(entries) + 1, offset, length, length))
                offset += length
        except ValueError as error:
            raise CorruptFile(f"{end} is not a list of chunks: {error}", end.name) from error
        tiles = sum(entry.type == TILE for entry in entries)
        if offset != end.offset or tiles != self.header.tiles:
            raise CorruptFile(
                f"{end} lists chunks up to byte {offset} and {tiles} tiles, not up to {end.offset} and "
                f"{self.header.tiles}",
                end.name,
            )
        return [*entries, replace(end, ordinal=len(entries) + 1)]

    def _listed(self, entry: ChunkInfo) -> tuple[ChunkInfo, bytes]:
        """The chunk that stands where the index says. Raises CorruptFile."""
        self._source.seek(entry.offset)
        try:
            info, payload = self._source.chunk(entry.ordinal)
        except (TruncatedFile, NoChunk) as error:  # the index proves that the file is longer
            raise CorruptFile(f"{entry} is damaged", entry.name) from error
        if (info.type, info.length) != (entry.type, entry.length):
            raise CorruptFile(f"{entry} is not what the index says", entry.name)
        return info, payload
