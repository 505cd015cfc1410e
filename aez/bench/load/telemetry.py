"""The simulator's satellites as messages in the order of time, one for each row."""

from __future__ import annotations

from collections.abc import Iterator

from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation

__all__ = ["messages"]


def messages(simulation: Simulation, rows: int, first: int = 0, kind: str = "json") -> Iterator[tuple[str, bytes]]:
    """(Stream, line) of `rows` rows of each stream from row `first` on: a row of every stream, then the next."""
    waiting: list[tuple[str, list[bytes]]] = []
    for block in simulation.blocks(rows, first):
        waiting.append((block.stream, encode(block, kind).splitlines(keepends=True)))
        if len(waiting) == simulation.streams:
            for row in range(len(waiting[0][1])):
                for stream, lines in waiting:
                    yield stream, lines[row]
            waiting = []
