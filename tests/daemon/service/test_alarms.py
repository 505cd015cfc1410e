"""Alarms of a monitor that runs: over HTTP, with mutes, levels that are taken, and a reload."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.config.reader import ConfigError, load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.satellites import CHANNELS, Simulation
from tests.kit.brokers import free_port
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CONFIG = """\
[web]
port = {port}
[[models]]
path = "satellite.aezm"
changed_seconds = 180
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""
ROWS = next(Simulation(seed=1).blocks(400)).values


class Plant:
    """A monitor in this process, and the file that it follows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        save_satellite_model(folder / "satellite.aezm")
        (folder / "monitor.toml").write_text(CONFIG.format(port=self.port))
        (folder / "data.jsonl").touch()
        self.rows: dict[str, int] = {}
        self.monitor = Monitor(load(folder / "monitor.toml"))
        self.monitor.start()

    def feed(self, stream: str, count: int, fault: float = 0.0) -> None:
        at = self.rows.get(stream, 0)
        self.rows[stream] = at + count
        with (self.folder / "data.jsonl").open("a") as file:
            for row in range(at, at + count):
                values = dict(zip(CHANNELS, ROWS[row % len(ROWS)].tolist(), strict=True))
                values["bus_voltage"] += fault
                file.write(json.dumps({"stream": stream, "time": 1.7e9 + row, **values}) + "\n")

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            with OPENER.open(f"http://127.0.0.1:{self.port}{path}", data, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def events(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(f"/api/events?limit=100{query}")[1]["events"]
        return found

    def sent(self) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.monitor.end()


def test_events_are_explained_muted_and_acknowledged_over_http(plant: Plant) -> None:
    status, made = plant.ask("/api/mutes", {"pattern": "b*", "seconds": 3600, "reason": "service", "by": "ann"})
    assert (status, made["number"]) == (200, 1)
    for stream in ("a", "b1"):
        plant.feed(stream, 20)
        plant.feed(stream, 20, 9.0)
    until(lambda: len(plant.events()) == 2)
    by_stream = {one["stream"]: one for one in plant.events()}
    assert by_stream["b1"]["event"]["muted"] == "service"
    until(lambda: bool(plant.sent()))
    assert {one["stream"] for one in plant.sent()} == {"a"}
    status, curve = plant.ask(f"/api/events/{by_stream['a']['id']}/curve")
    assert (status, curve["channels"][0]["name"]) == (200, "bus_voltage")
    assert plant.ask("/api/events/none/curve")[0] == 404
    metrics = plant.monitor.view
    metrics.refresh()
    text = metrics.metrics.text().decode()
    assert 'aez_held_events{reason="muted"} 1.0' in text
    assert "aez_mutes 1.0" in text
    assert plant.ask("/api/summary")[1]["held"]["muted"] == 1
    ids = [one["id"] for one in plant.events()]
    assert plant.ask("/api/acknowledge", {"events": [*ids, "none"], "by": "ann"})[1] == {"acknowledged": ids}
    assert plant.events("&unacknowledged=true") == []
    assert plant.ask("/api/acknowledge", {"events": "all"})[0] == 400
    assert plant.ask("/api/mutes")[1]["by_hand"][0]["reason"] == "service"
    assert plant.ask("/api/mutes/1/end", {})[0] == 200
    assert plant.ask("/api/mutes/1/end", {})[0] == 400
    assert plant.ask("/api/mutes", {"pattern": "b*", "seconds": -1, "reason": "x"})[0] == 400


def test_what_a_mute_held_back_is_sent_when_it_is_over(plant: Plant) -> None:
    plant.monitor.view.mute("*", time.time_ns() + 3600 * 10**9, "service", "")
    plant.feed("a", 20)
    plant.feed("a", 20, 9.0)
    until(lambda: len(plant.events()) == 1)
    plant.monitor.view.unmute(1)
    plant.monitor._forget(plant.monitor.running)  # which it does once a minute
    until(lambda: bool(plant.sent()))
    assert [(one["stream"], "muted" in one["event"]) for one in plant.sent()] == [("a", False)]


def test_a_lasting_change_is_told_and_its_level_can_be_taken(plant: Plant) -> None:
    plant.feed("a", 20)
    plant.feed("a", 300, 9.0)
    until(lambda: any(one["action"] == "changed" for one in plant.events()))
    # The hand-made model expects what it sees, so that no shift brings it back: it says so, and nothing changes.
    status, answer = plant.ask("/api/streams/adopt", {"stream": "a"})
    assert (status, "its level cannot be taken" in answer["error"]) == (400, True)
    with pytest.raises(InvalidArgument, match="there is no stream"):
        plant.monitor.view.adopt_stream("b", False)
    assert plant.ask("/api/streams/adopt", {"stream": "a", "undo": True}) == (200, {"stream": "a", "shift": {}})
    until(lambda: plant.events()[0]["state"] == "closed")
    assert plant.ask("/api/streams/adopt", {})[0] == 400


def test_a_reload_takes_windows_and_rules_and_refuses_a_mute_that_is_past(plant: Plant) -> None:
    path = plant.folder / "monitor.toml"
    window = '[[mute]]\nstreams = ["*"]\nreason = "x"\nuntil = "{}"\n'
    path.write_text(path.read_text() + "[alarms]\nevents_per_day = 5\n" + window.format("2100-01-01"))
    assert plant.monitor.reload() == "alarms.events_per_day, mute"
    assert plant.monitor.running.desk.alarms.events_per_day == 5
    assert len(plant.monitor.running.desk.windows) == 1
    path.write_text(path.read_text().replace("2100", "2020"))
    with pytest.raises(ConfigError, match=r"mute\[0\]\.until: it is past"):
        plant.monitor.reload()
    assert len(plant.monitor.running.desk.windows) == 1
