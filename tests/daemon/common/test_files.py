"""What the monitor writes is for its own user alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aez.daemon.common.records import EventRecord, Malformed
from aez.daemon.sinks.json_lines import JsonLinesOptions, JsonLinesSink
from aez.daemon.state.dead_letters import DeadLetters
from aez.daemon.state.store import Store


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """As most systems have it: what is made without care can be read by all."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


def step(number: int) -> EventRecord:
    return EventRecord(f"e{number}", 0, "open", "pump", "model", number, {"id": f"e{number}"})


def test_the_state_and_all_beside_it(tmp_path: Path) -> None:
    with Store(tmp_path / "monitor.db", exclusive=True) as store:
        store.commit({"file": {"offset": 1}}, {}, [step(1)])
        found = modes(tmp_path)
    assert set(found) >= {"monitor.db", "monitor.db-wal", "monitor.db-shm", "monitor.db.lock"}
    assert set(found.values()) == {"0o600"}


def test_dead_letters_and_the_file_before(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.jsonl", 1000)
    for _ in range(10):
        letters.add("file", [Malformed("syntax", "no JSON", b"x" * 100)])
    assert modes(tmp_path) == {"dead.jsonl": "0o600", "dead.jsonl.1": "0o600"}


def test_events_and_the_files_before(tmp_path: Path) -> None:
    sink = JsonLinesSink(
        JsonLinesOptions(path=str(tmp_path / "events.jsonl"), rotate_bytes=300, max_files=2, fsync=False)
    )
    for number in range(6):
        sink.deliver([step(number)])
    assert set(modes(tmp_path).values()) == {"0o600"}
    assert len(modes(tmp_path)) == 3


def test_a_file_that_somebody_opened_to_others_stays_so_when_it_rotates(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.touch()
    path.chmod(0o640)
    sink = JsonLinesSink(JsonLinesOptions(path=str(path), rotate_bytes=300, max_files=2, fsync=False))
    for number in range(6):
        sink.deliver([step(number)])
    assert set(modes(tmp_path).values()) == {"0o640"}
