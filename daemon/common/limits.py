"""Bounds on what the monitor takes from outside, so that no input makes it grow without end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.settings import from_table

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """The bounds; each has a default that suits a machine with a few GB of memory.

    line_bytes: one message of a line format; a longer one is malformed.
    chunk_bytes: what a source gathers into one chunk, unless a single message is longer.
    body_bytes: the body of one HTTP request, unpacked.
    depth: objects and lists within each other in a message.
    columns: values of one message, taken or not.
    name_bytes: a stream's or column's name in UTF-8.
    streams: streams at once.
    connections: open connections of one listener.
    pixels: of one image.
    magnitude: a value beyond it is malformed. The square of the default still fits into float32, which networks use.
    malformed: messages of one reason and chunk that are kept one by one; further ones are only counted.

    Raises InvalidArgument, naming the bound, when one is not a positive number.
    """

    line_bytes: int = 2**20
    chunk_bytes: int = 2**20
    body_bytes: int = 2**24
    depth: int = 16
    columns: int = 1000
    name_bytes: int = 256
    streams: int = 20_000
    connections: int = 256
    pixels: int = 2**25
    magnitude: float = 1e18
    malformed: int = 100

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            whole = isinstance(value, int) or (bound.name == "magnitude" and isinstance(value, float))
            if isinstance(value, bool) or not whole or not 0 < value < math.inf:
                raise InvalidArgument(f"limit {bound.name} must be a positive number, not {value!r}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Limits:
        """The bounds from a table of a configuration; raises InvalidArgument for an unknown name."""
        return from_table(cls, values, "limit")
