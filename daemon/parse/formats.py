"""The formats of messages, and the parser of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from aez.codec.errors import InvalidArgument
from aez.codec.series.zones import LocalTimes
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.parse.names import Admit
from aez.daemon.parse.options import Options
from aez.daemon.parse.times import UnreadTime

if TYPE_CHECKING:
    from aez.daemon.frames.models import FrameModels

__all__ = ["FORMATS", "Parser", "parser"]

#: Formats of messages.
FORMATS = ("json", "csv", "line", "arrow", "image")


class Parser(Protocol):
    """A parser of one source's messages; it learns from them what they look like, and belongs to one thread."""

    local: LocalTimes
    unread_time: UnreadTime

    def parse(self, chunk: Chunk) -> tuple[list[Samples], list[Malformed]]:
        """The rows of a chunk, those of one set of columns together in the order of arrival, and what is malformed."""
        ...

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        """The same for consecutive chunks, at least one, at once; much faster where each holds but a message or two."""
        ...


def parser(
    format: str,
    options: Options | Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    admit: Admit | None = None,
    frames: FrameModels = lambda stream: None,  # noqa: ARG005
) -> Parser:
    """A parser of "json", "csv", "line", "arrow" or "image".

    `admit` is asked whether a stream of this name may be taken in; by default the first `limits.streams` may. `frames`
    gives the model of a stream's images. Raises InvalidArgument for an unknown format or option.
    """
    if not isinstance(options, Options):
        options = Options.from_mapping(options or {})
    limits = limits or Limits()
    match format:
        case "json":
            from aez.daemon.parse.json_lines import JsonLines

            return JsonLines(options, limits, admit)
        case "csv":
            from aez.daemon.parse.csv_rows import CsvRows

            return CsvRows(options, limits, admit)
        case "line":
            from aez.daemon.parse.line_protocol import LineProtocol

            return LineProtocol(options, limits, admit)
        case "arrow":
            from aez.daemon.parse.arrow_rows import ArrowRows

            return ArrowRows(options, limits, admit)
        case "image":
            from aez.daemon.parse.images import Images

            return Images(options, limits, admit, frames)
        case _:
            raise InvalidArgument(f"there is no format {format!r}; formats are {', '.join(FORMATS)}")
