"""Arguments that people get wrong: text where numbers belong, parts of numbers where whole ones do."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

__all__ = ["check_numbers"]

_WHOLE = frozenset({"tile", "threads", "orientation", "max_pixels", "scale"})
_NUMBERS = frozenset({"quality", "bpp", "psnr", "ssimulacra2", "max_bytes", "max_error", "alpha_quality"})
_SWITCHES = frozenset({"lossless", "embed_model", "keep_hidden", "partial"})


def check_numbers(arguments: Mapping[str, Any]) -> None:
    """Refuse what is no number among arguments of coding and decoding, by their names; None is none.

    Raises TypeError, as Pillow does.
    """
    for name, value in arguments.items():
        if value is None:
            continue
        if name in _SWITCHES and not isinstance(value, int) and type(value).__name__ != "bool":
            raise TypeError(f"{name} is True or False, not {value!r}")
        if name in _WHOLE and (isinstance(value, bool) or not hasattr(value, "__index__")):
            raise TypeError(f"{name} is a whole number, not {value!r}")
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, Real)):
            raise TypeError(f"{name} is a number, not {value!r}")
    for name, count in (("region", 4), ("value_range", 2)):
        value = arguments.get(name)
        if value is not None and not _are_numbers(value, count, whole=name == "region"):
            raise TypeError(f"{name} is {count} {'whole ' if name == 'region' else ''}numbers, not {value!r}")


def _are_numbers(values: Any, count: int, whole: bool) -> bool:
    try:
        listed = list(values)
    except TypeError:
        return False
    if isinstance(values, str) or (not whole and len(listed) != count):
        return False  # of a region the count is looked at where it is used
    return all(hasattr(value, "__index__") if whole else isinstance(value, Real) for value in listed)
