"""Following files: whole lines, rotation, restarts at the right byte."""

import contextlib
import gzip
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.common.table_head import is_preamble
from aez.codec.errors import InvalidArgument
from aez.daemon.files.followed import FileOptions, Files
from aez.daemon.files.rotation import lineage
from aez.daemon.sources.lines import LineCutter
from aez.daemon.sources.stdin import Stdin, StdinOptions
from tests.kit.source_harness import Intake, told
from tests.kit.waiting import until

Opener = Callable[..., Files]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    sources: list[Files] = []

    def open_one(*names: str, **options: Any) -> Files:
        paths = [str(tmp_path / name) for name in names or ("data.jsonl",)]
        sources.append(
            Files("source", *told(FileOptions, paths=paths, poll_seconds=0.005, scan_seconds=0.01, **options))
        )
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


def append(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(lines) + end)


def text(intake: Intake) -> list[str]:
    return [line.decode() for line in intake.lines()]


def last_position(intake: Intake) -> dict[str, Any]:
    position: dict[str, Any] = json.loads(json.dumps(intake.chunks[-1].position))
    return position


def read_on(opened: Opener, position: dict[str, Any] | None, count: int, *names: str, **options: Any) -> Intake:
    """Start a new source behind `position` and take `count` lines, and what comes within a moment more."""
    source, intake = opened(*names, **options), Intake()
    source.start(intake.put, position)
    until(lambda: len(intake.lines()) >= count)
    time.sleep(0.1)
    source.close()
    return intake


