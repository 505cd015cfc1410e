"""The order of the chunks in a file, and what a file must hold before it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from aez.codec.container.chunks import CHUNK_NAMES, HEADER, TILE, Chunk, ChunkInfo
from aez.codec.container.deflate import METADATA_MAX, inflate
from aez.codec.container.header import Header
from aez.codec.container.varint import Fields
from aez.codec.errors import CorruptFile


@dataclass
class ChunkOrder:
    """Watches that the chunks of a file follow each other as the format demands."""

    header: Header
    gaps: bool
    tiles: int = 0
    next_tile: int = 0
    seen: set[str] = field(default_factory=set)

    def open(self, info: ChunkInfo, payload: bytes) -> Chunk:
        """The chunk's content. Raises CorruptFile where it must not stand here, or cannot be unpacked."""
        if info.type == TILE:
            return self._tile(info, payload)
        if info.type == HEADER or info.type in self.seen or info.type in self.header.refused:
            raise CorruptFile(f"{info} has no place in this file", info.name)
        if info.type in self.header.once:
            if self.next_tile:
                raise CorruptFile(f"{info} has no place in this file: it comes before the first tile", info.name)
            self.seen.add(info.type)
        extra = self.header.EXTRAS.get(info.type)
        if extra is not None and extra.compressed:
            payload = inflate(payload, METADATA_MAX, str(info), info.name)
        return Chunk(info, payload)

    def _tile(self, info: ChunkInfo, payload: bytes) -> Chunk:
        number, content = split_tile(info, payload)
        expected = range(self.next_tile, self.header.tiles if self.gaps else self.next_tile + 1)
        if number not in expected or number >= self.header.tiles:
            raise CorruptFile(
                f"{info} holds tile {number} where tile {self.next_tile} of {self.header.tiles} should be", info.name
            )
        self.next_tile = number + 1
        self.tiles += 1
        return Chunk(info, content, number)

    def missing(self) -> CorruptFile | None:
        """What a file lacks that ends here."""
        if self.tiles < self.header.tiles:
            return CorruptFile(f"the file holds {self.tiles} of {self.header.tiles} tiles", CHUNK_NAMES[TILE])
        return None


def split_tile(info: ChunkInfo, payload: bytes) -> tuple[int, bytes]:
    """(number, content) of a tile chunk's payload. Raises CorruptFile."""
    fields = Fields(payload)
    try:
        number = fields.varint()
    except ValueError as error:
        raise CorruptFile(f"{info} holds no tile number: {error}", info.name) from error
    return number, payload[fields.position :]
