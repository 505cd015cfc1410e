"""`aez score`: scores, events, plot and report of a small detector, for good and for bad input; `aez models` of it."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re
import zipfile
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import Result
from PIL import Image

from aez.codec.common.files import whole_file
from aez.codec.common.words import format_duration, format_time
from aez.codec.detect import score_series
from aez.codec.detect.detector import Detector, SeriesScores, load_detector
from aez.codec.detect.events import Event, find_events
from aez.codec.detect.look_ahead import Covered, EventBounds
from aez.codec.detect.overview import OverviewBuilder
from aez.codec.detect.score_series import ScoredBatch, score_file
from aez.codec.errors import InvalidArgument, OutputError
from aez.codec.report.event_table import event_lines
from aez.codec.report.score_files import open_scores
from aez.codec.report.series_page import report_html
from aez.codec.report.series_plots import draw_plot
from aez.codec.series.core import Series
from aez.codec.series.reader import read_series
from tests.kit.commands import run
from tests.kit.places import TINY

Array = np.ndarray[Any, np.dtype[Any]]
CHANNELS = ("flow", "pressure", "heat")
FAULT = (400, 440)


def score(*arguments: str | Path) -> Result:
    return run("score", "pump.aezm", *arguments, "--device", "cpu")


def values(n: int, seed: int, noise: float = 0.1) -> Array:
    """Noisy sines of three sensors, period 20, in units of their own."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(n)[:, None] / 20 + np.arange(3))
    return (waves + noise * rng.normal(size=(n, 3))) * [2, 50, 0.01] + [20, 900, 0.5]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def faulty(n: int = 800) -> Array:
    rows = values(n, 1)
    rows[FAULT[0] : FAULT[1], 1] += 200
    return rows


def lines_of(rows: Array, names: Sequence[str] = CHANNELS, step: int = 10) -> list[str]:
    clock = np.datetime64("2024-04-01T00:00:00") + step * np.arange(len(rows))
    lines = [",".join(["time", *names])]
    return lines + [",".join([str(t), *(f"{x:.7g}" for x in row)]) for t, row in zip(clock, rows, strict=True)]


