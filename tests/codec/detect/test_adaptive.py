"""Scores that follow a stream which drifts, and the rows where an alarm would begin, each beside a slow twin."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.detect.adaptive import COOL_DOWN, MEMORY, AdaptiveScore, adapt, alarm_levels
from aez.codec.errors import InvalidArgument

Floats = np.ndarray[Any, np.dtype[np.float64]]
NAN, INF = math.nan, math.inf
#: Mean 5, deviation 2.
PAST = [3.0, 7.0] * 5


def slowly(scores: list[float], past: list[float], memory: int) -> Floats:
    """`adapt` with the mean and the deviation of the whole memory at every row."""
    known, found = [score for score in past if math.isfinite(score)], []
    for score in scores:
        recent = np.array(known[-memory:])
        width = max(recent.std(), 0.01 * abs(recent.mean()), 1e-9)
        found.append(score if math.isnan(score) else max(0.0, (score - recent.mean()) / width))
        if math.isfinite(score):
            known.append(score)
    return np.array(found)


# -- adapted scores ---------------------------------------------------------------------------------------------------


def test_a_score_counts_by_its_distance_from_the_past_in_deviations() -> None:
    follower = AdaptiveScore(PAST, memory=10)
    assert follower.update(11.0) == pytest.approx(3.0)
    # The oldest, a 3, made room for the 11: mean 5.8, mean square 29 + (121 - 9) / 10.
    assert follower.update(11.0) == pytest.approx((11 - 5.8) / math.sqrt(29 + 11.2 - 5.8**2))


def test_scores_up_to_the_mean_are_0() -> None:
    assert AdaptiveScore(PAST).update(5.0) == 0
    assert AdaptiveScore(PAST).update(-40.0) == 0
    assert adapt([], PAST).shape == (0,)


def test_a_constant_past_has_a_hundredth_of_its_value_as_deviation() -> None:
    assert AdaptiveScore([2.0] * 10).update(2.1) == pytest.approx(0.1 / 0.02)
    assert AdaptiveScore([2.0] * 10).update(2.0) == 0
    assert AdaptiveScore([-2.0] * 10).update(-1.9) == pytest.approx(0.1 / 0.02)
    silent = AdaptiveScore([0.0] * 10).update(0.5)
    assert 0.5 < silent < INF


def test_a_stream_that_has_changed_for_good_is_forgiven() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = rng.gamma(9, size=600) / 30, 3 + rng.gamma(9, size=1500) / 30
    found = adapt(loud, quiet)
    assert found[0] > 10
    assert found[2 * MEMORY :].max() < 7
    assert np.median(found[MEMORY:]) < 1


finite = st.floats(0, 1e4, width=32)
rows = st.lists(finite | st.just(NAN) | st.just(INF), max_size=60)


@given(rows, st.lists(finite, min_size=10, max_size=40), st.integers(10, 30))
def test_it_agrees_with_a_slow_twin(scores: list[float], past: list[float], memory: int) -> None:
    found, wanted = adapt(scores, past, memory), slowly(scores, past, memory)
    # Where the past hardly varies, the running sums have a part in ten thousand of its deviation.
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)


def test_it_agrees_with_a_slow_twin_over_long_streams_after_huge_scores() -> None:
    rng = np.random.default_rng(1)
    scores = 0.3 + 0.05 * rng.random(3000)
    scores[700:760] = 1e9
    scores[1500] = 3e12
    past = scores[:600].tolist()
    np.testing.assert_allclose(adapt(scores, past), slowly(scores.tolist(), past, MEMORY), rtol=1e-6, atol=1e-9)


def test_scores_that_are_missing_or_infinite_teach_nothing() -> None:
    follower, other = AdaptiveScore(PAST), AdaptiveScore([*PAST[:4], NAN, INF, *PAST[4:], -INF])
    assert math.isnan(follower.update(NAN))
    assert follower.update(INF) == INF
    assert follower.update(-INF) == 0
    assert [follower.update(score) for score in (9.0, 6.0)] == [other.update(score) for score in (9.0, 6.0)]


@given(rows, st.lists(finite, min_size=10, max_size=40), rows, st.integers(10, 30))
def test_a_saved_one_goes_on_exactly(before: list[float], past: list[float], after: list[float], memory: int) -> None:
    follower = AdaptiveScore(past, memory)
    for score in before:
        follower.update(np.float32(score))  # type: ignore[arg-type] # as detectors give them
    restored = AdaptiveScore.from_state(json.loads(json.dumps(follower.state(), allow_nan=False)))
    assert np.array_equal(
        [follower.update(score) for score in after], [restored.update(score) for score in after], equal_nan=True
    )
    assert restored.state() == follower.state()


def test_its_memory_is_bounded_and_is_all_that_counts() -> None:
    long = np.random.default_rng(2).random(5000)
    follower = AdaptiveScore(long[:50], memory=20)
    for score in long[50:].tolist():
        follower.update(score)
    state = follower.state()
    assert state["past"] == long[-20:].tolist()
    assert follower.update(2.0) == pytest.approx(AdaptiveScore(long[-20:], memory=20).update(2.0))


def test_wrong_arguments_of_adapted_scores_are_named() -> None:
    with pytest.raises(InvalidArgument, match="a memory of 9 scores is too short; give 10 or more"):
        AdaptiveScore(PAST, memory=9)
    with pytest.raises(InvalidArgument, match="9 scores are too few to start from; give 10 or more"):
        AdaptiveScore([*PAST[:9], NAN, INF])
    with pytest.raises(InvalidArgument, match=r"one row of numbers, not an array \(2, 2\)"):
        adapt([[1.0, 2.0], [3.0, 4.0]], PAST)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"past": None},
        {"past": [1.0, "x"]},
        {"past": [1.0]},
        {"memory": 3},
        {"memory": None},
        {"sums": [1.0]},
        {"fresh": "many"},
    ],
)
def test_a_state_that_is_none_is_refused(change: dict[str, Any]) -> None:
    state = AdaptiveScore(PAST).state()
    with pytest.raises(InvalidArgument, match="the saved state of an adaptive score cannot be read"):
        AdaptiveScore.from_state(state | change)
    for key in state:
        with pytest.raises(InvalidArgument, match="cannot be read"):
            AdaptiveScore.from_state({name: value for name, value in state.items() if name != key})


# -- alarms -----------------------------------------------------------------------------------------------------------


def alarms_at(scores: list[float], limit: float, cool_down: int) -> list[int]:
    """Row by row: each one above the limit is heard unless something as loud still silences it, and silences in turn.

    What is not above the limit never counts, so that this knows nothing of levels.
    """
    silencing: list[tuple[float, int]] = []  # (how loud, the last row that it silences)
    begun = []
    for row, score in enumerate(scores):
        if not score > limit:
            continue
        if not any(last >= row and loudness >= score for loudness, last in silencing):
            begun.append(row)
        silencing.append((score, row + cool_down))
    return begun


@given(
    st.lists(st.integers(-2, 6).map(float) | finite | st.just(NAN) | st.just(INF), max_size=24),
    st.integers(0, 8),
    st.lists(finite, max_size=4),
)
def test_levels_above_a_limit_are_where_its_alarms_begin(
    scores: list[float], cool_down: int, limits: list[float]
) -> None:
    levels = alarm_levels(scores, cool_down)
    assert levels.shape == (len(scores),)
    edges = {abs(score) for score in scores if math.isfinite(score)}  # where a limit changes what is heard
    between = [(low + high) / 2 for low, high in itertools.pairwise(sorted(edges))]
    for limit in (0.0, *limits, *edges, *between):
        assert np.flatnonzero(levels > limit).tolist() == alarms_at(scores, limit, cool_down)


def test_within_the_cool_down_only_louder_rows_begin_an_alarm() -> None:
    scores = [0.0, 3.0, 2.0, 3.0, 4.0, NAN, 1.0, 3.5, 3.0, 0.0, 0.5]
    assert alarm_levels(scores, 2).tolist() == [0, 3, 0, 0, 4, 0, 0, 3.5, 0, 0, 0]
    assert alarm_levels(scores, 3).tolist() == [0, 3, 0, 0, 4, 0, 0, 0, 0, 0, 0]
    assert alarm_levels(scores, 0).tolist() == [0, 3, 2, 3, 4, 0, 1, 3.5, 3, 0, 0.5]


def test_a_plateau_is_one_alarm_however_long() -> None:
    assert np.flatnonzero(alarm_levels(np.full(5 * COOL_DOWN, 2.0))).tolist() == [0]


def test_negative_scores_begin_no_alarm() -> None:
    assert not alarm_levels([-3.0, -2.0, -INF, -1.0], 1).any()


def test_wrong_arguments_of_levels_are_named() -> None:
    with pytest.raises(InvalidArgument, match="a cool-down is 0 rows or more, not -1"):
        alarm_levels([1.0], -1)
    with pytest.raises(InvalidArgument, match=r"not an array \(1, 1\)"):
        alarm_levels([[1.0]])
    assert alarm_levels([]).shape == (0,)
