"""Settings from a table of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from aez.codec.errors import InvalidArgument

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["from_table"]

Settings = TypeVar("Settings", bound="DataclassInstance")


def from_table(kind: type[Settings], values: Mapping[str, Any], word: str) -> Settings:
    """The dataclass of these fields; raises InvalidArgument, calling them by `word`, for a name that is none."""
    known = [one.name for one in fields(kind)]
    for name in values:
        if name not in known:
            raise InvalidArgument(f"there is no {word} {name!r}; {word}s are {', '.join(known)}")
    return kind(**values)
