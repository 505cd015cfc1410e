"""Arrays of yes and no as compressed bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.deflate import deflate, inflate_exactly
from aez.codec.errors import CorruptFile

__all__ = ["pack_bits", "unpack_bits"]

Bits = NDArray[np.bool_]


def pack_bits(bits: Bits) -> bytes:
    """Of any shape, in raster order, eight to a byte from its highest bit down, deflated."""
    return deflate(np.packbits(bits).tobytes())


def unpack_bits(packed: bytes, count: int, what: str, whole: str) -> Bits:
    """`count` bits in a tile; errors say `what` they are, and of what `whole`. Raises CorruptFile."""
    octets = inflate_exactly(packed, -(-count // 8), what, "tile")
    bits = np.unpackbits(np.frombuffer(octets, np.uint8))
    if bits[count:].any():
        raise CorruptFile(f"{what} has places outside {whole}", "tile")
    return bits[:count].astype(np.bool_)