def write(path: Path, rows: Array, names: Sequence[str] = CHANNELS, step: int = 10) -> Path:
    path.write_text("\n".join(lines_of(rows, names, step)) + "\n")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector trained through the command line."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "normal.csv", values(1600, 0, noise=0.15))  # so that what is tested lies well below the threshold
    made = run("train", "series", folder / "normal.csv", "-o", folder / "pump.aezm", "--family", "pca")
    assert made.exit_code == 0, made.stderr
    return folder / "pump.aezm"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """A folder with the model pump.aezm, a faulty plant.csv and a normal quiet.csv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEZ_DEBUG", raising=False)
    (tmp_path / "pump.aezm").write_bytes(model.read_bytes())
    write(tmp_path / "plant.csv", faulty())
    write(tmp_path / "quiet.csv", values(600, 2))
    return tmp_path


@pytest.fixture
def detector(model: Path) -> Detector:
    return load_detector(model, "cpu")


def expected(detector: Detector, path: Path, covering: bool = True) -> tuple[Series, SeriesScores, list[Event]]:
    """What the library finds in one go."""
    series, _ = read_series(path)
    scores = detector.score(series, covering=covering)
    rule, stream = detector.event_rule, series.name
    found = find_events(
        scores.score, scores.channel_score, rule, detector.channels, series.time, stream, detector.bundle.id
    )
    if covering:
        causal = detector.score(series).score[detector.window - 1 :]
        lowest = [causal[max(0, row - detector.window + 1) : row + 1].min() for row in range(len(series))]
        bounds = EventBounds(detector.bundle.id)
        bounds.add(0, Covered(series, scores, np.array(lowest)))
        found = [bounds.cut(event) for event in found]
    return series, scores, found


# -- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_without_options_it_shows_the_data_a_verdict_and_the_events() -> None:
    for options, kind in (([], "covering"), (["--causal"], "causal")):
        result = score("plant.csv", *options)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert lines[0] == "plant.csv, scored with pump"
        assert "  rows      800" in lines
        assert any(line.startswith(f"  scores    {kind}: ") for line in lines)
        assert any(line.startswith("One event in 800 rows: it is critical, at ") for line in lines)
        assert re.fullmatch(
            r"1  2024-04-01 01:06:40  2024-04-01 01:1\d:\d0  \S+ min  +[\d.]+  +critical  +pressure 9\d %.*", lines[-1]
        )


def test_scores_look_ahead_unless_they_shall_be_those_of_a_monitor(here: Path, detector: Detector) -> None:
    """A row gets the mean over the windows that cover it; with --causal that of the window that ends there."""
    series, _ = read_series(here / "plant.csv")
    windows = detector.score(series).score[19:].astype(np.float64)
    means = [windows[max(0, row - 19) : row + 1].mean() for row in range(800)]
    limit = json.loads(zipfile.ZipFile(here / "pump.aezm").read("manifest.json"))["coding"]["covering_threshold"]
    assert limit == detector.covering_threshold
    for options, kind, wanted in (
        ((), "covering", np.array(means) / limit),
        (("--causal",), "causal", np.concatenate([np.full(19, np.nan), windows])),
    ):
        assert score("plant.csv", "-o", "s.csv", "-f", "--events", "e.csv", *options).exit_code == 0
        rows = table(here / "s.csv")
        found = np.array([float(row["score"] or "nan") for row in rows])
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert {row["scores"] for row in rows} == {row["scores"] for row in table(here / "e.csv")} == {kind}


def test_a_model_without_a_limit_for_scores_that_look_ahead_gives_causal_ones(here: Path, detector: Detector) -> None:
    detector.covering_threshold = None  # as in bundles made before there was one
    found = score_file(detector, here / "plant.csv")
    assert found.kind == "causal"
    assert found.as_dict() == score_file(detector, here / "plant.csv", causal=True).as_dict()
    with pytest.raises(InvalidArgument, match="no threshold for covering scores"):
        expected(detector, here / "plant.csv")


@pytest.mark.usefixtures("here")
def test_normal_data_raises_nothing() -> None:
    assert re.search(
        r"^Nothing unusual in 600 rows: the highest score is 0\.\d+ times", score("quiet.csv").stdout, re.M
    )


def test_json_is_one_object_a_file_with_the_events_of_the_library(here: Path, detector: Detector) -> None:
    result = score("plant.csv", "quiet.csv", "--json")
    plant, quiet = (json.loads(line) for line in result.stdout.splitlines())
    _, scores, (event,) = expected(detector, here / "plant.csv")
    (found,) = plant["events"]
    assert (found["id"], found["start"], found["end"], found["severity"]) == (event.id, 400, event.end, "critical")
    assert found["start_time"] == "2024-04-01T01:06:40Z"
    (causal,) = json.loads(score("plant.csv", "--json", "--causal").stdout)["events"]
    assert (causal["start"], causal["id"]) == (400, event.id)  # the same fault in a monitor
    assert event.end == FAULT[1] < causal["end"]  # which tells its end late
    assert found["duration_seconds"] == 10 * (event.end - event.start)
    assert found["channels"][0]["name"] == "pressure"
    assert plant["highest"] == pytest.approx(np.nanmax(scores.score), rel=1e-5)
    assert (plant["rows"], plant["scored"], plant["scores"]) == (800, 800, "covering")
    assert plant["model"]["id"] == detector.bundle.id
    assert plant["summary"]["period_seconds"] == 10.0
    assert (quiet["file"], quiet["events"]) == ("quiet.csv", [])


@pytest.mark.usefixtures("here")
def test_the_rule_for_events_can_be_replaced() -> None:
    def events(*options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(score("plant.csv", "--json", "--causal", *options).stdout)["events"]
        return found

    assert events("--min-length", "200") == []
    assert events("--open-after", "100") == []
    assert [event["opened"] for event in events("--open-after", "7")] == [406]
    assert score("plant.csv", "--open-after", "0").exit_code == 2


@pytest.mark.slow
def test_series_without_a_clock_are_told_by_rows(here: Path) -> None:
    np.savez(here / "plant.npz", values=faulty(), channels=np.array(CHANNELS))
    result = score("plant.npz", "--report", "r.html", "--plot", "p.png", "-o", "s.csv")
    assert (result.exit_code, ", rows 400 to 4" in result.stdout) == (0, True)
    shown = score("plant.npz").stdout.splitlines()[-1]
    assert re.match(r"1  row 400  row 4\d\d  \d+ rows  ", shown)
    assert "row 400" in (here / "r.html").read_text()
    assert table(here / "s.csv")[0]["time"] == ""


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("kind", ["causal", "covering"])
def test_scores_in_files_are_those_of_the_library(here: Path, detector: Detector, suffix: str, kind: str) -> None:
    result = score("plant.csv", "quiet.csv", "-o", f"s.{suffix}", *(["--causal"] if kind == "causal" else []))
    assert (result.exit_code, result.stderr) == (0, f"aez: wrote s.{suffix}\n")
    series, scores, _ = expected(detector, here / "plant.csv", kind == "covering")
    if suffix == "parquet":
        rows = pyarrow.parquet.read_table("s.parquet").to_pylist()
        times = [np.datetime64(row["time"].replace(tzinfo=None), "ns").astype(int) for row in rows]
    elif suffix == "csv":
        rows = table(here / "s.csv")
        times = [np.datetime64(row["time"].removesuffix("Z"), "ns").astype(int) for row in rows]
    else:
        rows = [json.loads(line) for line in (here / "s.jsonl").read_text().splitlines()]
        times = [np.datetime64(row["time"].removesuffix("Z"), "ns").astype(int) for row in rows]
    assert [row["stream"] for row in rows] == ["plant"] * 800 + ["quiet"] * 600
    assert [int(row["row"]) for row in rows] == [*range(800), *range(600)]
    assert np.array_equal(times[:800], series.time)
    assert {row["scores"] for row in rows} == {kind}
    first = detector.window - 1 if kind == "causal" else 0
    assert all(row["score"] in (None, "") for row in rows[:first])
    found = np.array([float(row["score"]) for row in rows[first:800]])
    blame = [
        float(row["channels"]["pressure"] if suffix == "jsonl" else row["score.pressure"]) for row in rows[first:800]
    ]
    np.testing.assert_allclose(found, scores.score[first:], rtol=1e-5)
    np.testing.assert_allclose(blame, scores.channel_score[first:, 1], rtol=1e-5)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "json"])
def test_events_in_files_are_those_of_the_library(here: Path, detector: Detector, suffix: str) -> None:
    assert score("plant.csv", "quiet.csv", "--events", f"e.{suffix}").exit_code == 0
    _, _, (event,) = expected(detector, here / "plant.csv")
    path = here / f"e.{suffix}"
    if suffix == "parquet":
        (row,) = pyarrow.parquet.read_table(path).to_pylist()
    elif suffix == "csv":
        (row,) = table(path)
    elif suffix == "json":
        (row,) = json.loads(path.read_text())
    else:
        (row,) = (json.loads(line) for line in path.read_text().splitlines())
    assert (row["id"], row["stream"], int(row["start"]), row["severity"]) == (event.id, "plant", 400, "critical")
    assert row["scores"] == "covering"
    assert float(row["peak"]) == pytest.approx(event.peak)
    if suffix == "csv":
        assert row["channels"].startswith("pressure 0.9")
        assert row["ongoing"] == "false"
    else:
        assert [item["name"] for item in row["channels"]] == [name for name, _ in event.channels]


@pytest.mark.usefixtures("here")
def test_no_events_make_an_empty_table() -> None:
    for suffix in ("csv", "parquet", "jsonl", "json"):
        assert score("quiet.csv", "--events", f"e.{suffix}").exit_code == 0
    assert Path("e.json").read_text() == "[]\n"
    assert len(Path("e.csv").read_text().splitlines()) == 1
    assert "start_time" in pyarrow.parquet.read_table("e.parquet").column_names


@pytest.mark.slow
def test_files_that_exist_are_kept_unless_forced(here: Path) -> None:
    for option, name in (("-o", "s.csv"), ("--events", "e.csv"), ("--plot", "p.png"), ("--report", "r.html")):
        (here / name).write_text("mine")
        refused = score("plant.csv", option, name)
        assert (refused.exit_code, "give --force to replace it" in refused.stderr) == (6, True)
        assert (here / name).read_text() == "mine"
        assert score("plant.csv", option, name, "-f").exit_code == 0
        assert (here / name).read_bytes()[:4] != b"mine"


def test_a_file_that_fails_leaves_the_others_their_scores(here: Path) -> None:
    (here / "bad.csv").write_text("time,flow\n1,2\n2,3\n")
    result = score("bad.csv", "plant.csv", "missing.csv", "-o", "s.csv", "--events", "e.json")
    assert result.exit_code == 1
    assert "aez: error: bad.csv: has no channel 'pressure'" in result.stderr
    assert "aez: error: missing.csv: does not exist" in result.stderr
    assert {row["stream"] for row in table(here / "s.csv")} == {"plant"}
    assert len(json.loads((here / "e.json").read_text())) == 1


def test_when_nothing_is_scored_no_file_appears(here: Path) -> None:
    (here / "bad.csv").write_text("time,flow\n1,2\n2,3\n")
    before = set(here.iterdir())
    result = score("bad.csv", "-o", "s.parquet", "--events", "e.json", "--plot", "p.png", "--report", "r.html")
    assert result.exit_code == 5
    assert set(here.iterdir()) == before


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("rows", [37, 7])
def test_long_files_are_scored_in_pieces_with_the_same_result(
    here: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch, causal: bool, rows: int
) -> None:
    whole = score_file(detector, here / "plant.csv", causal=causal)
    pieces: list[ScoredBatch] = []
    monkeypatch.setattr(score_series, "_ROWS", rows)
    monkeypatch.setattr(score_series, "_KEPT", 500)  # so that the file is read twice
    parts = score_file(detector, here / "plant.csv", each=pieces.append, causal=causal)
    late = 0 if causal else detector.window - 1  # rows wait for the windows that cover them, and no longer
    starts = [0, *(end for end in range(rows - late, 800 - late, rows) if end > 0), *([] if causal else [800 - late])]
    assert [piece.first for piece in pieces] == sorted(set(starts))
    assert np.array_equal(
        np.concatenate([piece.series.time for piece in pieces]), read_series(here / "plant.csv")[0].time
    )
    assert parts.as_dict() == whole.as_dict()
    for name in ("low", "high", "score", "channel_score", "time"):
        np.testing.assert_array_equal(getattr(parts.overview, name), getattr(whole.overview, name))


# -- the picture and the page -----------------------------------------------------------------------------------------


def test_an_overview_keeps_extremes_whatever_the_pieces() -> None:
    rng = np.random.default_rng(0)
    rows, blame = rng.normal(size=(1003, 2)), rng.random((1003, 2)).astype(np.float32)
    rows[100:130, 0] = np.nan
    total, time = blame.mean(axis=1), np.arange(1003, dtype=np.int64) * 7
    for cut in ([0, 1003], [0, 1, 9, 10, 11, 500, 1003]):
        builder = OverviewBuilder(1003, 2, bins=100)
        for start, end in itertools.pairwise(cut):
            series = Series(rows[start:end], ("a", "b"), time[start:end])
            builder.add(series, SeriesScores(total[start:end], blame[start:end]))
        found = builder.overview()
        assert (found.width, len(found.score), found.end) == (11, 92, 1002 * 7)
        for run_of_rows in range(92):
            part = slice(11 * run_of_rows, 11 * run_of_rows + 11)
            assert found.time is not None
            assert found.time[run_of_rows] == time[part][0]
            assert found.score[run_of_rows] == total[part].max()
            np.testing.assert_array_equal(found.channel_score[run_of_rows], blame[part].max(axis=0))
            np.testing.assert_array_equal(found.low[run_of_rows], np.fmin.reduce(rows[part], axis=0))
            np.testing.assert_array_equal(found.high[run_of_rows], np.fmax.reduce(rows[part], axis=0))


def test_the_plot_shows_score_threshold_events_and_channels(here: Path, detector: Detector) -> None:
    assert score("plant.csv", "--plot", "p.png").exit_code == 0
    with Image.open("p.png") as image:
        assert image.width >= 1000
    figure = draw_plot(score_file(detector, here / "plant.csv"), ("l/min", "", "K"))
    top, heat, first, *rest = figure.axes[:5]
    assert [line.get_linestyle() for line in top.lines if list(line.get_ydata()) == [1, 1]] == ["--"]
    assert "1" in [text.get_text() for text in top.texts]
    assert heat.get_yticklabels()[0].get_text() == "pressure"
    assert first.get_title(loc="left") == "pressure"
    assert {panel.get_title(loc="left") for panel in rest} == {"flow (l/min)", "heat (K)"}


class _Page(HTMLParser):
    """Tags, their attributes and the texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_report_is_one_page_that_needs_nothing_else(here: Path, detector: Detector) -> None:
    assert score("plant.csv", "--report", "r.html").exit_code == 0
    page = _Page((here / "r.html").read_text())
    text = " ".join(page.texts)
    _, _, (event,) = expected(detector, here / "plant.csv")
    for said in ("One event in 800 rows", "2024-04-01 01:06:40", "critical", "pressure", detector.bundle.id, "20 rows"):
        assert said in text
    assert f"{event.peak:.3g}" in text
    (image,) = (attributes["src"] for tag, attributes in page.tags if tag == "img")
    assert image is not None
    assert image.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))) as picture:
        assert picture.format == "PNG"
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if {"href", "onload"} & a.keys() or (a.get("src") or "data:")[:5] != "data:"]


