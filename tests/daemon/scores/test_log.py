"""All scores in files: exactly those that were computed, whatever is selected, full, broken or cut off."""

from __future__ import annotations

import json
import os
import resource
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from aez.codec.errors import OutputError
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.watched import Watched
from aez.daemon.scores.files import Format, Rotation
from aez.daemon.scores.log import ScoreLog, Selection
from tests.kit.engine_models import CHANNELS, Magnitude, bursts, interleaved, take

Row = dict[str, Any]
#: Names with all that may hurt a file, JSON or Arrow.
STREAMS = ["pump/1", "ü 漢 \u2028", 'a"b\\\n', "../x", "half \ud800", "fan"]
MODELS = [Watched("../odd: model", Magnitude(name="odd"), streams=["pump*", "*x"]), Watched("plant", Magnitude())]


class Counts:
    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        self.changed = threading.Condition()

    def __call__(self, what: str, number: int) -> None:
        with self.changed:
            self.of[what] += number
            self.changed.notify_all()

    def wait(self, what: str, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.of[what] >= number, 30), self.of


def scored_blocks(rows: int = 300, parts: int = 6) -> list[ScoredRows]:
    """What an engine gives its listener."""
    found: list[ScoredRows] = []
    engine = Engine(MODELS, sizes=(1, 32, 128), listener=found.append)
    samples = interleaved({name: bursts(rows, number) for number, name in enumerate(STREAMS)})
    step = len(samples) // parts
    for start in range(0, len(samples), step):
        engine.process([take(samples, start, start + step)])
    return found


def expected(blocks: Sequence[ScoredRows], channel_scores: bool = False, values: bool = False) -> list[Row]:
    """Row by row, in plain Python."""
    found = []
    for block in blocks:
        for place, number in enumerate(block.rows.stream.tolist()):
            if np.isnan(block.score[place]):
                continue
            row: Row = {
                "time": int(block.rows.time[place]),
                "stream": block.names[number].replace("\ud800", "\\ud800"),
                "model": block.model,
                "row": int(block.rows.row[place]),
                "score": float(block.score[place]),
                "limit": float(block.limit[place]),
            }
            for key, wanted, array in (
                ("channel_score", channel_scores, block.channel_score),
                ("values", values, block.rows.values),
            ):
                if wanted:
                    cells = [None if np.isnan(cell) else float(cell) for cell in array[place]]
                    row[key] = dict(zip(CHANNELS, cells, strict=True))
            found.append(row)
    return ordered(found)


def ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["stream"], row["row"]))


def written(folder: Path) -> list[Row]:
    """What stands in the files that a reader sees, in the form of `expected`."""
    found = []
    for path in sorted(folder.glob("*/*")):
        if path.name.startswith("."):
            continue
        if path.suffix == ".jsonl":
            for line in path.read_text().splitlines():
                row = json.loads(line)
                for key in ("score", "limit"):
                    row[key] = float(np.float32(row[key]))
                for key in ("channel_score", "values"):
                    if key in row:
                        row[key] = {n: None if v is None else float(np.float32(v)) for n, v in row[key].items()}
                found.append(row)
            continue
        table = pq.read_table(path)
        table = table.set_column(0, "time", table["time"].cast("int64"))
        for row in table.to_pylist():
            for key, prefix in (("channel_score", "score_"), ("values", "value_")):
                cells = {name: row.pop(prefix + name) for name in CHANNELS if prefix + name in row}
                if cells:
                    row[key] = cells
            found.append(row)
    return ordered(found)


@contextmanager
def running(folder: Path, kind: Format = "parquet", **options: Any) -> Iterator[tuple[ScoreLog, Counts]]:
    counts = Counts()
    log = ScoreLog(folder, kind, counted=counts, **options)
    log.start()
    try:
        yield log, counts
    finally:
        log.close(30)


@pytest.fixture(params=["parquet", "jsonl"])
def kind(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found


@pytest.mark.parametrize("flags", [(False, False), (True, True)])
def test_every_score_is_written_as_it_was_computed(tmp_path: Path, kind: Format, flags: tuple[bool, bool]) -> None:
    blocks = scored_blocks()
    with running(tmp_path, kind, selection=Selection(channel_scores=flags[0], values=flags[1])) as (log, counts):
        for block in blocks:
            log.take(block)
    wanted = expected(blocks, *flags)
    assert len(wanted) > 1500
    assert written(tmp_path) == wanted
    assert counts.of == Counter(written=len(wanted))
    assert not list(tmp_path.glob("*/.*"))
    assert all(path.parent.parent == tmp_path for path in tmp_path.rglob("*.*") if path.is_file())


def test_a_block_of_many_rows_is_written_in_pieces(tmp_path: Path, kind: Format) -> None:
    blocks = scored_blocks(7000, 1)
    assert max(len(block.rows) for block in blocks) > 20_000
    with running(tmp_path, kind, selection=Selection(values=True)) as (log, _):
        for block in blocks:
            log.take(block)
    assert written(tmp_path) == expected(blocks, values=True)


def test_a_whole_folder_is_read_as_one_table(tmp_path: Path) -> None:
    blocks = scored_blocks()
    with running(tmp_path) as (log, _):
        for block in blocks:
            log.take(block)
    assert pq.read_table(tmp_path).num_rows == len(expected(blocks))


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(streams=["pump*", "fan"]), lambda row: row["stream"] in ("pump/1", "fan")),
        (Selection(models=["plant"]), lambda row: row["model"] == "plant"),
        (Selection(every=7), lambda row: row["row"] % 7 == 0),
        (Selection(streams=["none"]), lambda row: False),  # noqa: ARG005
    ],
)
def test_what_is_selected_is_written_and_nothing_else(
    tmp_path: Path, kind: Format, selection: Selection, taken: Any
) -> None:
    blocks = scored_blocks()
    with running(tmp_path, kind, selection=selection) as (log, _):
        for block in blocks:
            log.take(block)
    assert written(tmp_path) == [row for row in expected(blocks) if taken(row)]


