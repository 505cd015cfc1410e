"""The `.aez` byte format: a signature, chunks with a checksum each, an index, an end mark. `FORMAT.md` is its page.

Guarantees: both sides stream; nothing is allocated from a number that the bytes do not back; a flipped or missing
byte raises an error that names the chunk (strict) or is listed in `Reader.damage` while every whole chunk is still
given back (partial). What the file holds is not known here: the header says how many tiles and which chunks it has.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO, Generic, TypeVar, overload

from aez.codec.container.chunks import (
    CHUNK_NAMES,
    END,
    END_MARK,
    HEADER,
    TILE,
    TRAILER_BYTES,
    Chunk,
    ChunkInfo,
    payload_in,
)
from aez.codec.container.ends import check_end, read_header
from aez.codec.container.header import Header
from aez.codec.container.order import ChunkOrder, split_tile
from aez.codec.container.source import ChunkSource, NoChunk
from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import CorruptFile, InvalidArgument, TruncatedFile

H = TypeVar("H", bound=Header)
#: The longest end of a far file that is fetched for its index before it is known how long that is.
_INDEX_AHEAD = 1 << 20


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
        self.header, info = read_header(self._source, kind)
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

    def leading(self, before: Collection[str]) -> Iterator[Chunk]:
        """The chunks in front of the first one whose letter is in `before`, of which nothing is read; takes seeking.

        Each is checked, as by `chunks`.
        """
        self._restart()
        self._source.seek(self._body)
        for ordinal in itertools.count(1):
            if self._source.peek() in (*before, END):
                return
            info, payload = self._source.chunk(ordinal)
            chunk = self._order.open(info, payload)
            if info.type in self.header.names:
                yield chunk

    @property
    def far(self) -> bool:
        """Whether the stream is far away, so that it pays to say what will be read: it has a method `prefetch`."""
        return self._source.far

    def listing(self) -> list[ChunkInfo]:
        """All chunks as the index lists them, header and index included, none of them read; takes seeking.

        Raises CorruptFile, TruncatedFile for an index that is not sound.
        """
        return [self.inventory[0], *self._locate()]

    def expect(self, tiles: Iterable[int]) -> None:
        """Have the tiles fetched at once that will be asked for, where the stream is far away."""
        self._locate()
        entries = [self._tiles[number] for number in tiles if number in self._tiles]
        self._source.expect((entry.offset, entry.offset + entry.length) for entry in entries)

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

    def extras(self, only: Collection[str] | None = None) -> dict[str, bytes]:
        """Contents of all chunks that are no tiles, by letter, or of `only` those; takes seeking, and reads no tile."""
        order = ChunkOrder(self.header, self._partial)
        contents: dict[str, bytes] = {}
        letters = self.header.once if only is None else only
        wanted = [entry for entry in self._locate() if entry.type in letters]
        self._source.expect((entry.offset, entry.offset + entry.length) for entry in wanted)
        for entry in wanted:
            try:
                contents[entry.type] = order.open(*self._listed(entry)).content
            except CorruptFile as error:
                self._report(error)
        return contents

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
                    check_end(self._source, info, payload, None if self.damage else self.inventory[1:])
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
        size = self._source.size()
        end = size - TRAILER_BYTES
        self._source.expect([(size - self._index_bound(size), size)])
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

    def _index_bound(self, size: int) -> int:
        """Bytes at the end of a file of this size that have the index in them, as a rule."""
        listed = self.header.tiles + len(self.header.once) + 1  # and the index's own frame
        return min(size, _INDEX_AHEAD, TRAILER_BYTES + listed * (1 + len(write_varint(size))))

    def _parse_index(self, end: ChunkInfo, payload: bytes) -> list[ChunkInfo]:
        fields = Fields(payload)
        entries: list[ChunkInfo] = []
        offset, tiles = self._body, 0
        try:
            while fields.rest:
                letter, length = fields.take(1).decode("ascii"), fields.varint()
                if letter in (HEADER, END):
                    raise ValueError(f"it lists a chunk of type {letter}")
                if letter == TILE:
                    tiles += 1
                elif tiles and letter in self.header.once:
                    raise ValueError(f"it lists a chunk of type {letter} behind a tile")
                entries.append(self._source.named(letter, len(entries) + 1, offset, length, payload_in(length)))
                offset += length
        except ValueError as error:
            raise CorruptFile(f"{end} is not a list of chunks: {error}", end.name) from error
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