def test_a_line_is_handed_on_once_it_is_whole(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    source, intake = opened(), Intake()
    source.start(intake.put)
    append(path, "one", "tw", end="")
    until(lambda: text(intake) == ["one"])
    time.sleep(0.05)
    assert text(intake) == ["one"]
    append(path, "o", "three")
    until(lambda: text(intake) == ["one", "two", "three"])
    assert {chunk.stream for chunk in intake.chunks} == {"data"}


def test_half_a_line_is_read_again_after_a_restart(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one", "tw", end="")
    position = last_position(read_on(opened, None, 1))
    append(path, "o")
    assert text(read_on(opened, position, 1)) == ["two"]


def test_a_restart_after_each_chunk_gives_every_line_once(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    lines = [f"line {number} " + "x" * 1000 for number in range(5000)]  # five chunks
    append(path, *lines)
    everything = read_on(opened, None, len(lines))
    assert len(everything.chunks) > 3
    for number, chunk in enumerate(everything.chunks[:-1], 1):
        rest = read_on(opened, json.loads(json.dumps(chunk.position)), 1)
        wanted = b"".join(later.data for later in everything.chunks[number:])
        assert b"".join(later.data for later in rest.chunks) == wanted


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one")
    source, intake = opened(), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["one"])
    writer = path.open("a")
    path.rename(tmp_path / "data.jsonl.1")
    path.touch()
    time.sleep(0.05)
    writer.write("two\nthree without an end")  # the writer has not noticed yet
    writer.close()
    append(path, "four")
    until(lambda: len(text(intake)) >= 4)
    assert text(intake) == ["one", "two", "three without an end", "four"]
    append(path, "five")
    until(lambda: text(intake)[-1] == "five")
    (tmp_path / "data.jsonl.1").rename(tmp_path / "data.jsonl.2")
    path.rename(tmp_path / "data.jsonl.1")
    append(path, "six")
    until(lambda: text(intake)[-1] == "six")
    assert text(intake) == ["one", "two", "three without an end", "four", "five", "six"]


def test_many_rotations_under_load_lose_nothing(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    source, intake = opened(), Intake()
    append(path, "first")
    source.start(intake.put)
    until(lambda: text(intake) == ["first"])
    for rotation in range(30):
        append(path, *(f"{rotation}-{number}" for number in range(200)))
        for age in range(5, 0, -1):
            if (old := tmp_path / f"data.jsonl.{age}").exists():
                old.rename(tmp_path / f"data.jsonl.{age + 1}")
        path.rename(tmp_path / "data.jsonl.1")
        append(path, f"{rotation}-200")
        time.sleep(0.003)
        until(lambda rotation=rotation: len(text(intake)) > (rotation - 3) * 201)  # six old files are kept
    wanted = ["first", *(f"{rotation}-{number}" for rotation in range(30) for number in [*range(200), 200])]
    until(lambda: len(text(intake)) >= len(wanted))
    assert text(intake) == wanted


def test_a_truncated_file_begins_again(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one", "two")
    source, intake = opened(), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["one", "two"])
    os.truncate(path, 0)
    append(path, "three")
    until(lambda: len(text(intake)) == 3)
    append(path, "four")
    until(lambda: text(intake) == ["one", "two", "three", "four"])


def test_a_truncated_file_that_grew_beyond_its_old_size_is_noticed(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one", "two")
    source, intake = opened(), Intake()
    source.start(intake.put)
    until(lambda: len(text(intake)) == 2)
    with path.open("r+b") as file:  # in one step for who looks at it, as good as that goes
        file.write(b"three and more than there was\n")
    until(lambda: len(text(intake)) == 3)
    assert text(intake) == ["one", "two", "three and more than there was"]


def test_a_copy_made_before_truncation_is_read_on(tmp_path: Path, opened: Opener) -> None:
    path, copy = tmp_path / "data.jsonl", tmp_path / "data.jsonl.1"
    append(path, "one")
    source, intake = opened(), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["one"])
    source.close()
    position = last_position(intake)
    append(path, "two", "three")
    shutil.copy2(path, copy)
    os.truncate(path, 0)
    append(path, "four")
    assert text(read_on(opened, position, 3)) == ["two", "three", "four"]


def test_copies_and_truncations_under_load_lose_nothing(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "first")
    source, intake = opened(), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["first"])
    for rotation in range(20):
        append(path, *(f"{rotation}-{number}" for number in range(100)))
        for age in range(5, 0, -1):
            if (old := tmp_path / f"data.jsonl.{age}").exists():
                old.rename(tmp_path / f"data.jsonl.{age + 1}")
        shutil.copy2(path, tmp_path / "data.jsonl.1")
        os.truncate(path, 0)
        time.sleep(0.005)
        until(lambda rotation=rotation: len(text(intake)) > (rotation - 3) * 100)
    wanted = ["first", *(f"{rotation}-{number}" for rotation in range(20) for number in range(100))]
    until(lambda: len(set(text(intake))) >= len(wanted))
    assert list(dict.fromkeys(text(intake))) == wanted  # a line may come twice where a copy was being made


def test_rotations_while_the_process_was_away_are_made_up_for(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one")
    position = last_position(read_on(opened, None, 1))
    append(path, "two")
    for number, line in ((3, "three"), (2, "four"), (1, "five")):
        path.rename(tmp_path / f"data.jsonl.{number}")
        append(path, line)
        time.sleep(0.02)
    assert text(read_on(opened, position, 4)) == ["two", "three", "four", "five"]


def test_a_compressed_predecessor_is_passed_over_and_the_rest_read(
    tmp_path: Path, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one")
    position = last_position(read_on(opened, None, 1, "data.jsonl*"))
    append(path, "two")
    with gzip.open(tmp_path / "data.jsonl.2.gz", "wb") as packed:
        packed.write(path.read_bytes())
    path.unlink()
    time.sleep(0.02)
    append(tmp_path / "data.jsonl.1", "three")
    time.sleep(0.02)
    append(path, "four")
    assert text(read_on(opened, position, 2, "data.jsonl*")) == ["three", "four"]
    assert "is not there any more" in caplog.text


def test_another_file_with_the_same_inode_is_read_from_its_beginning(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one", "two")
    intake = read_on(opened, None, 2)
    position = last_position(intake)
    with path.open("r+b") as file:  # the same inode, other bytes, longer than before
        file.write(b"another file\nof another time\n")
    assert text(read_on(opened, position, 2)) == ["another file", "of another time"]


def test_a_pattern_finds_files_that_come_later_and_goes_on_in_each(tmp_path: Path, opened: Opener) -> None:
    append(tmp_path / "a.jsonl", "a1")
    source, intake = opened("*.jsonl"), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["a1"])
    append(tmp_path / "b.jsonl", "b1")
    append(tmp_path / "a.jsonl", "a2")
    until(lambda: len(text(intake)) == 3)
    source.close()
    assert {chunk.stream: chunk.data for chunk in intake.chunks}["b"] == b"b1\n"
    append(tmp_path / "a.jsonl", "a3")
    append(tmp_path / "b.jsonl", "b2")
    append(tmp_path / "c.jsonl", "c1")
    assert sorted(text(read_on(opened, last_position(intake), 3, "*.jsonl"))) == ["a3", "b2", "c1"]


def test_rotated_names_that_match_the_pattern_are_not_read_twice(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one")
    source, intake = opened("data*"), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["one"])
    path.rename(tmp_path / "data.jsonl.1")  # history of data.jsonl
    append(path, "two")
    until(lambda: text(intake) == ["one", "two"])
    path.rename(tmp_path / "data-old.jsonl")  # a name like any other
    append(path, "three")
    until(lambda: len(text(intake)) >= 3)
    time.sleep(0.1)
    assert text(intake) == ["one", "two", "three"]
    source.close()
    assert text(read_on(opened, last_position(intake), 0, "data*")) == []


def test_from_the_end_only_what_is_appended_comes(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "old", "half", end="")
    source, intake = opened(from_beginning=False), Intake()
    source.start(intake.put)
    time.sleep(0.1)
    append(path, " a line", "new")
    until(lambda: len(text(intake)) > 0)
    assert text(intake) == ["new"]


def test_the_header_of_csv_goes_with_each_chunk_also_after_a_restart(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"time,a,b\r\n1,2,3\r\n")
    first = read_on(opened, None, 1, "data.csv", format="csv")
    assert [(chunk.header, chunk.data) for chunk in first.chunks] == [("time,a,b", b"1,2,3\r\n")]
    append(path, "4,5,6")
    second = read_on(opened, last_position(first), 1, "data.csv", format="csv")
    assert [(chunk.header, chunk.data) for chunk in second.chunks] == [("time,a,b", b"4,5,6\n")]
    path.rename(tmp_path / "data.csv.1")
    append(path, "time,c", "7,8")
    third = read_on(opened, last_position(second), 1, "data.csv", format="csv")
    assert [(chunk.header, chunk.data) for chunk in third.chunks] == [("time,c", b"7,8\n")]


def test_without_a_header_every_line_of_csv_is_data(tmp_path: Path, opened: Opener) -> None:
    append(tmp_path / "data.csv", "1,2", "3,4")
    source, intake = opened("data.csv", format="csv"), Intake()
    source.without_header()
    source.start(intake.put)
    until(lambda: len(intake.lines()) >= 2)
    assert [(chunk.header, chunk.data) for chunk in intake.chunks] == [(None, b"1,2\n3,4\n")]


def test_a_line_beyond_the_limit_comes_cut_and_the_next_ones_whole(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "before", "x" * 5_000_000, end="")
    source, intake = opened(line_bytes=10_000), Intake()
    source.start(intake.put)
    until(lambda: len(intake.lines()) == 2)
    time.sleep(0.05)
    position = last_position(intake)
    source.close()
    append(path, "still the same line", "after")
    assert intake.lines() == [b"before", b"x" * 10_001]
    assert text(read_on(opened, position, 1, line_bytes=10_000)) == ["after"]


def test_a_chunk_gathers_no_more_than_it_may(tmp_path: Path, opened: Opener) -> None:
    append(tmp_path / "data.jsonl", *(f"{number:099d}" for number in range(200)))
    intake = read_on(opened, None, 200, chunk_bytes=1024)
    assert max(len(chunk.data) for chunk in intake.chunks) < 1024 + 100  # and the line that was begun before
    assert len(read_on(opened, None, 200).chunks) == 1


def test_without_following_each_file_is_read_to_its_end_in_order(tmp_path: Path, opened: Opener) -> None:
    append(tmp_path / "b.jsonl", "b1", "b2 without an end", end="")
    append(tmp_path / "a.jsonl", "a1")
    source, intake = opened("*.jsonl", follow=False), Intake()
    source.start(intake.put)
    assert source.done.wait(10)
    assert text(intake) == ["a1", "b1", "b2 without an end"]


def test_a_missing_file_is_waited_for_when_followed_and_named_when_not(tmp_path: Path, opened: Opener) -> None:
    source, intake = opened(), Intake()
    source.start(intake.put)
    time.sleep(0.05)
    assert source.status() == ""
    append(tmp_path / "data.jsonl", "one")
    until(lambda: text(intake) == ["one"])
    once = opened("other.jsonl", follow=False)
    once.start(intake.put)
    assert once.done.wait(10)
    assert "other.jsonl" in once.status()


def test_files_beyond_the_limit_are_named(tmp_path: Path, opened: Opener) -> None:
    for number in range(4):
        append(tmp_path / f"{number}.jsonl", "line")
    source, intake = opened("*.jsonl", open_files=3), Intake()
    source.start(intake.put)
    until(lambda: len(text(intake)) == 3)
    assert "3.jsonl" in source.status()


def test_a_deleted_file_is_let_go_and_a_new_one_of_its_name_read(tmp_path: Path, opened: Opener) -> None:
    path = tmp_path / "data.jsonl"
    append(path, "one")
    source, intake = opened(), Intake()
    source.start(intake.put)
    until(lambda: text(intake) == ["one"])
    path.unlink()
    time.sleep(0.05)
    append(path, "two")
    until(lambda: text(intake) == ["one", "two"])


@pytest.mark.parametrize("options", [{"paths": []}, {"paths": "data.csv"}, {"paths": ["a"], "format": "arrow"}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Files("source", FileOptions.of(**options))


def test_lineage_lists_rotated_names_oldest_first(tmp_path: Path) -> None:
    names = ["data.csv.2", "data.csv.1", "data.csv-20260131", "data.csv.2026-02-01_10-00"]
    for age, name in enumerate(["data.csv", *names, "data.csv.3.gz", "data.csv.old", "data.csv2", "other.csv.1"]):
        append(tmp_path / name, name)
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    assert [Path(past.path).name for past in lineage(str(tmp_path / "data.csv"))] == [*names, "data.csv"]


def test_lineage_is_whole_though_a_listing_lacks_what_is_renamed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["data.jsonl.3", "data.jsonl.2", "data.jsonl.1", "data.jsonl"]
    for name in names:
        append(tmp_path / name, name)
    scandir, lacking = os.scandir, [{"data.jsonl.2"}, {"data.jsonl.1", "data.jsonl"}, set[str](), set[str]()]

    @contextlib.contextmanager
    def listing(folder: str) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            missed = lacking.pop(0)
            yield [entry for entry in entries if entry.name not in missed]

    monkeypatch.setattr(os, "scandir", listing)
    assert [Path(past.path).name for past in lineage(str(tmp_path / "data.jsonl"))] == names
    assert not lacking


def test_standard_input_hands_on_its_last_line_and_is_done() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"time,a\n1,2\n3,4")
    os.close(writing)
    source, intake = Stdin("source", StdinOptions(format="csv"), descriptor=reading), Intake()
    source.start(intake.put)
    assert source.done.wait(10)
    source.close()
    os.close(reading)
    assert b"".join(chunk.data for chunk in intake.chunks) == b"1,2\n3,4"
    assert {chunk.header for chunk in intake.chunks} == {"time,a"}


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    cuts=st.lists(st.integers(0, 600), max_size=10),
    with_header=st.booleans(),
    limit=st.integers(1, 40),
)
def test_however_bytes_are_cut_lines_come_whole_or_cut_at_the_limit(
    lines: list[bytes], cuts: list[int], with_header: bool, limit: int
) -> None:
    data = b"".join(line + b"\n" for line in lines)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    cutter = LineCutter(limit, with_header)
    out, settled = [], 0
    start = 0
    for end in ends:
        part, count = cutter.feed(data[start:end])
        out.append(part)
        settled += count
        start = end
        assert len(cutter.rest) <= limit
        assert settled + len(cutter.rest) == end
    above = sum(1 for _ in takewhile(lambda line: is_preamble(line.decode("utf-8", "replace")), lines)) + 1
    wanted = lines[above:] if with_header else lines
    got = b"".join(out).split(b"\n")[:-1]
    if not (with_header and any(len(line) > limit for line in lines[:above])):
        assert len(got) == len(wanted)
        for line, handed in zip(wanted, got, strict=True):
            assert handed == line or (len(line) > limit and handed == line[: limit + 1])
