"""VP8L, the lossless bit stream of WebP (RFC 9649), without the RIFF container around it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from aez.codec.errors import CorruptFile

__all__ = ["SIDE_MAX", "from_vp8l", "to_vp8l"]

Pixels = NDArray[np.uint8]
SIDE_MAX = 1 << 14
_SIGNATURE = 0x2F
_HEADER_BYTES = 5
#: Bits of width and height, each less one; behind them the bit that says whether there is alpha.
_SIZE_BITS = 14
#: Most bits per pixel at which a longer search is worth its time: drawings, text.
_SIMPLE_BPP = 4.0
#: The longest search gains a hundredth and takes up to a hundred times as long: for so few pixels a second.
_SEARCHED_PIXELS = 1 << 16
#: Bits per pixel of charts and signs in flat colours, of which it gains a fifth or more: for so many pixels a second.
_FLAT_BPP, _SEARCHED_FLAT_PIXELS = 0.1, 1 << 18


def to_vp8l(pixels: Pixels, quick: bool = False) -> bytes:
    """The bit stream of a picture uint8 [height, width, 3 or 4], the fourth channel alpha, of which some is not opaque.

    It has at most 16,384 pixels a side. Less is searched if `quick`.
    """
    height, width = pixels.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    best = _stream(image, 4, 75)
    bpp = 8 * len(best) / (width * height)
    if bpp < _SIMPLE_BPP and not quick:
        best = min(best, _stream(image, _search(width * height, bpp), 100), key=len)
    return best


def _search(pixels: int, bpp: float) -> int:
    """libwebp's method, at its greatest effort."""
    flat = bpp < _FLAT_BPP
    if pixels <= (_SEARCHED_FLAT_PIXELS if flat else _SEARCHED_PIXELS):
        return 6
    return 5 if flat else 4


def _stream(image: Image.Image, method: int, effort: int) -> bytes:
    buffer = io.BytesIO()
    image.save(
        buffer, "WEBP", lossless=True, exact=True, method=method, quality=effort, exif=b"", icc_profile=b"", xmp=b""
    )
    data = buffer.getvalue()
    at = data.find(b"VP8L", 12)  # beside alpha another chunk is before it
    if at < 0:
        raise AssertionError(f"libwebp wrote {data[8:16]!r}")
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    return data[at + 8 : at + 8 + size]


def from_vp8l(data: bytes, height: int, width: int, alpha: bool = False) -> Pixels:
    """Picture uint8 [height, width, 3] of a bit stream, or 4 with `alpha`; no memory is taken for one of another size.

    Raises CorruptFile.
    """
    if len(data) < _HEADER_BYTES or data[0] != _SIGNATURE:
        raise CorruptFile("exact samples are no VP8L bit stream", "tile")
    head = int.from_bytes(data[1:_HEADER_BYTES], "little")
    mask = (1 << _SIZE_BITS) - 1
    found = (head & mask) + 1, (head >> _SIZE_BITS & mask) + 1
    if found != (width, height) or head >> 2 * _SIZE_BITS != alpha:
        raise CorruptFile(
            f"a VP8L bit stream is of {found[0]}x{found[1]} pixels, not {width}x{height}{' with alpha' * alpha}", "tile"
        )
    padded = data + bytes(len(data) % 2)
    body = b"WEBPVP8L" + len(data).to_bytes(4, "little") + padded
    riff = b"RIFF" + len(body).to_bytes(4, "little") + body
    try:
        # The class itself: `Image.open` refuses what it does not know, and this is known.
        with WebPImagePlugin.WebPImageFile(io.BytesIO(riff)) as image:
            mode = "RGBA" if alpha else "RGB"
            pixels = np.asarray(image.convert(mode) if image.mode != mode else image)
    except Exception as error:  # Pillow's reader raises many kinds for damaged data
        raise CorruptFile(f"a VP8L bit stream cannot be read: {error}", "tile") from error
    if pixels.shape != (height, width, 3 + alpha):
        raise CorruptFile("a VP8L bit stream holds another picture than it says", "tile")
    return pixels
