"""`aez bench detect` and `detect-speed`: what they print, what they write, how they fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kit.commands import run

pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")
pytest.importorskip("torch")

Array = np.ndarray[Any, np.dtype[Any]]

QUICKLY = ("--model-family", "pca", "--detector", "window=20", "--peers", "PCA,all ones", "--jobs", "1")


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """A folder as SMD's, with one machine."""
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * np.arange(1500)[:, None] / 25 + np.arange(3)) + 0.1 * rng.normal(size=(1500, 3))
    wave[1200:1240, 1] += 3
    labels = np.zeros(600, np.uint8)
    labels[300:340] = 1
    (tmp_path / "machines").mkdir()
    np.savez(tmp_path / "machines" / "machine-1-1.npz", train=wave[:900], test=wave[900:], test_label=labels)
    return tmp_path / "machines"


def test_detect_prints_a_table_and_writes_files(machines: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = run("bench", "detect", machines, *QUICKLY, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "Detection on SMD: 1 case of machines" in done.stdout
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert {"aez pca", "PCA", "all ones"} <= set(lines)
    assert "1/1" in lines["aez pca"]
    assert "wrote the report and plots to" in done.stderr
    assert (tmp_path / "out" / "detect.txt").read_text().rstrip("\n") == done.stdout.rstrip("\n")


def test_detect_as_json_of_the_cases_asked_for(machines: Path) -> None:
    (machines / "machine-1-2.npz").write_bytes((machines / "machine-1-1.npz").read_bytes())
    done = run("bench", "detect", machines, *QUICKLY, "--quick", "--case", "machine-1-2", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["benchmark"] == "smd"
    assert report["quick"] is True
    assert list(report["summary"]) == ["aez pca", "aez pca, covering", "PCA", "all ones"]
    assert report["settings"] == {"window": 20}
    assert report["cases"] == ["machine-1-2"]


def test_int8_is_measured_window_by_window_and_only_on_test_rows(
    machines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aez.codec.bundle.session import Session

    sizes = []

    def counted(self: Session, inputs: Mapping[str, Array]) -> dict[str, Array]:
        sizes.append(len(inputs["window"]))
        return ran(self, inputs)

    ran = Session.run
    monkeypatch.setattr(Session, "run", counted)
    done = run("bench", "detect", machines, *QUICKLY[:4], "--peers", "none", "--jobs", "1", "--int8", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)["summary"]
    assert summary["aez pca int8"]["auc_pr"] == pytest.approx(summary["aez pca"]["auc_pr"], abs=0.05)
    assert 600 <= sizes.count(1) < 900  # the windows of the test rows, in whole batches, and a few checks


def test_ways_of_choosing_a_threshold_are_compared_when_asked_for(machines: Path) -> None:
    done = run("bench", "detect", machines, *QUICKLY, "--quick", "--thresholds")
    assert done.exit_code == 0, done.output
    _, _, compared = done.stdout.partition("aez pca, threshold by")
    for way in ("as shipped", "budget, 1 alarm a day", "percentile 99.9", "best F1 (sees the labels)"):
        assert way in compared
    shown = {line.split("  ")[0]: line.split()[-8:] for line in compared.splitlines()}
    assert shown["budget, --alarms 1"] == shown["as shipped"]
    limits = [float(shown[f"budget, --alarms {alarms}"][0]) for alarms in ("0.1", "1", "10")]
    assert limits[0] > limits[1] >= limits[2]


def test_peers_can_be_left_out(machines: Path) -> None:
    quickly = [*QUICKLY[:4], "--peers", "none", "--jobs", "1", "--quick", "--json"]
    assert list(json.loads(run("bench", "detect", machines, *quickly).stdout)["summary"]) == [
        "aez pca",
        "aez pca, covering",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name the folder of a benchmark"),
        (("nowhere",), 5, "nowhere is not a folder"),
        (("{machines}", "--model-family", "gru"), 2, "family 'gru' is unknown"),
        (("{machines}", "--detector", "depth=3"), 2, "'depth=3' is no setting"),
        (("{machines}", "--peers", "svm"), 2, "peer 'svm' is unknown"),
        (("{machines}", "--case", "machine-9"), 2, "case 'machine-9' is not there; use machine-1-1"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    machines: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run("bench", "detect", *(str(machines) if a == "{machines}" else a for a in arguments))
    assert done.exit_code == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_detect_speed_names_both_ways(tmp_path: Path) -> None:
    from aez.export import SeriesDetector

    rows = np.random.default_rng(1).normal(size=(400, 3))
    SeriesDetector("pca", 8).fit(rows).save(tmp_path / "pump.aezm")
    done = run("bench", "detect-speed", tmp_path / "pump.aezm", "--seconds", "0.02")
    assert done.exit_code == 0, done.output
    assert "pump: windows of 8 rows, 3 channels; one core of" in done.stdout
    assert done.stdout.count("windows/s by 32") == 2
    report = json.loads(run("bench", "detect-speed", tmp_path / "pump.aezm", "--seconds", "0.02", "--json").stdout)
    assert set(report["windows_per_second"]) == {"onnxruntime", "detector"}
    assert run("bench", "detect-speed", tmp_path / "none.aezm").exit_code == 4
