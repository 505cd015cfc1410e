"""Bounds on what the monitor takes from outside, so that no input makes it grow without end: `[limits]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aez.daemon.common.options import Options, about

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits(Options):
    """The bounds; each has a default that suits a machine with a few GB of memory.

    Raises InvalidArgument, naming the bound, for a value out of its range.
    """

    line_bytes: int = field(default=2**20, metadata=about("one message of a line format", low=16, high=2**30))
    chunk_bytes: int = field(
        default=2**20,
        metadata=about("what a source gathers into one chunk, unless one message is longer", low=1024, high=2**26),
    )
    body_bytes: int = field(
        default=2**24, metadata=about("one request's body, one message of MQTT, or one picture", low=1024, high=2**30)
    )
    depth: int = field(default=16, metadata=about("objects and lists within each other", low=1, high=1000, live=True))
    columns: int = field(
        default=1000, metadata=about("values of one message, taken or not", low=1, high=100_000, live=True)
    )
    name_bytes: int = field(
        default=256, metadata=about("a stream's or column's name in UTF-8", low=1, high=65_536, live=True)
    )
    streams: int = field(
        default=20_000, metadata=about("streams at once; further ones are counted and dropped", low=1, high=10_000_000)
    )
    connections: int = field(
        default=256, metadata=about("open connections of one source of kind http", low=1, high=65_536)
    )
    pixels: int = field(
        default=2**25, metadata=about("of one image; one with more is not decoded", low=64, high=178_000_000)
    )
    #: The square of the default still fits into float32, which networks use.
    magnitude: float = field(
        default=1e18, metadata=about("a value beyond it is malformed", low=1, high=1e300, live=True)
    )
    malformed: int = field(
        default=100,
        metadata=about(
            "messages of one reason and chunk that are kept one by one; further ones are counted",
            low=1,
            high=100_000,
            live=True,
        ),
    )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Limits:
        """The bounds from a table of a configuration; raises InvalidArgument for an unknown name."""
        return cls.of(**values)
