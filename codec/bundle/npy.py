"""The `.npy` arrays of a bundle: version 1.0 with plain numbers, nothing that could be executed."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import ModelError

_NPY_START = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '([<|][iufb][1248])', 'fortran_order': False, "
    rb"'shape': (\((?:\d{1,9}(?:, ?\d{1,9}){0,7},?)?\)), \} *\n",
    re.DOTALL,
)


def parse_npy(data: bytes, name: str) -> NDArray[Any]:
    """Array of a `.npy` file of version 1.0 with plain numbers, as a read-only view. Raises ModelError."""
    start = _NPY_START.match(data, 0, 1 << 12)
    if start is None or start.end() != 10 + int.from_bytes(start[1], "little"):
        raise ModelError(f"its array {name} is no .npy file of plain numbers")
    try:
        dtype = np.dtype(start[2].decode())
    except TypeError as error:
        raise ModelError(f"its array {name} has the unknown type {start[2].decode()}") from error
    shape: tuple[int, ...] = ast.literal_eval(start[3].decode())
    if math.prod(shape) * dtype.itemsize != len(data) - start.end():
        raise ModelError(f"its array {name} of shape {shape} does not have {len(data) - start.end()} bytes")
    return np.frombuffer(data, dtype, offset=start.end()).reshape(shape)
