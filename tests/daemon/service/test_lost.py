"""What is refused of a stream is named where people look, and a run with an end says what it lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
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
{web}
[[models]]
path = "satellite.aezm"
streams = ["sat-*", "mixed", "deaf"]
[[sources]]
name = "plant"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""
SIMULATION = Simulation(streams=1, seed=1)


def rows(count: int, stream: str = "sat-01") -> list[dict[str, Any]]:
    text = b"".join(encode(block, "json") for block in SIMULATION.blocks(count, 0)).decode()
    return [json.loads(line) | {"stream": stream} for line in text.splitlines()]


def write(found: list[dict[str, Any]]) -> None:
    Path("data.jsonl").write_text("".join(json.dumps(one) + "\n" for one in found))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    """One of three streams: of one all messages are refused, of one half of them."""
    Path("monitor.toml").write_text(CONFIG.format(web=f"port = {free_port()}"))
    good, mixed, deaf = rows(400), rows(400, "mixed"), rows(400, "deaf")
    for one in (*mixed[::2], *deaf):
        one["bus_voltage"] = 1e30
    write([one for three in zip(good, mixed, deaf, strict=True) for one in three])
    made = Monitor(load(Path("monitor.toml")))
    made.start()
    until(lambda: made.counts() == {"rows": 600, "refused": 600} and made.worker.idle)
    until(lambda: len(made.view.attention()["losing"]["streams"]) >= 2)
    yield made
    made.end()


def test_a_stream_that_is_refused_is_named_by_api_top_metrics_and_log_though_its_source_works(
    monitor: Monitor,
) -> None:
    losing = monitor.view.attention()["losing"]
    assert losing["reasons"]["too_large"] == 2
    found = {one["stream"]: one for one in losing["streams"]}
    assert found["deaf"]["lost"] == {"too_large": 400}
    assert found["deaf"]["rows"] is None  # none of it ever came in
    assert found["mixed"]["lost"]["too_large"] == 200
    assert found["mixed"]["rows"] > 100
    assert "sat-01" not in found
    assert monitor.view.stream("mixed") == next(
        one for one in monitor.view.streams()["streams"] if one["stream"] == "mixed"
    )
    assert "bus_voltage" in str(monitor.view.stream("mixed")["advice"])  # type: ignore[index]
    (told,) = (one for one in monitor.view.summary()["losing"] if one["reason"] == "too_large")
    assert (told["count"], sorted(told["streams"])) == (2, ["deaf", "mixed"])
    shown = run("monitor", "top", "monitor.toml", "--once").stdout
    assert "deaf loses samples (too_large): its messages cannot be used: " in shown
    assert "mixed loses samples" in shown
    gauge = monitor.metrics.registry.get_sample_value
    until(lambda: gauge("aez_streams_losing_samples", {"reason": "too_large"}) == 2)


def test_losing_streams_are_in_the_log_once(monitor: Monitor, caplog: pytest.LogCaptureFixture) -> None:
    del monitor
    messages = [one.getMessage() for one in caplog.get_records("setup")]
    said = [one for one in messages if "source plant: messages of" in one]
    assert len(said) in (1, 2)  # together, or one after the other
    assert all("(too_large: " in one for one in said)
    assert "deaf" in "".join(said)


def test_a_run_with_an_end_says_what_it_lost_however_little(caplog: pytest.LogCaptureFixture) -> None:
    """Ten rows an hour late, three that come twice, two of a stream without a model, one that is no JSON."""
    Path("monitor.toml").write_text(CONFIG.format(web="enabled = false"))
    found = rows(600)
    for one in found[300:310]:
        one["time"] = found[0]["time"]
    orphans = rows(2, "other")
    write([*found[:500], *found[497:500], *found[500:], *orphans, found[0] | {"bus_voltage": 1e30}])
    with Path("data.jsonl").open("a") as file:
        file.write("{ this is no JSON\n")
    assert Monitor(load(Path("monitor.toml")), once=True).run() == 0
    said = [one.removeprefix("in this run ") for one in caplog.messages if one.startswith("in this run")]
    assert said[1:] == [
        "samples of stream other were not scored: 2 no_model",
        "messages of source plant could not be used: 1 syntax",
    ]
    lost = dict(reversed(one.split(" ")) for one in said[0].partition(": ")[2].split(", "))  # type: ignore[arg-type]
    assert said[0].startswith("samples of stream sat-01 were not scored: ")
    assert {name: int(number) for name, number in lost.items()}["too_large"] == 1
    assert sum(int(number) for number in lost.values()) == 14
    caplog.clear()
    assert Monitor(load(Path("monitor.toml")), once=True).run() == 0  # nothing new comes, and nothing is lost
    assert not [one for one in caplog.messages if one.startswith("in this run")]


def test_a_run_that_lost_nothing_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Path("monitor.toml").write_text(CONFIG.format(web="enabled = false"))
    write(rows(100))
    assert Monitor(load(Path("monitor.toml")), once=True).run() == 0
    assert not [one for one in caplog.messages if "in this run" in one or "not scored" in one]


def test_a_file_that_is_read_at_once_names_clocks_that_are_apart(caplog: pytest.LogCaptureFixture) -> None:
    Path("monitor.toml").write_text(CONFIG.format(web="enabled = false"))
    found = []
    for at, one in enumerate(rows(60)):
        wheel = {name: one.pop(name) for name in ("wheel_speed", "wheel_current")}
        ahead = {"time": 1_767_225_600 + at + 7200, "stream": "sat-01"}
        found += [one | {"time": 1_767_225_600 + at}, ahead | wheel]
    write(found)
    assert Monitor(load(Path("monitor.toml")), once=True).run() == 0
    (said,) = [one for one in caplog.messages if "clocks are apart" in one]
    assert said.startswith("stream sat-01: wheel_speed, wheel_current come with times about 2 h ahead of those of bus_")
