"""PNG and TIFF files of 16 bits a channel (TIFF of floating point too), which Pillow writes in grey alone, or not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

__all__ = ["png_bytes", "tiff_bytes"]

Values = NDArray[Any]
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
_ROWS = 64
_DEFLATE = 8


def png_bytes(values: Values, chunks: list[tuple[bytes, bytes]], effort: int = 6) -> bytes:
    """A PNG of uint16 values [height, width] or [height, width, 2..4], with `chunks` (name, content) before them.

    `effort` 1..9 is zlib's.
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOURS[channels], 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", _png_chunk(b"IHDR", head), *(_png_chunk(*chunk) for chunk in chunks)]
    packer = zlib.compressobj(effort)
    above = np.zeros(width * channels * 2, np.uint8)
    for row in range(0, height, _ROWS):
        lines = values[row : row + _ROWS].astype(">u2").reshape(-1, width * channels).view(np.uint8)
        parts.append(_png_chunk(b"IDAT", packer.compress(_filtered(lines, above, 2 * channels))))
        above = lines[-1]
    parts += [_png_chunk(b"IDAT", packer.flush()), _png_chunk(b"IEND", b"")]
    return b"".join(parts)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _filtered(lines: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> bytes:
    """Each line by the filter, of none, left, above and Paeth, that leaves the least differences."""
    up = np.vstack([above[None], lines[:-1]])
    left, corner = np.zeros_like(lines), np.zeros_like(up)
    left[:, step:], corner[:, step:] = lines[:, :-step], up[:, :-step]
    a, b, c = (plane.astype(np.int16) for plane in (left, up, corner))
    near, far, cross = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((near <= far) & (near <= cross), left, np.where(far <= cross, up, corner))
    coded = {0: lines, 1: lines - left, 2: lines - up, 4: lines - paeth}
    costs = np.stack([np.abs(plane.view(np.int8).astype(np.int16)).sum(axis=1) for plane in coded.values()])
    numbers = np.array(list(coded))[costs.argmin(axis=0)]
    return b"".join(bytes([number]) + coded[number][at].tobytes() for at, number in enumerate(numbers.tolist()))


def tiff_bytes(values: Values, tags: dict[int, Any]) -> bytes:
    """A TIFF of uint16 or float32 values [height, width] or [height, width, 2..4], deflated, with further `tags`."""
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[2] == 2:  # deep grey with alpha is what few readers know
        values = values[:, :, [0, 0, 0, 1]]
    height, width, channels = values.shape
    is_float = values.dtype == np.float32
    coded = values.astype("<f4" if is_float else "<u2")
    if not is_float:  # the predictor of integers: differences to the pixel at the left
        coded = np.concatenate([coded[:, :1], coded[:, 1:] - coded[:, :-1]], axis=1)
    data = zlib.compress(coded.tobytes(), 6)
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    for tag, value in tags.items():
        directory[tag] = value
    directory[256], directory[257], directory[258] = width, height, (8 * coded.dtype.itemsize,) * channels
    directory[259], directory[262], directory[277] = _DEFLATE, 2 if channels > 2 else 1, channels
    directory[273], directory[278], directory[279] = 0, height, len(data)  # the place is set when it is written
    directory[317], directory[339] = 1 if is_float else 2, (3 if is_float else 1,) * channels
    if channels == 4:
        directory[338] = 2  # straight alpha
    buffer = io.BytesIO()
    directory.save(buffer)
    return buffer.getvalue() + data
