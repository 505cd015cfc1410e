"""The pure step of scoring, and batches of fixed shapes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series
from aez.daemon.engine.ring import Rings
from aez.daemon.engine.scorer import BATCHES, Scorer
from aez.daemon.rows.aligned import Aligned
from tests.kit.engine_models import CHANNELS, WINDOW, Magnitude, bursts, detector

Array = np.ndarray[Any, np.dtype[Any]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 80), st.lists(st.integers(0, 80), max_size=6))
def test_steps_give_the_scores_of_the_whole_series_however_it_is_cut(length: int, cuts: list[int]) -> None:
    values = bursts(length + WINDOW)
    expected = detector().score(Series(values, CHANNELS, None))
    scorer = Scorer(detector())
    state, found = None, []
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    for start, end in pairwise(edges):
        state, scores = scorer.step("a", values[start:end], state)
        found.append(scores)
    np.testing.assert_allclose(np.concatenate([one.score for one in found]), expected.score, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([one.channel_score for one in found]), expected.channel_score, rtol=1e-6)


def test_a_step_changes_nothing_that_it_was_given() -> None:
    scorer = Scorer(Magnitude())
    state, _ = scorer.step("a", np.ones((10, 2)), None)
    kept, batch = state.copy(), np.array([[np.inf, 2.0]])
    first = scorer.step("a", batch, state)
    second = scorer.step("b", batch, state)
    assert np.array_equal(state, kept)
    assert np.isinf(batch[0, 0])
    assert np.array_equal(first[1].score, second[1].score)
    assert np.array_equal(first[0], second[0], equal_nan=True)
    assert state.shape == (WINDOW - 1, 2)


def test_rows_of_another_number_of_channels_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="stream pump"):
        Scorer(Magnitude()).step("pump", np.ones((3, 5)), None)


@pytest.mark.parametrize("sizes", [(), (2, 4), (1, 4, 4), (8, 1)])
def test_batch_sizes_begin_with_one_and_rise(sizes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="rise from 1"):
        Scorer(Magnitude(), sizes)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_have_a_few_shapes_whatever_comes(workers: int) -> None:
    model = Magnitude()
    scorer = Scorer(model, workers=workers)
    rows = np.random.default_rng(0).normal(size=(3600, 2)).astype(np.float32)
    for count in [*range(1, 70), 255, 256, 257, 600, 3500]:
        starts = np.arange(count)
        found = scorer.score(rows, starts)
        windows = np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=0)[:count].swapaxes(1, 2)
        np.testing.assert_allclose(found.score, np.abs(windows).mean((1, 2)), rtol=1e-5)
    assert {shape[0] for shape in model.shapes} <= set(BATCHES)


def test_windows_anywhere_in_the_rows_can_be_scored() -> None:
    rows = np.arange(200, dtype=np.float32).reshape(100, 2)
    starts = np.array([0, 3, 4, 5, 50, 96])
    expected = [rows[start : start + WINDOW].mean() for start in starts]
    assert Scorer(Magnitude()).score(rows, starts).score == pytest.approx(expected)


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_with_gaps_and_without_are_scored_apart(workers: int) -> None:
    rows = np.random.default_rng(0).normal(size=(900, 2)).astype(np.float32)
    rows[::50, 1] = np.nan
    rows[400:500] = np.nan
    starts = np.arange(len(rows) - WINDOW + 1)
    windows = np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=0).swapaxes(1, 2)
    scorer = Scorer(Magnitude(), workers=workers)
    found = scorer.score(rows, starts)
    np.testing.assert_allclose(found.channel_score, np.abs(np.nan_to_num(windows)).mean(axis=1), rtol=1e-5)
    under_way = scorer.begin(rows, starts[::7]), scorer.begin(rows, starts[3::11])
    assert np.array_equal(under_way[1]().score, found.score[3::11])
    assert np.array_equal(under_way[0]().score, found.score[::7])


def test_a_model_of_large_windows_gets_small_batches() -> None:
    model = Magnitude(window=4096, channels=tuple(f"c{i}" for i in range(16)))
    scorer = Scorer(model)
    scorer.warm_up()
    assert {shape[0] for shape in model.shapes} == {1}


def test_rings_keep_the_last_rows_of_each_stream() -> None:
    rng = np.random.default_rng(1)
    rings, past = Rings(WINDOW, 2), {number: np.empty((0, 2), np.float32) for number in range(5)}
    rings.grow(3)
    for turn in range(40):
        if turn == 20:
            rings.grow(5)
        counts = rng.integers(0, 7, 3 if turn < 20 else 5)
        streams = np.repeat(np.arange(len(counts)), counts)
        if not len(streams):
            continue
        values = rng.normal(size=(len(streams), 2)).astype(np.float32)
        rows = Aligned(streams, np.zeros_like(streams), np.zeros_like(streams), values)
        first = np.flatnonzero(np.append(True, streams[1:] != streams[:-1]))
        joined, starts, before = rings.extend(rows, first)
        for place, number in enumerate(streams):
            past[number] = np.concatenate([past[number], values[place : place + 1]])
            assert before[place] == len(past[number]) - 1
            if len(past[number]) >= WINDOW:
                assert np.array_equal(joined[starts[place] : starts[place] + WINDOW], past[number][-WINDOW:])
        for number in range(len(counts)):
            count, kept = rings.state(number)
            assert count == len(past[number])
            assert np.array_equal(kept, past[number][-(WINDOW - 1) :])


@pytest.mark.parametrize(
    ("count", "batches"), [(1, 1), (2, 1), (32, 1), (33, 2), (127, 4), (128, 1), (256, 1), (700, 1)]
)
def test_a_batch_is_filled_up_rather_than_run_in_pieces(count: int, batches: int) -> None:
    scorer = Scorer(Magnitude())
    scorer.score(np.zeros((count + WINDOW - 1, 2), np.float32), np.arange(count))
    assert scorer.batches == batches
