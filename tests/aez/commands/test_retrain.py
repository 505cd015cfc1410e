"""`aez monitor retrain`: a model's successor from what the monitor kept, as its candidate."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from aez.cli import main
from aez.codec.detect.detector import load_detector
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.daemon.config.reader import load
from aez.daemon.scores.files import Format
from aez.daemon.shadow.folder import ShadowFolder
from aez.daemon.simulate.satellites import CHANNELS
from aez.daemon.state.store import Store
from aez.daemon.tools.retrain import training_files
from tests.kit.satellite_model import WINDOW, save_satellite_model

CONFIG = """\
[web]
port = 0
[scores]
path = "scores"
values = true
format = "{format}"
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""


def aez(*words: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in words])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rows of two streams with faults, watched and kept."""
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    rows = ("--rows", 1200, "--streams", 2, "--seed", 1, "--faults", 300, "--first-fault", 200)
    assert aez("monitor", "simulate", *rows, "-o", "data.jsonl").exit_code == 0
    return tmp_path


def watch(kind: Format) -> None:
    Path("monitor.toml").write_text(CONFIG.format(format=kind))
    assert aez("monitor", "run", "monitor.toml", "--once").exit_code == 0


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.usefixtures("here")
def test_stretches_hold_no_events_and_no_holes(kind: Format) -> None:
    watch(kind)
    config = load(Path("monitor.toml"))
    Path("rows").mkdir()
    files = training_files(config, config.models[0], tuple(CHANNELS), WINDOW, Path("rows"))
    with Store("monitor.db") as store:
        events = [(one.stream, one.start, one.end) for one in store.events.list(limit=1000)]
    assert len(events) > 2
    total = 0
    for path in files:
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["time", *CHANNELS]
        times = table.column("time").cast("int64").to_numpy()
        assert set(np.diff(times)) == {10**9}
        total += len(times)
        calm = {
            stream
            for stream in ("sat-01", "sat-02")
            if all(start > times[-1] or (end or start) < times[0] for name, start, end in events if name == stream)
        }
        assert calm  # one of them is what the file is of
    assert 1200 < total < 2400


def test_rows_that_are_not_kept_are_named(here: Path) -> None:
    watch("parquet")
    text = (here / "monitor.toml").read_text()
    (here / "monitor.toml").write_text(text.replace("values = true", "values = false"))
    config = load(here / "monitor.toml")
    with pytest.raises(InvalidArgument, match=r"\[scores\] needs a path, values = true"):
        training_files(config, config.models[0], tuple(CHANNELS), WINDOW, here)
    (here / "monitor.toml").write_text(text)
    config = load(here / "monitor.toml")
    with pytest.raises(UnsupportedInput, match="no stretch of 10000 rows"):
        training_files(config, config.models[0], tuple(CHANNELS), 500, here)


def test_a_trainer_that_is_missing_is_a_sentence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch("parquet")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    result = aez("monitor", "retrain", here / "monitor.toml", "satellite")
    assert (result.exit_code, result.stderr) == (
        1,
        "aez: error: retraining needs torch, which is not installed: pip install 'aez[train]'\n",
    )


def test_a_successor_of_a_model_with_a_scale_for_each_stream_has_one_too(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch("parquet")
    before = load_detector(here / "satellite.aezm")
    seen: dict[str, Any] = {}

    def trainer(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        tables = [pyarrow.parquet.read_table(one) for one in command if one.endswith(".parquet")]
        names = [one.column("aez_stream").to_pylist() for one in tables if "aez_stream" in one.column_names]
        seen.update(command=command, streams={name for some in names for name in some})
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", trainer)
    monkeypatch.setattr("aez.codec.detect.detector.load_detector", lambda *_, **__: before)
    assert "code 1" in aez("monitor", "retrain", "monitor.toml", "satellite").stderr
    assert "--per-stream-scale" not in seen["command"]
    assert not seen["streams"]
    before.scales = object()  # type: ignore[assignment]
    aez("monitor", "retrain", "monitor.toml", "satellite")
    words = seen["command"]
    assert words[words.index("--stream") + 1] == "aez_stream"
    assert "--per-stream-scale" in words
    assert seen["streams"] == {"sat-01", "sat-02"}


def test_a_successor_is_trained_and_becomes_the_candidate(here: Path) -> None:
    watch("parquet")
    result = aez("monitor", "retrain", "monitor.toml", "satellite", "-o", "next.aezm")
    assert result.exit_code == 0, result.output
    assert "the candidate of model satellite scores from the monitor's next start on" in result.output
    made = load_detector(here / "next.aezm")
    assert made.channels == tuple(CHANNELS)
    assert made.window == WINDOW
    assert ShadowFolder(here / "monitor.db").bundle("satellite").read_bytes() == (here / "next.aezm").read_bytes()
    assert aez("monitor", "run", "monitor.toml", "--once").exit_code == 0
    assert json.loads((here / "monitor.shadows" / "satellite.json").read_text())["candidate"] == made.bundle.id
