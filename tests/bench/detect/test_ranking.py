"""Measures without a limit: worked examples, definitions by brute force, and aeon's VUS-PR."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aez.bench.detect.metrics import label_events
from aez.bench.detect.ranking import average_precision, period_window, roc_auc, vus_pr
from aez.codec.errors import InvalidArgument


def test_average_precision_of_a_worked_example() -> None:
    pytest.importorskip("sklearn")
    # By rank: hit, miss, hit, miss: precision 1 and 2/3 at the hits.
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([1, 0, 1, 0], np.ones(4)) == 0.5
    assert math.isnan(average_precision([0, 0], [1, 2]))


def test_the_area_under_roc_counts_pairs_in_order() -> None:
    pytest.importorskip("sklearn")
    assert roc_auc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(3 / 4)
    assert roc_auc([1, 0, 1, 0], np.ones(4)) == 0.5
    assert math.isnan(roc_auc([1, 1], [1, 2]))


@pytest.mark.parametrize("measure", [average_precision, roc_auc, partial(vus_pr, buffer=0)])
def test_rows_without_a_score_rank_last(measure: object) -> None:
    pytest.importorskip("sklearn")
    assert callable(measure)
    assert measure([0, 1, 0, 1], [math.nan, 0.9, 0.2, 0.8]) == 1
    assert measure([1, 0, 1], [math.nan] * 3) == measure([1, 0, 1], np.ones(3))
    with pytest.raises(InvalidArgument, match="one length"):
        measure([0, 1], [0.5])
    with pytest.raises(InvalidArgument, match="row 1 is infinite"):
        measure([0, 1], [0.5, math.inf])


def slow_vus_pr(labels: npt.NDArray[np.uint8], scores: npt.NDArray[np.float64], buffer: int) -> float:
    """The definition, from cumulative sums over the sorted scores."""
    areas = []
    for width in range(buffer + 1):
        weight = labels.astype(float)
        if width > 1:
            for start, end in label_events(labels):
                for step in range(width // 2):
                    if end - 1 + step < labels.size:
                        weight[end - 1 + step] += math.sqrt(1 - step / width)
                for row in range(max(start - width // 2, 0), start):
                    weight[row] += math.sqrt(1 - (start - row) / width)
        weight = weight.clip(0, 1)
        ranges = label_events(weight > 0)
        total = (labels.sum() + weight.sum()) / 2
        falling = np.sort(scores)[::-1]
        recall, precision = [0.0], [1.0]
        for limit in falling[np.linspace(0, scores.size - 1, 250).astype(int)]:
            flags = scores >= limit
            found = float(weight[flags].sum())
            met = np.mean([scores[a:b].max() >= limit for a, b in ranges])
            recall.append(min(found / total, 1) * float(met))
            precision.append(found / flags.sum())
        areas.append(float(np.sum(np.diff(recall) * (np.array(precision[1:]) + precision[:-1]) / 2)))
    return float(np.mean(areas))


def test_vus_pr_equals_its_definition() -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros(300, np.uint8)
    labels[[40, 41, 42]] = 1
    labels[200:230] = 1
    for scores in (rng.random(300), rng.random(300) + labels, np.roll(labels, 3) + rng.random(300)):
        assert vus_pr(labels, scores, 12) == pytest.approx(slow_vus_pr(labels, scores, 12))


def aeons(labels: npt.NDArray[np.uint8], scores: npt.NDArray[np.float64], buffer: int) -> float:
    """aeon's figure, with missing scores in the lowest place; it compares all rows with every limit for every width."""
    module = pytest.importorskip("aeon.benchmarking.metrics.anomaly_detection")
    filled = np.where(np.isnan(scores), np.nanmin(scores), scores)
    return float(module.range_pr_vus_score(labels.astype(np.int64), filled, max_buffer_size=buffer))


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 400),
    events=st.integers(1, 6),
    buffer=st.integers(0, 20),
    levels=st.sampled_from([2, 5, 10**9]),
)
def test_vus_pr_equals_aeons(seed: int, rows: int, events: int, buffer: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros(rows, np.uint8)
    for start in rng.integers(0, rows, events):
        labels[start : start + rng.integers(1, 30)] = 1
    assume(not labels.all())  # aeon divides by the number of the others
    scores = rng.integers(0, levels, rows) / levels + rng.choice([0.0, 0.3]) * labels  # few levels: many equal scores
    assume(scores.min() < scores.max())  # aeon gives 0
    assert vus_pr(labels, scores, buffer) == pytest.approx(aeons(labels, scores, buffer), abs=1e-12)


def test_vus_pr_equals_aeons_where_scores_are_missing_and_buffers_are_wider_than_gaps() -> None:
    labels = np.zeros(500, np.uint8)
    labels[[0, 1, 100, 110, 111, 498, 499]] = 1
    scores = np.random.default_rng(3).random(500)
    scores[::7] = math.nan
    assert vus_pr(labels, scores, 60) == pytest.approx(aeons(labels, scores, 60), abs=1e-12)


def test_vus_pr_prefers_a_near_miss_to_a_far_one() -> None:
    labels = np.zeros(400, np.uint8)
    labels[100:120] = 1
    noise = np.random.default_rng(2).random(400) / 10
    exact, near, far = (vus_pr(labels, np.roll(labels, shift) + noise, 40) for shift in (0, 12, 150))
    assert 1 >= exact > near > far > 0


def test_vus_pr_without_a_ranking_is_the_labelled_share() -> None:
    labels = np.array([0, 1, 0, 0], np.uint8)
    assert vus_pr(labels, np.ones(4), 5) == 0.25
    assert vus_pr(labels, np.full(4, math.nan), 5) == 0.25
    assert math.isnan(vus_pr(np.zeros(4), np.arange(4), 5))
    assert vus_pr([0, 0, 1, 1], [math.nan, 0.1, 0.8, 0.9], 0) == vus_pr([0, 0, 1, 1], [0.1, 0.1, 0.8, 0.9], 0)
    assert vus_pr(np.ones(4), np.arange(4), 5) == 1
    with pytest.raises(InvalidArgument, match="buffer of -1"):
        vus_pr(labels, np.arange(4), -1)


@pytest.mark.parametrize("period", [7, 24, 150])
def test_the_window_of_a_periodic_series_is_its_period(period: int) -> None:
    rows = np.arange(3000)
    wave = np.sin(2 * np.pi * rows / period) + 0.05 * np.random.default_rng(3).normal(size=3000)
    assert abs(period_window(wave) - period) <= 1
    wave[::50] = math.nan
    assert abs(period_window(wave) - period) <= 1


def test_a_series_without_a_period_gets_the_usual_window() -> None:
    assert period_window(np.ones(1000)) == 125
    assert period_window(np.linspace(0, 1, 1000)) == 125
    assert period_window(np.sin(2 * np.pi * np.arange(5000) / 390)) == 125  # longer than what is believed
    assert period_window([1.0]) == period_window([math.nan] * 9) == 125
    with pytest.raises(InvalidArgument, match="one row"):
        period_window(np.ones((5, 2)))
