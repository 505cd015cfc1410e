"""A step of the machine's clock deletes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.state.store import Store
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

CONFIG = """\
[web]
enabled = false
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""
YEAR = 400 * 86_400


def kept(folder: Path) -> tuple[int, int]:
    with Store(folder / "monitor.db", check=False) as store:
        return store.events.count("closed"), len(list(store.states()))


def forget(monitor: Monitor, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """As the monitor does every minute, its clock being wrong by so many seconds."""
    right_ns, right = time.time_ns, time.time
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time_ns", lambda: right_ns() + seconds * 10**9)
        wrong.setattr(time, "time", lambda: right() + seconds)
        monitor._forget(monitor.running)


def test_a_clock_that_is_400_days_ahead_deletes_neither_events_nor_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG)
    simulation = Simulation(streams=1, seed=1, every=150, first=100, length=30)
    rows = b"".join(encode(block, "json") for block in simulation.blocks(600, 0))
    (tmp_path / "data.jsonl").write_bytes(rows)
    for _ in range(2):  # also where it is wrong from the start
        monitor = Monitor(load(tmp_path / "monitor.toml"))
        try:
            monitor.start()
            until(lambda monitor=monitor: monitor.worker.idle and kept(tmp_path)[0] > 0)
            before = kept(tmp_path)
            for _ in range(3):
                forget(monitor, monkeypatch, YEAR)
            assert kept(tmp_path) == before
            forget(monitor, monkeypatch, 0)
            assert kept(tmp_path) == before
        finally:
            monitor.end()


def test_events_go_by_the_time_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text("[state]\nretention_days = 0.001\n" + CONFIG)
    simulation = Simulation(streams=1, seed=1, every=150, first=100, length=30)
    (tmp_path / "data.jsonl").write_bytes(b"".join(encode(block, "json") for block in simulation.blocks(600, 0)))
    monitor = Monitor(load(tmp_path / "monitor.toml"))
    try:
        monitor.start()
        until(lambda: monitor.worker.idle and kept(tmp_path)[0] > 0)
        before = kept(tmp_path)[0]
        forget(monitor, monkeypatch, 0)
        after = kept(tmp_path)[0]
        assert after < before  # 86 s before the newest sample, however long ago that was
        assert after > 0
    finally:
        monitor.end()
