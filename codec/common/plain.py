"""Values as JSON can hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["JsonText", "json_text", "plain"]


_AS_IT_IS = frozenset((str, int, bool, type(None)))
_JSON = json.JSONEncoder(separators=(",", ":"))


class JsonText(str):
    """JSON that is written already."""

    __slots__ = ()


def json_text(value: Any) -> JsonText:
    """Plain data as JSON; of a dict with short names the values may be `JsonText`, which is taken as it is."""
    if type(value) is not dict:
        return JsonText(_JSON.encode(value))
    parts, rest = [], {}
    for name, one in value.items():
        if type(one) is JsonText:
            parts.append(f'"{name}":{one}')
        else:
            rest[name] = one
    if rest:
        parts.append(_JSON.encode(rest)[1:-1])
    return JsonText(f"{{{','.join(parts)}}}")


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
