"""Whatever happens to the monitor, its brokers, disk or sinks: the events at the end are those of a quiet run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aez.bench.monitor import loss
from aez.bench.monitor.outcome import Outcome
from aez.daemon.parse.times import ArrivalClock

pytestmark = pytest.mark.slow


def whole(found: Outcome) -> bool:
    """Nothing was lost, invented or changed, and there was something that could have been."""
    assert found.equal, found
    assert found.events >= 20
    return found.equal


def test_kills_while_a_file_is_followed(tmp_path: Path) -> None:
    assert whole(loss.kills(tmp_path, "file", 6, seed=1, pause=0.8))


def test_kills_with_mqtt(tmp_path: Path) -> None:
    assert whole(loss.kills(tmp_path, "mqtt", 6, seed=2, pause=0.8))


def test_a_broker_that_restarts(tmp_path: Path) -> None:
    assert whole(loss.broker_restarts(tmp_path, "mqtt", 3, seed=3))


def test_a_nats_server_that_restarts(tmp_path: Path) -> None:
    assert whole(loss.broker_restarts(tmp_path, "nats", 2, seed=4))


def test_a_sink_that_is_down_for_a_while(tmp_path: Path) -> None:
    found = loss.sink_down(tmp_path, 2.0)
    assert whole(found)
    assert found.repeated == 0


def test_a_state_that_cannot_be_written_for_a_while(tmp_path: Path) -> None:
    found = loss.disk_full(tmp_path, 1.0)
    assert whole(found)
    assert found.repeated == 0


def test_a_clock_that_goes_back_and_forth(tmp_path: Path) -> None:
    assert whole(loss.clock_back(tmp_path))


def test_times_of_arrival_go_on_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, true, hour = ArrivalClock(), time.time_ns, 3600 * 10**9
    received = time.monotonic() - 10
    before = clock.arrivals(1, received)
    assert abs(before - (true() - 10 * 10**9)) < 5 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: true() - hour)
    times = [clock.arrivals(1, received + second) for second in (1, 2, 3)]
    assert [round((moment - before) / 1e9) for moment in times] == [1, 2, 3]
    monkeypatch.setattr(time, "time_ns", lambda: true() + hour)
    assert round((clock.arrivals(1, received + 4) - before - hour) / 1e9) == 4
