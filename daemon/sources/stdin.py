"""Standard input.

Delivery: at most once across a restart. A pipe cannot be read again, so what was read and not yet durable when the
process is killed is lost; within one run nothing is. Use a file, MQTT or NATS where that matters. While the queue is
full the pipe is not read, so that the writer waits. Memory: one chunk and one unfinished line.
"""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass, field

from aez.daemon.common.limits import Limits
from aez.daemon.common.options import about
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.shared_options import LineFormat
from aez.daemon.sources.base import Put, Source, SourceOptions
from aez.daemon.sources.lines import LineCutter, tell_columns


@dataclass(frozen=True, kw_only=True)
class StdinOptions(SourceOptions):
    """`kind = "stdin"`."""

    format: LineFormat = field(default="json", metadata=about("what lines are"))


class Stdin(Source):
    """Lines from a file descriptor, standard input by default; of CSV the first one names the columns."""

    Options = StdinOptions

    def __init__(self, name: str, options: StdinOptions, limits: Limits | None = None, *, descriptor: int = 0) -> None:
        super().__init__(name, options, limits)
        self._descriptor = descriptor
        self._cutter = LineCutter(self.limits.line_bytes, with_header=self.format == "csv")
        self._settled = 0
        self._gone: tuple[str, ...] = ()

    def without_header(self) -> None:
        self._cutter.with_header = False

    def start(self, put: Put, position: Position | None = None) -> None:  # noqa: ARG002 - what is gone is gone
        self._put = put
        self._spawn(self._read)

    def _read(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._descriptor], [], [], 0.1)[0]:
                continue
            data = os.read(self._descriptor, self.limits.chunk_bytes)
            self._hand_on(*(self._cutter.feed(data) if data else self._cutter.finish()))
            if not data:
                self.done.set()
                return

    def _hand_on(self, lines: bytes, settled: int) -> None:
        self._settled += settled
        position = {"bytes": self._settled}
        parts = self._csv.cut(lines, self._cutter.header, self._gone)
        tell_columns(self.name, "standard input", self._csv, parts)
        self._cutter.header, self._gone = parts[-1].header, parts[-1].gone
        for header, gone, part in parts:
            if part:
                self._put(Chunk(self.name, part, self.format, position, time.monotonic(), None, header, gone))
