"""Standard output: a line for each step of an event.

Guarantee: each line is flushed to whoever reads before it counts as delivered. A line is repeated only when the process
ended between that and writing the cursor.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TextIO

from aez.codec.common.plain import plain
from aez.daemon.common.options import Options, about
from aez.daemon.common.records import EventRecord
from aez.daemon.sinks.base import Sink, SinkError
from aez.daemon.sinks.wire import about as about_step
from aez.daemon.sinks.wire import as_json, blamed, iso_time

__all__ = ["ConsoleOptions", "ConsoleSink", "as_text"]


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions(Options):
    """`kind = "console"`."""

    format: Literal["text", "json"] = field(
        default="text", metadata=about("what is printed: a line for people, or a JSON object a line")
    )


class ConsoleSink(Sink):
    """Writes to standard output, or to another text stream."""

    Options = ConsoleOptions

    def __init__(self, options: ConsoleOptions, stream: TextIO | None = None) -> None:
        self._format = options.format
        self._line = as_text if self._format == "text" else as_json
        self._stream = stream

    def __repr__(self) -> str:
        return f"ConsoleSink(format={self._format!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        stream = sys.stdout if self._stream is None else self._stream
        try:
            stream.write("".join(self._line(record) + "\n" for record in records))
            stream.flush()
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise SinkError(f"standard output takes no more: {getattr(error, 'strerror', None) or error}") from error


def as_text(record: EventRecord) -> str:
    """One line for people: when, what, where, how bad, and the channels to blame."""
    event = plain(record.event)
    words = [iso_time(record.time), record.action, _printable(record.stream), str(event.get("severity") or "")]
    peak = event.get("peak")
    if isinstance(peak, (int, float)):
        words.append(f"peak {peak:.3g}")
    words += [_printable(blamed(event)), _printable(about_step(record))]
    words.append(f"[{record.id[:12]}.{record.sequence}]")
    return "  ".join(word for word in words if word)


def _printable(text: str) -> str:
    """Without the control characters that would steer somebody's terminal."""
    return text.encode("unicode_escape").decode() if not text.isprintable() else text
