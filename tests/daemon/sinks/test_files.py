"""Standard output and the rotating file of JSON Lines."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.sinks.base import SinkError
from aez.daemon.sinks.console import ConsoleOptions, ConsoleSink
from aez.daemon.sinks.json_lines import JsonLinesOptions, JsonLinesSink
from aez.daemon.sinks.wire import as_json, iso_time
from tests.kit.event_steps import SECOND, START, step, steps
from tests.kit.places import ROOT


def written(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def everything(path: Path, count: int) -> list[str]:
    """Of all files, the oldest first."""
    files = [Path(f"{path}.{number}") for number in range(count, 0, -1)]
    return [name for file in (*files, path) for name in written(file)]


def test_a_line_for_people_says_when_what_where_and_why() -> None:
    stream = io.StringIO()
    ConsoleSink(ConsoleOptions(), stream=stream).deliver([step("0123456789abcdef", 2, "close", time=START + SECOND)])
    assert stream.getvalue() == (
        "2023-11-14T22:13:21.000000Z  close  pump  serious  peak 3.25  temperature 75%, pressure 25%"
        "  [0123456789ab.2]\n"
    )


def test_a_stream_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    ConsoleSink(ConsoleOptions(), stream=stream).deliver([step(stream="\x1b[2Jpump\nfake line")])
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_standard_output_that_is_gone_is_an_error() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(SinkError, match="closed"):
        ConsoleSink(ConsoleOptions(), stream=stream).deliver([step()])


def test_standard_output_is_flushed_for_a_pipe() -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from tests.kit.event_steps import step;"
        "from aez.daemon.sinks.console import ConsoleOptions, ConsoleSink;"
        "ConsoleSink(ConsoleOptions(format='json')).deliver([step()]); os._exit(0)"
    )
    command = [sys.executable, "-c", script, str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.stdout == as_json(step()) + "\n"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        ((1 << 63) - 1, "2262-04-11T23:47:16.854775Z"),
        (-(1 << 63), "1677-09-21T00:12:43.145224Z"),
        (10**30, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_told_in_utc(time: int, text: str) -> None:
    assert iso_time(time) == text


def test_files_rotate_by_size_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    line = len(as_json(steps(1)[0])) + 1
    sink = JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=4 * line, max_files=2))
    records = steps(23)
    for start in range(0, 23, 3):
        sink.deliver(records[start : start + 3])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["e.jsonl", "e.jsonl.1", "e.jsonl.2"]
    assert everything(path, 2) == [record.id for record in records[12:]]
    assert all(file.stat().st_size <= 4 * line for file in tmp_path.iterdir())


def test_one_delivery_may_fill_several_files(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    line = len(as_json(steps(1)[0])) + 1
    JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=4 * line, max_files=9)).deliver(steps(23))
    assert everything(path, 9) == [record.id for record in steps(23)]
    assert len(list(tmp_path.iterdir())) == 6


def test_a_line_longer_than_a_file_has_one_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=10, max_files=5)).deliver(steps(3))
    assert everything(path, 5) == [record.id for record in steps(3)]


def test_without_older_files_a_full_one_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    line = len(as_json(steps(1)[0])) + 1
    JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=2 * line, max_files=0)).deliver(steps(5))
    assert [file.name for file in tmp_path.iterdir()] == ["e.jsonl"]
    assert written(path) == [steps(5)[4].id]


def test_zero_never_rotates(tmp_path: Path) -> None:
    JsonLinesSink(JsonLinesOptions(path=str(tmp_path / "e.jsonl"), rotate_bytes=0)).deliver(steps(50))
    assert len(written(tmp_path / "e.jsonl")) == 50


@pytest.mark.parametrize("fsync", [True, False])
def test_a_delivery_that_comes_again_after_a_restart_is_not_written_again(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "e.jsonl"
    line = len(as_json(steps(1)[0])) + 1
    JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=4 * line, max_files=9, fsync=fsync)).deliver(steps(10))
    again = JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=4 * line, max_files=9, fsync=fsync))
    again.deliver(steps(12))
    again.deliver(steps(12))
    assert everything(path, 9) == [record.id for record in steps(12)]


def test_a_restart_at_any_byte_of_a_write_gives_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    whole = "".join(as_json(record) + "\n" for record in steps(3)).encode()
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        JsonLinesSink(JsonLinesOptions(path=str(path), fsync=False)).deliver(steps(3))
        assert path.read_bytes() == whole


def test_a_long_line_that_was_cut_short_goes_and_lines_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"a remark\n" + b"[1]\n" + b"x" * 200_000)
    JsonLinesSink(JsonLinesOptions(path=str(path))).deliver(steps(1))
    assert path.read_bytes() == b"a remark\n[1]\n" + as_json(steps(1)[0]).encode() + b"\n"


def test_a_file_that_somebody_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    sink = JsonLinesSink(JsonLinesOptions(path=str(path)))
    sink.deliver(steps(1, "a"))
    path.rename(tmp_path / "moved")
    sink.deliver(steps(1, "b"))
    assert written(path) == ["b00000"]


def test_a_write_without_room_leaves_no_half_line_and_goes_on_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.jsonl"
    sink = JsonLinesSink(JsonLinesOptions(path=str(path)))
    sink.deliver(steps(2))
    before = path.read_bytes()
    real = os.write

    def half(file: int, data: memoryview) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return real(file, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(SinkError, match="No space left"):
            sink.deliver(steps(5))
    assert path.read_bytes() == before
    sink.deliver(steps(5))
    assert written(path) == [record.id for record in steps(5)]


@pytest.mark.parametrize("options", [{"rotate_bytes": -1}, {"max_files": -1}])
def test_senseless_sizes_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument):
        JsonLinesSink(JsonLinesOptions.of(path=str(tmp_path / "e"), **options))


def test_a_check_names_what_is_wrong_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="is a folder"):
        JsonLinesSink(JsonLinesOptions(path=str(tmp_path))).check()
    with pytest.raises(SinkError, match="does not exist"):
        JsonLinesSink(JsonLinesOptions(path=str(tmp_path / "a" / "b"))).check()
    with pytest.raises(InvalidArgument, match="yaml"):
        ConsoleSink(ConsoleOptions(format="yaml"))  # type: ignore[arg-type]


def test_a_process_killed_between_two_renames_of_a_rotation_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = len(as_json(steps(1)[0])) + 1
    real = Path.replace
    for killed_at in range(4):
        path = tmp_path / str(killed_at) / "e.jsonl"
        path.parent.mkdir()
        JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=2 * line, max_files=9)).deliver(steps(8))
        renames: list[Path] = []

        def replace(self: Path, target: Path, renames: list[Path] = renames, last: int = killed_at) -> Path:
            if len(renames) == last:
                raise KeyboardInterrupt
            renames.append(self)
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=2 * line, max_files=9)).deliver(steps(9))
        JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=2 * line, max_files=9)).deliver(steps(9))
        assert everything(path, 9) == [record.id for record in steps(9)]
