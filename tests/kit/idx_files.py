"""IDX files of arrays, written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(values: NDArray[Any]) -> bytes:
    """The bytes of an IDX file that holds these values."""
    kind = values.dtype.str[1:]
    head = bytes((0, 0, _TYPES[kind], values.ndim))
    return head + np.array(values.shape, ">u4").tobytes() + values.astype(f">{kind}").tobytes()
