"""Files that are written anew, by two at once, packed, with headers in their middle, or by the monitor itself."""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.daemon.common.own_files import OwnFiles
from aez.daemon.files.followed import FileOptions, Files
from aez.daemon.files.rotation import stream_of
from aez.daemon.sources.lines import CsvLines
from tests.kit.source_harness import Intake, told
from tests.kit.waiting import until

Started = Callable[..., tuple[Files, Intake]]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    sources: list[Files] = []

    def start(
        *names: str, position: dict[str, Any] | None = None, own: OwnFiles | None = None, **options: Any
    ) -> tuple[Files, Intake]:
        paths = [str(tmp_path / name) for name in names]
        source = Files("source", *told(FileOptions, paths=paths, poll_seconds=0.005, scan_seconds=0.01, **options))
        if own is not None:
            source.leave_out(own)
        sources.append(source)
        intake = Intake()
        source.start(intake.put, position)
        return source, intake

    yield start
    for source in sources:
        source.close()


def text(intake: Intake) -> list[str]:
    return [line.decode() for line in intake.lines()]


def lines(name: str, count: int) -> str:
    return "".join(f"{name} {number:06d}\n" for number in range(count))


def last(intake: Intake) -> dict[str, Any]:
    position: dict[str, Any] = json.loads(json.dumps(intake.chunks[-1].position))
    return position


def test_a_file_written_anew_and_longer_with_the_same_beginning_is_read_from_its_beginning(
    tmp_path: Path, started: Started
) -> None:
    path = tmp_path / "data.jsonl"
    beginning = lines("same", 200)  # beyond the first bytes by which a file is known
    path.write_text(beginning + lines("old", 50))
    source, intake = started("data.jsonl")
    until(lambda: len(intake.lines()) == 250)
    position = last(intake)
    path.write_text(beginning + lines("new", 60))  # the same inode
    until(lambda: text(intake)[-1] == "new 000059")
    assert len(intake.lines()) == 250 + 260
    source.close()
    _, again = started("data.jsonl", position=position)  # the same where nobody looked meanwhile
    until(lambda: len(again.lines()) == 260)
    assert text(again)[-1] == "new 000059"


def test_a_file_written_anew_before_its_first_newline_is_noticed(tmp_path: Path, started: Started) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("one\nhalf of a li")
    _, intake = started("data.jsonl")
    until(lambda: text(intake) == ["one"])
    until(lambda: intake.chunks)
    path.write_text("one\nanother line of text\n")
    until(lambda: "another line of text" in text(intake))
    assert not any("half" in line for line in text(intake))


def test_who_still_writes_to_a_rotated_file_is_read(tmp_path: Path, started: Started) -> None:
    path = tmp_path / "data.jsonl"
    with path.open("w") as old:
        old.write("one\n")
        old.flush()
        source, intake = started("data.jsonl")
        until(lambda: text(intake) == ["one"])
        path.rename(tmp_path / "data.jsonl.1")
        path.write_text("new one\n")
        until(lambda: "new one" in text(intake))
        old.write("two\n")
        old.flush()
        until(lambda: "two" in text(intake))
        position = last(intake)
        source.close()
        old.write("three\n")  # nobody looks
        old.flush()
        _, again = started("data.jsonl", position=position)
        until(lambda: "three" in text(again))
        old.write("four\n")
        old.flush()
        until(lambda: "four" in text(again))
        assert text(again) == ["three", "four"]
        assert {chunk.stream for chunk in again.chunks} == {"data"}


def test_an_inode_that_bears_another_file_now_is_no_file_known(tmp_path: Path, started: Started) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(lines("old", 10))
    source, intake = started("data.jsonl")
    until(lambda: len(intake.lines()) == 10)
    position = last(intake)
    source.close()
    path.write_text(lines("old", 9) + lines("new", 5))
    _, again = started("data.jsonl", position=position)
    until(lambda: len(again.lines()) == 14)


HEADS = ["time,a,b", "time,a,b,c", "\ufefftime,a,b", "time, a , bus voltage"]


def test_lines_of_column_names_in_mid_file_hold_for_what_follows(tmp_path: Path, started: Started) -> None:
    path = tmp_path / "data of a pump.csv"
    path.write_text("time,a,b\n1,2,3\ntime,a,b\n2,2,3\ntime,a,b,bus voltage\n3,2,3,4\n")
    source, intake = started("data of a pump.csv", format="csv")
    until(lambda: len(intake.lines()) == 3)
    told_by = [(chunk.header, chunk.data) for chunk in intake.chunks if chunk.data]
    assert told_by == [
        ("time,a,b", b"1,2,3\n"),
        ("time,a,b", b"2,2,3\n"),
        ("time,a,b,bus voltage", b"3,2,3,4\n"),
    ]
    assert {chunk.stream for chunk in intake.chunks} == {"data of a pump"}
    position = last(intake)
    source.close()
    with path.open("a") as file:
        file.write("4,2,3,5\n")
    _, again = started("data of a pump.csv", format="csv", position=position)
    until(lambda: len(again.lines()) == 1)
    assert again.chunks[-1].header == "time,a,b,bus voltage"