def test_full_files_make_room_for_new_ones_and_the_oldest_go(tmp_path: Path, kind: Format) -> None:
    stranger = tmp_path / "plant" / f"mine.{kind}"
    stranger.parent.mkdir()
    stranger.write_text("")
    blocks = [block for block in scored_blocks(600, 5) if block.model == "plant"]
    with running(tmp_path, kind, rotation=Rotation(rows=100, files=2)) as (log, counts):
        for number, block in enumerate(blocks, 1):
            log.take(block)
            counts.wait("written", sum(int(np.isfinite(one.score).sum()) for one in blocks[:number]))
    stranger.unlink()
    assert len(list(tmp_path.glob("plant/*"))) == 2
    assert written(tmp_path) == expected(blocks[-2:])


def test_old_files_go_and_open_ones_stay(tmp_path: Path, kind: Format) -> None:
    block = scored_blocks()[0]
    with running(tmp_path, kind) as (log, _):
        log.take(block)
    (old,) = tmp_path.glob("*/*")
    os.utime(old, (0, 0))
    with running(tmp_path, kind) as (log, counts):
        log.take(block)
        counts.wait("written", 1)
    (new,) = tmp_path.glob("*/*")
    assert new != old
    assert written(tmp_path) == expected([block])


def test_a_small_queue_holds_scoring_back_and_drops_nothing_while_files_take_rows(tmp_path: Path) -> None:
    blocks = scored_blocks(600, 60)
    with running(tmp_path, queue_bytes=20_000, wait_seconds=60) as (log, counts):
        for block in blocks:
            log.take(block)
    assert counts.of["dropped"] == 0
    assert written(tmp_path) == expected(blocks)


def test_what_files_cannot_take_is_dropped_and_counted_and_scoring_goes_on(tmp_path: Path, kind: Format) -> None:
    blocks = [block for block in scored_blocks(600, 60) if block.model == "plant"]
    (tmp_path / "plant").write_text("in the way")
    with running(tmp_path, kind, queue_bytes=20_000, wait_seconds=600) as (log, counts):
        log.take(blocks[0])
        counts.wait("errors", 1)
        for block in blocks[1:]:
            log.take(block)  # none of them waits for 600 s
        counts.wait("dropped", 1)
        (tmp_path / "plant").unlink()
        counts.wait("written", len(expected(blocks)) - counts.of["dropped"])
        log.take(blocks[-1])
    rows = written(tmp_path)
    total = len(expected(blocks)) + len(expected(blocks[-1:]))
    assert len(rows) == counts.of["written"] == total - counts.of["dropped"]
    assert rows[-1] in expected(blocks[-1:])


def test_a_disk_that_is_full_leaves_no_half_block_and_the_rows_are_written_later(tmp_path: Path, kind: Format) -> None:
    blocks = [block for block in scored_blocks(600, 6) if block.model == "plant"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(tmp_path, kind) as (log, counts):
        log.take(blocks[0])
        counts.wait("written", 1)
        (path,) = tmp_path.glob("plant/*") if kind == "jsonl" else tmp_path.glob("plant/.*")
        size = path.stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
            for block in blocks[1:]:
                log.take(block)
            counts.wait("errors", 2)
            assert path.stat().st_size == size
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert written(tmp_path) == expected(blocks)


def test_what_a_killed_process_left_is_taken_up_but_for_what_was_cut_off(tmp_path: Path, kind: Format) -> None:
    blocks = [block for block in scored_blocks(600, 3) if block.model == "plant"]
    counts = Counts()
    killed = ScoreLog(tmp_path, kind, counted=counts)
    killed.start()
    for number, block in enumerate(blocks, 1):
        killed.take(block)
        counts.wait("written", len(expected(blocks[:number])))
    (path,) = tmp_path.glob("plant/*") if kind == "jsonl" else tmp_path.glob("plant/.*")
    path = path.rename(tmp_path / "aside")
    killed.close(30)
    left = path.read_bytes()[:-10]
    for one in tmp_path.glob("plant/*"):
        one.unlink()
    name = "20260101T000000.000000Z"
    (tmp_path / "plant" / (f".{name}.part" if kind == "parquet" else f"{name}.jsonl")).write_bytes(left)
    with running(tmp_path, kind):
        pass
    rows, whole = written(tmp_path), expected(blocks)
    assert {path.name for path in tmp_path.glob("plant/*")} == {f"{name}.{kind}"}
    assert all(row in whole for row in rows)
    assert len(rows) == (len(whole) - 1 if kind == "jsonl" else len(expected(blocks[:2])))


def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = ScoreLog(tmp_path / "file" / "scores")
    with pytest.raises(OutputError, match="scores cannot be written to"):
        log.start()
    assert log.close(1)
