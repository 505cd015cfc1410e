"""Candidates of a monitor that runs: started, compared, dropped, promoted, and there again after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aez.cli import main
from aez.codec.bundle.bundle import Bundle
from aez.daemon.config.reader import load
from aez.daemon.engine.engine import Engine
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.state.store import Store
from tests.kit.brokers import free_port
from tests.kit.places import ROOT
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

SIMULATION = Simulation(streams=2, seed=1, every=60, first=40, length=20)
CONFIG = """\
[service]
log_level = "error"
[web]
port = {port}
[[models]]
path = "satellite.aezm"
reopen_seconds = 0
stuck = false
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    save_satellite_model(tmp_path / "calmer.aezm", threshold=2.6, name="calmer")
    (tmp_path / "monitor.toml").write_text(CONFIG.format(port=free_port()))
    (tmp_path / "data.jsonl").touch()
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[Monitor]:
    monitor = Monitor(load(folder / "monitor.toml"))
    monitor.start()
    yield monitor
    monitor.end()


def aez(folder: Path, *words: str) -> Result:
    first = 2 if words[0] == "shadow" else 1
    words = (*words[:first], str(folder / "monitor.toml"), *words[first:])
    return CliRunner().invoke(main, ["monitor", *words])


def feed(folder: Path, monitor: Monitor, at: int, count: int) -> None:
    before = monitor.counts()["rows"]
    with (folder / "data.jsonl").open("ab") as file:
        file.write(b"".join(encode(block, "json") for block in SIMULATION.blocks(count, at)))
    until(lambda: monitor.counts()["rows"] == before + 2 * count and monitor.worker.idle)
    assert monitor.running.shadows.settle(30)


def figures(folder: Path) -> dict[str, object]:
    (one,) = json.loads(aez(folder, "compare", "--json").stdout)
    assert one["model"] == "satellite"
    found: dict[str, object] = one["figures"]
    return found


def test_a_candidate_is_compared_and_raises_nothing(folder: Path, running: Monitor) -> None:
    assert aez(folder, "compare").stdout == "no model has a candidate\n"
    result = aez(folder, "shadow", "start", "satellite", str(folder / "calmer.aezm"))
    assert result.stdout.startswith("the candidate of model satellite scores from now on")
    feed(folder, running, 0, 600)
    told = figures(folder)
    events = running.store.events.list(limit=1000)
    assert told["rows"] == running.running.engine.stats()["scored"] > 1000
    assert told["model"]["events"] == len(events) > 0  # type: ignore[index]
    assert 0 <= told["candidate"]["events"] < len(events)  # type: ignore[index]
    ratio = told["model"]["quantiles"]["0.5"] / told["candidate"]["quantiles"]["0.5"]  # type: ignore[index]
    assert ratio == pytest.approx(2, rel=0.06)
    assert {one.record.model for one in events} == {"satellite"}
    text = aez(folder, "compare").stdout
    assert "events" in text
    assert "score, 99.9% below" in text


def test_it_is_there_again_after_a_restart_with_its_figures(folder: Path, running: Monitor) -> None:
    aez(folder, "shadow", "start", "satellite", str(folder / "calmer.aezm"))
    (folder / "calmer.aezm").unlink()  # a copy is kept
    feed(folder, running, 0, 100)
    before = figures(folder)
    running.end()
    again = Monitor(load(folder / "monitor.toml"))
    again.start()
    try:
        assert figures(folder) == before
        feed(folder, again, 100, 100)
        assert figures(folder)["rows"] > before["rows"]  # type: ignore[operator]
    finally:
        again.end()


def test_a_candidate_that_cannot_stand_in_is_refused_in_a_sentence(folder: Path, running: Monitor) -> None:
    save_satellite_model(folder / "same.aezm")
    result = aez(folder, "shadow", "start", "satellite", str(folder / "same.aezm"))
    assert "is what model satellite is already" in result.stderr
    pictures = str(ROOT / "codec" / "models" / "photo.aezm")
    assert "not for scoring series" in aez(folder, "shadow", "start", "satellite", pictures).stderr
    result = aez(folder, "shadow", "start", "moon", str(folder / "calmer.aezm"))
    assert "there is no model 'moon'; there is satellite" in result.stderr
    assert aez(folder, "shadow", "drop", "satellite").stderr.endswith("model satellite has no candidate\n")
    assert running.running.shadows.folder.names() == []


def test_it_is_dropped(folder: Path, running: Monitor) -> None:
    aez(folder, "shadow", "start", "satellite", str(folder / "calmer.aezm"))
    assert aez(folder, "shadow", "drop", "satellite").stdout == "model satellite has no candidate any more\n"
    assert aez(folder, "compare", "--json").stdout == "[]\n"
    assert running.running.shadows.folder.names() == []


def test_it_is_promoted_and_the_open_event_is_closed_as_model_changed(folder: Path, running: Monitor) -> None:
    before = (folder / "satellite.aezm").read_bytes()
    aez(folder, "shadow", "start", "satellite", str(folder / "calmer.aezm"))
    feed(folder, running, 0, 50)  # the first fault has begun
    (open_one,) = {one.id for one in running.store.events.list() if one.state == "open"} or {None}
    result = aez(folder, "shadow", "promote", "satellite")
    assert result.stdout.startswith("model satellite is its candidate now: models")
    assert running.running.models[0].id == Bundle.open(folder / "calmer.aezm").id
    assert (folder / "satellite.aezm.before").read_bytes() == before
    assert aez(folder, "compare", "--json").stdout == "[]\n"
    if open_one is not None:
        until(lambda: running.store.events.get(open_one).state == "closed")  # type: ignore[union-attr]
        closed = running.store.events.get(open_one)
        assert closed is not None
        assert closed.record.event["reason"] == "model changed"


def test_a_promotion_that_fails_leaves_the_model_as_it_was(
    folder: Path, running: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "satellite.aezm").read_bytes()
    aez(folder, "shadow", "start", "satellite", str(folder / "calmer.aezm"))

    def failing(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "replace_models", failing)
        result = aez(folder, "shadow", "promote", "satellite")
    assert "the old configuration goes on" in result.stderr
    assert (folder / "satellite.aezm").read_bytes() == before
    assert running.running.models[0].id == Bundle.open(before).id
    assert list(running.running.shadows.candidates()) == ["satellite"]


def test_without_a_monitor_it_waits_for_the_next_start(folder: Path) -> None:
    result = aez(folder, "shadow", "start", "satellite", str(folder / "calmer.aezm"))
    assert "from the monitor's next start on" in result.stdout
    monitor = Monitor(load(folder / "monitor.toml"))
    monitor.start()
    try:
        assert figures(folder)["rows"] == 0
    finally:
        monitor.end()


def test_an_event_whose_state_is_lost_is_closed_as_that(folder: Path, running: Monitor) -> None:
    feed(folder, running, 0, 50)
    (before,) = (one for one in running.store.events.list() if one.state == "open" and one.stream == "sat-01")
    running.end()
    with Store(folder / "monitor.db") as store, store._database.write() as connection:
        connection.execute("UPDATE states SET state = x'00' WHERE stream = 'sat-01'")
    again = Monitor(load(folder / "monitor.toml"))
    again.start()
    try:
        after = again.store.events.get(before.id)
        assert after is not None
        assert (after.state, after.record.event["reason"]) == ("closed", "state lost")
        assert after.record.sequence == before.record.sequence + 1
        others = [one for one in again.store.events.list() if one.stream == "sat-02"]
        assert all("reason" not in one.record.event for one in others)
    finally:
        again.end()
