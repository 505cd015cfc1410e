"""IDX files, as MNIST and its kin are published, gzipped or not: a magic number, the dimensions, the values.

The magic number's third byte names the type, its fourth the count of dimensions; all numbers are big-endian
(LeCun, Cortes, Burges: The MNIST database of handwritten digits).
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import UnsupportedInput

__all__ = ["looks_like_idx", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_DIMENSIONS_MAX = 4


def looks_like_idx(path: Path) -> bool:
    """Whether the file, or what is gzipped in it, begins as an IDX file does; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head[:2] == _GZIP:
            with gzip.open(path) as zipped:
                head = zipped.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= _DIMENSIONS_MAX


def read_idx(path: Path, dimensions: int | None = None) -> NDArray[Any]:
    """The array of an IDX file, in the machine's byte order, read-only; `dimensions` are those that it has to have.

    Raises UnsupportedInput for another file, one that is cut off, and one of other dimensions.
    """
    try:
        data = path.read_bytes()
        # Browsers unpack what they load, and leave the name as it was.
        data = gzip.decompress(data) if data[:2] == _GZIP else data
    except (OSError, EOFError, zlib.error) as error:
        raise UnsupportedInput(f"{path} cannot be read: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or not 1 <= data[3] <= _DIMENSIONS_MAX:
        raise UnsupportedInput(f"{path} is no IDX file")
    count, dtype = data[3], np.dtype(_TYPES[data[2]])
    if dimensions is not None and count != dimensions:
        raise UnsupportedInput(f"{path} is an IDX file of {count} dimensions, not of {dimensions}")
    start = 4 * (1 + count)
    shape = tuple(int(number) for number in np.frombuffer(data[4:start][: (len(data) - 4) // 4 * 4], ">u4"))
    if len(shape) < count or int(np.prod(shape, dtype=object)) * dtype.itemsize != len(data) - start:
        raise UnsupportedInput(f"{path} is cut off or damaged: {len(data) - start} bytes for {list(shape)}")
    values = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)
