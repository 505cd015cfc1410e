"""What a start closes of the events that are open in the store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from aez.daemon.build.parts import close_lost
from aez.daemon.common.records import EventRecord
from aez.daemon.state.store import Store

NOW = 20_000 * 86_400 * 10**9


def record(stream: str, action: str, **event: Any) -> EventRecord:
    details = {"start_time": NOW, "severity": "warning", "channels": [], **event}
    return EventRecord(f"{stream}-xxxxxxxx", 0, action, stream, "plant", NOW, details)


def test_incidents_outlive_a_restart_and_what_no_state_knows_ends_however_far_it_was(tmp_path: Path) -> None:
    engine = cast(
        Any, SimpleNamespace(closing=frozenset(), tables=lambda: [SimpleNamespace(events={0: "kept-xxxxxxxx"})])
    )
    with Store(tmp_path / "monitor.db", exclusive=True) as store:
        lost = [record(action, action) for action in ("open", "update", "changed", "reopen")]
        store.commit(events=[record("*", "open", kind="incident", count=20), record("kept", "update"), *lost], now=NOW)
        assert close_lost(engine, store) == 4
        assert {one.stream for one in store.events.open_records()} == {"*", "kept"}
