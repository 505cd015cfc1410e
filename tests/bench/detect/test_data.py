"""Benchmark folders: generated files in each layout give the cases that the protocols ask for, row by row."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aez.bench.detect.data import LOADERS, Case, benchmark_kind, load_folder, load_nab, load_skab, load_smd
from aez.bench.detect.metrics import label_events
from aez.codec.errors import UnsupportedInput

pytest.importorskip("pyarrow")

SENSORS = ("Accelerometer1RMS", "Current", "Volume Flow RateRMS")
START = datetime(2020, 3, 9, 10, 14, 33)


def write_skab(
    path: Path, rows: int = 420, seed: int = 0, labels: bool = True, **columns: npt.ArrayLike
) -> npt.ArrayLike:
    """A file as SKAB has them; returns the sensors' values."""
    values = np.round(np.random.default_rng(seed).normal(size=(rows, 3)), 5)
    marks = {"anomaly": np.arange(rows) >= 410, "changepoint": np.arange(rows) == 410} | columns
    lines = [";".join(["datetime", *SENSORS, *(marks if labels else [])])]
    for row in range(rows):
        cells = [f"{START + timedelta(seconds=row):%Y-%m-%d %H:%M:%S}", *map(str, values[row])]
        lines.append(";".join([*cells, *(str(float(np.asarray(mark)[row])) for mark in marks.values() if labels)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return values


def test_skab_files_are_cut_after_the_rows_to_learn_from(tmp_path: Path) -> None:
    expected = {
        "valve1/2": write_skab(tmp_path / "valve1/2.csv", seed=1),
        "valve1/10": write_skab(tmp_path / "valve1/10.csv", seed=2),
        "other/1": write_skab(tmp_path / "other/1.csv", seed=3, rows=500),
    }
    write_skab(tmp_path / "anomaly-free/anomaly-free.csv", labels=False)
    cases = list(load_skab(tmp_path))
    assert [case.name for case in cases] == ["other/1", "valve1/2", "valve1/10"]
    for case in cases:
        np.testing.assert_array_equal(case.train, np.asarray(expected[case.name])[:400])
        np.testing.assert_array_equal(case.test, np.asarray(expected[case.name])[400:])
    first, second, _ = cases
    assert first.channels == SENSORS
    assert first.period_seconds == 1
    assert label_events(first.labels) == [(10, 100)]
    assert second.changepoints is not None
    assert np.flatnonzero(second.changepoints).tolist() == [10]
    assert second.labels.dtype == second.changepoints.dtype == np.uint8
    assert second.time is not None
    assert second.time.shape == (20,)
    assert set(np.diff(second.time)) == {10**9}
    assert second.causes is None
    assert len(next(load_skab(tmp_path, train_rows=100)).train) == 100


def test_skab_files_that_cannot_serve_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="no csv files"):
        next(load_skab(tmp_path))
    write_skab(tmp_path / "valve1/0.csv", rows=400)
    with pytest.raises(UnsupportedInput, match=r"0\.csv has 400 rows, and 400"):
        next(load_skab(tmp_path))
    write_skab(tmp_path / "valve1/0.csv", labels=False)
    with pytest.raises(UnsupportedInput, match="no column anomaly, changepoint"):
        next(load_skab(tmp_path))
    write_skab(tmp_path / "valve1/0.csv", anomaly=np.full(420, 0.5))
    with pytest.raises(UnsupportedInput, match="0 and 1"):
        next(load_skab(tmp_path))


def write_smd(
    folder: Path, machine: str, causes: str | None = "2-4:1,3\n\n7-8:2\n"
) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(len(machine))
    arrays = {name: rng.random((10, 3), np.float32) for name in ("train", "test")}
    labels = np.zeros(10, np.uint8)
    labels[[2, 3, 7]] = 1
    np.savez(folder / f"{machine}.npz", **arrays, test_label=labels)
    if causes is not None:
        (folder / "interpretation_label").mkdir(exist_ok=True)
        (folder / "interpretation_label" / f"{machine}.txt").write_text(causes, encoding="utf-8")
    return arrays


def test_smd_machines_come_with_their_causes_counted_from_zero(tmp_path: Path) -> None:
    arrays = write_smd(tmp_path, "machine-1-2")
    write_smd(tmp_path, "machine-1-10", causes=None)
    first, second = load_smd(tmp_path)
    assert (first.name, second.name) == ("machine-1-2", "machine-1-10")
    np.testing.assert_array_equal(first.train, arrays["train"])
    np.testing.assert_array_equal(first.test, arrays["test"])
    assert first.causes == ((2, 4, (0, 2)), (7, 8, (1,)))
    # The end is exclusive: what the causes name is what the labels mark.
    assert [cause[:2] for cause in first.causes] == label_events(first.labels)
    assert first.period_seconds == 60
    assert len(first.channels) == 3
    assert (second.causes, second.changepoints, second.time) == (None, None, None)


@pytest.mark.parametrize("line", ["2-4", "2-4:0", "2-4:4", "a-4:1", "2-4:1;2"])
def test_a_damaged_line_of_smds_causes_is_named(tmp_path: Path, line: str) -> None:
    write_smd(tmp_path, "machine-1-2", causes=f"1-2:1\n{line}\n")
    with pytest.raises(UnsupportedInput, match=r"machine-1-2\.txt, line 2"):
        next(load_smd(tmp_path))


def test_smd_files_that_cannot_serve_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="no files machine"):
        next(load_smd(tmp_path))
    np.savez(tmp_path / "machine-1-1.npz", train=np.zeros((3, 2)), test=np.zeros((3, 2)))
    with pytest.raises(UnsupportedInput, match="lacks test_label"):
        next(load_smd(tmp_path))
    np.savez(tmp_path / "machine-1-1.npz", train=np.zeros((3, 2)), test=np.zeros((3, 2)), test_label=np.zeros(4))
    with pytest.raises(UnsupportedInput, match="3 test rows and labels of shape"):
        next(load_smd(tmp_path))
    (tmp_path / "machine-1-1.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(UnsupportedInput, match=r"machine-1-1\.npz cannot be read"):
        next(load_smd(tmp_path))
    np.savez(tmp_path / "machine-1-1.npz", train=np.array([{}]), test=np.zeros((3, 2)), test_label=np.zeros(3))
    with pytest.raises(UnsupportedInput, match="cannot be read"):
        next(load_smd(tmp_path))


def write_nab(folder: Path, name: str, rows: int = 200) -> None:
    lines = ["timestamp,value"]
    lines += [f"{START + timedelta(minutes=5 * row):%Y-%m-%d %H:%M:%S},{row}" for row in range(rows)]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def nab_windows(folder: Path, windows: dict[str, list[tuple[int, int]]]) -> None:
    """Windows given as rows; times as NAB writes them."""
    times = {
        name: [[f"{START + timedelta(minutes=5 * row):%Y-%m-%d %H:%M:%S}.000000" for row in pair] for pair in pairs]
        for name, pairs in windows.items()
    }
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(times), encoding="utf-8")


@pytest.mark.parametrize("data", ["", "data/"])
def test_nab_files_learn_from_the_probationary_rows(tmp_path: Path, data: str) -> None:
    write_nab(tmp_path, f"{data}realtraffic/speed_2.csv")
    write_nab(tmp_path, f"{data}realtraffic/speed_10.csv", rows=101)
    write_nab(tmp_path, f"{data}realtraffic/unlabelled.csv")
    windows = {
        "realTraffic/speed_2.csv": [(50, 60), (90, 90)],  # the published folder names
        "realTraffic/speed_10.csv": [],
        "realTweets/absent.csv": [(1, 2)],
    }
    nab_windows(tmp_path, windows)  # type: ignore[arg-type]
    first, second = load_nab(tmp_path)
    assert (first.name, second.name) == ("realtraffic/speed_2", "realtraffic/speed_10")
    assert first.train[:, 0].tolist() == list(range(30))
    assert first.test[:, 0].tolist() == list(range(30, 200))
    assert label_events(first.labels) == [(20, 31), (60, 61)]  # both ends included
    assert len(second.train) == 15
    assert not second.labels.any()
    assert first.period_seconds == 300
    assert first.channels == ("value",)
    assert first.time is not None
    assert first.time[0] == int(datetime.fromisoformat("2020-03-09T12:44:33+00:00").timestamp()) * 10**9


def test_nab_folders_that_cannot_serve_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match=r"combined_windows\.json is missing"):
        next(load_nab(tmp_path))
    nab_windows(tmp_path, {"a/b.csv": [(1, 2)]})
    with pytest.raises(UnsupportedInput, match="none of the 1 files"):
        next(load_nab(tmp_path))
    for text in ("[]", "{", '{"a/b.csv": [["yesterday", "today"]]}', '{"a/b.csv": [["2020-01-01"]]}'):
        (tmp_path / "labels" / "combined_windows.json").write_text(text, encoding="utf-8")
        with pytest.raises(UnsupportedInput, match="no list of NAB's windows"):
            next(load_nab(tmp_path))


