"""Files that hold several streams: parted by a column, or told with the column that looks like it; holes in clocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series, holes
from aez.codec.series.reader import read_batches, read_series, read_streams

MS = 1_000_000
START = 1_767_225_600_000  # ms


def write(path: Path, rows: list[tuple[int, str, float]], column: str = "machine") -> Path:
    """Rows (ms, stream, value)."""
    times = np.datetime_as_string(np.array([START + row[0] for row in rows], "datetime64[ms]"))
    lines = [f"time,{column},heat"] + [
        f"{time},{name},{value}" for time, (_, name, value) in zip(times, rows, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def machines(count: int = 60, offsets: tuple[int, ...] = (0, 0, 0), names: str = "abc") -> list[tuple[int, str, float]]:
    """A row a second of each machine, their clocks so many ms beside each other, in order of time."""
    rows = [
        (1000 * row + offset, f"m-{name}", 100.0 * place + row)
        for row in range(count)
        for place, (offset, name) in enumerate(zip(offsets, names, strict=False))
    ]
    return sorted(rows)


def test_each_stream_gets_its_own_rows_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", machines())
    streams, about = read_streams(path, "machine")
    assert [one.name for one in streams] == ["m-a", "m-b", "m-c"]
    for place, one in enumerate(streams):
        assert one.channels == ("heat",)
        assert one.values[:, 0].tolist() == [100.0 * place + row for row in range(60)]
        assert one.time is not None
        assert set(np.diff(one.time)) == {1000 * MS}
    assert about.streams == {"m-a": 60, "m-b": 60, "m-c": 60}
    assert (about.rows, about.period_seconds, about.duplicates, about.backwards) == (180, 1.0, 0, 0)
    assert "streams   3 of 60 rows: m-a, m-b, m-c" in about.lines()
    assert about.dropped == {}


def test_names_may_be_numbers_and_the_summary_tells_each_clock(tmp_path: Path) -> None:
    rows = [(1000 * row, str(7 + row % 2), float(row)) for row in range(40)]
    rows[20] = (rows[18][0], *rows[20][1:])  # stream 7 repeats a time
    streams, about = read_streams(write(tmp_path / "x.csv", rows, "id"), "id", channels=["heat"])
    assert [(one.name, len(one)) for one in streams] == [("7", 20), ("8", 20)]
    assert about.duplicates == 1
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"t": row, "id": 3 + row % 2, "v": row}) + "\n" for row in range(10)))
    assert [one.name for one in read_streams(path, "id")[0]] == ["3", "4"]


def test_what_names_no_stream_is_refused_by_its_place(tmp_path: Path) -> None:
    rows = machines()
    rows[4] = (rows[4][0], "", 1.0)
    path = write(tmp_path / "x.csv", rows)
    with pytest.raises(UnsupportedInput, match="line 6: column 'machine' names no stream"):
        read_streams(path, "machine")
    with pytest.raises(InvalidArgument, match=r"no column of streams 'machin' \(nearest: 'machine'\)"):
        read_streams(path, "machin")
    with pytest.raises(InvalidArgument, match="'heat' cannot name the streams and be something else"):
        read_streams(path, "heat", channels=["heat"])


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        (machines(), "machine"),  # the same times
        (machines(offsets=(0, 337, 671)), "machine"),  # clocks beside each other: the time never goes back
        (sorted(machines(), key=lambda row: row[1]), "machine"),  # one machine behind the other
        (machines(), "colour"),  # whatever its name, where times repeat all the time
    ],
)
def test_mixed_streams_are_told_with_the_column_that_looks_like_their_name(
    tmp_path: Path, rows: list[tuple[int, str, float]], column: str
) -> None:
    path = write(tmp_path / "x.csv", rows, column)
    assert read_series(path)[1].mixed == column
    assert read_series(path, ignore=[column])[1].mixed == column
    assert read_series(path, channels=["heat"])[1].as_dict()["mixed"] == column
    assert read_streams(path, column)[1].mixed is None


def test_the_rows_of_one_stream_look_like_no_others(tmp_path: Path) -> None:
    def mixed(rows: list[tuple[int, str, float]], column: str = "machine") -> str | None:
        return read_series(write(tmp_path / "x.csv", rows, column))[1].mixed

    one = [(1000 * row, "m-a", float(row)) for row in range(90)]
    assert mixed(one) is None
    state = [(time, "on" if time // 10_000 % 2 else "off", value) for time, _, value in one]
    assert mixed(state, "state") is None
    assert mixed([*state[:50], state[49], *state[50:]], "state") is None  # a time that repeats now and then
    assert mixed([*state[:50], *state[30:]], "state") is None  # and one that goes back in the middle of a state
    turns = [(time, "ab"[row % 2], value) for row, (time, _, value) in enumerate(one)]
    assert mixed([(time + row % 7 * 100, *rest) for row, (time, *rest) in enumerate(turns)], "phase") is None
    assert mixed([(time, str(row), value) for row, (time, _, value) in enumerate(one)], "id") is None  # each row's own


def test_several_streams_are_found_in_blocks_of_a_large_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", machines(30_000))
    reader = read_batches(path, rows=1000)
    for _ in reader:
        pass
    assert reader.summary().mixed == "machine"
    assert [len(one) for one in read_streams(path, "machine")[0]] == [30_000] * 3


def at(*seconds: float) -> Series:
    time = np.round(np.array(seconds) * 1e9).astype(np.int64)
    return Series(np.zeros((len(time), 1)), ("x",), time)


def test_a_hole_is_a_step_that_the_clock_does_not_have_otherwise() -> None:
    regular = list(np.arange(200.0))
    assert holes(at(*regular)).tolist() == []
    assert holes(at(*(time for time in regular if time != 50))).tolist() == [50]
    assert holes(at(*regular, *(time + 3800 for time in regular))).tolist() == [200]
    uneven = np.cumsum(np.random.default_rng(0).choice([1.0, 2.0], 400, p=[0.9, 0.1]))
    assert holes(at(*uneven)).tolist() == []
    bursts = [3600.0 * burst + second for burst in range(20) for second in range(30)]
    assert holes(at(*bursts)).tolist() == list(range(30, 600, 30))
    assert holes(Series(np.zeros((9, 1)), ("x",))).tolist() == []
