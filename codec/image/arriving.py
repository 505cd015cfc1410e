"""Pictures that come in pieces: parts of them as soon as their tiles, and what these see of others, are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from aez.codec.container.chunks import MODEL
from aez.codec.container.feeder import Feeder
from aez.codec.container.image_header import ImageHeader
from aez.codec.errors import CorruptFile, InvalidArgument
from aez.codec.image.decoded import Decoded
from aez.codec.image.decoding import MAX_PIXELS, open_for
from aez.codec.image.model import Float, ImageModel, ModelLike
from aez.codec.image.region import RegionDecoder
from aez.codec.image.tile_kinds import needs_model
from aez.codec.image.tiles import Box, check_plausible

__all__ = ["Decoder", "Part"]


@dataclass(frozen=True)
class Part:
    """A rectangle of a picture, in stored pixels: left and top `x`, `y`, and what is decoded of it."""

    x: int
    y: int
    decoded: Decoded

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.decoded.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.decoded.pixels.shape[0])

    @property
    def array(self) -> NDArray[Any]:
        """Values [height, width] or [height, width, 2..4] as `Decoded.values` has them: stored, not turned."""
        return self.decoded.values

    @property
    def image(self) -> Image.Image:
        """A Pillow picture as `Decoded.image` has it, with the metadata of the whole file."""
        return self.decoded.image


@dataclass
class _Waiting:
    """What was not given of a tile, and how far beyond that its pixels see."""

    boxes: list[Box]
    halo: int


@dataclass
class Decoder:
    """Decodes a file that is handed over piece by piece.

    `feed` takes bytes and gives the parts that are final with them, `close` says that no more come. Each pixel is given
    once, the same as in `aez.decode`; a part is a tile of exact samples, or what a tile of the model shows without the
    margin at which it sees tiles that are still to come. `header` and `metadata` (by chunk letter) are there once they
    came, before the first part. Arguments as those of `aez.decode`. With `partial`, `damage` lists what is wrong
    instead of raising it, and `close` gives what came of a file that is cut off. Raises CorruptFile, TruncatedFile,
    VersionError, ModelError, UnsupportedInput; after that it takes no more. One thread at a time.
    """

    model: ModelLike = None
    device: str = "auto"
    threads: int | None = None
    max_pixels: int = MAX_PIXELS
    beside: str | os.PathLike[str] | None = None
    partial: bool = False
    metadata: dict[str, bytes] = field(default_factory=dict, init=False)
    _feeder: Feeder[ImageHeader] = field(init=False, repr=False)
    _contents: dict[int, bytes] = field(default_factory=dict, init=False, repr=False)
    _extras: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)
    _waiting: dict[int, _Waiting] = field(default_factory=dict, init=False, repr=False)
    _latents: dict[int, Float | None] = field(default_factory=dict, init=False, repr=False)
    _regions: RegionDecoder | None = field(default=None, init=False, repr=False)
    _opened: ImageModel | None = field(default=None, init=False, repr=False)
    _damage: list[CorruptFile] = field(default_factory=list, init=False, repr=False)
    #: Tiles of a smaller number came, or will not.
    _arrived: int = field(default=0, init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self._feeder = Feeder(ImageHeader, partial=self.partial)

    @property
    def header(self) -> ImageHeader | None:
        """Size, mode and more; None until it came."""
        return self._feeder.header

    @property
    def complete(self) -> bool:
        """Whether the whole file came and is sound."""
        return self._feeder.complete and not self._damage

    @property
    def damage(self) -> tuple[CorruptFile, ...]:
        """What is wrong with the file, with `partial`."""
        return (*self._feeder.damage, *self._damage)

    def feed(self, data: bytes) -> list[Part]:
        """The parts that are final with these bytes, of which there may be any number.

        Raises InvalidArgument if closed, as it is after an exception.
        """
        if self._closed:
            raise InvalidArgument("the decoder is closed")
        parts: list[Part] = []
        self._closed = True
        for chunk in self._feeder.feed(data):
            if chunk.tile < 0:
                self._extras[chunk.type] = chunk.content
                if chunk.type != MODEL:
                    self.metadata[chunk.type] = chunk.content
            else:
                parts += self._take_tile(chunk.tile, chunk.content)
        self._closed = False
        return parts

    def close(self) -> list[Part]:
        """The parts that were waiting for what did not come.

        Raises TruncatedFile where the file is not whole; with `partial` they are decoded without it.
        """
        if self._closed:
            return []
        self._closed = True
        self._feeder.end()
        header = self._feeder.header
        return [] if header is None else list(self._ready(header.tiles))

    def _take_tile(self, number: int, content: bytes) -> Iterator[Part]:
        header = self._feeder.header
        assert header is not None
        if self._regions is None:
            self._begin(header)
        self._contents[number] = content
        box = Box(*header.box(number))
        halo = self._open(header).geometry.synthesis_halo if content and needs_model(content) else 0
        self._waiting[number] = _Waiting(_pieces(box, halo, header), halo)
        return self._ready(number + 1)

    def _begin(self, header: ImageHeader) -> None:
        check_plausible(header, max(header.tiles, 1), self.max_pixels)  # how many bytes will come is not known
        missing = self._damage if self.partial else None
        self._regions = RegionDecoder(None, header, self._content, missing)

    def _open(self, header: ImageHeader) -> ImageModel:
        """The model, opened when the first tile needs it."""
        if self._opened is None:
            self._opened = open_for(header, self._extras.get(MODEL), self.model, self.device, self.threads, self.beside)
            assert self._regions is not None
            self._regions.model = self._opened
        return self._opened

    def _content(self, number: int) -> bytes:
        if number not in self._contents:
            raise CorruptFile("it is not in the file, or damaged", "tile")
        return self._contents[number]

    def _ready(self, arrived: int) -> Iterator[Part]:
        """The parts that see no tile from `arrived` on."""
        header = self._feeder.header
        assert header is not None
        self._arrived = arrived
        for number in list(self._waiting):
            waiting = self._waiting[number]
            final = [box for box in waiting.boxes if _last_seen(box, waiting.halo, header) < arrived]
            rest = [box for box in waiting.boxes if box not in final]
            if not rest:
                del self._waiting[number]
            waiting.boxes = rest
            for box in _joined(final, Box(*header.box(number))):
                part = self._part(header, box)
                if part is not None:
                    yield part
        self._forget(header)

    def _part(self, header: ImageHeader, box: Box) -> Part | None:
        assert self._regions is not None
        try:
            pixels, alpha = self._regions.decode_with_alpha(box, self._latents)
        except CorruptFile:
            if not self.partial:
                raise
            return None  # the tile is lost, and stands in `damage`
        return Part(box.left, box.top, Decoded(header, pixels, alpha, self.metadata))

    def _forget(self, header: ImageHeader) -> None:
        """Let go of the tiles that nothing which is still to come sees."""
        halo = 0 if self._opened is None else self._opened.geometry.synthesis_halo
        first = min([*self._waiting, self._arrived]) // header.columns
        rows = first - 1 - -(-halo // header.tile)
        for number in [number for number in self._contents if number < rows * header.columns]:
            del self._contents[number]


def _pieces(box: Box, halo: int, header: ImageHeader) -> list[Box]:
    """A tile in up to four parts: what does not see the tiles to the right and below, and what does."""
    right = max(box.left, box.right - halo) if box.right < header.width else box.right
    bottom = max(box.top, box.bottom - halo) if box.bottom < header.height else box.bottom
    columns, rows = [(box.left, right), (right, box.right)], [(box.top, bottom), (bottom, box.bottom)]
    return [Box(x[0], y[0], x[1], y[1]) for y in rows for x in columns if x[0] < x[1] and y[0] < y[1]]


def _last_seen(box: Box, halo: int, header: ImageHeader) -> int:
    """The highest number of a tile that pixels of a box depend on."""
    seen = box.grow(halo, Box(0, 0, header.width, header.height))
    return (seen.bottom - 1) // header.tile * header.columns + (seen.right - 1) // header.tile


def _joined(boxes: list[Box], tile: Box) -> list[Box]:
    """The boxes, or the whole tile where they are all of it."""
    area = sum(box.width * box.height for box in boxes)
    return [tile] if len(boxes) > 1 and area == tile.width * tile.height else boxes
