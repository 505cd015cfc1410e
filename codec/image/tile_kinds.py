"""How the pixels of one tile are coded: the first byte of its content, and the parts that follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import CorruptFile, VersionError
from aez.codec.exact.bits import pack_bits, unpack_bits

__all__ = [
    "BLOCK",
    "Mask",
    "TileKind",
    "TileParts",
    "join_kind",
    "join_parts",
    "kind_of",
    "needs_model",
    "split_kind",
    "split_parts",
    "spread",
]

Mask = NDArray[np.bool_]
#: Side of the squares of a mixed tile that are of one kind, in pixels.
BLOCK = 16


class TileKind(IntEnum):
    """The kinds of tiles by their number in files."""

    #: Symbols of the header's model.
    LEARNED = 0
    #: Exact samples.
    EXACT = 1
    #: Both: a mask says which blocks take their samples from where.
    MIXED = 2


def join_kind(kind: TileKind, coded: bytes) -> bytes:
    """Content of a tile."""
    return bytes([kind]) + coded


def kind_of(content: bytes) -> TileKind:
    """Raises CorruptFile for empty content, VersionError for a kind that is not known."""
    if not content:
        raise CorruptFile("the tile is empty", "tile")
    try:
        return TileKind(content[0])
    except ValueError:
        raise VersionError(f"the file has a tile of kind {content[0]}, which needs a newer aez") from None


def needs_model(content: bytes) -> bool:
    """Whether a tile holds symbols of a model; also for content that cannot be read."""
    return content[:1] != bytes([TileKind.EXACT])


def split_kind(content: bytes) -> tuple[TileKind, bytes]:
    """(kind, what follows it) of a tile's content. Raises CorruptFile for an empty one, VersionError."""
    return kind_of(content), content[1:]


@dataclass(frozen=True)
class TileParts:
    """What a tile holds: symbols of the model, exact samples, or both with a `mask` of blocks that are exact.

    `alpha` are exact samples of one channel, empty where the tile is opaque or its exact samples hold alpha; None in a
    mode without.
    """

    symbols: bytes | None = None
    exact: bytes | None = None
    mask: Mask | None = None
    alpha: bytes | None = None

    def spread(self, height: int, width: int) -> Mask:
        """The mask for each pixel of the tile. Only for a tile with both."""
        assert self.mask is not None
        return spread(self.mask, height, width)


def join_parts(parts: TileParts) -> bytes:
    """Content of a tile."""
    before = b"" if parts.alpha is None else write_varint(len(parts.alpha)) + parts.alpha
    if parts.exact is None:
        assert parts.symbols is not None
        return join_kind(TileKind.LEARNED, before + parts.symbols)
    if parts.symbols is None or parts.mask is None:
        return join_kind(TileKind.EXACT, before + parts.exact)
    mask = pack_bits(parts.mask)
    sizes = write_varint(len(mask)) + mask + write_varint(len(parts.exact))
    return join_kind(TileKind.MIXED, before + sizes + parts.exact + parts.symbols)


def split_parts(content: bytes, height: int, width: int, has_alpha: bool = False) -> TileParts:
    """The parts of a tile of so many pixels, in a mode with alpha or without. Raises CorruptFile, VersionError."""
    kind, rest = split_kind(content)
    fields = Fields(rest)
    try:
        alpha = fields.take(fields.varint()) if has_alpha else None
        if kind == TileKind.LEARNED:
            return TileParts(symbols=fields.take(fields.rest), alpha=alpha)
        if kind == TileKind.EXACT:
            return TileParts(exact=fields.take(fields.rest), alpha=alpha)
        mask = _unpack_mask(fields.take(fields.varint()), height, width)
        exact = fields.take(fields.varint())
    except ValueError as error:
        raise CorruptFile(f"a tile ends too early: {error}", "tile") from error
    return TileParts(fields.take(fields.rest), exact, mask, alpha)


def _unpack_mask(packed: bytes, height: int, width: int) -> Mask:
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    bits = unpack_bits(packed, rows * columns, "the mask of a mixed tile", "the tile")
    return bits.reshape(rows, columns)


def spread(mask: Mask, height: int, width: int) -> Mask:
    """A mask of blocks for each pixel of so many."""
    return mask.repeat(BLOCK, axis=0)[:height].repeat(BLOCK, axis=1)[:, :width]