def write_csv(path: Path, header: str, rows: npt.ArrayLike) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(f"{value:g}" for value in row) for row in np.asarray(rows)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


TRAIN_ROWS = np.arange(12.0).reshape(6, 2) + 0.5
TEST_ROWS = np.arange(8.0).reshape(4, 2) + 100.25


@pytest.mark.parametrize("form", ["column", "labels.csv", "named labels.csv", "headless labels.csv", "npy", "npz"])
def test_a_case_in_the_simple_form_takes_its_labels_from_anywhere(tmp_path: Path, form: str) -> None:
    marks = np.array([0, 1, 1, 0])
    write_csv(tmp_path / "train.csv", "a,b", TRAIN_ROWS)
    header, test = ("a,b,anomaly", np.column_stack([TEST_ROWS, marks])) if form == "column" else ("a,b", TEST_ROWS)
    write_csv(tmp_path / "test.csv", header, test)
    match form:
        case "labels.csv":
            write_csv(tmp_path / "labels.csv", "whatever", marks[:, None])
        case "named labels.csv":
            write_csv(tmp_path / "labels.csv", "row,label", np.column_stack([np.arange(4), marks]))
        case "headless labels.csv":
            (tmp_path / "labels.csv").write_text("0\n1\n1.0\n0\n", encoding="utf-8")
        case "npy":
            np.save(tmp_path / "labels.npy", marks)
        case "npz":
            np.savez(tmp_path / "labels.npz", labels=marks.astype(bool), other=marks)
    (case,) = load_folder(tmp_path)
    assert case.name == tmp_path.name
    np.testing.assert_array_equal(case.train, TRAIN_ROWS)
    np.testing.assert_array_equal(case.test, TEST_ROWS)
    assert case.labels.tolist() == [0, 1, 1, 0]
    assert case.labels.dtype == np.uint8
    assert case.channels == ("a", "b")
    assert (case.changepoints, case.causes) == (None, None)


