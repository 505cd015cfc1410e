"""Standard input.

Delivery: at most once across a restart. A pipe cannot be read again, so what was read and not yet durable when the
process is killed is lost; within one run nothing is. Use a file, MQTT or NATS where that matters. While the queue is
full the pipe is not read, so that the writer waits. Memory: one block of 1 MiB and one unfinished line.
"""

from __future__ import annotations

import os
import select
import time

from aez.daemon.common.records import Chunk, Position
from aez.daemon.sources import Put, Source
from aez.daemon.sources.lines import LINE_BYTES, LineCutter

_BLOCK = 1 << 20


class Stdin(Source):
    """Lines from a file descriptor, standard input by default.

    format: "json", "csv" or "line". header: CSV begins with a line of column names. line_bytes: the longest
    line handed on whole.
    """

    def __init__(
        self,
        name: str,
        *,
        format: str = "json",
        header: bool = True,
        line_bytes: int = LINE_BYTES,
        descriptor: int = 0,
    ) -> None:
        super().__init__(name, format)
        self._descriptor = descriptor
        self._cutter = LineCutter(line_bytes, with_header=header and format == "csv")
        self._settled = 0

    def start(self, put: Put, position: Position | None = None) -> None:  # noqa: ARG002 - what is gone is gone
        self._put = put
        self._spawn(self._read)

    def _read(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._descriptor], [], [], 0.1)[0]:
                continue
            data = os.read(self._descriptor, _BLOCK)
            self._hand_on(*(self._cutter.feed(data) if data else self._cutter.finish()))
            if not data:
                self.done.set()
                return

    def _hand_on(self, lines: bytes, settled: int) -> None:
        self._settled += settled
        if lines:
            position = {"bytes": self._settled}
            header = self._cutter.header
            self._put(Chunk(self.name, lines, self.format, position, time.monotonic(), None, header))
