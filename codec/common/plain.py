"""Values as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["plain"]


_AS_IT_IS = frozenset((str, int, bool, type(None)))


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: keys as text, NumPy's numbers as Python's, what is not finite as None."""
    kind = type(value)
    if kind in _AS_IT_IS:  # nearly all there is; ABCs are slow to ask
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict or isinstance(value, Mapping):
        return {str(key): one if type(one) in _AS_IT_IS else plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