@pytest.mark.slow
def test_a_report_escapes_whatever_names_hold(tmp_path: Path) -> None:
    bad = '<script>alert("x")</script> & $\\frac$ \u202e'
    names = ("<b>flow</b>", "pres & sure", "heat $_{")
    write(tmp_path / "normal.csv", values(1600, 0), names)
    made = run("train", "series", tmp_path / "normal.csv", "-o", tmp_path / "x.aezm", "--family", "pca", "--name", bad)
    assert made.exit_code == 0, made.stderr
    opened = load_detector(tmp_path / "x.aezm", "cpu")
    (tmp_path / "<i>plant & $x.csv").write_text("\n".join(lines_of(faulty(), names)))
    scored = score_file(opened, tmp_path / "<i>plant & $x.csv")
    page = _Page(report_html(opened, [scored, scored]))
    assert not {"script", "b", "i"} & {tag for tag, _ in page.tags}
    text = " ".join(page.texts)
    for said in (bad, "<b>flow</b>", "pres & sure", "<i>plant & $x"):
        assert said in text
    assert [tag for tag, _ in page.tags].count("img") == 2


def test_a_report_needs_a_series(detector: Detector) -> None:
    with pytest.raises(InvalidArgument, match="at least one"):
        report_html(detector, [])


# -- bad input --------------------------------------------------------------------------------------------------------


