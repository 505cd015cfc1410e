"""Rows of 20 features that hang together, with faults on a schedule, as samples and as files of every format.

The same arguments give the same rows, so that a run can be repeated and peers get the very rows that the monitor got.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.daemon.simulate.satellites import START

__all__ = ["FEATURES", "FORMATS", "RowBlock", "Rows", "bodies", "matrix", "write"]

#: Whether a stream is to be written, by its number; None for all.
Wanted = Callable[[int], bool] | None
#: What is known of a network flow.
FEATURES = (
    "duration",
    "packets_in",
    "packets_out",
    "bytes_in",
    "bytes_out",
    "size_mean_in",
    "size_mean_out",
    "size_deviation_in",
    "size_deviation_out",
    "gap_mean_in",
    "gap_mean_out",
    "gap_deviation_in",
    "gap_deviation_out",
    "window_in",
    "window_out",
    "retransmitted",
    "round_trip",
    "active_time",
    "idle_time",
    "ratio",
)
FORMATS = {"json": "jsonl", "line": "lp", "csv": "csv", "arrow": "arrow", "parquet": "parquet"}
SECOND = 1_000_000_000
_BLOCK = 32_768
_FACTORS, _FAULTY = 4, 3


@dataclass(frozen=True)
class RowBlock:
    """Rows in the order of time.

    stream: int32 [n], number of each row's stream. time: int64 [n], ns since 1970 UTC. values: float32 [n, 20].
    """

    stream: NDArray[np.int32]
    time: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """`count` rows, the streams in turn, one row of each a second.

    every: rows of a stream from one fault to the next, 0 for none; a fault lasts `length` rows.
    """

    count: int
    streams: int = 100
    seed: int = 0
    every: int = 2000
    length: int = 20

    def name(self, stream: int) -> str:
        """The name of a stream by its number."""
        return f"flow-{stream:04d}"

    def blocks(self) -> Iterator[RowBlock]:
        """All rows, some at a time."""
        shape = np.random.default_rng(20)  # of all flows, whatever the seed, so that a model fits them
        mixing = shape.normal(size=(_FACTORS, len(FEATURES)))
        centre, scale = shape.uniform(10, 1000, len(FEATURES)), shape.uniform(1, 50, len(FEATURES))
        for start in range(0, self.count, _BLOCK):
            rng = np.random.default_rng([self.seed, start])
            number = np.arange(start, min(start + _BLOCK, self.count))
            row, stream = np.divmod(number, self.streams)
            values = rng.normal(size=(len(number), _FACTORS)) @ mixing + 0.5 * rng.normal(size=(len(number), 20))
            if self.every:
                place = row + stream * 37 % self.every  # streams have their faults at different times
                faulty = (place % self.every < self.length) & (row > 100)
                for turn in range(_FAULTY):
                    values[faulty, (place[faulty] // self.every * 7 + turn * 5) % 20] += 12
            values = values * scale + centre
            yield RowBlock(stream.astype(np.int32), START + row * SECOND, values.astype(np.float32))


def write(rows: Rows, path: Path, kind: str, wanted: Wanted = None) -> None:
    """Write the rows as a file of a format, one of `FORMATS`; only of the streams whose number is `wanted`."""
    if kind in ("arrow", "parquet"):
        _write_tables(rows, path, kind)
        return
    with path.open("wb") as file:
        if kind == "csv":
            file.write(",".join(["time", "stream", *FEATURES]).encode() + b"\n")
        lines = _LINES[kind]
        for block in rows.blocks():
            file.write(lines(rows, block, wanted))


def bodies(path: Path, size: int = 1 << 20) -> list[bytes]:
    """The file's whole lines in pieces of about `size` bytes."""
    found = []
    with path.open("rb") as file:
        while piece := file.read(size):
            found.append(piece + file.readline())
    return found


def _write_tables(rows: Rows, path: Path, kind: str) -> None:
    pa = library("pyarrow", "monitor")
    names = pa.array([rows.name(number) for number in range(rows.streams)])
    schema = pa.schema(
        [
            ("time", pa.timestamp("ns", "UTC")),
            ("stream", pa.dictionary(pa.int32(), pa.string())),
            *((name, pa.float32()) for name in FEATURES),
        ]
    )

    def table(block: RowBlock) -> Any:
        stream = pa.DictionaryArray.from_arrays(pa.array(block.stream), names)
        columns = [pa.array(block.values[:, place]) for place in range(len(FEATURES))]
        return pa.table([pa.array(block.time).cast(schema.field("time").type), stream, *columns], schema)

    if kind == "parquet":
        writer = library("pyarrow.parquet", "monitor").ParquetWriter(path, schema)
    else:
        writer = library("pyarrow.ipc", "monitor").new_file(str(path), schema)
    with writer:
        for block in rows.blocks():
            writer.write_table(table(block))


def _selected(rows: Rows, block: RowBlock, wanted: Wanted) -> Iterator[tuple[str, int, list[float]]]:
    names = [rows.name(number) for number in range(rows.streams)]
    taken = [wanted is None or wanted(number) for number in range(rows.streams)]
    for stream, time, values in zip(block.stream.tolist(), block.time.tolist(), block.values.tolist(), strict=True):
        if taken[stream]:
            yield names[stream], time, values


def _json(rows: Rows, block: RowBlock, wanted: Wanted) -> bytes:
    shape = '{"time":%d,"stream":"%s",' + ",".join(f"{json.dumps(name)}:%.6g" for name in FEATURES) + "}\n"
    return "".join([shape % (time, name, *values) for name, time, values in _selected(rows, block, wanted)]).encode()


def _line(rows: Rows, block: RowBlock, wanted: Wanted) -> bytes:
    shape = "flow,stream=%s " + ",".join(f"{name}=%.6g" for name in FEATURES) + " %d\n"
    return "".join([shape % (name, *values, time) for name, time, values in _selected(rows, block, wanted)]).encode()


def _csv(rows: Rows, block: RowBlock, wanted: Wanted) -> bytes:
    shape = ",".join(["%d", "%s", *["%.6g"] * len(FEATURES)]) + "\n"
    return "".join([shape % (time, name, *values) for name, time, values in _selected(rows, block, wanted)]).encode()


_LINES: dict[str, Callable[[Rows, RowBlock, Wanted], bytes]] = {
    "json": _json,
    "line": _line,
    "csv": _csv,
}


def matrix(rows: Rows) -> NDArray[np.float32]:
    """The values of all rows, float32 [count, 20]."""
    found: Sequence[NDArray[np.float32]] = [block.values for block in rows.blocks()]
    return np.concatenate(found)