def test_a_folder_of_cases_finds_channels_by_name(tmp_path: Path) -> None:
    for name in ("case-10", "case-9"):
        write_csv(tmp_path / name / "train.csv", "a,b", TRAIN_ROWS)
        test = np.column_stack([TEST_ROWS[:, ::-1], [0, 0, 1, 0], [0, 0, 1, 1], [7, 7, 7, 7]])
        write_csv(tmp_path / name / "test.csv", "b,a,anomaly,changepoint,extra", test)
    (tmp_path / "notes").mkdir()
    first, second = load_folder(tmp_path)
    assert (first.name, second.name) == ("case-9", "case-10")
    np.testing.assert_array_equal(first.test, TEST_ROWS)
    assert first.labels.tolist() == [0, 0, 1, 0]
    assert first.changepoints is not None
    assert first.changepoints.tolist() == [0, 0, 1, 1]


def test_arrays_serve_as_cases_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", TRAIN_ROWS)
    np.save(tmp_path / "test.npy", TEST_ROWS)
    np.save(tmp_path / "labels.npy", np.array([[0], [1], [0], [0]]))
    (case,) = load_folder(tmp_path)
    np.testing.assert_array_equal(case.train, TRAIN_ROWS)
    np.testing.assert_array_equal(case.test, TEST_ROWS)
    assert case.labels.tolist() == [0, 1, 0, 0]
    assert len(case.channels) == 2


def test_simple_cases_that_lack_a_part_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match=r"no train\.csv"):
        next(load_folder(tmp_path))
    write_csv(tmp_path / "train.csv", "a,b", TRAIN_ROWS)
    with pytest.raises(UnsupportedInput, match=r"no test\.\*"):
        next(load_folder(tmp_path))
    write_csv(tmp_path / "test.csv", "a,c", TEST_ROWS)
    with pytest.raises(UnsupportedInput, match="no labels"):
        next(load_folder(tmp_path))
    write_csv(tmp_path / "labels.csv", "anomaly", [[0], [1], [0]])
    with pytest.raises(UnsupportedInput, match="'b'"):
        next(load_folder(tmp_path))
    write_csv(tmp_path / "test.csv", "a,b", TEST_ROWS)
    with pytest.raises(UnsupportedInput, match="4 test rows and labels"):
        next(load_folder(tmp_path))
    write_csv(tmp_path / "labels.csv", "x,y", [[0, 1]] * 4)
    with pytest.raises(UnsupportedInput, match="columns x, y"):
        next(load_folder(tmp_path))
    write_csv(tmp_path / "labels.csv", "anomaly", [[0], [1], [2], [0]])
    with pytest.raises(UnsupportedInput, match="0 and 1"):
        next(load_folder(tmp_path))
    (tmp_path / "labels.csv").write_text("anomaly\n0\nyes\n", encoding="utf-8")
    with pytest.raises(UnsupportedInput, match=r"labels\.csv cannot be read"):
        next(load_folder(tmp_path))
    np.save(tmp_path / "labels.npy", [0, 1, 0, 0])
    with pytest.raises(UnsupportedInput, match=r"labels\.csv and labels\.npy; leave one"):
        next(load_folder(tmp_path))