def test_columns_in_another_order_are_put_right_by_name(here: Path) -> None:
    write(here / "turned.csv", faulty()[:, ::-1], CHANNELS[::-1])
    usual, turned = (json.loads(score(name, "--json").stdout) for name in ("plant.csv", "turned.csv"))
    assert turned["highest"] == usual["highest"]
    assert turned["events"][0]["channels"] == usual["events"][0]["channels"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("wrong", 5, r"has no channel 'flow' \(nearest: 'Flow'\), 'heat' \(nearest: 'heat_in'\); it has"),
        ("text", 5, r"line 301: column 'flow' holds 'oops' among its numbers"),
        ("one", 5, r"has one row, and a series has at least two"),
        ("short", 5, r"has 19 rows, and a window of model pump takes 20; give more rows"),
        ("empty", 5, r"has no value: every sample of every channel is missing"),
        ("missing", 5, r"does not exist"),
    ],
)
def test_bad_data_ends_in_one_sentence(here: Path, name: str, code: int, said: str) -> None:
    rows = faulty()
    write(here / "wrong.csv", rows, ("Flow", "pressure", "heat_in"))
    write(here / "one.csv", rows[:1])
    write(here / "short.csv", rows[:19])
    write(here / "empty.csv", np.full((50, 3), np.nan))
    lines = lines_of(rows)
    lines[300] = re.sub(r",[^,]*", ",oops", lines[300], count=1)
    (here / "text.csv").write_text("\n".join(lines))
    result = score(f"{name}.csv", "-o", "s.csv")
    assert (result.exit_code, result.stdout) == (code, "")
    assert re.fullmatch(rf"aez: error: {name}.csv: {said}.*\n", result.stderr), result.stderr
    assert not (here / "s.csv").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("units", r"channel pressure has values from 8\d+ to 1\S+, far outside the 8\S+ to 9\S+ of the training data"),
        ("constant", "no channel moves in any row, as they did in training"),
        ("still", "heat never moves in this file, as it did in training"),
        ("absent", "heat has no value in any row and is left out of the scores"),
        ("backwards", "the clock goes backwards or repeats: 401 rows were put in order of time, and 1 that share"),
        ("faster", r"rows come every 5 s, and the model learned from one every 10 s; give --resample 10"),
        ("slower", r"rows come every 60 s, and the model learned from one every 10 s; train a model on such rows"),
    ],
)
def test_data_that_looks_wrong_is_scored_with_a_warning(here: Path, name: str, said: str) -> None:
    rows = faulty()
    write(here / "units.csv", rows * [1, 1000, 1])
    write(here / "constant.csv", np.ones((50, 3)) * [20, 900, 0.5])
    write(here / "still.csv", np.where([False, False, True], 0.5, rows))
    write(here / "absent.csv", np.where([False, False, True], np.nan, rows))
    write(here / "faster.csv", rows, step=5)
    write(here / "slower.csv", rows, step=60)
    lines = lines_of(rows)
    (here / "backwards.csv").write_text("\n".join([lines[0], *lines[401:], *lines[1:402]]))
    result = score(f"{name}.csv", "--json")
    assert result.exit_code == 0, result.stderr
    assert re.search(rf"^aez: warning: {name}.csv: {said}", result.stderr, re.M), result.stderr
    assert re.match(said, json.loads(result.stdout)["notices"][0])


