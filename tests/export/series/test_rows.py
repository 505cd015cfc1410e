"""Rows that are no series: found where they have no order, judged one by one, a limit that keeps its share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series
from aez.export import SeriesDetector
from aez.export.families.windows.gaussian import Gaussian
from aez.export.series.data.rows import are_rows, split_dealt
from aez.export.series.scaling import LIMIT, ScaleLayer, fit_scaling

Array = np.ndarray[Any, np.dtype[Any]]


def series(values: Array, clock: bool = False) -> Series:
    time = np.arange(len(values), dtype=np.int64) * 10**9 if clock else None
    return Series(values, tuple(f"c{place}" for place in range(values.shape[1])), time)


def rows(n: int = 4000, channels: int = 5, seed: int = 0) -> Array:
    """Rows in no order, whose columns go together."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, channels)) + 0.3 * rng.normal(size=(n, channels))


# -- found ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_rows_in_no_order_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heavy = np.exp(2 * rng.normal(size=(3000, 4)))
    mixed = np.column_stack([rows(500, seed=seed), rng.integers(0, 2, 500), np.full(500, 3.0)])
    mixed[rng.random(mixed.shape) < 0.1] = np.nan
    for values in (rows(50, seed=seed), rows(3000, 30, seed), heavy, mixed):
        assert are_rows([series(values)])


@pytest.mark.parametrize("period", [3, 4, 7, 20, 48])
def test_a_rhythm_a_walk_and_a_level_that_changes_are_an_order(period: int) -> None:
    rng = np.random.default_rng(period)
    noise = rng.normal(size=(2000, 8))
    waves, walk, level = noise.copy(), noise.copy(), noise.copy()
    waves[:, 3] += np.sin(2 * np.pi * np.arange(2000) / period)
    walk[:, 0] = noise[:, 0].cumsum()
    level[1000:] += 0.5
    assert not any(are_rows([series(values)]) for values in (waves, walk, level))


def test_what_has_a_clock_or_too_few_rows_is_taken_as_a_series() -> None:
    assert not are_rows([series(rows(), clock=True)])
    assert not are_rows([series(rows(8))])
    assert not are_rows([series(np.ones((100, 2)))])
    assert not are_rows([])


def test_found_rows_are_said_and_a_window_of_several_makes_them_a_series() -> None:
    with pytest.warns(UserWarning, match="the rows have no order"):
        found = SeriesDetector().fit(rows())
    assert (found.rows_, found.window_) == (True, 1)
    asked = SeriesDetector(rows=True).fit(rows())  # says nothing
    assert np.array_equal(asked.decision_scores_, found.decision_scores_)
    assert SeriesDetector(window=8).fit(rows()).rows_ is False
    assert SeriesDetector(rows=False).fit(rows()).window_ > 1
    with pytest.raises(InvalidArgument, match="a window of 8 takes several"):
        SeriesDetector(window=8, rows=True).fit(rows())


