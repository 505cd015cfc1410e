"""Limits: their promises on data that they have not seen, budgets by brute force, and a limit that follows drift."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.detect.events import EventRule, find_events
from aez.codec.detect.thresholds import (
    StreamingPeaksOverThreshold,
    alarm_budget,
    best_f1,
    peaks_over_threshold,
    percentile,
    share_limit,
)
from aez.codec.errors import InvalidArgument

Floats = npt.NDArray[np.float64]


def exceedance(scores: npt.ArrayLike, limit: float) -> float:
    return float(np.mean(np.asarray(scores) > limit))


@given(
    scores=st.lists(st.floats(0, 1e6), min_size=1, max_size=80),
    q=st.sampled_from([0.0, 12.5, 50.0, 95.0, 99.0, 99.9, 100.0]),
)
def test_a_percentile_is_the_smallest_score_that_few_enough_exceed(scores: list[float], q: float) -> None:
    limit = percentile(scores, q)
    assert limit in scores
    assert exceedance(scores, limit) <= 1 - q / 100 + 1e-9
    smaller = [score for score in scores if score < limit]
    if smaller and q not in (0.0, 100.0):
        # One rank lower would let more through than (100 - q) % of the steps between the ranks.
        assert exceedance(scores, max(smaller)) * len(scores) > (1 - q / 100) * (len(scores) - 1) - 1e-6


def test_missing_scores_do_not_count() -> None:
    assert percentile([math.nan, 1, 2, math.nan, 3], 50) == 2
    with pytest.raises(InvalidArgument, match="there is none"):
        percentile([math.nan], 50)


@given(
    rows=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0, 2.0]), st.booleans()), min_size=1, max_size=30)
)
def test_the_best_f1_is_the_best_of_all_limits(rows: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    if not labels.any():
        labels[0] = True

    def f1(limit: float) -> float:
        flags = scores > limit
        return float(2 * (flags & labels).sum() / (flags.sum() + labels.sum()))

    found = best_f1(scores, labels)
    assert found.f1 == pytest.approx(f1(found.threshold))
    assert found.f1 == pytest.approx(max(f1(limit) for limit in [-1.0, *scores]))
    assert found.f1 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall or 1))


def test_the_best_f1_of_a_worked_example() -> None:
    found = best_f1([0.1, 0.9, 0.4, math.nan, 0.8], [0, 1, 0, 1, 1])
    assert (found.threshold, found.precision, found.recall) == (pytest.approx(0.6), 1.0, pytest.approx(2 / 3))
    assert found.f1 == pytest.approx(0.8)
    adjacent = math.nextafter(1.0, 2.0)
    assert 1.0 <= best_f1([1.0, adjacent], [0, 1]).threshold < adjacent
    with pytest.raises(InvalidArgument, match="no row is labelled"):
        best_f1([1.0], [0])
    with pytest.raises(InvalidArgument, match="one length"):
        best_f1([1.0, 2.0], [1])


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("risk", [1e-3, 1e-4])
def test_peaks_over_threshold_keeps_its_risk_on_unseen_scores(shape: float, risk: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    fitted = stats.genpareto.rvs(shape, size=20_000, random_state=1)
    limit = peaks_over_threshold(fitted, risk)
    # The law itself is the unseen data.
    assert 0.4 * risk < stats.genpareto.sf(limit, shape) < 2.5 * risk


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_peaks_over_threshold_follows_the_unit(scale: float) -> None:
    scores = np.random.default_rng(2).exponential(size=5000)
    assert peaks_over_threshold(scores * scale, 1e-4) == pytest.approx(scale * peaks_over_threshold(scores, 1e-4))


def test_peaks_over_threshold_reaches_beyond_what_was_seen() -> None:
    scores = np.random.default_rng(3).exponential(size=2000)
    limits = [peaks_over_threshold(scores, risk) for risk in (1e-2, 1e-3, 1e-4, 1e-6)]
    assert limits == sorted(limits)
    assert limits[-1] > scores.max() > limits[0]


def test_peaks_over_threshold_of_awkward_tails() -> None:
    few_values = np.tile([1.0] * 97 + [2.0] * 3, 20)
    assert 1.0 < peaks_over_threshold(few_values, 1e-3, level=0.95) < 20
    # A hard edge: the limit does not run away.
    uniform = np.random.default_rng(4).random(5000)
    assert 0.99 < peaks_over_threshold(uniform, 1e-5) < 1.01


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4])
@pytest.mark.parametrize("size", [600, 5000, 40_000])
def test_the_tail_is_as_likely_as_the_one_scipy_finds(shape: float, size: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    scores = 3 * stats.genpareto.rvs(shape, size=size, random_state=11)
    level, risk = 0.9, 1e-3
    start = float(np.quantile(scores, level))
    peaks = scores[scores > start] - start
    fitted_shape, _, fitted_scale = stats.genpareto.fit(peaks, floc=0)
    expected = start + stats.genpareto.isf(risk * size / peaks.size, fitted_shape, scale=fitted_scale)
    assert peaks_over_threshold(scores, risk, level) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"risk": 0.0}, "not 0.0"),
        ({"risk": 0.03}, "not 0.03"),
        ({"risk": 1e-3, "level": 1.0}, "quantile 1.0"),
        ({"risk": 1e-4, "level": 0.999}, "too few"),
    ],
)
def test_a_tail_that_cannot_be_fitted_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        peaks_over_threshold(np.random.default_rng(5).random(1000), **arguments)


def test_infinite_scores_and_tables_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="row 1 is infinite"):
        percentile([1, math.inf], 50)
    with pytest.raises(InvalidArgument, match="one row of numbers"):
        percentile([[1, 2]], 50)
    with pytest.raises(InvalidArgument, match=r"0\.\.100"):
        percentile([1, 2], 101)


def streaming(memory: int | None = None, reach: float = 4.0) -> StreamingPeaksOverThreshold:
    return StreamingPeaksOverThreshold(
        np.random.default_rng(6).exponential(size=4000), 1e-3, level=0.95, memory=memory, reach=reach
    )


def test_the_streaming_limit_starts_as_the_fixed_one_and_keeps_its_rate() -> None:
    limit = streaming()
    assert limit.threshold == peaks_over_threshold(np.random.default_rng(6).exponential(size=4000), 1e-3, level=0.95)
    alarms = sum(limit.update(score) for score in np.random.default_rng(7).exponential(size=8000))
    assert 1 <= alarms <= 25  # 8 expected


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_the_streaming_limit_follows_a_slow_drift(factor: float) -> None:
    limit = streaming(memory=100)
    first = limit.threshold
    rng = np.random.default_rng(8)
    for level in np.linspace(1, factor, 12_000):
        limit.update(level * rng.exponential())
    for _ in range(4000):
        limit.update(factor * rng.exponential())
    assert limit.threshold == pytest.approx(first * factor, rel=0.35)
    assert (limit.threshold > first) == (factor > 1)


def test_the_streaming_limit_neither_sinks_nor_rises_by_itself() -> None:
    # Leaving alarms out of a bounded memory would make the tail look ever lighter.
    limit = streaming(memory=100)
    first = limit.threshold
    rng = np.random.default_rng(12)
    limits = []
    for score in rng.exponential(size=40_000):
        limit.update(score)
        limits.append(limit.threshold)
    assert float(np.median(limits)) == pytest.approx(math.log(1000), rel=0.15)
    assert 0.5 * first < min(limits[2000:]) <= max(limits[2000:]) < 2 * first


def test_the_streaming_limit_stays_within_its_reach() -> None:
    limit = streaming(memory=50, reach=1.2)
    first = limit.threshold
    for _ in range(300):
        limit.update(limit.threshold * 0.999)  # a fault that creeps in
    assert limit.threshold == pytest.approx(1.2 * first)
    still = streaming(memory=50, reach=1.0)
    for _ in range(100):
        still.update(first * 0.99)
    assert still.threshold == pytest.approx(first)


def test_a_single_alarm_teaches_little_however_large_it_is() -> None:
    limit, other = streaming(memory=100), streaming(memory=100)
    first = limit.threshold
    assert limit.update(first * 1.01)
    assert other.update(first * 1e6)
    assert limit.threshold == other.threshold == pytest.approx(first, rel=0.1)


def test_a_missing_score_teaches_the_streaming_limit_nothing() -> None:
    limit = streaming()
    before = limit.state()
    assert not limit.update(math.nan)
    assert limit.state() == before


def test_the_streaming_limit_goes_on_from_a_saved_state() -> None:
    scores = np.random.default_rng(9).exponential(size=1500)
    one, other = streaming(memory=60), streaming(memory=60)
    for at, score in enumerate(scores):
        if at % 400 == 0:
            other = StreamingPeaksOverThreshold.from_state(json.loads(json.dumps(other.state())))
        assert one.update(score) == other.update(score)
    assert one.state() == other.state()
    with pytest.raises(InvalidArgument, match="streaming limit"):
        StreamingPeaksOverThreshold.from_state({"format": 0})


@pytest.mark.parametrize("arguments", [{"memory": 3}, {"reach": 0.5}])
def test_a_streaming_limit_without_memory_or_reach_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        StreamingPeaksOverThreshold(np.random.default_rng(6).random(4000), 1e-3, **arguments)  # type: ignore[arg-type]


def count(scores: Floats, limit: float, rule: EventRule) -> int:
    return len(find_events(scores / limit, rule=rule))


@settings(deadline=None, max_examples=60)
@given(
    scores=st.lists(st.one_of(st.integers(1, 30).map(float), st.just(math.nan)), min_size=1, max_size=60),
    alarms=st.integers(0, 3),
    rule=st.builds(
        EventRule,
        open_after=st.integers(1, 3),
        close_after=st.integers(1, 3),
        merge_within=st.integers(0, 4),
        min_length=st.integers(1, 5),
    ),
)
def test_a_budget_gives_the_smallest_limit_from_which_on_it_holds(
    scores: list[float], alarms: int, rule: EventRule
) -> None:
    values = np.array(scores)
    present = values[~np.isnan(values)]
    if not present.size:
        values, present = np.array([1.0]), np.array([1.0])
    limit = alarm_budget(values, alarms, present.size, rule)
    # Brute force over every limit that can matter.
    floor = float(np.median(present))
    limits = sorted({floor, *present[present > floor].tolist()}, reverse=True)
    expected = limits[0]
    for candidate in limits:
        if count(values, candidate, rule) > alarms:
            break
        expected = candidate
    assert limit == expected


def test_a_budget_holds_on_scores_like_those_that_set_it() -> None:
    rng = np.random.default_rng(10)
    rule = EventRule(open_after=2, close_after=5)
    day = 1440

    def week() -> Floats:
        noise = rng.exponential(size=7 * day)
        return np.convolve(noise, np.ones(3) / 3, "same")

    limit = alarm_budget(week(), 2, day, rule)
    per_day = [count(week(), limit, rule) / 7 for _ in range(8)]
    assert 1.3 < float(np.mean(per_day)) < 2.7
    stricter = alarm_budget(week(), 0, day, rule)
    assert stricter > limit


def test_a_budget_in_rows_scales_with_the_rows_given() -> None:
    scores = np.ones(100)
    scores[[10, 30, 50, 70]] = [5, 4, 3, 2]
    rule = EventRule(open_after=1, close_after=1)
    assert alarm_budget(scores, 1, 100, rule) == 4
    assert alarm_budget(scores, 1, 50, rule) == 3
    assert alarm_budget(scores, 1, 101, rule) == 5
    assert alarm_budget(scores, 0, 100, rule) == 5
    assert alarm_budget(scores, 50, 100, rule) == 1  # the median: no limit belongs below it


@pytest.mark.parametrize(("alarms", "rows"), [(-1, 10), (1, 0), (math.nan, 10)])
def test_budgets_that_make_no_sense_are_refused(alarms: float, rows: float) -> None:
    with pytest.raises(InvalidArgument, match="budget"):
        alarm_budget([1.0, 2.0], alarms, rows)
    with pytest.raises(InvalidArgument, match="0 or more"):
        alarm_budget([-1.0, 2.0], 1, 10)


# -- a share of the rows --------------------------------------------------------------------------------------------


@given(st.integers(1, 400), st.sampled_from([0.5, 0.1, 0.05, 0.01]))
def test_a_share_is_exceeded_by_no_more_of_fresh_scores_on_average(count: int, share: float) -> None:
    """Of n + 1 scores in any order the last exceeds the limit of the others with the share's probability at most."""
    scores = np.random.default_rng(count).gamma(3, size=count + 1)
    above = [scores[last] > share_limit(np.delete(scores, last), share) for last in range(count + 1)]
    assert np.mean(above) <= max(share, 1 / (count + 1)) + 1e-12


def test_a_share_that_few_scores_cannot_show_is_estimated_beyond_the_largest() -> None:
    scores = np.random.default_rng(0).chisquare(8, size=40)
    assert share_limit(scores, 0.05) == np.sort(scores)[38]
    limits = [share_limit(scores, share) for share in (0.02, 0.01, 0.001)]
    assert scores.max() < limits[0] < limits[1] < limits[2] < 40
    assert np.mean(np.random.default_rng(1).chisquare(8, size=100_000) > limits[1]) < 0.02
    assert share_limit([3.0], 0.01) == share_limit([1.0, 3.0], 0.0) == 3.0


def test_a_share_out_of_range_or_without_scores_is_refused() -> None:
    for scores, share in (([1.0, 2.0], -0.1), ([1.0, 2.0], 1.1), ([np.nan], 0.1)):
        with pytest.raises(InvalidArgument):
            share_limit(scores, share)
