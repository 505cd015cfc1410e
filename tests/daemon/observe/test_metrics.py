"""What the figures say while something is wrong, and that they forget what is no longer configured."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import DeliveryStatus
from aez.daemon.config.reader import load
from aez.daemon.observe.metrics import Metrics
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

SIMULATION = Simulation(streams=2, seed=1, every=150, first=100, length=30)
CONFIG = """\
[web]
enabled = false
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""
MORE = """\
[[sources]]
name = "more"
kind = "mqtt"
port = {port}
topics = ["satellites/+"]
client_id = "aez-test"
[[sinks]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:{port}/"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "data.jsonl").write_bytes(rows(0, 300))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "monitor.toml").write_text(CONFIG + MORE.format(port=port))
    return tmp_path


@pytest.fixture
def monitor(folder: Path) -> Iterator[Monitor]:
    made = Monitor(load(folder / "monitor.toml"))
    try:
        made.start()
        yield made
    finally:
        made.end()


def rows(first: int, count: int) -> bytes:
    return b"".join(encode(block, "json") for block in SIMULATION.blocks(count, first))


def figures(metrics: Metrics) -> dict[str, float]:
    """By name, with labels as they are written."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in families
        for sample in family.samples
    }


def shown(monitor: Monitor) -> dict[str, float]:
    monitor.view.refresh()
    return figures(monitor.metrics)


def test_a_sink_that_is_down_is_seen_and_forgotten_once_it_is_not_configured(folder: Path, monitor: Monitor) -> None:
    until(lambda: shown(monitor)["aez_sink_failures_total{sink=hook}"] >= 2)
    until(lambda: shown(monitor)["aez_sink_delivered_total{sink=json_lines}"] >= 4)
    until(lambda: shown(monitor)["aez_source_up{source=more}"] == 0)
    found = shown(monitor)
    assert found["aez_sink_up{sink=hook}"] == 0
    assert found["aez_sink_pending{sink=hook}"] == found["aez_sink_delivered_total{sink=json_lines}"]
    assert found["aez_sink_lag_seconds{sink=hook}"] > 0
    assert found["aez_sink_up{sink=json_lines}"] == 1
    assert found["aez_sink_lag_seconds{sink=json_lines}"] == 0
    assert found["aez_samples_total{source=more}"] == 0
    assert found["aez_ready"] == 0
    assert found["aez_scored_total{model=satellite}"] == 2 * (300 - 3)

    (folder / "monitor.toml").write_text(CONFIG)
    monitor.reload()
    found = shown(monitor)
    assert not [name for name in found if "{sink=hook}" in name]
    assert "aez_source_up{source=more}" not in found
    assert found["aez_ready"] == 1
    assert found["aez_sink_delivered_total{sink=json_lines}"] >= 4

    (folder / "monitor.toml").write_text(CONFIG + "[nonsense]\n")
    with pytest.raises(InvalidArgument):
        monitor.reload()
    found = shown(monitor)
    assert found["aez_config_last_reload_successful"] == 0
    assert (found["aez_reloads_total{result=success}"], found["aez_reloads_total{result=failure}"]) == (1, 1)


@pytest.mark.slow
def test_a_state_that_cannot_be_written_shows_as_such_and_as_lag(folder: Path, monitor: Monitor) -> None:
    until(lambda: shown(monitor)["aez_samples_total{source=telemetry}"] == 600)
    until(lambda: monitor.worker.idle)
    before = shown(monitor)
    assert (before["aez_state_writable"], before["aez_lag_seconds"]) == (1, 0)
    assert before["aez_arrival_to_commit_seconds_count"] == before["aez_commits_total"] > 0
    assert before["aez_state_bytes"] > 4096
    assert before["aez_newest_sample_timestamp_seconds{source=telemetry}"] == SIMULATION.start / 1e9 + 299
    other = sqlite3.connect(folder / "monitor.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")  # another process that holds the store for too long
        with (folder / "data.jsonl").open("ab") as data:
            data.write(rows(300, 10))
        until(lambda: shown(monitor)["aez_state_writable"] == 0)
        found = shown(monitor)
        assert found["aez_lag_seconds"] > 1
        assert found["aez_errors_total{part=store}"] >= 1
        other.execute("ROLLBACK")
    finally:
        other.close()
    until(lambda: shown(monitor)["aez_lag_seconds"] == 0)
    found = shown(monitor)
    assert found["aez_state_writable"] == 1
    assert found["aez_last_commit_timestamp_seconds"] > before["aez_last_commit_timestamp_seconds"]


def test_counts_of_sinks_never_fall() -> None:
    metrics = Metrics()

    def total(kind: str, **counts: int) -> float:
        every = {"pending": 0, "delivered": 0, "dropped": 0, "rejected": 0, "failures": 0, **counts}
        metrics.set_sinks([DeliveryStatus("a", failed_in_row=0, circuit="closed", last_error="", lag=0.0, **every)])
        return figures(metrics)[f"aez_sink_{kind}_total{{sink=a}}"]

    assert [total("delivered", delivered=count) for count in (0, 5, 5, 7)] == [0, 5, 5, 7]
    # Steps that overflowed while they were in hand were delivered after all.
    assert [total("dropped", dropped=count) for count in (3, 2, 2, 4)] == [3, 3, 3, 4]
    # A reload begins to count failures anew.
    assert [total("failures", failures=count) for count in (3, 0, 2)] == [3, 3, 5]
