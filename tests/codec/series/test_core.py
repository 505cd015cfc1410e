"""Series in memory: order, resampling, channels by name, and the summary of what a series is like."""

from __future__ import annotations

import itertools
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series, in_order, resample, select_channels
from aez.codec.series.summary import SeriesSummarizer, SeriesSummary

SECOND = 1_000_000_000
# 2024-01-31 23:59:30 UTC
START = 1_706_745_570 * SECOND

Times = npt.NDArray[np.int64]


def series(seconds: list[float], values: list[float] | None = None, start: int = START) -> Series:
    """One channel `x` at these seconds after the start; by default it counts rows."""
    time = start + np.round(np.array(seconds, np.float64) * SECOND).astype(np.int64)
    column = np.arange(len(seconds), dtype=np.float64) if values is None else np.array(values, np.float64)
    return Series(column[:, None], ("x",), time, "UTC", "pump")


def summarize(*batches: Series) -> SeriesSummary:
    summarizer = SeriesSummarizer()
    for batch in batches:
        summarizer.add(batch)
    return summarizer.summary()


def column(found: Series) -> list[float]:
    return list(found.values[:, 0])


def seconds(found: Series) -> list[float]:
    assert found.time is not None
    return list((found.time - START) / SECOND)


@pytest.mark.parametrize(
    ("values", "channels", "time", "message"),
    [
        (np.zeros(3), ("a",), None, r"float64 \(3,\)"),
        (np.zeros((3, 1), np.float16), ("a",), None, "not float16"),
        (np.zeros((3, 1), np.int64), ("a",), None, "not int64"),
        (np.zeros((3, 2)), ("a",), None, "2 columns cannot carry 1"),
        (np.zeros((3, 2)), ("a", "a"), None, "two channels are called 'a'"),
        (np.zeros((3, 1)), ("a",), np.zeros(2, np.int64), r"3 rows are as many int64, not int64 \(2,\)"),
        (np.zeros((3, 1)), ("a",), np.zeros(3), "not float64"),
    ],
)
def test_parts_that_do_not_agree_make_no_series(
    values: npt.NDArray[np.float64], channels: tuple[str, ...], time: Times | None, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Series(values, channels, time)


def test_values_may_be_of_either_precision_and_are_not_copied() -> None:
    for kind in (np.float32, np.float64):
        values = np.zeros((3, 1), kind)
        assert Series(values, ("a",)).values is values


def test_the_period_is_the_median_of_steps_forward() -> None:
    assert series([0, 1, 2, 2, 1, 2, 3, 60]).period == 1
    assert series([0, 1, 3]).period == 1.5
    assert series([0, 0.02, 0.04]).period == pytest.approx(0.02)
    assert series([5]).period is None
    assert series([5, 5, 4]).period is None
    assert Series(np.zeros((3, 1)), ("x",)).period is None


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_the_period_equals_numpys_median(times: list[int]) -> None:
    steps = np.diff(times)
    forward = steps[steps > 0]
    assert series([float(t) for t in times]).period == (np.median(forward) if len(forward) else None)


def test_in_order_sorts_and_keeps_the_last_of_equal_times() -> None:
    found, done = in_order(series([0, 2, 1, 2, 3, 0]))
    assert seconds(found) == [0, 1, 2, 3]
    assert column(found) == [5, 2, 3, 4]
    assert (done.moved, done.duplicates) == (2, 2)
    assert (found.channels, found.timezone, found.name) == (("x",), "UTC", "pump")


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_in_order_equals_a_dictionary_filled_row_by_row(times: list[int]) -> None:
    expected = dict(sorted({float(t): float(row) for row, t in enumerate(times)}.items()))
    found, done = in_order(series([float(t) for t in times]))
    assert dict(zip(seconds(found), column(found), strict=True)) == expected
    assert done.duplicates == len(times) - len(expected)
    assert done.moved == sum(t < max(times[: row + 1]) for row, t in enumerate(times))
    assert in_order(found) == (found, type(done)(0, 0))


def test_coarser_bins_begin_at_whole_periods() -> None:
    # From 23:59:30 on: half a minute before midnight, then minute by minute.
    found = resample(series([float(s) for s in range(150)]), 60)
    assert seconds(found) == [-30, 30, 90]
    assert column(found) == [14.5, 59.5, 119.5]
    assert column(resample(series([float(s) for s in range(150)]), 60, "last")) == [29, 89, 149]


def test_a_clock_that_jitters_keeps_every_row_at_its_own_period() -> None:
    jitter = np.random.RandomState(1).uniform(-0.2, 0.2, 500)
    times = [float(t) for t in np.arange(500) + jitter]
    found = resample(series(times), 1)
    assert column(found) == list(range(500))
    assert found.period == 1


def test_bins_without_samples_are_missing_and_missing_samples_do_not_count() -> None:
    given = series([0, 1, 2, 6, 7, 8], [1, np.nan, 3, np.nan, 5, np.nan])
    np.testing.assert_array_equal(column(resample(given, 1)), [1, np.nan, 3, np.nan, np.nan, np.nan, np.nan, 5, np.nan])
    even = resample(series([0, 1, 2, 3, 4, 5, 6, 7], [1, 3, np.nan, np.nan, 5, np.nan, np.nan, 8], start=0), 2)
    np.testing.assert_array_equal(column(even), [2, np.nan, 5, 8])


@given(
    st.lists(st.tuples(st.integers(0, 400), st.one_of(st.none(), st.integers(-9, 9))), min_size=1, max_size=50),
    st.integers(1, 90),
    st.sampled_from(["mean", "last"]),
)
def test_resampling_equals_bins_filled_by_hand(rows: list[tuple[int, int | None]], period: int, how: str) -> None:
    given = series([float(t) for t, _ in rows], [np.nan if v is None else float(v) for _, v in rows])
    found = resample(given, period, how)
    assert given.time is not None
    assert found.time is not None
    assert np.all(np.diff(found.time) == period * SECOND)
    coarse = given.period is not None and period >= 2 * given.period
    reach = 0 if coarse else period * SECOND // 2
    for at, value in zip(found.time, column(found), strict=True):
        inside = [
            (t, v)
            for t, v in zip(given.time, column(given), strict=True)
            if at - reach <= t < at - reach + period * SECOND and not np.isnan(v)
        ]
        if not inside:
            assert np.isnan(value)
        elif how == "mean":
            assert value == pytest.approx(np.mean([v for _, v in inside]))
        else:
            latest = max(t for t, _ in inside)
            assert value == [v for t, v in inside if t == latest][-1]
    # Every sample lies in one of the bins.
    assert found.time[0] - reach <= given.time.min()
    assert given.time.max() < found.time[-1] - reach + period * SECOND


def test_a_mean_of_large_values_keeps_their_difference() -> None:
    found = resample(series([0, 1, 2, 3], [1e15, 1e15 + 1, 1e15 + 4, 1e15 + 5], start=0), 2)
    assert column(found) == [1e15 + 0.5, 1e15 + 4.5]


def test_impossible_resampling_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'mean' or 'last', not 'sum'"):
        resample(series([0, 1]), 1, "sum")
    for period in (0, -1, float("nan"), float("inf"), 1e-12):
        with pytest.raises(InvalidArgument, match="not positive"):
            resample(series([0, 1]), period)
    with pytest.raises(InvalidArgument, match="no times and cannot be resampled"):
        resample(Series(np.zeros((3, 1)), ("x",)), 1)
    with pytest.raises(InvalidArgument, match="no rows"):
        resample(series([]), 1)
    with pytest.raises(InvalidArgument, match="pump would have 1,706,745,572 rows at a period of 1 s"):
        resample(series([-START / SECOND, 0, 1]), 1)
    with pytest.raises(InvalidArgument, match="no times and cannot be put in order"):
        in_order(Series(np.zeros((3, 1)), ("x",)))


def test_channels_are_taken_by_name_and_in_order() -> None:
    given = Series(np.arange(6.0).reshape(2, 3), ("a", "b", "c"), name="pump")
    found = select_channels(given, ["c", "a"])
    assert found.channels == ("c", "a")
    np.testing.assert_array_equal(found.values, [[2, 0], [5, 3]])


def test_missing_channels_are_named_with_the_nearest() -> None:
    given = Series(np.zeros((2, 3)), ("Pressure", "Flow Rate", "c"), name="pump")
    with pytest.raises(UnsupportedInput) as caught:
        select_channels(given, ["c", "presure", "Flow_Rate", "volts"])
    assert str(caught.value) == (
        "pump has no channel 'presure' (nearest: 'Pressure'), 'Flow_Rate' (nearest: 'Flow Rate'), 'volts'; "
        "it has 'Pressure', 'Flow Rate', 'c'"
    )
    with pytest.raises(UnsupportedInput, match=r"the series has no channel .*'s4', 45 more"):
        select_channels(Series(np.zeros((2, 1)), ("volts",)), [f"s{i}" for i in range(50)])
    with pytest.raises(InvalidArgument, match="two channels are called 'c'"):
        select_channels(given, ["c", "c"])


def test_the_summary_tells_what_is_wrong_with_a_clock() -> None:
    values = np.zeros((10, 2))
    values[:4, 1] = np.nan
    time = START + SECOND * np.array([0, 1, 2, 2, 3, 2, 3, 10, 11, 13], np.int64)
    found = summarize(Series(values, ("a", "b"), time, None, "pump"))
    assert (found.rows, found.channels, found.name) == (10, ("a", "b"), "pump")
    assert (found.start, found.end, found.period_seconds) == (START, START + 13 * SECOND, 1)
    assert (found.duplicates, found.backwards, found.gaps, found.largest_gap_seconds) == (1, 1, 2, 7)
    assert found.irregular == pytest.approx(4 / 9)
    assert found.missing == {"a": 0, "b": 0.4}
    assert found.lines() == [
        "rows      10",
        "channels  2: a, b",
        "time      2024-01-31T23:59:30Z to 2024-01-31T23:59:43Z (without a zone, taken as UTC)",
        "period    1 s, 44.4 % of the steps are off by more than 10 %",
        "gaps      2 above 1.5 s, the longest 7 s",
        "clock     1 rows repeat a time, 1 go backwards",
        "missing   20.0 % of all values: b 40.0 %",
    ]
    said = json.loads(json.dumps(found.as_dict()))
    assert said["start"] == "2024-01-31T23:59:30Z"
    assert said["missing"] == {"a": 0, "b": 0.4}


def test_the_summary_of_an_even_series_is_short() -> None:
    assert summarize(series([0, 0.5, 1])).lines() == [
        "rows      3",
        "channels  1: x",
        "time      2024-01-31T23:59:30Z to 2024-01-31T23:59:31Z (zone UTC)",
        "period    500 ms",
    ]
    plain = summarize(Series(np.zeros((3, 6)), tuple("abcdef")))
    assert plain.lines() == [
        "rows      3",
        "channels  6: a, b, c, d and 2 more",
        "time      no times; rows are taken as evenly spaced",
    ]
    assert plain.as_dict()["start"] is None


def test_values_beyond_exact_integers_are_counted() -> None:
    assert summarize(series([0, 1, 2], [2.0**53, 2.0**53 + 2, -1e30])).rounded == {"x": 2}


def test_the_summary_lists_only_so_many_columns() -> None:
    lines = SeriesSummary(3, ("a",), dropped={f"d{i}": "text" for i in range(30)}).lines()
    assert lines[-1].split() == ["and", "22", "columns", "more"]
    assert len(lines) == 3 + 8 + 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_batches_add_up_to_the_summary_of_the_whole(times: list[int], cuts: list[int]) -> None:
    whole = series([float(t) for t in times])
    assert whole.time is not None
    edges = [0, *sorted(cuts), len(times)]
    parts = [
        Series(whole.values[a:b], whole.channels, whole.time[a:b], whole.timezone, whole.name)
        for a, b in itertools.pairwise(edges)
    ]
    found = summarize(*parts)
    assert found == summarize(whole)
    assert found.period_seconds == whole.period


def test_many_different_steps_are_counted_in_bounded_memory() -> None:
    rng = np.random.RandomState(2)
    steps = np.concatenate([rng.normal(1, 0.02, 150_000), rng.uniform(2, 9, 500), np.full(50, -0.5), np.zeros(7)])
    rng.shuffle(steps)
    time = START + np.cumsum(np.round(steps * SECOND)).astype(np.int64)
    summarizer = SeriesSummarizer()
    for at in range(0, len(time), 20_000):
        summarizer.add(Series(np.zeros((len(time[at : at + 20_000]), 1)), ("x",), time[at : at + 20_000]))
    found = summarizer.summary()
    assert len(summarizer._steps) < 65_536
    real = np.diff(time)
    period = np.median(real[real > 0])
    assert found.period_seconds == pytest.approx(period / SECOND, rel=1e-3)
    assert (found.gaps, found.backwards, found.duplicates) == (500, 50, 7)
    assert found.irregular == pytest.approx(float(np.mean(np.abs(real - period) > 0.1 * period)), rel=1e-2)
    assert found.largest_gap_seconds == pytest.approx(real.max() / SECOND, rel=1e-3)


def test_a_summary_needs_batches_of_one_kind() -> None:
    with pytest.raises(InvalidArgument, match="nothing to summarize"):
        SeriesSummarizer().summary()
    with pytest.raises(InvalidArgument, match=r"channels \('y',\)"):
        summarize(series([0]), Series(np.zeros((1, 1)), ("y",)))
