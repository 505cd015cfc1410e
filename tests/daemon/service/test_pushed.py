"""Rows pushed over HTTP to a monitor that runs: lists and envelopes of them, and by gateways whose clocks are apart."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from tests.kit.brokers import free_port
from tests.kit.commands import run
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

CONFIG = """\
[service]
dead_letters = "letters.jsonl"
[web]
port = {web}
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
[[sources]]
name = "plant"
kind = "http"
port = {plant}
stream = "stream"
[[sources]]
name = "annex"
kind = "http"
port = {annex}
stream = "stream"
"""
START, HOURS = 1_767_225_600, 7200
ANNEX = ("wheel_speed", "wheel_current")


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitor]:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    Path("monitor.toml").write_text(CONFIG.format(web=free_port(), plant=free_port(), annex=free_port()))
    made = Monitor(load(Path("monitor.toml")))
    made.start()
    yield made
    made.end()


def ports(monitor: Monitor) -> dict[str, int]:
    return {one.name: one.options.port for one in monitor.running.config.sources}


def post(monitor: Monitor, source: str, rows: Iterable[dict[str, Any]]) -> None:
    port = ports(monitor)[source]
    body = "".join(json.dumps(one) + "\n" for one in rows)
    assert posted(port, body.encode()) == (204, None)


def posted(port: int, body: bytes, coding: str = "identity") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/push", body, {"Content-Encoding": coding, "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def rows(count: int) -> list[dict[str, Any]]:
    text = b"".join(encode(block, "json") for block in Simulation(streams=1, seed=1).blocks(count, 0)).decode()
    return [json.loads(line) | {"time": START + at} for at, line in enumerate(text.splitlines())]


def parts(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the two gateways send of some rows: the annex is ahead."""
    plant = [{name: value for name, value in one.items() if name not in ANNEX} for one in found]
    annex = [{name: value for name, value in one.items() if name in (*ANNEX, "stream")} for one in found]
    return plant, [one | {"time": whole["time"] + HOURS} for one, whole in zip(annex, found, strict=True)]


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("envelope", [False, True])
def test_lists_and_envelopes_are_taken_and_of_what_is_bad_in_them_each_is_counted_and_said(
    monitor: Monitor, envelope: bool, coding: str
) -> None:
    found = rows(40)

    def send(items: list[Any]) -> tuple[int, Any]:
        body = json.dumps({"metrics": items} if envelope else items, indent=None if len(items) % 2 else 1).encode()
        return posted(ports(monitor)["plant"], gzip.compress(body) if coding == "gzip" else body, coding)

    def dropped(reason: str) -> float | None:
        return monitor.metrics.registry.get_sample_value("aez_dropped_total", {"reason": reason})

    assert send(found[:20]) == (204, None)
    assert send([]) == (204, None)
    assert monitor.counts() == {"rows": 20, "refused": 0}
    huge = found[21] | {"bus_voltage": 1e30}
    assert send([found[20], huge, *found[22:25], "text"]) == (204, None)
    assert monitor.counts() == {"rows": 24, "refused": 2}
    assert dropped("too_large") == dropped("not_an_object") == 1
    assert monitor.worker.refusals.entry("sat-01")["lost"] == {"too_large": 1}
    letters = Path("letters.jsonl").read_text()
    assert "bus_voltage" in letters
    assert "the list holds something that is no object" in letters or "JSON, but no object" in letters
    status, answer = send([huge, huge])
    assert (status, monitor.counts()) == (400, {"rows": 24, "refused": 4})
    assert answer["error"].startswith("nothing of it can be used: too_large: ")
    status, answer = send([[1, 2], [3, 4]])  # rows without names
    assert (status, monitor.counts()["rows"]) == (400, 24)
    assert "not_an_object" in answer["error"] or "no_values" in answer["error"]
    assert send(found[25:]) == (204, None)
    assert monitor.running.engine.tables()[0].rows[0] == 40  # one of them made up


def test_two_gateways_whose_clocks_are_apart_are_named(monitor: Monitor, caplog: pytest.LogCaptureFixture) -> None:
    found = rows(45)
    for at in range(0, 45, 3):
        plant, annex = parts(found[at : at + 3])
        post(monitor, "plant", plant)
        post(monitor, "annex", annex)
    until(lambda: monitor.view.attention()["clocks"]["count"] == 1)
    (entry,) = monitor.view.attention()["clocks"]["streams"]
    said = entry["clocks"]
    for name in ANNEX:
        assert name in said
    assert "come with times about 2 h ahead of those of " in said
    assert "(by source annex, and by plant)" in said
    assert "name their timezone for source annex" in said
    shown = run("monitor", "top", "monitor.toml", "--once").stdout
    assert f"sat-01: {said}" in shown
    assert "1 with clocks apart" in shown
    gauge = monitor.metrics.registry.get_sample_value
    until(lambda: gauge("aez_streams_clocks_apart", {"kind": "channels"}) == 1)
    assert [one for one in caplog.messages if "2 h" in one] == [f"stream sat-01: {said}"]


def test_a_gateway_that_sends_what_it_kept_back_is_not(monitor: Monitor, caplog: pytest.LogCaptureFixture) -> None:
    """Both bring ten rows; the annex is away for 590 of them, and sends those faster than new ones come."""
    plant, annex = parts(rows(620))
    annex = [one | {"time": one["time"] - HOURS} for one in annex]
    for at in range(0, 10, 5):
        post(monitor, "plant", plant[at : at + 5])
        post(monitor, "annex", annex[at : at + 5])
    post(monitor, "plant", plant[10:600])
    for at in range(20):
        post(monitor, "annex", annex[10 + 30 * at : 40 + 30 * at])
        post(monitor, "plant", plant[600 + at : 601 + at])
    until(lambda: monitor.worker.idle)
    monitor.worker.call(lambda: monitor.running.engine.tick(time.time_ns()))
    assert monitor.running.engine.tables()[0].rows[0] > 500
    assert not monitor.running.engine.tables()[0].clocks
    assert "clock" not in caplog.text
