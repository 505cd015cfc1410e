"""PNG of every colour type, depth and interlacing, by the standard alone, with any chunks."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Depths of each colour type: grey, RGB, palette, grey with alpha, RGBA.
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(name: str, content: bytes) -> bytes:
    body = name.encode() + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def make_png(
    samples: NDArray[Any],
    depth: int,
    colour: int,
    interlaced: bool = False,
    before: list[tuple[str, bytes]] | None = None,
    after: list[tuple[str, bytes]] | None = None,
) -> bytes:
    """`samples` [height, width, channels]; `before` stand before the pixels (PLTE among them), `after` behind."""
    height, width = samples.shape[:2]
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in _PASSES] if interlaced else [samples]
    lines = b"".join(b"\0" + _line(row, depth) for part in passes if part.size for row in part)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk("IHDR", head),
            *(chunk(*one) for one in before or []),
            chunk("IDAT", zlib.compress(lines)),
            *(chunk(*one) for one in after or []),
            chunk("IEND", b""),
        )
    )


def _line(row: NDArray[Any], depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()
