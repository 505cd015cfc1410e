"""One value of one message, the careful way."""

from __future__ import annotations

import math
import re
from typing import Any

from aez.daemon.parse.results import MessageFault
from aez.daemon.transform.conversion import is_no_reading

__all__ = ["FLOAT", "INTEGER", "checked", "float_of", "value_of"]

#: Numbers as texts.
FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})


def checked(value: float, name: str, magnitude: float) -> float:
    """The value, NaN for one that is no reading; raises MessageFault beyond the magnitude."""
    if abs(value) <= magnitude:
        return value
    if math.isnan(value) or is_no_reading(value):
        return math.nan
    raise MessageFault("too_large", f"{name!r} is {value:g}, beyond {magnitude:g}")


def value_of(value: Any, name: str, magnitude: float) -> float:
    """A value of JSON as a number, NaN for null; raises MessageFault."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float):
        kind = "a text" if isinstance(value, str) else "a list or an object"
        raise MessageFault("wrong_type", f"{name!r} is {kind} where a number belongs")
    try:
        return checked(float(value), name, magnitude)
    except OverflowError:
        raise MessageFault("too_large", f"{name!r} is a number beyond {magnitude:g}") from None


def float_of(text: str, name: str, magnitude: float) -> float:
    """A number of CSV or line protocol; raises MessageFault."""
    if FLOAT.fullmatch(text):
        return checked(float(text), name, magnitude)
    if text.lower().lstrip("+-") in _NOT_FINITE:
        return math.nan
    raise MessageFault("wrong_type", f"{name!r} is {text[:50]!r}, which is no number")
