"""What a start closes of the events that are open in the store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from aez.daemon.build.parts import close_lost
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.watched import Watched
from aez.daemon.signals.rules import Figures, SignalRules
from aez.daemon.state.store import Store
from tests.kit.engine_models import CHANNELS, PERIOD, SECOND, START, Magnitude, samples

NOW = 20_000 * 86_400 * 10**9


def record(stream: str, action: str, model: str = "plant", **event: Any) -> EventRecord:
    details = {"start_time": NOW, "severity": "warning", "channels": [], **event}
    return EventRecord(f"{stream}-xxxxxxxx", 0, action, stream, model, NOW, details)


def knowing(*events: str) -> Any:
    return cast(
        Any,
        SimpleNamespace(
            closing=frozenset(), open_events=lambda: frozenset(events), models=[SimpleNamespace(name="plant")]
        ),
    )


def test_incidents_outlive_a_restart_and_what_no_state_knows_ends_however_far_it_was(tmp_path: Path) -> None:
    engine = knowing("kept-xxxxxxxx")
    with Store(tmp_path / "monitor.db", exclusive=True) as store:
        lost = [record(action, action) for action in ("open", "update", "changed", "reopen")]
        store.commit(events=[record("*", "open", kind="incident", count=20), record("kept", "update"), *lost], now=NOW)
        assert close_lost(engine, store) == 4
        assert {one.stream for one in store.events.open_records()} == {"*", "kept"}


def test_signals_that_no_state_knows_end_by_their_own_word_and_say_why(tmp_path: Path) -> None:
    with Store(tmp_path / "monitor.db", exclusive=True) as store:
        lost = [record(action, action) for action in ("missing", "stuck", "silent")]
        store.commit(events=[*lost, record("older", "missing", "gone")], now=NOW)
        assert close_lost(knowing(), store) == 4
        found = {one.stream: one.record for one in store.events.list()}
    assert {one.stream: one.action for one in found.values()} == {
        "missing": "present",
        "stuck": "moving",
        "silent": "heard",
        "older": "present",
    }
    assert {one.stream: one.event["reason"] for one in found.values()} == {
        "missing": "state lost",
        "stuck": "state lost",
        "silent": "state lost",
        "older": "model changed",
    }


@pytest.mark.parametrize("same", [True, False])
def test_a_kill_behind_a_change_of_models_leaves_no_signal_open(tmp_path: Path, same: bool) -> None:
    rules = SignalRules(CHANNELS, Figures(rest=(1, 1), absence=(0, 0), ranges=((-4, 4), (-4, 4))))
    clock = [START]

    def engine(name: str) -> Engine:
        model = Watched("plant", Magnitude(name=name), signals=rules, silent_after=600)
        return Engine([model], clock=lambda: clock[0])

    first = engine("old")
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (40, 2))
    values[10:, 0], values[10:, 1] = np.nan, 0.5
    with Store(tmp_path / "monitor.db", exclusive=True) as store:
        records = first.process([samples(values)])
        clock[0] = START + 40 * PERIOD * SECOND + 3600 * SECOND
        records += first.tick(clock[0])
        assert [one.action for one in records] == ["missing", "stuck", "silent"]
        store.commit(states=first.touched(), events=records)
        again = engine("old" if same else "new")
        states = {} if not same else {name: one.data for name, one in store.states()}
        again.restore_all((name, data, 0.0) for name, data in states.items())
        assert close_lost(again, store) == (0 if same else 3)
        assert store.events.count("open") == (3 if same else 0)