def test_rows_that_were_put_in_order_give_the_events_of_the_ordered_file(here: Path) -> None:
    lines = lines_of(faulty())
    (here / "sub").mkdir()
    (here / "sub" / "plant.csv").write_text("\n".join([lines[0], *lines[301:], *lines[1:301]]))
    usual, mended = (json.loads(score(name, "--json").stdout)["events"] for name in ("plant.csv", "sub/plant.csv"))
    assert mended == usual


def test_resampling_brings_the_period_of_training_back(here: Path) -> None:
    write(here / "faster.csv", np.repeat(faulty(), 2, axis=0), step=5)
    result = score("faster.csv", "--json", "--resample", "10")
    assert result.stderr == ""
    (event,) = json.loads(result.stdout)["events"]
    assert (event["start"], event["severity"]) == (400, "critical")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (f"{TINY} plant.csv", 4, "is made for image-codec, not for scoring series"),
        ("nothing.aezm plant.csv", 4, "nothing.aezm"),
        ("plant.csv plant.csv", 4, "plant.csv"),
        ("pump.aezm plant.csv -o s.txt", 2, "the name ends in .txt, and it must end in .csv, .parquet, .jsonl"),
        ("pump.aezm plant.csv --plot p.html", 2, "must end in .png"),
        ("pump.aezm plant.csv quiet.csv --plot p.png", 2, "--plot draws one series"),
        ("pump.aezm plant.csv -o x.csv --events x.csv", 2, "two results have the same file name"),
        ("pump.aezm plant.csv -o plant.csv", 2, "the input itself"),
        ("pump.aezm plant.csv -o nowhere/s.csv", 6, "the folder nowhere does not exist"),
        ("pump.aezm", 2, "DATA"),
    ],
)
@pytest.mark.usefixtures("here")
def test_wrong_arguments_end_in_one_sentence(arguments: str, code: int, said: str) -> None:
    result = run("score", *arguments.split())
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr


