"""Routing, columns, and alignment of samples into rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.daemon.engine.routing import Columns, Router
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.aligner import Aligner

Array = np.ndarray[Any, np.dtype[Any]]
Sample = tuple[int, int, tuple[float | None, float | None]]  # stream, time, values
P = 10
NONE = float("nan")


def aligner(period: int | None = P, lateness: int = 0, gap: int = 5, streams: int = 3) -> Aligner:
    made = Aligner(2, period, lateness, gap)
    made.grow(streams)
    return made


def push(to: Aligner, *samples: Sample) -> list[Any]:
    return rows(
        to.push(
            np.array([stream for stream, _, _ in samples], np.int64),
            np.array([time for _, time, _ in samples], np.int64),
            np.array([values for _, _, values in samples], np.float64).astype(np.float32).reshape(-1, 2),
        )
    )


def rows(found: Aligned) -> list[Any]:
    """(stream, row, time, values), None for NaN."""
    values = [tuple(None if np.isnan(v) else float(v) for v in each) for each in found.values]
    return list(zip(found.stream.tolist(), found.row.tolist(), found.time.tolist(), values, strict=True))


def whole(stream: int, time: int, value: float) -> Sample:
    return stream, time, (value, value)


def test_the_first_model_with_a_pattern_that_fits_takes_a_stream() -> None:
    router = Router([["pump-*", "valve-?"], ["*-7"], []])
    assert [router.model(name) for name in ("pump-7", "valve-7", "valve-77", "fan-7", "fan")] == [0, 0, None, 1, None]


def test_a_router_does_not_remember_every_name_for_ever() -> None:
    router = Router([["a*"]])
    for number in range(25_000):
        router.model(f"b{number}")
    assert len(router._known) <= 10_000


def test_columns_are_found_by_name_in_any_order_and_among_others() -> None:
    columns = Columns(["flow", "heat"], {"heat": "temperature"})
    values = np.array([[1.0, 2.0, 3.0]])
    assert columns.take(("temperature", "other", "flow"), values).tolist() == [[3.0, 1.0]]  # type: ignore[union-attr]
    only = columns.take(("heat", "flow", "x"), values)
    assert only is not None
    assert only[0, 0] == 2
    assert np.isnan(only[0, 1])
    assert columns.take(("heat", "x", "y"), values) is None


def test_a_mapping_of_a_channel_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'speed'; the model has flow, heat"):
        Columns(["flow", "heat"], {"speed": "v"})


def test_infinite_and_huge_values_become_missing_ones() -> None:
    taken = Columns(["a", "b"]).take(("a", "b"), np.array([[np.inf, -1e300], [1.0, np.nan]]))
    assert taken is not None
    assert np.isnan(taken).tolist() == [[True, True], [False, True]]


def test_whole_rows_in_order_come_out_at_once() -> None:
    to = aligner()
    assert push(to, whole(0, 100, 1), whole(1, 103, 2), whole(0, 110, 3)) == [
        (0, 0, 100, (1, 1)),
        (0, 1, 110, (3, 3)),
        (1, 0, 103, (2, 2)),
    ]
    assert push(to, whole(1, 112, 4)) == [(1, 1, 113, (4, 4))]  # the nearest row of the stream's own clock
    assert to.waiting == 0


def test_values_that_come_one_sensor_at_a_time_make_rows() -> None:
    to = aligner()
    assert push(to, (0, 100, (1, NONE))) == []
    assert push(to, (0, 101, (NONE, 2))) == [(0, 0, 100, (1, 2))]
    assert push(to, (0, 110, (NONE, 4)), (0, 111, (3, NONE)), (0, 120, (5, NONE))) == [(0, 1, 110, (3, 4))]


def test_a_row_that_lacks_a_channel_comes_out_with_the_next_one() -> None:
    to = aligner()
    assert push(to, (0, 100, (1, NONE))) == []
    assert push(to, whole(0, 110, 2)) == [(0, 0, 100, (1, None)), (0, 1, 110, (2, 2))]


def test_a_gap_becomes_missing_rows_and_a_long_one_leaves_numbers_out() -> None:
    to = aligner(gap=2)
    found = push(to, whole(0, 100, 1), whole(0, 130, 2), whole(0, 230, 3))
    assert found == [
        (0, 0, 100, (1, 1)),
        *((0, row, 100 + 10 * row, (None, None)) for row in (1, 2)),
        (0, 3, 130, (2, 2)),
        *((0, row, 100 + 10 * row, (None, None)) for row in (4, 5)),
        (0, 13, 230, (3, 3)),
    ]
    assert to.counts["gap_rows"] == 4


def test_samples_out_of_order_within_the_bound_are_put_right_and_later_ones_counted() -> None:
    to = aligner(lateness=20)
    assert push(to, whole(0, 100, 1), whole(0, 120, 3), whole(0, 110, 2)) == []
    assert push(to, whole(0, 130, 4)) == [(0, row, 100 + 10 * row, (row + 1, row + 1)) for row in range(4)]
    assert push(to, whole(0, 100, 9)) == []
    assert to.counts["late"] == 1
    assert push(to, whole(0, 160, 7)) == []
    assert push(to, whole(0, 150, 6), whole(0, 140, 5)) == [
        (0, row, 100 + 10 * row, (row + 1,) * 2) for row in (4, 5, 6)
    ]


def test_the_first_value_counts_and_the_same_one_again_is_a_duplicate() -> None:
    to = aligner()
    assert push(to, whole(0, 100, 1), whole(0, 100, 1), (0, 101, (9, NONE))) == [(0, 0, 100, (1, 1))]
    assert push(to, whole(0, 101, 9)) == []
    assert to.counts["duplicate"] == 3
    assert to.counts["late"] == 0


def test_without_a_clock_each_time_is_a_row() -> None:
    to = aligner(period=None)
    assert push(to, whole(0, 5, 1), whole(0, 1000, 2), (0, 1001, (3, NONE)), (0, 1001, (NONE, 4))) == [
        (0, 0, 5, (1, 1)),
        (0, 1, 1000, (2, 2)),
        (0, 2, 1001, (3, 4)),
    ]
    assert push(to, whole(0, 999, 1)) == []
    assert to.counts["late"] == 1


@pytest.mark.parametrize(("drift", "jitter"), [(0.0003, 0.03), (-0.0003, 0.03), (0.00001, 0.05), (0.002, 0.0)])
def test_a_sensor_whose_clock_runs_a_little_off_loses_no_row(drift: float, jitter: float) -> None:
    count, period = 30_000, 1_000_000_000
    shaken = np.random.default_rng(0).normal(size=count) * jitter
    times = ((np.arange(count) * (1 + drift) + shaken) * period).astype(np.int64)
    to = Aligner(2, period, 0, 5)
    to.grow(1)
    found = to.push(np.zeros(count, np.int64), np.maximum.accumulate(times), np.ones((count, 2), np.float32))
    assert (len(found), to.counts["gap_rows"], to.counts["duplicate"]) == (count, 0, 0)
    assert np.abs(found.time - times).max() < period / 2


def test_flush_gives_what_waits() -> None:
    to = aligner(lateness=50)
    push(to, whole(0, 120, 3), whole(0, 110, 2), (1, 100, (1, NONE)))
    assert rows(to.flush()) == [(0, 0, 110, (2, 2)), (0, 1, 120, (3, 3)), (1, 0, 100, (1, None))]
    assert to.waiting == 0


def test_rows_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aez.daemon.rows.aligner.PENDING_MAX", 8)
    to = aligner(period=None, lateness=10**9)
    found = push(to, *(whole(0, time, time) for time in range(20)), whole(1, 3, 3))
    assert [time for _, _, time, _ in found] == list(range(12))
    assert to.waiting == 9
    assert to.counts["overflow"] == 12


def test_a_forgotten_stream_begins_again() -> None:
    to = aligner()
    push(to, whole(0, 100, 1), (0, 110, (1, NONE)))
    to.clear(0)
    assert push(to, whole(0, 50, 2)) == [(0, 0, 50, (2, 2))]


@pytest.mark.parametrize(("period", "lateness", "gap"), [(0, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_settings_out_of_range_are_refused(period: int, lateness: int, gap: int) -> None:
    with pytest.raises(InvalidArgument, match="out of range"):
        Aligner(2, period, lateness, gap)


def reference(samples: list[Sample], period: int | None, lateness: int, gap: int) -> tuple[list[Any], int, int]:
    """The rules one sample at a time, and everything that is left at the end; rows, late and duplicate samples."""
    late = duplicate = 0
    found: list[Any] = []
    state: dict[int, dict[str, Any]] = {}
    for stream, time, values in samples:
        first = {
            "anchor": time if period else 0,
            "newest": time,
            "closed": -(2**60),
            "slots": {},
            "bases": {},
            "top": None,
        }
        mine = state.setdefault(stream, first)
        anchor, newest = mine["anchor"], mine["newest"]

        def slot(moment: int, anchor: int = anchor) -> int:
            return (moment - anchor + period // 2) // period if period else moment

        at = slot(time)
        mine["closed"] = max(mine["closed"], slot(newest - lateness) - 1)
        fresh_row = mine["top"] is None or at > mine["top"]
        mine["top"] = at if fresh_row else mine["top"]
        if time < newest and at <= mine["closed"]:
            late += 1
            continue
        beside = time - anchor - at * period if period else 0
        if period and time >= newest and fresh_row and abs(beside) >= period / 4:
            mine["anchor"] += int(beside / 8)
        mine["newest"] = max(newest, time)
        row = mine["slots"].get(at)
        if row is None:
            mine["slots"][at], mine["bases"][at] = list(values), anchor
            continue
        fresh = [row[c] != row[c] and values[c] == values[c] for c in range(2)]
        duplicate += not any(fresh)
        mine["slots"][at] = [values[c] if fresh[c] else row[c] for c in range(2)]
    for stream in sorted(state):
        number, before = -1, None
        for at in sorted(state[stream]["slots"]):
            base = state[stream]["bases"][at]
            step = 1 if before is None or not period else at - before
            for missing in range(1, min(step - 1, gap) + 1):
                time = base + (before + missing) * period
                found += [(stream, number + missing, time, (None, None))]
            number, before = number + step, at
            values = tuple(None if v != v else v for v in state[stream]["slots"][at])
            found.append((stream, number, base + at * (period or 1), values))
    return found, late, duplicate


value = st.sampled_from([NONE, 1.0, 2.0])
sample = st.tuples(st.integers(0, 2), st.integers(1000, 1150), st.tuples(value, value))
disordered = st.lists(sample, max_size=40)
# Mostly rising, as real ones are.
rising = st.lists(st.tuples(st.integers(0, 2), st.integers(-12, 25), st.tuples(value, value)), max_size=40).map(
    lambda steps: [(s, 1000 + sum(d for _, d, _ in steps[: i + 1]), v) for i, (s, _, v) in enumerate(steps)]
)


@settings(max_examples=300, deadline=None)
@given(disordered | rising, st.sampled_from([P, 32, None]), st.sampled_from([0, 7, 20, 60]), st.data())
def test_rows_depend_on_the_order_of_arrival_alone(
    samples: list[Sample], period: int | None, lateness: int, data: st.DataObject
) -> None:
    expected, late, duplicate = reference(samples, period, lateness, gap=2)
    to = aligner(period, lateness, gap=2)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=8)))
    found: list[Any] = []
    for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        found += push(to, *samples[start:end])
        if data.draw(st.booleans()):
            states = to.states(np.arange(3))
            counts, fresh = to.counts, aligner(period, lateness, gap=2)
            for stream in {stream for stream, _, _ in samples[:end]}:
                fresh.restore(stream, states[stream])
            fresh.counts = counts
            to = fresh
    found += rows(to.flush())
    assert sorted(found, key=lambda row: row[:2]) == expected
    assert [row for row in found if row[0] == 0] == [row for row in expected if row[0] == 0]
    assert (to.counts["late"], to.counts["duplicate"]) == (late, duplicate)
