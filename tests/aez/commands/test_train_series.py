"""`aez train series`: what it reads, what it says, the bundle and the figures it leaves, and its exit codes."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aez.cli import main
from aez.codec.bundle.bundle import Bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.detect.detector import load_detector
from aez.codec.errors import ModelError
from aez.commands.train.series import LIMITS, series
from aez.commands.train.series import METHODS as CHOICES
from aez.export.families.registry import NAMES
from aez.export.families.training import FamilyTask
from aez.export.series import bundle
from aez.export.series import train as train_series
from aez.export.series.arrays.estimator import SeriesDetector
from aez.export.series.data.rows import ROWS_FAMILY
from aez.export.series.train import DEFAULT_FAMILY, MARGIN, METHODS, DetectorConfig
from tests.kit.commands import run
from tests.kit.rhythm import rhythmic

Array = np.ndarray[Any, np.dtype[Any]]


def values(n: int = 1600, seed: int = 0) -> Array:
    """Noisy sines of three sensors, period 20, in units of their own."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(n)[:, None] / 20 + np.arange(3))
    return (waves + 0.1 * rng.normal(size=(n, 3))) * [2, 50, 0.01] + [20, 900, 0.5]


def write(path: Path, rows: Array, names: Sequence[str] = ("flow", "pressure", "heat"), step: int = 10) -> Path:
    clock = np.datetime64("2024-03-01T00:00:00") + step * np.arange(len(rows))
    lines = [",".join(["time", *names])]
    lines += [",".join([str(t), *(f"{x:.7g}" for x in row)]) for t, row in zip(clock, rows, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEZ_DEBUG", raising=False)
    write(tmp_path / "plant.csv", values())
    return tmp_path


def train(*arguments: str | Path) -> Result:
    return run("train", "series", *arguments)


@pytest.fixture
def one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles without the second graph, of windows that are whole, as of data that have none: exporting takes long."""
    monkeypatch.setattr(bundle, "export_whole", lambda *_: None)


@dataclass(frozen=True)
class Made:
    """What a command made and said."""

    path: Path
    result: Result


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The model pump.aezm of plant.csv as `here` has it, trained without any option."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(folder / "plant.csv", values())
        return Made(folder / "pump.aezm", train("plant.csv", "-o", "pump.aezm"))


def test_choices_and_defaults_are_those_of_the_library() -> None:
    (family,) = (option.type for option in series.params if option.name == "family")
    assert set(family.choices) == set(NAMES)  # type: ignore[attr-defined]
    assert not any(isinstance(option.default, str) for option in series.params if option.name == "family")
    assert SeriesDetector().family is None
    assert DetectorConfig().named_family == DEFAULT_FAMILY
    (said,) = (option.help for option in series.params if option.name == "family")
    assert f"[default: {DEFAULT_FAMILY}; of rows {ROWS_FAMILY}]" in said
    said = next(option.help for option in series.params if option.name == "margin")
    assert f"what held-out rows say, {MARGIN:g}." in said
    assert set(CHOICES) == set(LIMITS.values()) == set(METHODS)


def test_one_command_makes_a_detector_and_tells_what_it_did(plain: Made) -> None:
    result = plain.result
    assert (result.exit_code, result.stdout) == (0, "")
    assert "  rows      1,600\n" in result.stderr
    assert "  channels  3: flow, pressure, heat\n" in result.stderr
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"aez: wrote pump.aezm: model pump \(pca\), 3 channels, window 20, threshold [\d.]+, "
        r"\d+ false alarms? in 4\d\d held-out rows \([\d.]+ a day\)",
        last,
    )
    detector = load_detector(plain.path)
    assert (detector.window, detector.channels, detector.period) == (20, ("flow", "pressure", "heat"), 10.0)
    assert detector.score_kind == "reconstruction+mahalanobis"
    assert detector.bundle.manifest["figures"]["held_out"]["events"] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_a_network_that_is_trained_leaves_figures_and_a_loss_curve(here: Path) -> None:
    usual = ("plant.csv", "-o", "pump.aezm", "--family", "dense", "--steps", "20", "--window", "16", "--device", "cpu")
    result = train(*usual)
    assert result.exit_code == 0, result.stderr
    left = {path.name for path in (here / "pump.aezm.run").iterdir()}
    assert {"checkpoint.pt", "metrics.jsonl", "training.png"} <= left
    rows = [json.loads(line) for line in (here / "pump.aezm.run" / "metrics.jsonl").read_text().splitlines()]
    assert any("validation" in row for row in rows)
    # The run of before is in nobody's way.
    again = train(*usual, "-f")
    assert again.exit_code == 0, again.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_an_interrupted_run_goes_on_with_resume_to_the_model_of_one_that_was_not(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usual = ("plant.csv", "--family", "dense", "--steps", "8", "--window", "16", "--device", "cpu")
    assert train(*usual, "-o", "whole.aezm").exit_code == 0
    loss, calls = FamilyTask.loss, []

    def interrupt(self: FamilyTask, *rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, *rest)

    monkeypatch.setattr(FamilyTask, "loss", interrupt)
    with caplog.at_level(logging.WARNING):
        stopped = train(*usual, "-o", "pump.aezm")
    assert (stopped.exit_code, (here / "pump.aezm").exists()) == (130, False)
    assert "stopped at step 3; go on with --resume" in caplog.text
    again = train(*usual, "-o", "pump.aezm")
    assert (again.exit_code, "give --resume to go on" in again.stderr) == (2, True)
    resumed = train(*usual, "-o", "pump.aezm", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(calls) == 8
    assert Bundle.open(here / "pump.aezm").id == Bundle.open(here / "whole.aezm").id
    nothing = train(*usual, "-o", "other.aezm", "--resume")
    assert (nothing.exit_code, "no checkpoint to resume from" in nothing.stderr) == (5, True)


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_the_same_seed_gives_the_same_model(here: Path) -> None:
    ids = set()
    usual = ("plant.csv", "--family", "dense", "--steps", "10", "--seed", "3", "--device", "cpu")
    for name in ("a.aezm", "b.aezm"):
        assert train(*usual, "-o", name).exit_code == 0
        ids.add(Bundle.open(here / name).id)
    assert len(ids) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_columns_are_chosen_left_out_and_warned_of(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.column_stack([values(), np.arange(1600) % 400 == 0])
    write(here / "plant.csv", rows, ("flow", "pressure", "heat", "anomaly"))
    usual = ("plant.csv", "--family", "pca")
    kept = train(*usual, "-o", "a.aezm", "--ignore", "anomaly")
    assert (kept.exit_code, "looks like a label" in kept.stderr) == (0, False)
    assert load_detector("a.aezm").channels == ("flow", "pressure", "heat")
    assert train(*usual, "-o", "b.aezm", "--channels", "heat, flow").exit_code == 0
    assert load_detector("b.aezm").channels == ("heat", "flow")
    lacking = train(*usual, "-o", "d.aezm", "--channels", "Flow,heat")
    assert (lacking.exit_code, "'Flow' (nearest: 'flow')" in lacking.stderr) == (5, True)

    def refuse(*_: object) -> Bundle:
        raise ModelError("this one is not needed")

    monkeypatch.setattr(train_series, "make_bundle", refuse)  # the warning comes before
    assert "leave it out with --ignore anomaly\n" in train(*usual, "-o", "c.aezm").stderr


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_several_files_are_several_series_of_the_same_channels(here: Path) -> None:
    write(here / "other.csv", values(seed=1)[:, ::-1], ("heat", "pressure", "flow"))
    result = train("plant.csv", "other.csv", "-o", "pump.aezm", "--family", "pca")
    assert result.exit_code == 0, result.stderr
    low, high = load_detector("pump.aezm").ranges[1]
    assert 750 < low < high < 1050


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_resampled_data_gives_a_model_of_that_period(here: Path) -> None:
    write(here / "plant.csv", np.repeat(values(), 2, axis=0), step=5)
    assert train("plant.csv", "-o", "a.aezm", "--family", "pca", "--resample", "10").exit_code == 0
    detector = load_detector("a.aezm")
    assert (detector.period, detector.window) == (10.0, 20)


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], {"method": "budget", "alarms": 1.0, "margin": 1.5}),
        (["--alarms", "100", "--margin", "1"], {"method": "budget", "alarms": 100.0, "margin": 1.0}),
        (["--percentile", "95"], {"method": "percentile", "percentile": 95.0}),
        (["--threshold", "pot", "--risk", "0.001"], {"method": "pot", "risk": 0.001}),
    ],
)
def test_the_threshold_is_chosen_as_asked(here: Path, options: list[str], kept: dict[str, Any]) -> None:
    write(here / "plant.csv", values(2400))
    made = train("plant.csv", "-o", "pump.aezm", "--family", "pca", *options)
    assert made.exit_code == 0, made.stderr
    manifest = load_detector(here / "pump.aezm").bundle.manifest
    assert manifest["provenance"]["threshold"] == kept
    if "--percentile" in options:
        assert manifest["figures"]["held_out"]["share_above_1"] == pytest.approx(0.05, abs=0.005)


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_a_score_of_another_kind(here: Path) -> None:
    options = ("plant.csv", "-o", "pump.aezm", "--family", "pca", "--score")
    for kinds in ("mahalanobis", "mahalanobis+reconstruction"):
        assert train(*options, kinds, "-f").exit_code == 0
        assert load_detector(here / "pump.aezm").score_kind == kinds
    wrong = train(*options, "distance", "-f")
    assert (wrong.exit_code, "score 'distance' is unknown" in wrong.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.usefixtures("one_graph")
def test_faults_in_training_data_are_named(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = values()
    rows[400:440, 1] += 4000
    write(here / "plant.csv", rows)
    with caplog.at_level(logging.WARNING):
        assert train("plant.csv", "-o", "pump.aezm", "--family", "pca").exit_code == 0
    assert "look like faults" in caplog.text
    assert "aez: plant: rows 3" in caplog.text


@pytest.mark.slow
def test_a_clock_that_goes_backwards_is_put_right_and_said(here: Path, plain: Made) -> None:
    lines = (here / "plant.csv").read_text().splitlines()
    (here / "plant.csv").write_text("\n".join([lines[0], *lines[800:], *lines[1:801]]) + "\n")
    result = train("plant.csv", "-o", "b.aezm", "--family", "pca")
    assert "the clock goes backwards or repeats: 800 rows were put in order of time, and 1 " in result.stderr
    assert Bundle.open(here / "b.aezm").id == Bundle.open(plain.path).id


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("missing.csv -o a.aezm", 5, "missing.csv does not exist"),
        ("constant.csv -o a.aezm", 5, "there is nothing to learn from constant data"),
        ("empty.csv -o a.aezm", 5, "every sample of every channel is missing"),
        ("one.csv -o a.aezm", 5, "one.csv has one row"),
        ("short.csv -o a.aezm --window 50", 5, "are too few to learn and calibrate windows of 50"),
        ("tiny.csv -o a.aezm", 5, "too few for a limit that means anything; give more rows, so that there are 100"),
        ("plant.csv -o a.aezm --rows --window 20", 2, "judged one by one, and a window of 20 takes several"),
        ("plant.csv -o a.aezm --rows --stream flow", 2, "--rows have no order, and --stream asks for one"),
        ("text.csv -o a.aezm", 5, "column 'flow' holds 'oops' among its numbers"),
        ("plant.csv -o a.onnx", 2, "a model's file name ends in .aezm"),
        ("plant.csv -o there.aezm", 6, "there.aezm exists; give --force to replace it"),
        ("plant.csv -o a.aezm --minutes 1 --steps 1", 2, "only one of --minutes and --steps"),
        ("plant.csv -o a.aezm --alarms 1 --risk 0.1", 2, "only one of --alarms and --risk"),
        ("plant.csv -o a.aezm --threshold pot --alarms 2", 2, "--alarms belongs to --threshold budget, not to pot"),
        ("plant.csv -o a.aezm --margin 2 --risk 0.001", 2, "only one of --margin and --risk"),
        ("plant.csv -o a.aezm --margin 0.5", 2, "margin 0.5 is outside 1..1000"),
        ("plant.csv -o a.aezm --percentile 20", 2, "percentile"),
        ("plant.csv -o a.aezm --family lstn", 2, "lstn"),
        ("plant.csv -o a.aezm --time-column flow_", 2, "flow_"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_leaves_no_model(here: Path, arguments: str, code: int, said: str) -> None:
    rows = values(120)
    write(here / "constant.csv", np.ones((300, 3)))
    write(here / "empty.csv", np.full((300, 3), np.nan))
    write(here / "one.csv", rows[:1])
    write(here / "short.csv", rows)
    write(here / "tiny.csv", rows[:60])
    lines = (here / "plant.csv").read_text().splitlines()
    lines[900] = re.sub(r",[^,]*", ",oops", lines[900], count=1)
    (here / "text.csv").write_text("\n".join(lines) + "\n")
    (here / "there.aezm").write_bytes(b"")
    result = train(*arguments.split(), "--device", "cpu")
    assert result.exit_code == code, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("aez: error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert not (here / "a.aezm").exists()


@pytest.mark.slow
def test_options_of_training_are_told_to_change_nothing_for_a_closed_form(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((400, 2)).cumsum(axis=0) % 7
    np.save(tmp_path / "rows.npy", rows)
    made = CliRunner().invoke(
        main, ["train", "series", str(tmp_path / "rows.npy"), "-o", str(tmp_path / "m.aezm"), "--steps", "5"]
    )
    assert made.exit_code == 0, made.output
    assert "--steps change nothing: pca is fitted in closed form" in made.output


def write_machines(path: Path, beside: Sequence[int] = (0, 337, 671), step: Sequence[int] = (1000, 1000, 1000)) -> Path:
    """Three machines in one file in order of time, clocks so many ms beside each other, temperatures far apart."""
    rows = []
    for number, (offset, each) in enumerate(zip(beside, step, strict=True)):
        made = values(900, seed=number) + np.array([0, 0, 30 * number])
        times = np.datetime64("2024-03-01T00:00:00.000") + offset + each * np.arange(len(made))
        rows += [(str(t), f"m{number}", ",".join(f"{x:.7g}" for x in row)) for t, row in zip(times, made, strict=True)]
    lines = ["time,machine,flow,pressure,heat", *(",".join(row) for row in sorted(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.usefixtures("one_graph")
def test_rows_of_several_machines_without_stream_are_told_with_the_column_that_names_them(here: Path) -> None:
    write_machines(here / "mixed.csv")
    parted = train("mixed.csv", "-o", "mixed.aezm")
    assert parted.exit_code == 0, parted.stderr
    assert "column 'machine' names; they are parted as by --stream machine" in parted.stderr
    assert "  streams   3 of 900 rows: m0, m1, m2\n" in parted.stderr
    given = train("mixed.csv", "-o", "given.aezm", "--stream", "machine", "--name", "mixed")
    assert given.exit_code == 0, given.stderr
    assert Bundle.open(here / "mixed.aezm").id == Bundle.open(here / "given.aezm").id
    one = train("mixed.csv", "-o", "one.aezm", "--ignore", "machine")
    assert one.exit_code == 0, one.stderr
    assert "rows of several streams seem to be mixed" in one.stderr
    assert "column 'machine' looks like the stream's name: give --stream machine" in one.stderr


def payments(n: int = 3000, seed: int = 0) -> Array:
    """Rows in no order: amount, hour, age, of which the first two go together."""
    rng = np.random.default_rng(seed)
    hour = rng.normal(size=n)
    return np.stack([40 + 9 * hour + rng.normal(size=n), 12 + 3 * hour, rng.gamma(4, 9, size=n)], axis=1)


@pytest.mark.usefixtures("one_graph")
def test_rows_without_an_order_are_found_and_judged_one_by_one(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.savetxt(here / "found.csv", payments(), delimiter=",", header="amount,hour,age", comments="")
    with caplog.at_level(logging.WARNING):
        result = train("found.csv", "-o", "found.aezm", "--seed", "0")
    assert result.exit_code == 0, result.stderr
    assert "the rows have no order" in caplog.text
    assert re.search(r"window 1, threshold [\d.]+, 0.82 % of 850 held-out rows above it", result.stderr)
    detector = load_detector(here / "found.aezm")
    assert (detector.mode, detector.bundle.manifest["family"], detector.event_rule.open_after) == (
        "rows",
        "gaussian",
        1,
    )
    assert detector.rests is None
    # Fresh rows keep the rate, and one that breaks what goes together stands out though each value is usual.
    fresh = payments(20_000, seed=1)
    share = float(np.mean(detector.score_windows(fresh[:, None].astype(np.float32)).score > 1))
    assert 0.005 < share < 0.02
    odd = np.array([[[58.0, 6.0, 36.0]]], np.float32)
    assert detector.score_windows(odd).score[0] > 1.5


@pytest.mark.usefixtures("one_graph")
def test_rows_with_times_that_repeat_keep_all_of_them_with_rows(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = payments(900)
    names = ("amount", "hour", "age")
    write(here / "paid.csv", rows, names, step=0)
    with caplog.at_level(logging.WARNING):
        result = train("paid.csv", "-o", "paid.aezm", "--rows", "--percentile", "95")
    assert result.exit_code == 0, result.stderr
    assert "repeats" not in result.stderr
    assert "no order" not in caplog.text  # nobody is told what he said himself
    assert "4.5 % of 242 held-out rows" in result.stderr
    found = run("score", "paid.aezm", "paid.csv", "--json")
    assert found.exit_code == 0, found.stderr
    scored = json.loads(found.stdout)
    assert scored["rows"] == scored["scored"] == 900
    assert scored["above_threshold"] == pytest.approx(45, abs=25)


@pytest.mark.usefixtures("one_graph")
def test_columns_without_a_value_are_left_out_and_named(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = values()
    write(here / "gaps.csv", np.column_stack([rows, np.full(len(rows), np.nan)]), ("flow", "pressure", "heat", "spare"))
    with caplog.at_level(logging.WARNING):
        assert train("gaps.csv", "-o", "gaps.aezm").exit_code == 0
    assert "spare has no value in any row and is left out of the model" in caplog.text
    assert load_detector(here / "gaps.aezm").channels == ("flow", "pressure", "heat")


@pytest.mark.usefixtures("one_graph")
def test_a_budget_that_the_held_out_rows_cannot_show_is_said(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (here / "plant.csv").exists()
    with caplog.at_level(logging.WARNING):
        assert train("plant.csv", "-o", "rare.aezm", "--alarms", "0.1").exit_code == 0
    assert re.search(r"one alarm in 10 days cannot be seen in the 73.5 min that were held out", caplog.text)


@pytest.mark.usefixtures("one_graph")
def test_with_stream_each_machine_has_its_own_windows_and_clock(here: Path) -> None:
    write_machines(here / "mixed.csv")
    result = train("mixed.csv", "-o", "parted.aezm", "--stream", "machine")
    assert result.exit_code == 0, result.stderr
    assert "  streams   3 of 900 rows: m0, m1, m2\n" in result.stderr
    assert "  period    1 s\n" in result.stderr
    assert "warning" not in result.stderr
    detector = load_detector(here / "parted.aezm")
    assert (detector.period, detector.scales) == (1.0, None)


@pytest.mark.usefixtures("one_graph")
def test_a_machine_with_another_period_is_named_and_left_out(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_machines(here / "mixed.csv", step=(1000, 1000, 3000))
    with caplog.at_level(logging.WARNING):
        result = train("mixed.csv", "-o", "parted.aezm", "--stream", "machine", "--per-stream-scale")
    assert result.exit_code == 0, result.stderr
    assert "m2 has a row every 3 s and the others one every 1 s; left out" in caplog.text
    detector = load_detector(here / "parted.aezm")
    assert detector.period == 1.0
    assert detector.scales is not None
    assert list(detector.scales.known) == ["m0", "m1"]


@pytest.mark.usefixtures("here")
def test_a_column_of_streams_that_is_not_there_is_one_sentence() -> None:
    result = train("plant.csv", "-o", "pump.aezm", "--stream", "machin")
    assert result.exit_code == 2
    assert "plant.csv has no column of streams 'machin'" in result.stderr


def test_the_rhythm_of_the_week_is_found_without_an_option_and_by_the_zone_with_one(tmp_path: Path) -> None:
    usual = rhythmic(42)
    assert usual.time is not None
    times = [str(np.datetime64(moment, "ns").astype("datetime64[s]")) for moment in usual.time.tolist()]
    lines = [f"{when}Z,{value:.4f}" for when, value in zip(times, usual.values[:, 0].tolist(), strict=True)]
    (tmp_path / "hourly.csv").write_text("\n".join(["timestamp,load", *lines]) + "\n", encoding="utf-8")
    made = ["train", "series", tmp_path / "hourly.csv", "-o", tmp_path / "m.aezm", "-f"]
    done = run(*made, "--timezone", "Europe/Berlin", "--holidays", "2024-01-01,2024-12-25")
    assert done.exit_code == 0, done.output
    assert "rhythm of the week in Europe/Berlin" in done.output
    seasons = find_bundle(tmp_path / "m.aezm").coding["seasons"]
    assert (seasons["timezone"], seasons["holidays"]) == ("Europe/Berlin", ["2024-01-01", "2024-12-25"])
    for wrong, said in (
        (["--timezone", "Mars/Base"], "Mars/Base"),
        (["--holidays", "Christmas"], "Christmas"),
        (["--seasons", "none", "--timezone", "UTC"], "leave one of them out"),
    ):
        done = run(*made, *wrong)
        assert (done.exit_code, said in done.output) == (2, True)
