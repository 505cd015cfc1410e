"""Recorded data at a speed: all of it, in its order, none of it before it is due."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest

from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk
from aez.daemon.files.arrow import ArrowFiles
from aez.daemon.files.followed import FileOptions
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS, Simulation
from aez.daemon.sources.pace import paced

SIMULATION = Simulation(streams=1, seed=1)
SECOND = 1_000_000_000
MOMENTS = [SIMULATION.start + n * SECOND for n in range(100)]


def chunk(data: bytes, format: str, header: str | None = None) -> Chunk:
    return Chunk("file", data, format, {"offset": 7}, 0.0, "pump", header)


def times(one: Chunk) -> list[int]:
    options = {"stream": "stream"} if one.format != "line" else {"stream": "{stream}"}
    samples, _ = parser(one.format, Options.from_mapping(options), Limits()).parse_many([one])
    return [int(time) for batch in samples for time in batch.time]


class Taken:
    """What was put, and when."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.at: list[float] = []

    def put(self, one: Chunk) -> None:
        self.chunks.append(one)
        self.at.append(time.monotonic())


def lines(rows: int, format: str) -> bytes:
    return b"".join(encode(block, format) for block in SIMULATION.blocks(rows, 0))


@pytest.mark.parametrize("format", ["json", "line"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_pieces_are_whole_lines_and_all_of_them(format: str, end: str) -> None:
    data = lines(400, format).rstrip(b"\n") + end.encode()
    taken = Taken()
    paced(taken.put, times, 1000.0, threading.Event())(chunk(data, format))
    assert b"".join(one.data for one in taken.chunks) == data
    assert len(taken.chunks) > 1
    assert all(one.data.endswith(b"\n") for one in taken.chunks[:-1])
    assert {(one.stream, one.format, one.position["offset"]) for one in taken.chunks} == {("pump", format, 7)}


def test_the_header_of_csv_stays_with_each_piece() -> None:
    header = ",".join(("time", "stream", *CHANNELS))
    taken = Taken()
    paced(taken.put, times, 100.0, threading.Event())(chunk(lines(50, "csv"), "csv", header))
    assert {one.header for one in taken.chunks} == {header}
    assert len(taken.chunks) > 1
    assert sum(len(times(one)) for one in taken.chunks) == 50


def test_rows_of_arrow_are_cut_as_well(tmp_path: Path) -> None:
    table: Any = pa.table({"time": MOMENTS, "stream": ["a"] * 100, "x": [1.0] * 100})
    with pyarrow.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    found: list[Chunk] = []
    source = ArrowFiles("file", FileOptions(paths=[str(tmp_path / "x.arrow")], follow=False))
    source.start(found.append)
    assert source.done.wait(20)
    source.close()
    taken = Taken()
    paced(taken.put, times, 500.0, threading.Event())(found[0])
    assert len(taken.chunks) > 1
    rows = [pa.ipc.open_stream(io.BytesIO(one.data)).read_all().num_rows for one in taken.chunks]
    assert sum(rows) == 100
    assert [moment for one in taken.chunks for moment in times(one)] == MOMENTS


def test_nothing_comes_before_it_is_due() -> None:
    taken = Taken()
    begun = time.monotonic()  # before the first is taken, which may itself be late
    paced(taken.put, times, 20.0, threading.Event())(chunk(lines(11, "json"), "json"))
    first = times(taken.chunks[0])[-1]
    for one, at in zip(taken.chunks, taken.at, strict=True):
        assert at - begun >= (times(one)[-1] - first) / SECOND / 20 - 0.001
    assert taken.at[-1] - begun >= 0.3


def test_times_that_go_back_and_messages_without_are_not_waited_for() -> None:
    data = b'{"time": 1700001000, "stream": "a", "x": 1}\n{"time": 1700000010, "stream": "a", "x": 1}\n{bad\n'
    taken = Taken()
    paced(taken.put, times, 1e-6, threading.Event())(chunk(data[len(data) // 2 :], "json"))
    hold = paced(taken.put, times, 1.0, threading.Event())
    for line in data.splitlines(keepends=True):
        hold(chunk(line, "json"))
    assert len(taken.chunks) >= 4


def test_a_stop_ends_the_wait() -> None:
    stop, taken = threading.Event(), Taken()
    data = b'{"time": 1700000001, "stream": "a", "x": 1}\n{"time": 1700100000, "stream": "a", "x": 1}\n'
    thread = threading.Thread(target=paced(taken.put, times, 1.0, stop), args=(chunk(data, "json"),))
    thread.start()
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert len(taken.chunks) == 2
