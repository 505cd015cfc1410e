"""Recorded data at the speed at which they were made, or so many times it.

What is due together within a moment goes on together. Data whose times go back, as those of the next file may, are
not waited for. The times are those that the parser finds, so that reading costs twice the parsing.
"""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aez.codec.common.extras import library
from aez.daemon.common.records import Chunk
from aez.daemon.sources.base import Put

__all__ = ["paced"]

_MOMENT = 0.1  # seconds of the wall clock
_SLICE = 0.2


def paced(put: Put, times: Callable[[Chunk], Sequence[int]], speed: float, stop: threading.Event) -> Put:
    """A `put` that holds data back until they are due, the first at once.

    times: of the rows in a chunk, ns since 1970 UTC. speed: seconds of data in a second. stop: ends all waiting.
    """
    start: list[tuple[float, int]] = []  # on both clocks, once there is a row

    def hold(chunk: Chunk) -> None:
        for piece, last in _pieces(chunk, times, int(_MOMENT * speed * 1e9)):
            if last is not None:
                if not start:
                    start.append((time.monotonic(), last))
                due = start[0][0] + (last - start[0][1]) / 1e9 / speed
                while (left := due - time.monotonic()) > 0 and not stop.is_set():
                    stop.wait(min(left, _SLICE))
            put(piece)

    return hold


def _pieces(chunk: Chunk, times: Callable[[Chunk], Sequence[int]], most: int) -> Iterator[tuple[Chunk, int | None]]:
    """Parts of a chunk that span at most `most` ns, or one message, and each one's last time; None without any."""
    found = times(chunk)
    last = int(max(found)) if len(found) else None
    if last is None or last - int(min(found)) <= most:
        yield chunk, last
        return
    halves = _halves(chunk)
    if halves is None:
        yield chunk, last
        return
    for half in halves:
        yield from _pieces(half, times, most)


def _halves(chunk: Chunk) -> tuple[Chunk, Chunk] | None:
    if chunk.format == "arrow":
        return _halves_of_arrow(chunk)
    if chunk.format not in ("json", "csv", "line"):
        return None
    cut = chunk.data.find(b"\n", len(chunk.data) // 2) + 1
    if not 0 < cut < len(chunk.data):
        cut = chunk.data.rfind(b"\n", 0, len(chunk.data) // 2) + 1
    if not 0 < cut < len(chunk.data):
        return None
    first, second = chunk.data[:cut], chunk.data[cut:]
    return dataclasses.replace(chunk, data=first), dataclasses.replace(chunk, data=second)


def _halves_of_arrow(chunk: Chunk) -> tuple[Chunk, Chunk] | None:
    ipc = library("pyarrow.ipc", "monitor")
    with ipc.open_stream(chunk.data) as reader:
        table = reader.read_all()
    middle = table.num_rows // 2
    if middle == 0:
        return None

    def part(rows: Any) -> Chunk:
        sink = io.BytesIO()
        with ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return dataclasses.replace(chunk, data=sink.getvalue())

    return part(table.slice(0, middle)), part(table.slice(middle))
