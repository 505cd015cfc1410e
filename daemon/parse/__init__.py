"""Parsers: bytes of a chunk in, rows of numbers and malformed messages out.

Guarantee: a message becomes one row or one Malformed (by its count), never both, and none harms another; only what is
idle (blank lines, comments) and an Arrow stream behind its first damaged byte give nothing. Times and values do not
depend on which messages stand beside them. Memory is bounded by a small multiple of the chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.daemon.parse.formats import FORMATS, Parser, parser
    from aez.daemon.parse.names import Admit
    from aez.daemon.parse.options import Options
    from aez.daemon.parse.results import REASONS

__all__ = ["FORMATS", "REASONS", "Admit", "Options", "Parser", "parser"]

__getattr__ = lazily(
    __name__,
    {
        "aez.daemon.parse.formats": "FORMATS Parser parser",
        "aez.daemon.parse.names": "Admit",
        "aez.daemon.parse.options": "Options",
        "aez.daemon.parse.results": "REASONS",
    },
)
