"""Recorded Arrow and Parquet files, read once from beginning to end.

Delivery: at least once. The position is the file and the row in it; after a restart reading goes on behind that row. A
file must not change while it is read. Memory: one batch of the file, and a chunk of 16,384 rows. While the queue is
full nothing is read.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Position
from aez.daemon.files.followed import FileOptions
from aez.daemon.sources.base import Put, Source
from aez.daemon.sources.folders import folder_faults, no_file

_ROWS = 16_384  # of one chunk


class ArrowFiles(Source):
    """Rows of Arrow IPC files and streams, and of Parquet files, each chunk an Arrow stream of its own.

    The files are read in the order of their names and never followed, as they do not grow; those options of files that
    speak of lines do not apply. `Chunk.stream` is the file's name without extension.
    """

    Options = FileOptions
    may_come_later = True

    def __init__(self, name: str, options: FileOptions, limits: Limits | None = None) -> None:
        super().__init__(name, options, limits)
        if options.follow:
            raise InvalidArgument(f"Source {name!r}: Arrow files cannot be followed; set follow to false.")
        self._patterns = [os.path.abspath(path) for path in options.paths]  # noqa: PTH100 - Path would resolve no pattern
        self._behind: dict[str, int] = {}  # rows handed on, by file
        library("pyarrow.compute", "monitor")  # takes half a second, in which no row shall wait

    def start(self, put: Put, position: Position | None = None) -> None:
        self._put = put
        if position is not None:
            self._behind = dict(position["rows"])
        self._spawn(self._read)

    def _read(self) -> None:
        found = {path for pattern in self._patterns for path in glob.iglob(pattern, recursive=True)}  # noqa: PTH207
        troubles = folder_faults(self._patterns)[:3]
        if not troubles and (lacking := no_file(self._patterns, found)):
            troubles = [lacking]
        for path in sorted(found):
            try:
                self._read_file(path)
            except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
                reason = str(error).partition("\n")[0][:200]
                troubles.append(f"cannot read {path} behind row {self._behind.get(path, 0):,}: {reason}.")
        self._set_trouble(" ".join(troubles))
        if not self._stopping.is_set():
            self.done.set()

    def _read_file(self, path: str) -> None:
        row = 0
        for batch in _batches(path):
            skipped = min(max(0, self._behind.get(path, 0) - row), batch.num_rows)
            row += skipped
            for start in range(skipped, batch.num_rows, _ROWS):
                if self._stopping.is_set():
                    return
                part = batch.slice(start, _ROWS)
                row += part.num_rows
                self._behind = {**self._behind, path: row}
                position = {"rows": self._behind}
                self._put(Chunk(self.name, _stream(part), "arrow", position, time.monotonic(), Path(path).stem))


def _batches(path: str) -> Iterator[Any]:
    with Path(path).open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"PAR1"):
        with library("pyarrow.parquet", "monitor").ParquetFile(path, memory_map=True) as parquet:
            yield from parquet.iter_batches(_ROWS)
        return
    ipc = library("pyarrow.ipc", "monitor")
    with library("pyarrow", "monitor").memory_map(path) as mapped:
        if magic == b"ARROW1":
            reader = ipc.open_file(mapped)
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            yield from ipc.open_stream(mapped)


def _stream(batch: Any) -> bytes:
    """The batch as an Arrow stream."""
    pa = library("pyarrow", "monitor")
    sink = pa.BufferOutputStream()
    with library("pyarrow.ipc", "monitor").new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
