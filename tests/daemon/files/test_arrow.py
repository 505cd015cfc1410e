"""Replaying Arrow and Parquet files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.build.opening import open_source
from aez.daemon.common.limits import Limits
from aez.daemon.files.arrow import ArrowFiles
from aez.daemon.files.followed import FileOptions
from aez.daemon.sources.base import Source
from tests.kit.source_harness import Intake

ROWS = 50_000


def table(start: int = 0, rows: int = ROWS) -> pa.Table:
    return pa.table({"time": range(start, start + rows), "a": [float(row % 7) for row in range(rows)]})


def write_stream(data: pa.Table, path: str) -> None:
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, data.schema) as writer:
        writer.write_table(data, max_chunksize=7000)


WRITERS: dict[str, Callable[[pa.Table, str], Any]] = {
    "parquet": lambda data, path: pa.parquet.write_table(data, path, row_group_size=9000),
    "arrow": lambda data, path: pa.feather.write_feather(data, path, compression="uncompressed"),
    "packed.arrow": lambda data, path: pa.feather.write_feather(data, path, compression="lz4"),
    "arrows": write_stream,
}


def read(intake: Intake) -> pa.Table:
    return pa.concat_tables([pa.ipc.open_stream(chunk.data).read_all() for chunk in intake.chunks])


def run(source: Source, position: Any = None) -> Intake:
    intake = Intake()
    source.start(intake.put, position)
    assert source.done.wait(20)
    source.close()
    return intake


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_row_comes_and_a_restart_goes_on_behind_the_last(tmp_path: Path, kind: str) -> None:
    paths = [str(tmp_path / f"{name}.{kind}") for name in "ab"]
    for start, path in zip((0, ROWS), paths, strict=True):
        WRITERS[kind](table(start), path)
    everything = run(ArrowFiles("source", FileOptions(paths=paths, follow=False)))
    assert read(everything)["time"].to_pylist() == list(range(2 * ROWS))
    assert {chunk.format for chunk in everything.chunks} == {"arrow"}
    assert len(everything.chunks) > 6
    for number in (0, len(everything.chunks) // 2):
        position = json.loads(json.dumps(everything.chunks[number].position))
        rest = run(ArrowFiles("source", FileOptions(paths=paths, follow=False)), position)
        done = sum(pa.ipc.open_stream(chunk.data).read_all().num_rows for chunk in everything.chunks[: number + 1])
        assert read(rest)["time"].to_pylist() == list(range(done, 2 * ROWS))


def test_a_damaged_file_is_named_and_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing of the kind")
    (tmp_path / "b.arrow").write_bytes(b"no arrow at all")
    pa.parquet.write_table(table(rows=10), tmp_path / "c.parquet")
    source = ArrowFiles("source", FileOptions(paths=[str(tmp_path / "*")], follow=False))
    intake = run(source)
    assert read(intake).num_rows == 10
    assert "a.parquet" in source.status()
    assert "b.arrow" in source.status()


def test_no_file_is_named(tmp_path: Path) -> None:
    source = ArrowFiles("source", FileOptions(paths=[str(tmp_path / "none.*")], follow=False))
    assert not run(source).chunks
    assert "none.*" in source.status()


def test_the_kind_file_opens_them_and_refuses_to_follow(tmp_path: Path) -> None:
    options = FileOptions(paths=[str(tmp_path)], format="arrow", from_beginning=True, open_files=3)
    assert isinstance(open_source("file", "source", replace(options, follow=False), Limits(line_bytes=16)), ArrowFiles)
    with pytest.raises(InvalidArgument, match="follow"):
        open_source("file", "source", options)
    with pytest.raises(InvalidArgument, match="paths"):
        open_source("file", "source", replace(options, paths=[]))
