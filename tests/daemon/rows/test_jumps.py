"""Samples that lie far ahead of their stream's own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.jumps import Jumps

BOUND, P = 300, 10


def jumps(bound: int | None = BOUND, period: int | None = P, streams: int = 2) -> Jumps:
    made = Jumps(1, bound, period)
    made.grow(streams)
    return made


def sift(to: Jumps, *times: int, stream: int = 0, now: int = 0) -> list[Any]:
    """Times that are taken, "anew" before those with which a clock begins anew."""
    return pairs(to, [(stream, time) for time in times], now)


def pairs(to: Jumps, samples: list[tuple[int, int]], now: int = 0) -> list[Any]:
    streams, times = np.array(samples, np.int64).reshape(-1, 2).T
    found: list[Any] = []
    for one in to.sift(streams, times, times.astype(np.float32)[:, None], now):
        found += ["anew"] * len(one.anew)
        assert one.values[:, 0].tolist() == one.time.tolist()
        assert sorted(one.stream.tolist()) == one.stream.tolist()
        found += one.time.tolist()
    return found


def test_a_lone_jump_is_put_aside_and_left_out_once_the_stream_went_on() -> None:
    to = jumps()
    assert sift(to, *range(0, 50, P)) == list(range(0, 50, P))
    assert sift(to, 7200) == []
    assert to.waiting == 1
    rest = list(range(50, 150, P))
    assert sift(to, *rest) == rest
    assert to.waiting == 0
    assert [(stream, time) for stream, time, _ in to.left_out] == [(0, 7200)]


def test_a_jump_that_others_follow_is_the_streams_new_time() -> None:
    to = jumps()
    sift(to, *range(0, 50, P))
    assert sift(to, 7200) == sift(to, 7201) == sift(to, 7210) == []
    assert sift(to, 7220, 7230) == [7200, 7201, 7210, 7220, 7230]
    assert sift(to, 60) == [60]  # what is late is not for this to say
    assert to.left_out == []


def test_two_jumps_elsewhere_do_not_follow_each_other() -> None:
    to = jumps()
    sift(to, *range(0, 50, P))
    for time in (7200, 8000, 9000, 10_000):
        assert sift(to, time) == []
    assert to.waiting == 1
    assert sift(to, 50) == [50]


def test_what_nothing_speaks_against_is_taken_after_a_while() -> None:
    to = jumps()
    sift(to, *range(0, 50, P), now=0)
    sift(to, 7200, now=10)
    assert list(to.overdue(15, 10)) == []
    (one,) = to.overdue(20, 10)
    assert one.time.tolist() == [7200]
    assert sift(to, 7210) == [7210]


def test_where_the_beginning_was_wrong_the_clock_begins_anew() -> None:
    to = jumps()
    assert sift(to, 100_000) == [100_000]
    assert sift(to, 0, P, 2 * P, 3 * P) == ["anew", 0, P, 2 * P, 3 * P]
    assert sift(to, 4 * P) == [4 * P]
    assert sift(to, 100_000) == []


def test_a_stream_without_a_clock_that_comes_seldom_is_one_sample_behind() -> None:
    to = jumps(period=None)
    assert sift(to, 0, 1, 2) == [0, 1, 2]
    assert sift(to, 1000) == []
    assert sift(to, 2000) == [1000]
    assert sift(to, 3000) == [2000]
    (one,) = to.overdue(None, 10)
    assert one.time.tolist() == [3000]


def test_without_a_bound_nothing_is_looked_at() -> None:
    assert sift(jumps(None), 5, 10**9, 6) == [5, 10**9, 6]


def test_other_streams_are_not_touched() -> None:
    to = jumps()
    mixed = [(0, 0), (1, 5), (0, 10), (1, 15), (0, 20), (1, 25), (0, 9000), (1, 35), (0, 30)]
    assert pairs(to, mixed) == [0, 10, 20, 30, 5, 15, 25, 35]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"rows": 3, "times": [1], "values": [], "against": 0},
        {"rows": 1, "times": [1], "values": [[1, 2]], "against": 0},
    ],
)
def test_a_state_that_cannot_be_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="saved state"):
        jumps().restore(0, 0, state, 1, 0)


moves = st.tuples(st.integers(0, 1), st.sampled_from([0, 3, 10, 10, 10, 25, -5, 700, -700, 5000]))


@settings(max_examples=300, deadline=None)
@given(st.lists(moves, max_size=40), st.sampled_from([P, None]), st.data())
def test_where_samples_are_cut_changes_nothing(
    steps: list[tuple[int, int]], period: int | None, data: st.DataObject
) -> None:
    at, samples = [10_000, 20_000], []
    for stream, step in steps:
        at[stream] += step
        samples.append((stream, at[stream]))
        if abs(step) >= 700 and data.draw(st.booleans()):
            at[stream] -= step

    def walk(cuts: list[int]) -> Any:
        to, found, left = jumps(period=period), [[], []], 0
        for begin, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
            streams, times = np.array(samples[begin:end], np.int64).reshape(-1, 2).T
            for one in to.sift(streams, times, times.astype(np.float32)[:, None], 0):
                for number in one.anew:
                    found[number].append("anew")
                for number, time in zip(one.stream.tolist(), one.time.tolist(), strict=True):
                    found[number].append(time)
            left += len(to.left_out)
            fresh = jumps(period=period)
            for stream in {stream for stream, _ in samples[:end]}:
                state = to.state(stream)
                fresh.restore(stream, int(to.newest[stream]), json.loads(json.dumps(state)), 1, 0)
            to = fresh
        return found, left, to.waiting

    assert walk(sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=8)))) == walk([])


def test_a_beginning_that_nothing_follows_is_no_beginning() -> None:
    to = jumps()
    assert sift(to, 0) == [0]
    later = list(range(100_000, 100_060, P))
    assert sift(to, *later[:2]) == []
    assert sift(to, *later[2:]) == ["anew", *later]
    assert sift(to, 200_000, 200_010, 200_020) == [200_000, 200_010, 200_020]  # it has begun by now


def test_a_beginning_behind_which_the_stream_goes_on_elsewhere_is_none_after_a_while() -> None:
    to = jumps()
    sift(to, 0, P, now=0)
    sift(to, 100_000, now=0)
    (one,) = to.overdue(20, 10)
    assert (one.time.tolist(), one.anew) == ([100_000], [0])
    sift(to, 200_000, now=20)
    (one,) = to.overdue(40, 10)
    assert (one.time.tolist(), one.anew) == ([200_000], [])


def test_without_a_clock_a_beginning_far_from_all_that_follows_is_none() -> None:
    to = jumps(period=None)
    assert sift(to, 0, 1_000_000) == [0]
    assert sift(to, 1_001_000) == ["anew", 1_000_000]
    to = jumps(period=None)
    assert sift(to, 0, 1000, 2000) == [0, 1000]
