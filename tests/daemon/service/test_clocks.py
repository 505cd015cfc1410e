"""Two gateways bring the channels of one stream by clocks two hours apart, over HTTP: told wherever people look."""

from __future__ import annotations

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


def post(monitor: Monitor, source: str, rows: Iterable[dict[str, Any]]) -> None:
    port = next(one.options.port for one in monitor.running.config.sources if one.name == source)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/", "".join(json.dumps(one) + "\n" for one in rows))
        assert connection.getresponse().status == 204
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


def test_two_gateways_whose_clocks_are_apart_are_named(monitor: Monitor, caplog: pytest.LogCaptureFixture) -> None:
    for at in range(0, 60, 3):
        plant, annex = parts(rows(60)[at : at + 3])
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
    plant, annex = parts(rows(900))
    annex = [one | {"time": one["time"] - HOURS} for one in annex]
    for at in range(0, 10, 5):
        post(monitor, "plant", plant[at : at + 5])
        post(monitor, "annex", annex[at : at + 5])
    post(monitor, "plant", plant[10:600])
    for at in range(60):
        post(monitor, "annex", annex[10 + 10 * at : 20 + 10 * at])
        post(monitor, "plant", plant[600 + at : 601 + at])
    until(lambda: monitor.worker.idle)
    monitor.worker.call(lambda: monitor.running.engine.tick(time.time_ns()))
    assert monitor.running.engine.tables()[0].rows[0] > 500
    assert not monitor.running.engine.tables()[0].clocks
    assert "clock" not in caplog.text