# -- what the command is made of --------------------------------------------------------------------------------------


def test_times_and_durations_for_people() -> None:
    new_year = int(np.datetime64("2024-01-01T00:00:00.5", "ns").astype(np.int64))
    assert format_time(new_year, "UTC") == "2024-01-01 00:00:00.5 UTC"
    assert format_time(new_year, None) == "2024-01-01 00:00:00.5"
    assert format_time(2_500_000_000, None) == "2.5 s"
    shown = [format_duration(seconds) for seconds in (0.045, 1, 90, 120, 7200, 4 * 86_400)]
    assert shown == ["45 ms", "1 s", "90 s", "2 min", "2 h", "4 days"]


def test_a_long_table_shows_the_highest_events_in_order_of_time(here: Path, detector: Detector) -> None:
    rows = values(1500, 1)
    for place, size in ((200, 150), (500, 300), (800, 200), (1100, 100)):
        rows[place : place + 20, 0] += size
    scored = score_file(detector, write(here / "busy.csv", rows))
    assert len(scored.events) == 4
    _, *lines, last = event_lines(scored, shown=2)
    assert [line.split()[0] for line in lines] == ["2", "3"]
    assert last == "... the 2 highest of 4; --events writes all"


def test_an_interrupted_file_of_scores_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_scores(tmp_path / "s.csv", ("a",)):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "s.csv"

    def write_meanwhile() -> None:
        with whole_file(target) as partial:
            partial.write_text("ours")
            target.write_text("theirs")

    with pytest.raises(OutputError, match="give --force"):
        write_meanwhile()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["theirs"]


