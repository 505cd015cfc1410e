"""`aez bench monitor`: that its runs are what they claim to be, that a difference is noticed, and how it reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from aez.bench.load import rows
from aez.bench.load.rows import FEATURES, FORMATS, Rows
from aez.bench.machine import describe_environment
from aez.bench.monitor import latency, steady, throughput
from aez.bench.monitor.figures import save_report
from aez.bench.monitor.outcome import compare, stored_events
from aez.bench.monitor.report import Figure, Measured, MonitorReport
from aez.cli import main
from aez.codec.detect.detector import load_detector
from aez.daemon.config.reader import load
from aez.daemon.simulate.satellites import CHANNELS
from aez.daemon.tools.replay import Replayed, replay

ROWS = Rows(30_000, streams=20, every=500)


def test_the_shipped_detectors_fit_the_rows_and_are_small() -> None:
    for path, channels in ((throughput.MODEL, FEATURES), (latency.SATELLITES, tuple(CHANNELS))):
        assert load_detector(path, "cpu", 1).channels == channels
        assert path.stat().st_size < 100_000


def test_a_model_of_other_channels_is_refused_in_one_sentence() -> None:
    done = CliRunner().invoke(main, ["bench", "monitor", "throughput", "--model", str(latency.SATELLITES)])
    assert done.exit_code == 2
    assert "satellites.aezm takes bus_voltage" in done.output
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_every_way_in_gives_the_same_events(tmp_path: Path) -> None:
    runs = {kind: throughput.file_run(tmp_path, ROWS, kind) for kind in ("json", "parquet")}
    runs["push"] = throughput.push_run(tmp_path, ROWS)
    found = [stored_events(tmp_path / place / "monitor.db") for place in ("file-json", "file-parquet", "push")]
    assert len(found[0]) >= 20
    for kind, run in runs.items():
        assert run.events == len(found[0]), kind
        assert run.rows == ROWS.count
        assert 0 < run.rate < 1e8
        assert run.cpu_seconds > 0.1
        assert run.memory > 10e6
    assert found[0].keys() == found[1].keys() == found[2].keys()


@pytest.mark.parametrize("kind", ["line", "csv", "arrow", "parquet"])
def test_replay_takes_recorded_files_of_every_format(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"data.{FORMATS[kind]}"
    rows.write(Rows(2000, streams=5), path, kind)
    config = tmp_path / "monitor.toml"
    source = 'kind = "file"\npaths = ["absent.jsonl"]\nstream = "stream"\ntime = "time"\ntime_unit = "ns"'
    config.write_text(throughput.CONFIG.format(port=0, model=throughput.MODEL, source=source))
    work = tmp_path / "work"
    work.mkdir()
    assert replay(load(config), [path], None, work) == Replayed(2000, 0, "", interrupted=False)


@pytest.mark.slow
def test_latency_is_told_for_events_that_opened(tmp_path: Path) -> None:
    found = {figure.what: figure for figure in latency.measure(tmp_path, seconds=3).figures}
    assert found["events that opened"].value >= 10
    assert 0 < found["publish to event, p50"].value <= found["publish to event, p99"].value < 60_000
    assert found["publish to event, p99"].target == 100


@pytest.mark.slow
def test_under_a_steady_load_every_row_is_scored(tmp_path: Path) -> None:
    found = steady.scale(tmp_path, seconds=5, streams=300)
    figures = {figure.what: figure.value for figure in found.figures}
    assert figures["rows"] == 1500
    assert figures["rows that did not come in"] == figures["rows that were not scored"] == 0
    assert figures["peak memory"] > 10
    assert len(found.curves["memory, MB"]) >= 3


def event(peak: float = 2.0) -> dict[str, object]:
    return {"id": "a", "start": 1, "end": 5, "channels": [{"name": "x", "share": 0.5}], "peak": peak}


def step(sequence: int, action: str = "open") -> dict[str, object]:
    return {"id": "a", "sequence": sequence, "action": action, "event": event()}


def test_a_comparison_notices_each_kind_of_difference() -> None:
    expected = ({"a": event(), "b": event()}, [step(0), step(1, "close")])

    def found(events: dict[str, dict[str, object]], *sinks: list[dict[str, object]]) -> tuple[int, ...]:
        one = compare(expected, (events, sinks), disturbances=1, rows=10)
        assert one.equal == (not any((one.missing, one.further, one.differing, one.untold, one.wrong)))
        return one.missing, one.further, one.differing, one.untold, one.wrong, one.repeated

    same, told = {"a": event(), "b": event(2.0 + 1e-7)}, [step(0), step(1, "close")]
    assert found(same, told, told) == (0, 0, 0, 0, 0, 0)
    assert found(same, [step(0), *told]) == (0, 0, 0, 0, 0, 1)
    assert found({"a": event()}, told) == (1, 0, 0, 0, 0, 0)
    assert found({**same, "c": event()}, told) == (0, 1, 0, 0, 0, 0)
    assert found({**same, "b": event(2.1)}, told) == (0, 0, 1, 0, 0, 0)
    assert found(same, told, [step(0)]) == (0, 0, 0, 1, 0, 0)
    assert found(same, [step(0), step(1, "update")]) == (0, 0, 0, 0, 1, 0)
    assert found(same, [*told, step(2, "open")]) == (0, 0, 0, 0, 1, 0)


def test_a_report_shows_targets_and_what_was_missed(tmp_path: Path) -> None:
    figures = [
        Figure("rate", 170_001.0, "rows/s", 170_000),
        Figure("memory", 1600.0, "MB", 1500, "at most"),
        Figure("events", 12),
    ]
    measured = Measured("soak", "an hour", figures, {"memory, MB": [(0.0, 1.0), (1.0, 2.0)], "events by ms": [(3, 4)]})
    report = MonitorReport([measured], describe_environment(), seed=3)
    save_report(report, tmp_path / "out")
    text = (tmp_path / "out" / "monitor.txt").read_text()
    assert [line.split()[-1] for line in text.splitlines()[-3:]] == ["reached", "MISSED", "12"]
    assert report.missed == ["soak: memory"]
    found = json.loads((tmp_path / "out" / "monitor.json").read_text())
    assert found["seed"] == 3
    assert [one["reached"] for one in found["measured"][0]["figures"]] == [True, False, None]
    assert (tmp_path / "out" / "monitor-soak.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_measured_is_told_behind_what_could(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)  # as where Mosquitto is not installed
    output = tmp_path / "out"
    done = CliRunner().invoke(main, ["bench", "monitor", "latency", "-o", str(output)])
    assert done.exit_code == 1
    assert "latency: this needs mosquitto, which is not installed: apt install mosquitto" in done.output
    assert "FAILED: this needs mosquitto" in (output / "monitor.txt").read_text()
    assert json.loads((output / "monitor.json").read_text())["measured"][0]["failures"]
