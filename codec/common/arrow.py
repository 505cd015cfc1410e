"""Arrays of Arrow as NumPy's, and back, without pandas.

pyarrow's own `to_numpy` and `array` import pandas where it is installed, which takes a third of a second in which the
first rows wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library

__all__ = ["from_numpy", "text_array", "to_numpy"]


def to_numpy(array: Any, missing: float = 0) -> NDArray[Any]:
    """A pyarrow array of numbers or booleans as NumPy's of the same type, [n]; `missing` stands for null.

    Numbers without nulls are not copied, and cannot be written to.
    """
    dtype = np.dtype(array.type.to_pandas_dtype())
    valid, data = array.buffers()
    if data is None or not len(array):
        return np.full(len(array), missing, dtype)
    if dtype.kind == "b":
        found = _bits(data, array.offset, len(array))
    else:
        found = np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)
    if array.null_count:
        found = np.where(_bits(valid, array.offset, len(array)), found, dtype.type(missing))
    return found


def from_numpy(array: NDArray[Any]) -> Any:
    """Numbers or booleans [n] as a pyarrow array without nulls; whoever changes them in place changes it, too."""
    pa = library("pyarrow", "monitor")
    data = np.packbits(array, bitorder="little") if array.dtype.kind == "b" else np.ascontiguousarray(array)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(data)])


def text_array(texts: Sequence[str]) -> Any:
    """A pyarrow array of texts. Raises UnicodeEncodeError for half of a surrogate pair."""
    pa, data = library("pyarrow", "monitor"), [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(data), pa.py_buffer(ends), pa.py_buffer(b"".join(data)))


def _bits(buffer: Any, offset: int, count: int) -> NDArray[np.bool_]:
    """`count` bits of a buffer from one on."""
    first = offset // 8
    some = np.frombuffer(buffer, np.uint8, (offset + count + 7) // 8 - first, first)
    return np.unpackbits(some, count=offset - 8 * first + count, bitorder="little")[offset - 8 * first :].view(bool)