# -- models -----------------------------------------------------------------------------------------------------------


def test_models_tell_what_a_detector_watches(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEZ_MODELS", str(here))
    lines = run("models").stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("pump  "))
    assert lines[at + 1 : at + 3] == ["  window 20 rows, one every 10 s", "  3 channels: flow, pressure, heat"]
    assert re.fullmatch(r"  threshold [\d.]+ of reconstruction\+mahalanobis, family pca", lines[at + 3])
    entries = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    pump = next(entry for entry in entries if entry["name"] == "pump")
    assert (pump["window"], pump["channels"]) == (20, list(CHANNELS))
    by_name = run("score", "pump", "quiet.csv")
    assert (by_name.exit_code, "scored with pump" in by_name.stdout) == (0, True)


def test_models_verify_runs_a_detector(here: Path, model: Path) -> None:
    assert re.fullmatch(r"pump.aezm: sound \(pump, [0-9a-f]{64}\)\n", run("models", "verify", "pump.aezm").stdout)
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    (here / "pump.aezm").write_bytes(data)
    assert run("models", "verify", "pump.aezm").exit_code == 4


def of_machines(rows: dict[str, Array]) -> list[str]:
    """Lines of a file with a row of each machine in turn."""
    each = [lines_of(one) for one in rows.values()]
    lines = [f"{each[0][0]},machine"]
    for same in zip(*(own[1:] for own in each), strict=True):
        lines += [f"{line},{name}" for name, line in zip(rows, same, strict=True)]
    return lines


def test_each_stream_of_a_file_is_scored_by_itself(here: Path) -> None:
    lines = of_machines({"m-1": values(800, 1), "m-2": faulty(), "m-3": values(800, 3)})
    lines += [f"2024-05-01T00:00:00,{','.join(['1'] * 3)},short"]
    (here / "several.csv").write_text("\n".join(lines) + "\n")
    result = score("several.csv", "--stream", "machine", "--json")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["stream"] for one in found] == ["m-1", "m-2", "m-3", "short"]
    assert [len(one["events"]) for one in found] == [0, 1, 0, 0]
    assert FAULT[0] - 3 <= found[1]["events"][0]["start"] <= FAULT[0] + 20
    assert found[1]["summary"]["period_seconds"] == 10
    assert found[3]["verdict"].startswith("No verdict")
    alone = score(write(here / "alone.csv", faulty()), "--json")
    assert json.loads(alone.stdout)["highest"] == pytest.approx(found[1]["highest"], rel=1e-4)
    shown = score("several.csv", "--stream", "machine", "-o", here / "scores.csv", "--report", here / "report.html")
    assert shown.exit_code == 0, shown.output
    assert "several.csv, stream m-2: One event" in shown.stdout
    assert {row["stream"] for row in table(here / "scores.csv")} == {"m-1", "m-2", "m-3", "short"}


def test_a_file_of_several_streams_is_told_where_nobody_said_so(here: Path) -> None:
    (here / "several.csv").write_text("\n".join(of_machines({"m-1": values(400, 1), "m-2": values(400, 2)})) + "\n")
    result = score("several.csv")
    assert "rows of several streams seem to be mixed; column 'machine' looks like" in result.stderr
    refused = score("several.csv", "--stream", "machine", "--plot", "p.png")
    assert (refused.exit_code, "--plot draws one series" in refused.stderr) == (2, True)
