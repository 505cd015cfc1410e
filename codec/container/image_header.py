"""The header of a picture: its size, pixel mode and tiles, and the chunks that only pictures have."""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from aez.codec.container.header import ExtraChunk, Header
from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import InvalidArgument, VersionError

EXIF, ICC, XMP, COLORIMETRY = "x", "i", "m", "c"
MODES = ("L", "LA", "RGB", "RGBA")
SIZE_MAX = (1 << 31) - 1
#: Pixels on 100 metres, at most.
RESOLUTION_MAX = (1 << 32) - 1
MODEL_ID_BYTES = 8
#: The side of a tile is a multiple of this, and at most so many pixels.
TILE_UNIT, TILE_MAX = 16, 2048
#: Bits of a sample: 8, or what deep pictures have.
BITS = (8, 16)
#: Bits of the byte that says what follows the header's fixed fields.
_ORIENTATION, _DEEP, _CICP, _RANGE, _RESOLUTION = 0b111, 1 << 3, 1 << 4, 1 << 5, 1 << 6
_FLOAT32_MAX = 3.4028234663852886e38
_KNOWN = _ORIENTATION | _DEEP | _CICP | _RANGE | _RESOLUTION


@dataclass(frozen=True)
class ImageHeader(Header):
    """What a reader must know before the first tile of a picture.

    `width`, `height` in pixels, 1..2^31-1; `mode` one of L, LA, RGB, RGBA; `level` 0..65535, the model's integer
    quality; `model_id` the first 8 bytes of the bundle's id, zeros where no tile needs a model; `tile` the side of a
    tile in pixels, a multiple of 16 up to 2048. `orientation` 1..8 as EXIF counts: how the stored pixels are turned
    when they are shown. `bits` 8..16 of a sample, of which 0 and 2^bits - 1 mean black and white, or the `value_range`
    (low, high), finite float32. `cicp`: colour primaries, transfer characteristics and full range flag of ITU-T H.273
    (the matrix is always that of RGB); None: what the ICC profile or the colorimetry says, or sRGB. `resolution`:
    pixels on 100 metres, across and down, 1..2^32-1. Raises InvalidArgument.
    """

    KIND: ClassVar[int] = 0
    EXTRAS: ClassVar[Mapping[str, ExtraChunk]] = {
        EXIF: ExtraChunk("EXIF", compressed=True),
        ICC: ExtraChunk("ICC profile", compressed=True),
        XMP: ExtraChunk("XMP", compressed=True),
        COLORIMETRY: ExtraChunk("colorimetry"),
    }

    width: int
    height: int
    mode: str
    level: int
    model_id: bytes
    tile: int = 1024
    orientation: int = 1
    bits: int = 8
    cicp: tuple[int, int, int] | None = None
    value_range: tuple[float, float] | None = None
    resolution: tuple[int, int] | None = None

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
        if not TILE_UNIT <= self.tile <= TILE_MAX or self.tile % TILE_UNIT:
            raise InvalidArgument(f"tile size {self.tile} is no multiple of {TILE_UNIT} in {TILE_UNIT}..{TILE_MAX}")
        if not 1 <= self.orientation <= 8:
            raise InvalidArgument(f"orientation {self.orientation} is outside 1..8")
        if not BITS[0] <= self.bits <= BITS[1]:
            raise InvalidArgument(f"samples of {self.bits} bits are outside {BITS[0]}..{BITS[1]}")
        if self.cicp is not None and (not all(0 <= code <= 255 for code in self.cicp) or self.cicp[2] > 1):
            raise InvalidArgument(f"colour code points {self.cicp} are none of 0..255, 0..255 and 0..1")
        if self.value_range is not None and not _is_range(*self.value_range):
            low, high = self.value_range
            raise InvalidArgument(f"values from {low} to {high} are no range of finite float32 numbers")
        if self.resolution is not None and not all(1 <= count <= RESOLUTION_MAX for count in self.resolution):
            raise InvalidArgument(f"a resolution of {self.resolution} pixels on 100 m is outside 1..{RESOLUTION_MAX}")

    @property
    def has_alpha(self) -> bool:
        """Whether tiles hold alpha."""
        return self.mode in ("LA", "RGBA")

    @property
    def alpha_bits(self) -> int:
        """Bits of a sample of alpha."""
        return 8 if self.bits == 8 else 16

    @property
    def refused(self) -> Collection[str]:
        """Other words on colour beside code points."""
        return () if self.cicp is None else (ICC, COLORIMETRY)

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
        follows = self.orientation - 1
        more = b""
        if self.bits != BITS[0]:
            follows |= _DEEP
            more += bytes([self.bits])
        if self.cicp is not None:
            follows |= _CICP
            more += bytes(self.cicp)
        if self.value_range is not None:
            follows |= _RANGE
            more += struct.pack("<2f", *self.value_range)
        if self.resolution is not None:
            follows |= _RESOLUTION
            more += write_varint(self.resolution[0]) + write_varint(self.resolution[1])
        return b"".join(
            (
                bytes([self.KIND | MODES.index(self.mode) << 4, follows]),
                write_varint(self.width),
                write_varint(self.height),
                self.level.to_bytes(2, "little"),
                self.model_id,
                write_varint(self.tile // TILE_UNIT),
                more,
            )
        )

    @classmethod
    def unpack(cls, high: int, fields: Fields) -> ImageHeader:
        """Header from a payload; `high` is the pixel mode. Raises VersionError for what is reserved, ValueError."""
        if high >= len(MODES):
            raise VersionError(f"the file has pixel mode {high}, which needs a newer aez")
        (follows,) = fields.take(1)
        if follows & ~_KNOWN:
            raise VersionError(f"the header has fields {follows & ~_KNOWN:#x}, which need a newer aez")
        width, height = fields.varint(), fields.varint()
        level = int.from_bytes(fields.take(2), "little")
        model_id, tile = fields.take(MODEL_ID_BYTES), fields.varint() * TILE_UNIT
        bits = fields.take(1)[0] if follows & _DEEP else BITS[0]
        if follows & _DEEP and bits == BITS[0]:
            raise ValueError(f"it says twice that samples have {bits} bits")
        cicp = fields.take(3) if follows & _CICP else None
        return cls(
            width,
            height,
            MODES[high],
            level,
            model_id,
            tile,
            (follows & _ORIENTATION) + 1,
            bits,
            None if cicp is None else (cicp[0], cicp[1], cicp[2]),
            struct.unpack("<2f", fields.take(8)) if follows & _RANGE else None,
            (fields.varint(), fields.varint()) if follows & _RESOLUTION else None,
        )


def _is_range(low: float, high: float) -> bool:
    """Whether both are finite float32 numbers, and the first is the lower one."""
    if not -math.inf < low < high < math.inf or high > _FLOAT32_MAX or low < -_FLOAT32_MAX:
        return False
    return struct.unpack("<2f", struct.pack("<2f", low, high)) == (low, high)
