"""The header of a picture: its size, pixel mode and tiles, and the chunks that only pictures have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from aez.codec.container.header import ExtraChunk, Header
from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import InvalidArgument, VersionError

EXIF, ICC, XMP, ALPHA = "x", "i", "m", "A"
MODES = ("L", "LA", "RGB", "RGBA")
SIZE_MAX = (1 << 31) - 1
MODEL_ID_BYTES = 8
TILE_UNIT = 16


@dataclass(frozen=True)
class ImageHeader(Header):
    """What a reader must know before the first tile of a picture.

    `width`, `height` in pixels, 1..2^31-1; `mode` one of L, LA, RGB, RGBA; `level` 0..65535, the model's integer
    quality; `model_id` the first 8 bytes of the bundle's id; `tile` the side of a tile in pixels, a multiple of 16.
    Raises InvalidArgument.
    """

    KIND: ClassVar[int] = 0
    EXTRAS: ClassVar[Mapping[str, ExtraChunk]] = {
        EXIF: ExtraChunk("EXIF", compressed=True),
        ICC: ExtraChunk("ICC profile", compressed=True),
        XMP: ExtraChunk("XMP", compressed=True),
        ALPHA: ExtraChunk("alpha"),
    }

    width: int
    height: int
    mode: str
    level: int
    model_id: bytes
    tile: int = 1024

    def __post_init__(self) -> None:
        """Refuse what the format cannot say."""
        if not (1 <= self.width <= SIZE_MAX and 1 <= self.height <= SIZE_MAX):
            raise InvalidArgument(f"a picture of {self.width}x{self.height} pixels is outside 1..{SIZE_MAX}")
        if self.mode not in MODES:
            raise InvalidArgument(f"pixel mode {self.mode!r} is none of {', '.join(MODES)}")
        if not 0 <= self.level <= 0xFFFF:
            raise InvalidArgument(f"quality level {self.level} is outside 0..65535")
        if len(self.model_id) != MODEL_ID_BYTES:
            raise InvalidArgument(f"a model id of {len(self.model_id)} bytes does not have {MODEL_ID_BYTES}")
        if not TILE_UNIT <= self.tile <= SIZE_MAX or self.tile % TILE_UNIT:
            raise InvalidArgument(f"tile size {self.tile} is no multiple of {TILE_UNIT} from {TILE_UNIT} up")

    @property
    def has_alpha(self) -> bool:
        """Whether the file holds an alpha chunk."""
        return self.mode in ("LA", "RGBA")

    @property
    def required(self) -> Mapping[str, str]:
        """The alpha chunk, where the pixel mode has alpha."""
        return {ALPHA: f"its pixel mode {self.mode}"} if self.has_alpha else {}

    @property
    def refused(self) -> Collection[str]:
        """The alpha chunk, where the pixel mode has none."""
        return () if self.has_alpha else (ALPHA,)

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.width // self.tile)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return -(-self.height // self.tile)

    @property
    def tiles(self) -> int:
        """Count of tiles; they are numbered in raster order."""
        return self.columns * self.rows

    def box(self, number: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of a tile in pixels, end exclusive. Raises InvalidArgument."""
        if not 0 <= number < self.tiles:
            raise InvalidArgument(f"tile {number} is outside 0..{self.tiles - 1}")
        row, column = divmod(number, self.columns)
        left, top = column * self.tile, row * self.tile
        return left, top, min(left + self.tile, self.width), min(top + self.tile, self.height)

    def pack(self) -> bytes:
        """Payload of the header chunk."""
        kind_and_mode = self.KIND | MODES.index(self.mode) << 4
        size = write_varint(self.width) + write_varint(self.height)
        level = self.level.to_bytes(2, "little")
        return bytes([kind_and_mode]) + size + level + self.model_id + write_varint(self.tile // TILE_UNIT)

    @classmethod
    def unpack(cls, high: int, fields: Fields) -> ImageHeader:
        """Header from a payload; `high` is the pixel mode. Raises VersionError for a reserved one, ValueError."""
        if high >= len(MODES):
            raise VersionError(f"the file has pixel mode {high}, which needs a newer aez")
        width, height = fields.varint(), fields.varint()
        level = int.from_bytes(fields.take(2), "little")
        return cls(width, height, MODES[high], level, fields.take(MODEL_ID_BYTES), fields.varint() * TILE_UNIT)