def test_the_kind_of_a_folder_is_known_by_what_lies_in_it(tmp_path: Path) -> None:
    folders = {kind: tmp_path / kind for kind in LOADERS}
    for folder in folders.values():
        folder.mkdir()
    write_skab(folders["skab"] / "valve1/0.csv")
    write_smd(folders["smd"], "machine-1-1")
    nab_windows(folders["nab"], {})
    write_csv(folders["folder"] / "one" / "train.csv", "a,b", TRAIN_ROWS)
    assert {kind: benchmark_kind(folder) for kind, folder in folders.items()} == {kind: kind for kind in LOADERS}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsupportedInput, match="is not SKAB"):
        benchmark_kind(tmp_path / "empty")


@pytest.mark.parametrize("kind", LOADERS)
def test_a_folder_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnsupportedInput, match="is not a folder"):
        next(LOADERS[kind](tmp_path / "nowhere"))


def test_the_parts_of_a_case_belong_together() -> None:
    rows, labels = np.zeros((4, 2)), np.zeros(4, np.uint8)
    Case("x", rows, rows, labels, None, None, None, ("a", "b"))
    with pytest.raises(UnsupportedInput, match="same channels"):
        Case("x", rows[:, :1], rows, labels, None, None, None, ("a", "b"))
    with pytest.raises(UnsupportedInput, match="1 channel names"):
        Case("x", rows, rows, labels, None, None, None, ("a",))
    with pytest.raises(UnsupportedInput, match="changepoints of shape"):
        Case("x", rows, rows, labels, labels[1:], None, None, ("a", "b"))
    with pytest.raises(UnsupportedInput, match="one is 3"):
        Case("x", rows, rows, labels + np.uint8(3), None, None, None, ("a", "b"))


def test_npz_with_training_and_test_rows_are_cases(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(30, np.int64)
    labels[10:20] = 1
    plain = {"train": rng.random((50, 2)), "test": rng.random((30, 2)), "test_label": labels}
    np.savez(tmp_path / "server-2.npz", **plain)
    clock = np.datetime64("2024-01-01") + np.timedelta64(5, "m") * np.arange(80)
    np.savez(
        tmp_path / "server-10.npz",
        train=np.arange(50),
        test=np.arange(30),
        labels=labels == 1,
        train_time=clock[:50],
        test_time=clock[50:],
        channels=np.array(["load"]),
    )
    np.savez(tmp_path / "other.npz", values=np.arange(3))  # no case
    assert benchmark_kind(tmp_path) == "folder"
    first, second = load_folder(tmp_path)
    assert (first.name, second.name) == ("server-2", "server-10")
    np.testing.assert_array_equal(first.test, plain["test"])
    assert label_events(first.labels) == label_events(second.labels) == [(10, 20)]
    assert (first.channels, first.period_seconds, first.time) == (("dim 1", "dim 2"), None, None)
    assert (second.channels, second.period_seconds, second.train.shape) == (("load",), 300, (50, 1))
    assert second.time is not None
    assert second.train_time is not None
    assert second.time[0] - second.train_time[-1] == 300 * 10**9
    below = tmp_path / "below"
    (below / "one").mkdir(parents=True)
    np.savez(below / "one" / "a.npz", **plain)
    assert [case.name for case in load_folder(below)] == ["a"]


def test_npz_that_cannot_serve_are_named(tmp_path: Path) -> None:
    rows = {"train": np.zeros((5, 2)), "test": np.zeros((5, 2))}
    np.savez(tmp_path / "a.npz", **rows)
    with pytest.raises(UnsupportedInput, match=r"a\.npz lacks test_label; it has train, test"):
        next(load_folder(tmp_path))
    np.savez(tmp_path / "a.npz", **rows, test_label=np.zeros(5), test_time=np.zeros(5))
    with pytest.raises(UnsupportedInput, match="times are datetime64, or whole ns"):
        next(load_folder(tmp_path))
    np.savez(tmp_path / "a.npz", train=np.array([["a"]]), test=np.zeros((5, 1)), test_label=np.zeros(5))
    with pytest.raises(UnsupportedInput, match="train is no table of numbers"):
        next(load_folder(tmp_path))


def test_labels_beside_a_test_may_be_called_as_in_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", values=np.zeros((5, 2)), channels=np.array(["a", "b"]))
    np.savez(tmp_path / "test.npz", values=np.ones((5, 2)), channels=np.array(["a", "b"]))
    np.savez(tmp_path / "test_label.npz", test_label=np.array([0, 1, 1, 0, 0]))
    (case,) = load_folder(tmp_path)
    assert label_events(case.labels) == [(1, 3)]