# -- judged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["normal", "heavy"])
@pytest.mark.parametrize("percentile", [99.0, 95.0])
def test_a_limit_keeps_its_share_on_fresh_rows(tail: str, percentile: float) -> None:
    shape = np.sinh if tail == "heavy" else np.asarray
    detector = SeriesDetector(rows=True, threshold="percentile", percentile=percentile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        detector.fit(shape(rows(20_000, 12)[:10_000]))
    share = float(np.mean(detector.predict(shape(rows(20_000, 12)[10_000:])) == -1))
    asked = 1 - percentile / 100
    assert asked / 2 <= share <= 2 * asked


def test_a_row_that_breaks_what_goes_together_is_found_though_each_value_is_usual() -> None:
    values = rows(6000, 6)
    detector = SeriesDetector(rows=True).fit(values[:5000])
    odd = values[5000:].copy()
    odd[:, 0] = np.random.default_rng(9).permutation(odd[:, 0])
    blame = detector.channel_scores(odd[detector.anomaly_score(odd) > 1])
    assert np.mean(detector.anomaly_score(odd) > 1) > 0.03
    assert np.mean(blame.argmax(axis=1) == 0) > 0.5


def test_the_order_and_the_company_of_rows_do_not_matter() -> None:
    detector = SeriesDetector(rows=True).fit(rows())
    some = rows(300, seed=0)
    shuffled = np.random.default_rng(1).permutation(300)
    assert detector.anomaly_score(some)[shuffled] == pytest.approx(detector.anomaly_score(some[shuffled]), rel=1e-5)
    assert detector.anomaly_score(some)[7] == pytest.approx(detector.anomaly_score(some[7:8])[0], rel=1e-5)


def test_a_sorted_file_shows_all_of_itself_to_every_part() -> None:
    values = np.sort(rows(2000).astype(np.float32), axis=0)
    split = split_dealt([values], 0.3, 0.0, [[(500, 600)]])
    fitted, held_out = (np.concatenate(part.runs)[:, 0] for part in (split.fit, split.held_out))
    assert np.quantile(held_out, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(fitted, [0.1, 0.5, 0.9]), abs=0.25)
    assert not np.isin(values[500:600, 0], np.concatenate([fitted, held_out])).any()
    assert len(fitted) + len(held_out) > 1840


def test_few_rows_say_that_their_limit_is_estimated(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"\d\d held-out rows are too few to see a limit that 1 % of the rows exceed"):
        detector = SeriesDetector(rows=True).fit(rows(6000)[:120])
    assert np.mean(detector.anomaly_score(rows(6000)[120:]) > 1) < 0.06
    with pytest.warns(UserWarning, match="are too few") as caught:
        SeriesDetector(rows=True).fit(rows(6000)[:60])
    assert any("rows to learn from are too few for a limit that means anything" in str(one.message) for one in caught)
    detector.save(tmp_path / "rows.aezm")
    loaded = SeriesDetector.load(tmp_path / "rows.aezm")
    assert loaded.rows_ is True
    assert loaded.anomaly_score(rows(50)) == pytest.approx(detector.anomaly_score(rows(50)), rel=1e-4)


# -- the family and the scaling of rows -------------------------------------------------------------------------------


def test_a_gaussian_reconstructs_each_number_from_all_others() -> None:
    values = torch.from_numpy(rows(5000, 4)).float()[:, None]
    family = Gaussian(1, 4, shrinkage=1e-6)
    family.fit(values, torch.ones_like(values))
    assert not family.regression.diagonal().any()
    flat = values[:, 0].double().numpy()
    others = np.column_stack([np.delete(flat, 2, axis=1), np.ones(len(flat))])
    wanted = others @ np.linalg.lstsq(others, flat[:, 2], rcond=None)[0]
    found = family(values, torch.ones_like(values))[:, 0, 2].numpy()
    assert found == pytest.approx(wanted, abs=1e-2)
    with pytest.raises(InvalidArgument, match="3,000 rows, more than 2,048"):
        Gaussian(100, 30)


def test_soft_scaling_goes_on_beyond_the_limit_and_counts_rare_values_by_their_rarity() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=4000), (rng.random(4000) < 0.004).astype(float), np.full(4000, 5.0)])
    scaling = fit_scaling(values, soft=True)
    layer = ScaleLayer(scaling, 1)
    scaled = layer(torch.tensor([[[1e3, 1.0, 5.1]], [[1e6, 0.0, 5.0]], [[2.0, 0.0, 5.0]]]))[0][:, 0]
    assert LIMIT < scaled[0, 0] < scaled[1, 0] < 20 * LIMIT
    assert scaled[2, 0] == pytest.approx(2.0, rel=0.1)
    assert scaled[0, 1] > 10  # one in 250
    assert scaled[0, 2] <= LIMIT  # what never moved has a bounded voice
    assert not scaled[2, 1:].any()
