"""Data too large to learn from all of: which rows stay, in files and in arrays, and that no window crosses a cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aez.codec.series import sampled
from aez.codec.series.core import Series, holes
from aez.codec.series.reader import read_series, read_streams
from aez.codec.series.sampled import Stretches, read_sampled, stitched
from aez.export import SeriesDetector
from aez.export.series.data import sampling
from aez.export.series.data.sampling import few_enough
from tests.kit.commands import run

Array = np.ndarray[Any, np.dtype[Any]]
ROWS, CHANNELS = 2000, 3


def counted(rows: int = ROWS) -> Array:
    """Rows that say where they stand."""
    return np.arange(rows * CHANNELS, dtype=np.float64).reshape(rows, CHANNELS)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of 50 rows or more."""
    monkeypatch.setattr(sampled, "_ROWS_LEAST", 50)


@pytest.mark.usefixtures("short")
def test_a_file_that_is_too_large_leaves_even_stretches_in_order(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", counted())
    found = read_sampled(tmp_path / "rows.npy", most=ROWS * CHANNELS // 3)
    ((*parts,),) = found.streams
    assert (found.rows, found.kept, found.stretches) == (ROWS, 500, Stretches(50, 4))
    assert found.summary.rows == ROWS
    assert [part.values[0, 0] / CHANNELS for part in parts] == list(range(0, ROWS, 200))
    whole = stitched(parts)
    assert parts == []  # each was let go
    assert holes(whole).tolist() == list(range(50, 500, 50))
    assert np.array_equal(whole.values[50:100], counted()[200:250])


@pytest.mark.usefixtures("short")
def test_a_file_that_is_not_comes_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", counted())
    found = read_sampled(tmp_path / "rows.npy", most=ROWS * CHANNELS)
    whole, summary = read_series(tmp_path / "rows.npy")
    ((one,),) = found.streams
    assert np.array_equal(one.values, whole.values)
    assert (one.cuts, found.summary, found.stretches.step) == (None, summary, 1)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("most", [ROWS * CHANNELS, ROWS * CHANNELS // 3])
def test_the_streams_of_a_file_are_sampled_each(tmp_path: Path, most: int) -> None:
    names = np.where(np.arange(ROWS) % 2, "b", "a")
    lines = [f"{name},{row[0]},{row[1]}" for name, row in zip(names, counted(), strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["machine,x,y", *lines]))
    found = read_sampled(tmp_path / "rows.csv", "machine", most=most)
    every, _ = read_streams(tmp_path / "rows.csv", "machine")
    assert [parts[0].name for parts in found.streams] == ["a", "b"]
    for parts, whole in zip(found.streams, every, strict=True):
        rows = len(whole) if most >= ROWS * CHANNELS else sum(map(len, parts))
        taken = stitched(parts).values
        assert np.isin(taken[:, 0], whole.values[:, 0]).all()
        assert len(taken) == rows
        assert (np.diff(taken[:, 0]) > 0).all()


def test_a_clock_tells_where_rows_are_left_out() -> None:
    time = np.arange(ROWS, dtype=np.int64) * 10**9
    parts = [Series(counted()[a : a + 50], ("a", "b", "c"), time[a : a + 50]) for a in (0, 200, 400)]
    whole = stitched(parts)
    assert whole.cuts is None
    assert holes(whole).tolist() == [50, 100]


@pytest.mark.usefixtures("short")
def test_arrays_are_sampled_too_with_the_cuts_they_had() -> None:
    series = Series(counted(), ("a", "b", "c"), cuts=np.array([20, 130], np.int64))
    (kept,), (notice,) = few_enough([series], ROWS * CHANNELS // 4)
    assert "2,000 rows of 3 channels are more than are learned from" in notice
    assert "500 rows in all" in notice
    assert kept.cuts is not None
    assert kept.cuts.tolist() == [20, *range(50, 500, 50)]  # row 130 was left out
    assert few_enough([series], ROWS * CHANNELS) == ([series], [])


@pytest.mark.usefixtures("short")
def test_learning_says_that_rows_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = np.sin(np.arange(6000)[:, None] / 3 + np.arange(2)) + 0.05 * rng.normal(size=(6000, 2))
    monkeypatch.setattr(sampling, "VALUES_MOST", 6000)
    with pytest.warns(UserWarning, match="6,000 rows of 2 channels are more than are learned from.* 3,000 rows in all"):
        made = SeriesDetector(window=10).fit(rows)
    assert made.decision_scores_.shape == (6000,)
    assert len(made.held_out_scores_) < 900  # of the rows that stayed, without windows across a cut


@pytest.mark.usefixtures("short")
def test_a_file_larger_than_is_learned_from_trains_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = np.sin(np.arange(6000)[:, None] / 3 + np.arange(2)) + 0.05 * rng.normal(size=(6000, 2))
    np.save(tmp_path / "big.npy", rows)
    monkeypatch.setattr("aez.codec.series.sampled.read_sampled.__kwdefaults__", {"most": 6000})
    monkeypatch.chdir(tmp_path)
    result = run("train", "series", "big.npy", "-o", "big.aezm", "--window", "10")
    assert result.exit_code == 0, result.stderr
    assert "rows      6,000\n" in result.stderr
    said = "big.npy: 6,000 rows of 2 channels are more than are learned from; one of 2 stretches of 50 rows was taken"
    assert said in result.stderr