@given(st.lists(st.sampled_from([*HEADS, "1,2,3", "2,x,3", "time,9,x", "status,a"]), min_size=1, max_size=12))
def test_headers_are_found_wherever_they_stand_and_no_row_is_lost(rows: list[str]) -> None:
    block = "".join(f"{row}\n" for row in rows).encode()
    expected, header = [], "time,a,b"
    for row in rows:
        if row in HEADS:
            header = row.removeprefix("\ufeff")
        else:
            expected.append((header, row))
    parts = CsvLines().cut(block, "time,a,b")
    found = [(head, line.decode()) for head, _, part in parts for line in part.splitlines()]
    assert found == expected
    assert parts[-1].header == header


def pack(path: Path, content: str) -> Path:
    packed = path.with_name(path.name + ".gz")
    with gzip.open(packed, "wb") as file:
        file.write(content.encode())
    os.utime(packed, (1, 1))
    return packed


def test_packed_files_are_read_once_where_a_pattern_names_them(tmp_path: Path, started: Started) -> None:
    pack(tmp_path / "data.jsonl.2", lines("old", 5))
    pack(tmp_path / "other.jsonl", "no\n")
    (tmp_path / "data.jsonl").write_text("new 0\n")
    source, intake = started("data.jsonl", "data.jsonl.*.gz")
    until(lambda: len(intake.lines()) == 6)
    assert text(intake) == [*lines("old", 5).splitlines(), "new 0"]
    assert {chunk.stream for chunk in intake.chunks} == {"data"}
    position = last(intake)
    source.close()
    (tmp_path / "data.jsonl").write_text("new 0\nnew 1\n")
    _, again = started("data.jsonl", "data.jsonl.*.gz", position=position)
    until(lambda: text(again) == ["new 1"])


def test_a_file_packed_while_it_was_read_is_read_on_where_it_was(tmp_path: Path, started: Started) -> None:
    path, names = tmp_path / "data.jsonl", ("data.jsonl", "data.jsonl.*.gz")
    path.write_text(lines("a", 10))
    source, intake = started(*names)
    until(lambda: len(intake.lines()) == 10)
    position = last(intake)
    source.close()
    pack(tmp_path / "data.jsonl.1", lines("a", 15))
    path.unlink()
    path.write_text("b\n")
    _, again = started(*names, position=position)
    until(lambda: "b" in text(again))
    assert text(again) == [*lines("a", 15).splitlines()[10:], "b"]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:-5] + b"\xff" + data[-4:]])
def test_a_packed_file_that_is_damaged_gives_what_is_whole_and_a_sentence(
    tmp_path: Path, started: Started, damage: Callable[[bytes], bytes]
) -> None:
    packed = pack(tmp_path / "data.jsonl.1", lines("a", 20_000))
    packed.write_bytes(damage(packed.read_bytes()))
    source, intake = started("*.gz", follow=False)
    assert source.done.wait(20)
    assert "to its end: it is cut short, damaged" in source.status()
    found = text(intake)
    assert len(found) > 5_000
    assert all(line.startswith("a ") for line in found)


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("data.jsonl.1.gz", "data"),
        ("data.csv-20260131.gz", "data"),
        ("data-20260131.csv.gz", "data-20260131"),
        ("pump 7.jsonl.gz", "pump 7"),
        ("data-01.gz", "data-01"),
    ],
)
def test_streams_of_packed_files_are_those_of_the_files_that_they_were(name: str, stream: str) -> None:
    assert stream_of(f"/x/{name}") == stream


def test_files_of_the_monitor_are_never_read_whatever_they_are_called(
    tmp_path: Path, started: Started, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    letters, scores = tmp_path / "dead-letters.jsonl", tmp_path / "scores"
    scores.mkdir()
    own = OwnFiles({str(letters): "service.dead_letters"}, {str(scores): "scores.path"})
    (tmp_path / "data.jsonl").write_text("one\n")
    _, intake = started("**/*.jsonl*", own=own)
    until(lambda: text(intake) == ["one"])
    letters.write_text("two\n")  # it comes later
    (tmp_path / "dead-letters.jsonl.1").write_text("three\n")
    (tmp_path / "link.jsonl").symlink_to(letters)
    (tmp_path / "hard.jsonl").hardlink_to(letters)
    (scores / "scores.jsonl").write_text("four\n")
    (tmp_path / "more.jsonl").write_text("five\n")  # the last that the next look finds
    until(lambda: "five" in text(intake) and len(caplog.messages) >= 5)
    assert text(intake) == ["one", "five"]
    assert sorted({message.split(": ")[1].split(" ")[0] for message in caplog.messages}) == sorted(
        str(tmp_path / name)
        for name in (
            "dead-letters.jsonl",
            "dead-letters.jsonl.1",
            "link.jsonl",
            "hard.jsonl",
            "scores/scores.jsonl",
        )
    )
    assert len(caplog.messages) == 5
