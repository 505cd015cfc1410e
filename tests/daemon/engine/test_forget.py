"""Streams that are not heard any more are let go of, and the others do not notice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aez.daemon.alarms.habits import Habits
from aez.daemon.common.records import EventRecord, Samples
from aez.daemon.config.reader import load
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.watched import Watched
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.state.store import Store
from tests.kit.engine_models import CHANNELS, PERIOD, SECOND, START, Magnitude, bursts, samples
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

DAY = 86_400.0
NAMES = [f"stream-{number}" for number in range(12)]


class Clock:
    def __init__(self) -> None:
        self.now = 10 * SECOND

    def __call__(self) -> int:
        return self.now


def engine(
    clock: Clock, streams: int = 100, listener: Callable[[ScoredRows], None] | None = None, **options: Any
) -> Engine:
    models = [Watched("plant", Magnitude(), lateness=3 * PERIOD, **options)]
    return Engine(models, streams=streams, sizes=(1, 32, 128), clock=lambda: START, steady=clock, listener=listener)


def rows(names: list[str], first: int, count: int, values: dict[str, Any]) -> Samples:
    """Rows first.. of several streams, each other one of them late by one."""
    order = np.arange(first, first + count)
    order[: count // 2 * 2] = order[: count // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
    slots = np.repeat(order, len(names))
    stream = np.tile(np.arange(len(names), dtype=np.int32), count)
    cells = np.stack([values[names[number]][slot] for slot, number in zip(slots, stream, strict=True)])
    return Samples(names, stream, START + slots * PERIOD * SECOND, CHANNELS, cells)


@pytest.mark.parametrize("habits", [Habits(), Habits(600 * SECOND, 2.0, 3600 * SECOND)])
def test_those_that_stay_go_on_as_if_the_others_had_never_been(habits: Habits) -> None:
    values = {name: bursts(400, number) for number, name in enumerate(NAMES)}
    staying = [name for number, name in enumerate(NAMES) if number % 3]
    scores: dict[bool, dict[tuple[str, int], float]] = {True: {}, False: {}}
    found: dict[bool, tuple[list[EventRecord], dict[str, bytes]]] = {}
    for forgetting in (True, False):

        def note(scored: ScoredRows, kept: dict[tuple[str, int], float] = scores[forgetting]) -> None:
            for number, row, score in zip(scored.rows.stream, scored.rows.row, scored.score, strict=True):
                kept[scored.names[number], int(row)] = float(score)

        clock = Clock()
        one = engine(clock, listener=note, habits=habits)
        records = one.process([rows(NAMES, 0, 101, values)])
        one.touched()
        clock.now += int(31 * DAY) * SECOND
        records += one.process([rows(staying, 101, 100, values)])
        if forgetting:
            assert sorted(one.forget(30 * DAY)) == sorted(set(NAMES) - set(staying))
            assert {entry["stream"] for entry in one.describe()} == set(staying)
        records += one.process([rows(staying, 201, 199, values)])
        records += one.flush(START)
        records = [record for record in records if record.stream in staying]
        states = {name: state for name, state in one.touched().items() if name in staying}
        found[forgetting] = sorted(records, key=lambda record: (record.id, record.sequence)), states
    assert found[True] == found[False]
    for name in staying:
        of = [{row: score for (stream, row), score in kept.items() if stream == name} for kept in scores.values()]
        np.testing.assert_equal(of[0], of[1])


def test_their_places_are_taken_by_others() -> None:
    clock = Clock()
    one = engine(clock, streams=3)
    quiet = np.full((6, 2), 0.1)
    for name in "abc":
        one.process([samples(quiet, stream=name)])
    clock.now += int(29 * DAY) * SECOND
    one.process([samples(quiet, np.arange(6, 12), stream="b")])
    assert one.forget(30 * DAY) == []
    clock.now += int(2 * DAY) * SECOND
    one.process([samples(quiet, stream="d")])
    assert one.stats()["dropped.too_many_streams"] == 6
    assert not one.admit("d")
    assert sorted(one.forget(30 * DAY)) == ["a", "c"]
    assert one.admit("d")
    one.process([samples(quiet, stream=name) for name in "de"] + [samples(quiet, np.arange(12, 18), stream="b")])
    assert {entry["stream"]: entry["rows"] for entry in one.describe()} == {"b": 18, "d": 6, "e": 6}


def test_few_at_once_and_those_without_a_usable_sample_as_well() -> None:
    clock = Clock()
    one = engine(clock)
    for number in range(10):
        one.process([samples(np.zeros((2, 1)), stream=f"s{number}", columns=("other",))])
    clock.now += int(DAY) * SECOND
    assert [len(one.forget(DAY / 2, most=4)) for _ in range(4)] == [4, 4, 2, 0]
    assert one.stats()["streams"] == 0


def test_what_was_open_is_closed_and_a_stream_that_comes_again_starts_afresh() -> None:
    clock = Clock()
    one = engine(clock, silent_after=10 * PERIOD)
    loud = np.concatenate([np.full((6, 2), 0.1), np.full((6, 2), 5.0)])
    opened = one.process([samples(loud)]) + one.flush(START)
    assert opened[0].action == "open"
    assert opened[-1].action != "close"
    silent = one.tick(START + 3600 * SECOND)
    assert [record.action for record in silent] == ["silent"]
    clock.now += int(31 * DAY) * SECOND
    assert one.forget(30 * DAY) == ["a"]
    closed = {record.action: record for record in one.tick(START + 3600 * SECOND)}
    assert set(closed) == {"close", "heard"}
    assert closed["close"].id == opened[0].id
    assert (closed["heard"].id, closed["heard"].event["forgotten"]) == (silent[0].id, True)
    assert one.stats()["open_events"] == one.stats()["silent"] == 0
    assert one.touched() == {}
    later = np.arange(1000, 1012)
    again = one.process([samples(loud, later)]) + one.flush(START)
    assert again[0].action == "open"
    assert again[0].id != opened[0].id
    assert one.describe()[0]["rows"] == 12


def test_the_time_before_a_restart_counts() -> None:
    clock = Clock()
    first = engine(clock)
    for name in "ab":
        first.process([samples(np.full((6, 2), 0.1), stream=name)])
    states = first.touched()
    second = engine(clock)
    second.restore_all([("a", states["a"], 29.5 * DAY), ("b", states["b"], -5.0)])
    assert second.forget(30 * DAY) == []
    clock.now += int(DAY) * SECOND
    assert second.forget(30 * DAY) == ["a"]


def test_streams_that_start_afresh_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    first = engine(clock)
    for name in NAMES:
        first.process([samples(np.full((6, 2), 0.1), stream=name)])
    states = [(name, data, 0.0) for name, data in first.touched().items()]
    second = Engine([Watched("plant", Magnitude(), streams=["other"])], sizes=(1,), steady=clock)
    with caplog.at_level(logging.WARNING):
        second.restore_all(states)
    (line,) = caplog.messages
    assert line.startswith("12 streams start afresh (stream-0, stream-1, stream-2, ...): no model is made for it")


def test_a_stream_that_starts_afresh_is_told_once_and_not_at_each_start(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    first = engine(clock)
    first.process([samples(np.full((6, 2), 0.1))])
    states = first.touched()

    def started(states: dict[str, bytes]) -> Engine:
        made = Engine([Watched("plant", Magnitude(name="new"))], sizes=(1,), steady=clock)
        with caplog.at_level(logging.WARNING):
            made.restore_all((name, data, 0.0) for name, data in states.items())
        return made

    states |= started(states).touched()
    (line,) = caplog.messages
    assert line.startswith("stream a starts afresh: its state is of model")
    assert started(states).process([samples(np.full((6, 2), 0.1))]) == []
    assert len(caplog.messages) == 1


CONFIG = """\
[web]
enabled = false
[[models]]
path = "satellite.aezm"
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""


def test_their_states_go_from_the_store(tmp_path: Path) -> None:
    simulation = Simulation(streams=4, seed=1)
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG)
    (tmp_path / "data.jsonl").write_bytes(b"".join(encode(block, "json") for block in simulation.blocks(50, 0)))
    monitor = Monitor(load(tmp_path / "monitor.toml"), page=False)
    monitor.start()
    try:
        until(lambda: monitor.counts()["rows"] == 200 and monitor.worker.idle)
        assert monitor.worker.forget(DAY) == 0
        assert monitor.worker.forget(-1.0) == 4
        with Store(tmp_path / "monitor.db") as store:
            assert list(store.states()) == []
        with (tmp_path / "data.jsonl").open("ab") as data:
            data.write(b"".join(encode(block, "json") for block in simulation.blocks(50, 50)))
        until(lambda: monitor.counts()["rows"] == 400 and monitor.worker.idle)
    finally:
        monitor.end()
    with Store(tmp_path / "monitor.db") as store:
        assert {name for name, _ in store.states()} == {f"sat-{number:02d}" for number in range(1, 5)}
        assert json.dumps(store.positions())
