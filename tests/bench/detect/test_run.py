"""The detection benchmark on small generated folders of each layout, with PCA in the place of what takes long."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aez.bench.detect.changepoints import changepoint_score, changepoints_of
from aez.bench.detect.contestants import Outsider, Own, Task, Verdict
from aez.bench.detect.data import Case, load_skab
from aez.bench.detect.figures import save_report
from aez.bench.detect.limits import ORACLE, WAYS, Trial, compare_limits
from aez.bench.detect.metrics import point_metrics
from aez.bench.detect.peers import AllOnes, PrincipalComponents, skab_isolation_forest
from aez.bench.detect.protocols import PROTOCOLS, Result, _events_at
from aez.bench.detect.ranking import average_precision, vus_pr
from aez.bench.detect.run import parse_settings, run
from aez.bench.detect.simple_peers import KMeans
from aez.bench.detect.speed import speed
from aez.codec.detect.adaptive import adapt, alarm_levels
from aez.codec.detect.covering import covering_mean
from aez.codec.detect.events import find_events
from aez.codec.detect.thresholds import alarm_budget, percentile
from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.export import SeriesDetector
from aez.export.series.train import MARGIN

pytest.importorskip("pyarrow")

Floats = npt.NDArray[np.float64]
PEERS = ("random", "all ones", "PCA")
START = datetime(2020, 3, 9, 10, 0, 0)


def waves(rows: int, seed: int, channels: int = 3) -> Floats:
    """Noisy sines, period 25."""
    rng = np.random.default_rng(seed)
    return np.sin(2 * np.pi * np.arange(rows)[:, None] / 25 + np.arange(channels)) + 0.1 * rng.normal(
        size=(rows, channels)
    )


def faulty(rows: int, seed: int, spans: Sequence[tuple[int, int]], channels: int = 3) -> tuple[Floats, Floats]:
    """Values with the second channel (of one: the first) off during the spans, and labels."""
    values, labels = waves(rows, seed, channels), np.zeros(rows)
    for start, end in spans:
        values[start:end, min(1, channels - 1)] += 3
        labels[start:end] = 1
    return values, labels


def write_smd(folder: Path, machines: int = 2, channels: int = 3) -> Path:
    (folder / "interpretation_label").mkdir(parents=True)
    for number in range(1, machines + 1):
        test, labels = faulty(600, 100 + number, [(200, 230), (400, 440)], channels)
        np.savez(folder / f"machine-1-{number}.npz", train=waves(900, number, channels), test=test, test_label=labels)
        causes = folder / "interpretation_label" / f"machine-1-{number}.txt"
        causes.write_text("200-230:2\n400-440:2,3\n", encoding="utf-8")
    return folder


def write_csv(path: Path, header: str, rows: Floats, step: timedelta, separator: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header] + [
        separator.join([f"{START + number * step:%Y-%m-%d %H:%M:%S}", *(f"{value:.5f}" for value in row)])
        for number, row in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_skab(folder: Path, files: int = 2) -> Path:
    for number in range(files):
        values, labels = faulty(700, number, [(520, 620)])
        rows = np.column_stack([values, labels, changepoints_of(labels)])
        path = folder / "valve1" / f"{number}.csv"
        write_csv(path, "datetime;a;b;c;anomaly;changepoint", rows, timedelta(seconds=1), ";")
    return folder


def write_nab(folder: Path, files: int = 2) -> Path:
    windows = {}
    for number in range(files):
        values, _ = faulty(1000, number, [(600, 610)], channels=1)
        write_csv(folder / "real" / f"{number}.csv", "timestamp,value", values, timedelta(minutes=5), ",")
        moment = [START + row * timedelta(minutes=5) for row in (590, 650)]
        windows[f"real/{number}.csv"] = [[f"{at:%Y-%m-%d %H:%M:%S}.000000" for at in moment]]
    (folder / "labels").mkdir()
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows), encoding="utf-8")
    return folder


def write_folder(folder: Path, cases: Sequence[str] = ("pump",)) -> Path:
    for number, name in enumerate(cases):
        test, labels = faulty(600, 50 + number, [(300, 340)])
        write_csv(folder / name / "train.csv", "time,a,b,c", waves(900, number), timedelta(minutes=1), ",")
        write_csv(folder / name / "test.csv", "time,a,b,c", test, timedelta(minutes=1), ",")
        (folder / name / "labels.csv").write_text("\n".join(["label", *(f"{x:.0f}" for x in labels)]), encoding="utf-8")
    return folder


def test_machines_get_figures_by_row_and_by_event(tmp_path: Path) -> None:
    report = run(write_smd(tmp_path / "smd"), ["pca"], {"window": 20}, PEERS, jobs=1)
    assert report.kind == "smd"
    assert report.detectors == ("aez pca", "aez pca, covering", "random", "all ones", "PCA")
    assert report.own == ("aez pca", "aez pca, covering")
    assert report.cases == ("machine-1-1", "machine-1-2")
    ours, chance, ones = (report.summary[name] for name in ("aez pca", "random", "all ones"))
    assert (ours["events"], ours["events_found"], ours["event_recall"]) == (4, 4, 1)
    assert ours["auc_pr"] > 0.6
    assert ours["vus_pr"] > 0.6
    assert ours["top_channel_share"] == 1
    assert 0 <= ours["median_delay_rows"] < 20
    assert ours["median_delay_seconds"] == 60 * ours["median_delay_rows"]
    labelled = 70 / 600
    assert chance["auc_pr"] == pytest.approx(labelled, abs=0.06)
    assert ones["auc_pr"] == ones["vus_pr"] == pytest.approx(labelled)
    # Everything in one alarm finds all events, and the share of the rows in alarm gives it away.
    assert (ones["event_recall"], ones["alarm_share"]) == (1, 1)
    assert ours["alarm_share"] < 0.3
    assert ours["events_found_equal"] == 4
    assert ones["events_found_equal"] == 0
    assert math.isnan(chance["top_channel_share"])


def test_figures_of_ours_are_those_of_series_detector(tmp_path: Path) -> None:
    folder = write_smd(tmp_path / "smd", machines=1)
    report = run(folder, ["pca"], {"window": 20}, ["PCA"], jobs=1)
    with np.load(folder / "machine-1-1.npz") as arrays:
        train, test, labels = arrays["train"], arrays["test"], arrays["test_label"]
    scores = SeriesDetector("pca", 20, period=60).fit(train).anomaly_score(test)
    figures = next(one.figures for one in report.figures if one.detector == "aez pca")
    assert figures["auc_pr"] == pytest.approx(average_precision(labels, scores))
    assert figures["vus_pr"] == pytest.approx(vus_pr(labels, scores, int(figures["buffer_rows"])))
    assert figures["buffer_rows"] == 50  # twice the period of 25
    assert figures["alarms"] == len(find_events(scores))
    peer = next(one.figures for one in report.figures if one.detector == "PCA")
    assert peer["auc_pr"] == pytest.approx(average_precision(labels, PrincipalComponents().fit(train).score(test)))


def test_scores_that_look_ahead_are_judged_apart(tmp_path: Path) -> None:
    """Each by a limit of its own; what has no windows has no such scores."""
    folder = write_smd(tmp_path / "smd", machines=1)
    report = run(folder, ["pca"], {"window": 20}, ["k-means", "|z|"], jobs=1)
    assert report.detectors == ("aez pca", "aez pca, covering", "k-means", "k-means, covering", "|z|")
    with np.load(folder / "machine-1-1.npz") as arrays:
        train, test, labels = arrays["train"], arrays["test"], arrays["test_label"]
    scores = SeriesDetector("pca", 20, period=60, covering=True).fit(train).anomaly_score(test)
    causal, ahead = (
        next(one.figures for one in report.figures if one.detector == name) for name in ("aez pca", "aez pca, covering")
    )
    assert ahead["auc_pr"] == pytest.approx(average_precision(labels, scores))
    assert ahead["alarms"] == len(find_events(scores))
    assert ahead["auc_pr"] > causal["auc_pr"]
    peer = KMeans().fit(train).score(test)
    found = next(one.figures for one in report.figures if one.detector == "k-means, covering")
    means = covering_mean(peer[31:, None], 32)[:, 0]
    assert found["auc_pr"] == pytest.approx(average_precision(labels, means))
    assert "where the name says covering" in report.table()


def test_npz_of_ones_own_are_measured_beside_what_anybody_would_write(tmp_path: Path) -> None:
    test, labels = faulty(600, 7, [(300, 340)])
    np.savez(tmp_path / "server.npz", train=waves(900, 1), test=test, test_label=labels)
    report = run(tmp_path, ["pca"], {"window": 20}, ["k-means", "nearest neighbour", "row number"], jobs=1)
    assert (report.kind, report.cases) == ("folder", ("server",))
    assert report.summary["nearest neighbour"]["auc_pr"] > 0.5
    assert json.loads(report.to_json())["summary"]["aez pca, covering"]["auc_pr"] > 0.5


def test_a_peers_limit_comes_from_rows_that_it_did_not_learn_from() -> None:
    train, (test, labels) = waves(1000, 1), faulty(300, 2, [(100, 120)])
    case = Case("one", train, test, labels.astype(np.uint8), None, None, 60.0, ("a", "b", "c"))
    scored = Outsider("PCA", PrincipalComponents).judge(case, Task())
    peer = PrincipalComponents().fit(train[:700])
    limit = MARGIN * alarm_budget(peer.score(train[700:]), 1, 1440)
    np.testing.assert_allclose(scored.score, peer.score(test) / limit)
    np.testing.assert_array_equal(scored.ranking, PrincipalComponents().fit(train).score(test))
    assert (Outsider("all ones", AllOnes).judge(case, Task()).score > 1).all()
    assert np.isnan(Outsider("PCA", PrincipalComponents).judge(case, Task(ranking=False)).ranking).all()


def test_the_first_window_looks_back_where_the_test_follows_the_training_rows() -> None:
    values = waves(1200, 1)
    case = Case("one", values[:900], values[900:], np.zeros(300, np.uint8), None, (), None, ("a", "b", "c"))
    own = Own("pca", {"window": 20})
    follows, apart = own.judge(case, Task(follows=True)), own.judge(case, Task())
    detector = SeriesDetector("pca", 20).fit(values[:900])
    np.testing.assert_allclose(follows.score, detector.anomaly_score(values)[900:], rtol=1e-6)
    np.testing.assert_allclose(follows.score[19:], apart.score[19:], rtol=1e-6)
    assert len(set(apart.score[:20])) == 1
    assert follows.score.shape == apart.score.shape == (300,)
    assert follows.channel_score is not None
    assert follows.channel_score.shape == (300, 3)


def test_where_streams_drift_rows_are_ranked_by_how_loud_they_are_beside_their_past() -> None:
    values = waves(1200, 1, channels=1)
    values[1000:1004] += 5
    values[1100:] *= 1.5
    case = Case("one", values[:900], values[900:], np.zeros(300, np.uint8), None, (), None, ("a",))
    own = Own("pca", {"window": 20})
    usual, drifting = (own.judge(case, Task(limited=False, follows=True, drifting=drifts)) for drifts in (False, True))
    detector = SeriesDetector("pca", 20).fit(values[:900])
    np.testing.assert_array_equal(usual.ranking, usual.score)
    np.testing.assert_array_equal(drifting.score, usual.score)  # the limit is another matter
    wanted = alarm_levels(adapt(detector.anomaly_score(values)[900:], detector.decision_scores_[19:]))
    np.testing.assert_allclose(drifting.ranking, wanted, rtol=1e-4)
    assert np.argmax(drifting.ranking) in range(100, 124)
    peer = PrincipalComponents(window=32).fit(values[:900])
    plain, adapted = (
        Outsider("PCA", lambda: PrincipalComponents(window=32), adapted=flag).judge(case, Task(limited=False))
        for flag in (False, True)
    )
    np.testing.assert_array_equal(plain.ranking, peer.score(values[900:]))
    wanted = alarm_levels(adapt(peer.score(values[900:]), peer.score(values[:900])))
    np.testing.assert_array_equal(adapted.ranking, wanted)


def judged(*cases: tuple[Floats, list[tuple[int, int]]], seconds: float | None = 60.0) -> list[Result]:
    """Results of a contestant with these scores and labelled events."""
    results = []
    for number, (score, spans) in enumerate(cases):
        labels = np.zeros(score.size, np.uint8)
        for start, end in spans:
            labels[start:end] = 1
        empty = np.zeros((score.size, 1))
        case = Case(str(number), empty, empty, labels, None, None, seconds, ("a",))
        results.append(Result(case, "one", Verdict(score, score)))
    return results


def loud(rows: int, *spans: tuple[int, int, float]) -> Floats:
    """Scores of 0.01, and of the value given in each span."""
    score = np.full(rows, 0.01)
    for start, end, value in spans:
        score[start:end] = value
    return score


def test_events_are_counted_where_one_factor_on_all_limits_gives_the_false_alarms_asked_for() -> None:
    """One day in two cases, three false alarms (2.0, 0.7, 0.5) and four events (3.0, 1.2, 0.6, 0.4)."""
    first = loud(720, (100, 110, 2.0), (200, 210, 0.7), (300, 310, 3.0), (400, 410, 0.6))
    second = loud(720, (100, 110, 0.5), (300, 310, 1.2), (400, 410, 0.4))
    results = judged((first, [(300, 310), (400, 410)]), (second, [(300, 310), (400, 410)]))
    assert _events_at(results, 0.0) == 1  # above 2.0
    assert _events_at(results, 0.5) == 1
    assert _events_at(results, 1.0) == 2  # above 0.7
    assert _events_at(results, 2.0) == 3  # above 0.5
    assert _events_at(results, 1e6) == 4
    scaled = [replace(one, verdict=Verdict(one.verdict.ranking, 7 * one.verdict.score)) for one in results]
    assert [_events_at(scaled, float(most)) for most in range(3)] == [1, 2, 3]
    assert _events_at(results[:1], 2.0) == 1  # of half a day: 2.0 alone
    assert _events_at(results[:1], 4.0) == 2


def test_without_a_clock_or_a_factor_no_events_are_counted() -> None:
    score = loud(1440, (100, 110, 2.0), (300, 310, 3.0))
    assert math.isnan(_events_at(judged((score, [(300, 310)]), seconds=None), 1.0))
    beyond = judged((1000 * score, [(300, 310)]))
    assert math.isnan(_events_at(beyond, 0.5))
    assert _events_at(beyond, 1.0) == 1
    silent = judged((0 * score, [(300, 310)]))
    assert _events_at(silent, 1.0) == 0


def test_one_alarm_over_everything_finds_nothing_at_equal_false_alarms() -> None:
    always = np.full(1440, 2.0)
    assert _events_at(judged((always, [(300, 310)])), 1.0) == 0
    most = loud(1440, (0, 800, 2.0), (900, 910, 3.0))
    assert _events_at(judged((most, [(300, 390), (900, 910)])), 1.0) == 1
    assert _events_at(judged((most, [(30, 800), (900, 910)])), 1.0) == 2


def test_ways_of_choosing_a_limit_share_one_pass_of_scores(tmp_path: Path) -> None:
    folder = write_smd(tmp_path / "smd", machines=2)
    report = run(folder, ["pca"], {"window": 20}, ["all ones"], quick=True, thresholds=True, jobs=1)
    assert list(report.thresholds) == ["aez pca"]
    ways = report.thresholds["aez pca"]
    (shipped,) = (one.figures for one in report.figures if one.detector == "aez pca")
    assert ways["as shipped"]["limit"] == 1
    for name in ("events_found", "alarms", "false_alarms", "event_precision", "median_delay_rows"):
        assert ways["as shipped"][name] == pytest.approx(shipped[name], nan_ok=True)
    with np.load(folder / "machine-1-1.npz") as arrays:
        train, test, labels = arrays["train"], arrays["test"], arrays["test_label"]
    detector = SeriesDetector("pca", 20, period=60).fit(train)
    limit = percentile(detector.held_out_scores_, 95)
    scores = detector.anomaly_score(test)
    by_percentile = ways["percentile 95"]
    assert by_percentile["limit"] == pytest.approx(limit)
    assert by_percentile["normal_above"] == pytest.approx(np.mean(scores[labels == 0] > limit))
    assert by_percentile["alarms"] == len(find_events(scores / limit))
    assert ways["percentile 95"]["limit"] < ways["percentile 99"]["limit"] < ways["percentile 99.9"]["limit"]
    text = report.table()
    assert "aez pca, threshold by" in text
    assert all(name in text for name in ways)
    assert all(len(line) <= 120 for line in text.splitlines())
    assert json.loads(report.to_json())["thresholds"]["aez pca"].keys() == ways.keys()


def test_a_limit_that_needs_more_than_there_is_is_left_out() -> None:
    rng = np.random.default_rng(0)
    test, none = rng.gamma(9, size=2000) / 30, np.zeros(2000, np.uint8)
    labels = none.copy()
    labels[500:550] = 1
    test[500:550] += 3
    many, few = rng.gamma(9, size=3000) / 30, rng.gamma(9, size=60) / 30
    found = compare_limits(Trial(many, test, labels, 60.0))
    assert list(found) == list(WAYS)
    assert {found[way].events.found for way in WAYS} == {1}
    assert found[ORACLE].above == 0
    assert found["percentile 99"].above == pytest.approx(0.01 * 1950, abs=12)
    tails = {way for way in WAYS if "peaks" in way}
    assert set(WAYS) - set(compare_limits(Trial(few, test, none, None))) == {*tails, ORACLE}


def test_the_streaming_limit_learns_nothing_from_an_open_event() -> None:
    rng = np.random.default_rng(1)
    held_out, quiet = rng.gamma(9, size=5000) / 30, rng.gamma(9, size=3000) / 30
    way = next(way for way in WAYS if way.startswith("streaming"))
    loud = quiet.copy()
    loud[1000:1400] = 4
    usual, after = (
        np.asarray(WAYS[way](Trial(held_out, test, np.zeros(3000, np.uint8), None))) for test in (quiet, loud)
    )
    assert usual.shape == (3000,)
    assert len(np.unique(usual)) > 10
    assert len(np.unique(after[1002:1410])) == 1  # from the row that opened it to the quiet one that closed it


def test_figures_of_several_cases_add_up() -> None:
    rng = np.random.default_rng(2)
    held_out, labels = rng.random(500), np.zeros(400, np.uint8)
    labels[200:220] = 1
    trials = [Trial(held_out, rng.random(400) + 2 * labels, labels, 60.0) for _ in range(2)]
    one, two = (compare_limits(trial)["percentile 95"] for trial in trials)
    both = (one + two).as_dict()
    assert (both["cases"], both["events"], both["events_found"]) == (2, 2, 2)
    assert both["normal_above"] == pytest.approx((one.above + two.above) / 760)
    assert both["limit"] == one.limits[0] == two.limits[0]
    assert both["worst_false_alarms_per_day"] == max(one.worst, two.worst) >= both["false_alarms_per_day"]


def test_skab_is_pooled_over_its_files(tmp_path: Path) -> None:
    report = run(write_skab(tmp_path / "skab"), ["pca"], {"window": 10}, PEERS, jobs=1)
    assert report.kind == "skab"
    ours, ones = report.summary["aez pca"], report.summary["all ones"]
    assert ours["f1"] > 0.7
    assert ours["false_alarm_rate"] < 0.3
    assert ours["nab_standard"] > 30
    # 100 of 300 rows are labelled: precision 1/3, recall 1.
    assert ones["f1"] == pytest.approx(0.5)
    assert (ones["false_alarm_rate"], ones["missed_alarm_rate"]) == (1, 0)
    # A flag from the first row on is one changepoint, outside the two windows of each file.
    time = np.arange(300) * 10**9
    marks = np.zeros(300)
    marks[[120, 220]] = 1
    assert ones["nab_standard"] == pytest.approx(changepoint_score([(time, marks, np.arange(300) == 0)]).standard)


def test_skabs_own_isolation_forest_stands_beside_all_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "skab", replace(PROTOCOLS["skab"], peers={"all ones": AllOnes}))
    report = run(write_skab(tmp_path / "skab", files=1), ["pca"], jobs=1)
    assert report.detectors == ("aez pca", "all ones", "isolation forest, as in SKAB's table")
    case = next(load_skab(tmp_path / "skab"))
    flags, held = skab_isolation_forest(case.train, case.test)
    found = report.summary["isolation forest, as in SKAB's table"]
    assert found["f1"] == pytest.approx(point_metrics([(case.labels, flags)]).f1, nan_ok=True)
    predicted = changepoints_of(held)
    assert found["nab_standard"] == changepoint_score([(case.time, case.changepoints, predicted)]).standard


def test_nab_takes_one_limit_for_all_files(tmp_path: Path) -> None:
    report = run(write_nab(tmp_path / "nab"), ["pca"], {"window": 10}, [*PEERS, "windowed gaussian"], jobs=1)
    assert report.kind == "nab"
    ours, silent = report.summary["aez pca"], report.summary["all ones"]
    assert ours["windows"] == ours["windows_found"] == 2
    assert ours["nab_standard"] > 70
    assert silent["nab_standard"] >= 0
    assert set(report.summary) == {"aez pca", "random", "all ones", "PCA", "Windowed Gaussian"}
    assert {one.name for one in PROTOCOLS["nab"].references} == {"PCA, adapted", "Windowed Gaussian, adapted"}


def test_a_folder_of_ones_own_and_several_families(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", ["fan", "pump", "valve", "wheel"])
    report = run(folder, ["pca", "pca"], {"window": 20}, ["all ones"], quick=True, jobs=1)
    assert report.kind == "folder"
    assert report.own == ("aez pca", "aez pca, covering")
    assert report.cases == ("fan", "wheel")  # every third
    assert math.isnan(report.summary["aez pca"]["vus_pr"])
    ours = report.summary["aez pca"]
    assert ours["events_found"] == 2
    assert ours["false_alarms_per_day"] == pytest.approx(ours["false_alarms"] / (1200 / 1440))


@pytest.mark.slow
def test_processes_find_the_same_as_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", ["fan", "pump"])
    one, two = (run(folder, ["pca"], {"window": 20}, ["PCA"], jobs=jobs) for jobs in (1, 2))
    assert two.jobs == 2
    assert [(f.case, f.detector) for f in one.figures] == [(f.case, f.detector) for f in two.figures]
    for first, second in zip(one.figures, two.figures, strict=True):
        assert first.figures == pytest.approx(second.figures, rel=1e-5, nan_ok=True)


def test_a_case_that_cannot_be_learned_from_is_named_and_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", ["fan", "pump"])
    lines = (folder / "fan" / "train.csv").read_text().splitlines()
    (folder / "fan" / "train.csv").write_text("\n".join(lines[:12]) + "\n")
    report = run(folder, ["pca"], {"window": 20}, ["all ones"], jobs=1)
    assert [(who, case) for who, case, _ in report.failures] == [("aez pca", "fan")]
    assert report.summary["aez pca"]["cases"] == 1
    assert "aez pca on fan: " in report.table()
    with pytest.raises(AezError, match=r"none of our detectors could learn from any case; fan: "):
        run(folder, ["pca"], {"window": 800}, ["all ones"], jobs=1)


def test_the_report_as_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = run(write_smd(tmp_path / "smd"), ["pca"], {"window": 20, "percentile": 99}, PEERS, quick=True, jobs=1)
    save_report(report, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detect.json",
        "detect.txt",
        "figures.png",
        "scores.png",
    ]
    figures = json.loads((tmp_path / "out" / "detect.json").read_text())
    assert figures["summary"]["aez pca"]["events"] == 2
    assert figures["summary"]["random"]["vus_pr"] is None
    assert figures["settings"] == {"window": 20, "percentile": 99}
    assert {one["detector"] for one in figures["per_case"]} == set(report.detectors)
    assert figures["environment"]["versions"]["scikit-learn"]
    text = (tmp_path / "out" / "detect.txt").read_text()
    assert text == report.table()
    for shown in ("Detection on SMD: 1 case of smd (quick)", "settings: window=20, percentile=99", "AUC-PR", "2/2"):
        assert shown in text
    assert str(tmp_path) not in text + (tmp_path / "out" / "detect.json").read_text()
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("write", [write_skab, write_nab], ids=["skab", "nab"])
def test_every_kind_can_be_drawn(tmp_path: Path, write: object) -> None:
    pytest.importorskip("matplotlib")
    assert callable(write)
    save_report(run(write(tmp_path / "data"), ["pca"], {"window": 10}, ["all ones"], jobs=1), tmp_path / "out")
    for name in ("figures.png", "scores.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_names_that_do_not_exist_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    (folder / "pump" / "deeper").mkdir()
    with pytest.raises(InvalidArgument, match="peer 'svm' is unknown; use random, all ones"):
        run(folder, ["pca"], peers=["svm"], jobs=1)
    with pytest.raises(InvalidArgument, match="family 'gru' is unknown"):
        run(folder, ["pca", "gru"], jobs=1)
    with pytest.raises(InvalidArgument, match="compared on SMD and on folders"):
        run(write_skab(tmp_path / "skab"), ["pca"], thresholds=True, jobs=1)
    with pytest.raises(UnsupportedInput, match="is not SKAB, SMD, NAB"):
        run(folder / "pump" / "deeper", ["pca"], jobs=1)


def test_settings_are_read_as_what_they_are() -> None:
    texts = ["window=60", "score_kind=reconstruction+mahalanobis", "robust=false", "options.width=64", "tail=null"]
    assert parse_settings(texts) == {
        "window": 60,
        "score_kind": "reconstruction+mahalanobis",
        "robust": False,
        "options": {"width": 64},
        "tail": None,
    }
    for wrong in ("windows=60", "window", "family=conv", "options=1"):
        with pytest.raises(InvalidArgument, match=f"'{wrong}' is no setting; use alarms, "):
            parse_settings([wrong])


def test_speed_is_windows_per_second(tmp_path: Path) -> None:
    SeriesDetector("pca", 8).fit(waves(400, 1)).save(tmp_path / "pump.aezm")
    found = speed(tmp_path / "pump.aezm", seconds=0.02)
    assert (found["model"], found["window"], found["channels"]) == ("pump", 8, 3)
    for rates in found["windows_per_second"].values():
        assert rates["32"] > rates["1"] > 100
