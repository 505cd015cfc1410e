"""The queue and the worker: what is bounded, what is committed when, and what is acknowledged only then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.daemon.common.intake import Intake
from aez.daemon.common.records import Chunk, EventRecord, Malformed, Samples
from aez.daemon.pipeline import Worker
from aez.daemon.state.database import StoreFull
from aez.daemon.state.dead_letters import DeadLetters
from tests.kit.waiting import until

YEAR = 400 * 86_400  # seconds


def chunk(data: bytes = b"1\n", number: int = 0, source: str = "s") -> Chunk:
    return Chunk(source, data, "json", {"n": number}, time.monotonic())


def record(name: str) -> EventRecord:
    return EventRecord(name, 0, "open", "a", "m", 1, {})


class Lines:
    """A parser of numbers, a line each; `bad` is malformed and `bomb` is a defect."""

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        lines = b"".join(chunk.data for chunk in chunks).split()
        if b"bomb" in lines:
            raise RuntimeError("a parser's defect")
        good = [float(line) for line in lines if line != b"bad"]
        bad = [Malformed("wrong_type", "no number", line) for line in lines if line == b"bad"]
        n = len(good)
        values = np.array(good)[:, None]
        return [Samples(["a"], np.zeros(n, np.int32), np.arange(n), ("x",), values)] if n else [], bad


class Sums:
    """An engine that counts values; one over 100 is an event, which is told a call later where that is allowed."""

    def __init__(self) -> None:
        self.total, self.changed, self.flushed = 0.0, False, 0
        self.away: list[int] = []
        self.under_way: list[EventRecord] = []

    def take_letters(self) -> list[Malformed]:
        return []

    def process(self, samples: list[Samples], *, ahead: bool = False) -> list[EventRecord]:
        values = [value for one in samples for value in one.values[:, 0].tolist()]
        self.total += sum(values)
        self.changed |= bool(values)
        records = self.settle()
        self.under_way = [record(f"{value:g}") for value in values if value > 100]
        return records if ahead else records + self.settle()

    def settle(self) -> list[EventRecord]:
        records, self.under_way = self.under_way, []
        return records

    def tick(self, _now_ns: int) -> list[EventRecord]:
        return []

    def absent(self, since_ns: int, until_ns: int) -> None:
        self.away.append((until_ns - since_ns) // 10**9)

    def flush(self, _now_ns: int) -> list[EventRecord]:
        self.flushed += 1
        return [record("last")]

    def touched(self) -> Mapping[str, bytes]:
        assert not self.under_way
        changed, self.changed = self.changed, False
        return {"a": str(self.total).encode()} if changed else {}

    def stats(self) -> Mapping[str, float]:
        return {"scored": self.total, "streams": 1, "dropped.late": 2}


class Memory:
    """A store; `fail` raises so many times."""

    def __init__(self, fail: Sequence[Exception] = ()) -> None:
        self.positions: dict[str, Any] = {}
        self.states: dict[str, bytes] = {}
        self.events: list[str] = []
        self.commits = 0
        self.fail = list(fail)

    def commit(self, positions: Mapping[str, Any], states: Mapping[str, bytes], events: Sequence[EventRecord]) -> None:
        if self.fail:
            raise self.fail.pop(0)
        self.positions |= positions
        self.states |= states
        self.events += [event.id for event in events]
        self.commits += 1


class Rig:
    def __init__(self, store: Memory | None = None, **options: Any) -> None:
        self.store, self.engine, self.intake = store or Memory(), Sums(), Intake()
        self.acknowledged: list[tuple[str, Any, Any]] = []
        self.worker = Worker(
            self.intake,
            Lines(),
            self.engine,
            self.store,
            acknowledge=lambda source, position: self.acknowledged.append(
                (source, position["n"], self.store.positions[source]["n"])
            ),
            **options,
        )

    def __enter__(self) -> Rig:
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.give_up()
        assert self.worker.join(10)


def test_a_position_is_acknowledged_after_what_follows_from_it_is_stored() -> None:
    with Rig() as rig:
        for number in range(50):
            rig.intake.put(chunk(b"1\n2\n", number))
        until(lambda: rig.worker.idle and rig.store.positions.get("s") == {"n": 49})
        assert rig.store.states == {"a": b"150.0"}
        assert rig.acknowledged[-1][1] == 49
        assert all(stored >= told for _, told, stored in rig.acknowledged)


def test_an_idle_worker_commits_at_once_and_an_event_does_not_wait() -> None:
    with Rig(commit_seconds=3600.0) as rig:
        rig.intake.put(chunk(b"101\n"))
        until(lambda: rig.store.events == ["101"])
        rig.intake.put(chunk(b"1\n", 1))
        until(lambda: rig.store.positions == {"s": {"n": 1}})


def test_a_clock_that_is_set_in_the_first_round_is_time_in_which_nobody_was_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right, rig = time.time_ns, Rig()
    process = rig.engine.process

    def processed(samples: list[Samples], *, ahead: bool = False) -> list[EventRecord]:
        monkeypatch.setattr(time, "time_ns", lambda: right() + YEAR * 10**9)
        return process(samples, ahead=ahead)

    monkeypatch.setattr(rig.engine, "process", processed)
    rig.intake.put(chunk(b"1\n"))
    with rig:
        until(lambda: rig.engine.away)
    assert 0 <= rig.engine.away[0] - YEAR < 60


class Filling(Sums):
    """An engine in whose time more comes in: so many bytes of it."""

    def __init__(self, intake: Intake, more: int) -> None:
        super().__init__()
        self.intake, self.more = intake, more

    def process(self, samples: list[Samples], *, ahead: bool = False) -> list[EventRecord]:
        more, self.more = self.more, 0
        if more:
            self.intake.put(chunk(b"1\n" * (more // 2), 1))
        return super().process(samples, ahead=ahead)


@pytest.mark.parametrize(("more", "commits"), [(2, 2), (1 << 20, 1)])
def test_an_event_waits_for_others_only_where_much_has_come_since(more: int, commits: int) -> None:
    rig = Rig(commit_seconds=3600.0)
    rig.worker.engine = Filling(rig.intake, more)
    rig.worker._rest_seconds, rig.worker._last_commit = 3600.0, time.monotonic()  # as if commits took minutes
    rig.intake.put(chunk(b"101\n"))
    rig.worker._round()
    assert rig.store.commits == commits - 1
    rig.worker._round()
    rig.worker.settle()
    assert (rig.store.commits, rig.store.events) == (commits, ["101"])


def test_a_store_that_is_full_is_tried_again_and_nothing_is_lost() -> None:
    store = Memory([StoreFull("no room"), StoreFull("no room"), OSError("disk gone")])
    with Rig(store) as rig:
        rig.intake.put(chunk(b"101\n", 1))
        until(lambda: rig.worker.stuck)
        assert not rig.acknowledged
        rig.intake.put(chunk(b"1\n", 2))
        until(lambda: rig.acknowledged and rig.acknowledged[-1][1] == 2)
        assert store.events == ["101"]
        assert store.states == {"a": b"102.0"}
        assert not rig.worker.stuck


def test_a_defect_of_the_store_ends_the_worker_and_acknowledges_nothing() -> None:
    with Rig(Memory([InvalidArgument("damaged")])) as rig:
        rig.intake.put(chunk())
        until(lambda: not rig.worker.alive)
        assert isinstance(rig.worker.failure, InvalidArgument)
        assert not rig.acknowledged
        with pytest.raises(TimeoutError):
            rig.worker.call(lambda: None, 1.0)


def test_malformed_messages_are_counted_and_kept_and_the_rest_goes_on(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", 1 << 20)
    with Rig(dead_letters=letters) as rig:
        rig.intake.put(chunk(b"1\nbad\n2\n"))
        rig.intake.put(chunk(b"bomb\n", 1))
        rig.intake.put(chunk(b"4\n", 2))
        until(lambda: rig.store.states == {"a": b"7.0"})
        text = rig.worker.metrics.text().decode()
    assert 'aez_dropped_total{reason="wrong_type"} 1.0' in text
    assert 'aez_dropped_total{reason="unforeseen"} 1.0' in text
    assert 'aez_dropped_total{reason="late"} 2.0' in text
    assert 'aez_samples_total{source="s"} 3.0' in text
    kept = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert [(one["reason"], one["data"]) for one in kept] == [("wrong_type", "bad"), ("unforeseen", "bomb\n")]


def test_stop_works_off_what_waits_and_flush_ends_the_data() -> None:
    rig = Rig()
    for number in range(20):
        rig.intake.put(chunk(b"1\n", number))
    rig.worker.start()
    rig.worker.flush()
    rig.worker.stop()
    assert rig.worker.join(10)
    assert rig.store.positions == {"s": {"n": 19}}
    assert rig.store.states == {"a": b"20.0"}
    assert (rig.engine.flushed, rig.store.events) == (1, ["last"])
    rig.intake.put(chunk(b"1\n", 20))  # too late, and it does not hang
    assert len(rig.intake) == 0


def test_calls_run_between_batches_and_give_what_they_give() -> None:
    def fail() -> None:
        raise ValueError("no")

    with Rig() as rig:
        assert rig.worker.call(lambda: threading.current_thread().name) == "worker"
        with pytest.raises(ValueError, match="no"):
            rig.worker.call(fail)
        rig.intake.put(chunk())
        until(lambda: rig.store.commits == 1)


def test_a_call_that_nobody_waits_for_any_more_is_not_run() -> None:
    with Rig() as rig:
        begun, go_on = threading.Event(), threading.Event()
        ran: list[int] = []
        busy = threading.Thread(target=lambda: rig.worker.call(lambda: begun.set() or go_on.wait(60)))
        busy.start()
        assert begun.wait(60)
        with pytest.raises(TimeoutError):
            rig.worker.call(lambda: ran.append(1), 0.2)
        go_on.set()
        busy.join()
        rig.worker.call(lambda: ran.append(2))
        assert ran == [2]


def test_an_exchange_comes_behind_what_waits_and_its_commit() -> None:
    with Rig() as rig:
        seen: list[tuple[dict[str, bytes], int]] = []

        def swap() -> None:
            seen.append((dict(rig.store.states), len(rig.acknowledged)))

        for number in range(20):
            rig.intake.put(chunk(b"1\n", number))
        rig.worker.exchange(swap)
        ((states, acknowledged),) = seen
        assert states == {"a": b"20.0"}
        assert acknowledged > 0


def test_an_exchange_is_not_made_where_what_waits_cannot_be_stored() -> None:
    store = Memory([OSError("no room")] * 1000)
    with Rig(store) as rig:
        rig.intake.put(chunk(b"1\n", 1))
        until(lambda: rig.worker.stuck)
        swapped: list[int] = []
        with pytest.raises(TimeoutError):
            rig.worker.exchange(lambda: swapped.append(1), 0.3)
        store.fail.clear()
        until(lambda: rig.acknowledged)
        rig.worker.call(lambda: None)
        assert not swapped


def test_progress_is_told_while_nothing_comes() -> None:
    told: list[float] = []
    with Rig(progress=lambda: told.append(time.monotonic())):
        until(lambda: len(told) >= 3)
    assert max(b - a for a, b in pairwise(told)) < 15


def test_a_full_queue_holds_the_source_back_until_there_is_room() -> None:
    intake = Intake(chunks=2)
    intake.put(chunk(number=0))
    intake.put(chunk(number=1))
    through = threading.Event()

    def put() -> None:
        intake.put(chunk(number=2))
        through.set()

    thread = threading.Thread(target=put)
    thread.start()
    assert not through.wait(0.2)
    assert [one.position["n"] for one in intake.take(0)] == [0, 1]
    assert through.wait(10)
    thread.join()
    assert [one.position["n"] for one in intake.take(0)] == [2]


def test_closing_frees_a_source_that_waits() -> None:
    intake = Intake(chunks=1)
    intake.put(chunk())
    thread = threading.Thread(target=intake.put, args=[chunk()])
    thread.start()
    intake.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(intake.take(0)) == 1
    assert intake.take(0) == []


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_what_is_taken_is_what_was_put_and_bytes_are_bounded(sizes: list[int]) -> None:
    intake = Intake(chunks=100, size=10_000)
    for number, size in enumerate(sizes):
        intake.put(chunk(b"x" * size, number))
    assert intake.size == sum(sizes)
    taken: list[Chunk] = []
    while found := intake.take(0):
        taken += found
    assert [one.position["n"] for one in taken] == list(range(len(sizes)))
    assert intake.size == 0


def test_one_chunk_larger_than_the_queue_still_gets_through() -> None:
    intake = Intake(size=10)
    intake.put(chunk(b"x" * 100))
    assert len(intake.take(0)) == 1


def test_dead_letters_stay_within_their_bound(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters = DeadLetters(path, 4000)
    for number in range(300):
        letters.add("s", [Malformed("r", f"number {number}", bytes([255, number % 256]) * 50)])
        assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 4000
    lines = path.read_text().splitlines()
    assert json.loads(lines[-1])["detail"] == "number 299"
    assert "data_base64" in json.loads(lines[-1])
    assert {one.name for one in tmp_path.iterdir()} == {"dead.jsonl", "dead.jsonl.1"}


def test_dead_letters_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "none" / "dead.jsonl", 4000)
    letters.add("s", [Malformed("r", "d", b"x")])
    assert letters.kept == 0


def test_a_call_comes_behind_the_chunks_that_were_put_before_it() -> None:
    for _ in range(20):
        with Rig() as rig:
            rig.intake.put(chunk(b"1\n"))
            rig.intake.put(chunk(b"2\n", 1))
            rig.worker.call(rig.worker.settle)
            assert rig.store.states == {"a": b"3.0"}


def test_who_sent_a_chunk_of_which_nothing_can_be_used_hears_why_before_it_is_acknowledged() -> None:
    rig = Rig()
    told: list[tuple[int, str]] = []

    def sent(data: bytes, number: int) -> Chunk:
        def refused(reason: str) -> None:
            assert ("s", {"n": number}) not in [one[:2] for one in rig.acknowledged]
            told.append((number, reason))

        return replace(chunk(data, number), refused=refused)

    for number, data in enumerate([b"1\n", b"bad\nbad\n", b"bad\n2\n", b"\n", b"bad\n"]):
        rig.intake.put(sent(data, number))
    rig.worker.start()
    until(lambda: rig.worker.idle and rig.acknowledged)
    rig.worker.stop()
    rig.worker.join()
    assert told == [
        (1, "nothing of it can be used: wrong_type: no number; the same or the like of 1 more"),
        (4, "nothing of it can be used: wrong_type: no number"),
    ]
    assert rig.engine.total == 3
    assert rig.worker.refused == 4  # each once
