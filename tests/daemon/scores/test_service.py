"""The whole process writes all scores: once, killed and begun again, and as its configuration says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aez.daemon.config.reader import ConfigError, load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.tools.replay import replay
from tests.kit.brokers import free_port
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

SIMULATION = Simulation(streams=3, seed=1, every=150, first=100, length=30)
ROWS, WINDOW = 400, 4
CONFIG = """\
[web]
enabled = false
[scores]
path = "scores"
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""
Scores = dict[tuple[str, int], float]


def lines(rows: int, first: int = 0) -> bytes:
    return b"".join(
        encode(block, "json") for at in range(first, first + rows, 50) for block in SIMULATION.blocks(50, at)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG)
    (tmp_path / "data.jsonl").write_bytes(lines(ROWS))
    return tmp_path


def once(folder: Path) -> Monitor:
    monitor = Monitor(load(folder / "monitor.toml"), once=True)
    assert monitor.run() == 0
    return monitor


def scores(folder: Path) -> tuple[Scores, int]:
    """Score by stream and row, and how many rows the files hold in all."""
    table = pa.concat_tables(pq.read_table(path) for path in folder.glob("scores/satellite/*.parquet"))
    found: Scores = {}
    for stream, row, score in zip(*(table[name].to_pylist() for name in ("stream", "row", "score")), strict=True):
        assert found.setdefault((stream, row), score) == score, "a row that stands there twice has one score"
    return found, table.num_rows


def test_a_run_writes_each_row_once_and_counts_them(folder: Path) -> None:
    monitor = once(folder)
    found, rows = scores(folder)
    names = {f"sat-{number:02d}" for number in (1, 2, 3)}
    assert set(found) == {(name, row) for name in names for row in range(WINDOW - 1, ROWS)}
    assert rows == len(found)
    assert f"aez_scores_written_total {rows}.0".encode() in monitor.metrics.text()
    assert b"aez_scores_dropped_total 0.0" in monitor.metrics.text()


def test_killed_once_it_has_written_it_loses_none_and_a_replay_changes_none(folder: Path) -> None:
    once(folder)
    expected, _ = scores(folder)
    for path in [*folder.glob("monitor.db*"), *folder.glob("scores/*/*")]:
        path.unlink()
    data = folder / "data.jsonl"
    whole = data.read_bytes().splitlines(keepends=True)
    data.write_bytes(b"".join(whole[: len(whole) // 2]))
    port = free_port()
    text = CONFIG.replace("enabled = false", f"port = {port}")
    (folder / "monitor.toml").write_text(text)
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "aez", "monitor", "run", str(folder / "monitor.toml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        half = len(whole) // 2 - 3 * (WINDOW - 1)
        until(lambda: f"aez_scores_written_total {half}.0" in metrics(port))
        assert not list(folder.glob("scores/*/*.parquet")) or len(scores(folder)[0]) < half
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(10)
    data.write_bytes(b"".join(whole))
    (folder / "monitor.toml").write_text(CONFIG)
    once(folder)
    assert scores(folder)[0] == expected


def metrics(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_json_lines_can_be_followed_while_they_are_written(folder: Path) -> None:
    (folder / "monitor.toml").write_text(CONFIG.replace("[scores]\n", '[scores]\nformat = "jsonl"\nevery = 10\n'))
    monitor = Monitor(load(folder / "monitor.toml"), page=False)
    monitor.start()
    try:
        until(lambda: [path for path in folder.glob("scores/satellite/*.jsonl") if path.stat().st_size])
        (path,) = folder.glob("scores/satellite/*.jsonl")
        until(lambda: path.read_bytes().count(b"\n") == 3 * ROWS // 10 - 3)
    finally:
        monitor.end()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["row"] % 10 for row in rows} == {0}
    assert {row["model"] for row in rows} == {"satellite"}


def test_a_replay_writes_no_scores(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    replay(load(folder / "monitor.toml"), [folder / "data.jsonl"], None, tmp_path_factory.mktemp("replay"))
    assert not (folder / "scores").exists()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("every = 2", "scores.path: it is missing"),
        ('path = "scores"\nmodels = ["pump"]', "there is no model 'pump'; there is satellite"),
        ('path = "scores"\nformat = "csv"', "it is one of parquet, jsonl"),
        ('path = "scores"\nrotate = 1', "there is no such key; did you mean rotate_rows"),
    ],
)
def test_a_wrong_table_of_scores_is_told_by_line_and_key(folder: Path, keys: str, told: str) -> None:
    (folder / "monitor.toml").write_text(CONFIG.replace('path = "scores"', keys))
    with pytest.raises(ConfigError) as caught:
        load(folder / "monitor.toml")
    assert told in str(caught.value.faults[0])
    assert caught.value.faults[0].line in (3, 4, 5)
