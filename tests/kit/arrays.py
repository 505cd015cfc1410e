"""Arrays as bundles hold them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def npy(array: np.ndarray[Any, Any]) -> bytes:
    """The contents of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
