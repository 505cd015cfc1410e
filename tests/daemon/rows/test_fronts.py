"""Rows without a fixed lateness: what comes of samples however they are cut, in pieces and out of step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.daemon.rows import fronts
from aez.daemon.rows.aligner import Aligner

P = 10
NONE = float("nan")
SECOND = 10**9
Array = np.ndarray[Any, np.dtype[Any]]
Piece = tuple[int, int, tuple[float, ...]]  # stream, time, values


def aligner(channels: int = 3, period: int | None = P, gap: int = 5, streams: int = 2) -> Aligner:
    made = Aligner(channels, period, None, gap)
    made.grow(streams)
    return made


def push(to: Aligner, *pieces: Piece, now: int = 0) -> list[Any]:
    found = to.push(
        np.array([stream for stream, _, _ in pieces], np.int64),
        np.array([time for _, time, _ in pieces], np.int64),
        np.array([values for _, _, values in pieces], np.float32).reshape(-1, to.channels),
        now,
    )
    return rows(found)


def rows(found: Any) -> list[Any]:
    values = [tuple(None if np.isnan(v) else float(v) for v in each) for each in found.values]
    return list(zip(found.stream.tolist(), found.row.tolist(), found.time.tolist(), values, strict=True))


def one(time: int, channel: int, value: float = 1.0, channels: int = 3) -> Piece:
    values = [NONE] * channels
    values[channel] = value
    return 0, time, tuple(values)


def restarted(to: Aligner, streams: set[int]) -> Aligner:
    fresh = Aligner(to.channels, to.period if to.clocked else None, None, to.gap)
    fresh.grow(to.size)
    for stream, state in zip(sorted(streams), to.states(np.array(sorted(streams))), strict=True):
        fresh.restore(stream, state)
    fresh.counts = to.counts
    return fresh


def test_a_whole_row_goes_out_at_once_and_pieces_with_the_last_of_them() -> None:
    to = aligner()
    assert push(to, (0, 100, (1, 2, 3))) == [(0, 0, 100, (1, 2, 3))]
    assert push(to, one(110, 1, 5)) == push(to, one(110, 0, 4)) == []
    assert push(to, one(110, 2, 6)) == [(0, 1, 110, (4, 5, 6))]
    assert to.waiting == 0


def test_a_channel_that_runs_ahead_makes_no_other_late() -> None:
    to = aligner()
    ahead = [one(100 + P * row, 0, row) for row in range(50)]
    rest = [one(100 + P * row, channel, row) for channel in (1, 2) for row in range(50)]
    assert push(to, *ahead) == []
    assert push(to, *rest) == [(0, row, 100 + P * row, (row, row, row)) for row in range(50)]
    assert to.counts["late"] == to.counts["duplicate"] == 0


def test_what_a_whole_row_lacks_is_waited_for_until_the_next_row_and_no_longer() -> None:
    to = aligner()
    push(to, (0, 100, (1, 1, 1)))
    assert push(to, (0, 110, (2, NONE, 2))) == []
    assert push(to, (0, 120, (3, NONE, 3))) == [(0, 1, 110, (2, None, 2))]
    assert push(to, (0, 130, (4, 4, 4))) == [(0, 2, 120, (3, None, 3)), (0, 3, 130, (4, 4, 4))]


def test_a_channel_that_stops_is_waited_for_once_and_counts_again_when_it_is_back() -> None:
    to = aligner(period=SECOND)
    for second in range(3):
        push(to, *(one(second * SECOND, channel) for channel in range(3)), now=second * SECOND)
    for second in range(3, 8):
        assert push(to, one(second * SECOND, 0), one(second * SECOND, 1), now=second * SECOND) == []
    assert rows(to.give_up(7 * SECOND)) == []
    held = rows(to.give_up(8 * SECOND))
    assert [row for _, row, _, _ in held] == [3, 4, 5, 6, 7]
    assert {values for *_, values in held} == {(1, 1, None)}
    assert to.waiting == 0
    # Known to be missing, it holds a row up until the next one begins; back, it finds its row, and is waited for again.
    assert push(to, one(8 * SECOND, 0), one(8 * SECOND, 1), now=8 * SECOND) == []
    assert push(to, one(9 * SECOND, 0), one(9 * SECOND, 1), now=9 * SECOND) == [(0, 8, 8 * SECOND, (1, 1, None))]
    assert push(to, one(9 * SECOND, 2), now=9 * SECOND) == [(0, 9, 9 * SECOND, (1, 1, 1))]
    assert push(to, one(10 * SECOND, 0), one(10 * SECOND, 1), one(11 * SECOND, 0), now=10 * SECOND) == []
    assert to.counts["late"] == to.counts["duplicate"] == 0


def test_a_channel_missing_in_whole_rows_holds_nothing_up() -> None:
    to = aligner(period=SECOND)
    push(to, (0, 0, (1, 1, 1)))
    push(to, *((0, second * SECOND, (1, 1, NONE)) for second in range(1, 20)), now=SECOND)
    to.give_up(30 * SECOND)
    assert push(to, (0, 20 * SECOND, (1, 1, NONE))) == [(0, 20, 20 * SECOND, (1, 1, None))]
    assert push(to, (0, 21 * SECOND, (1, 1, 2))) == [(0, 21, 21 * SECOND, (1, 1, 2))]


def test_a_stream_that_stops_gives_its_last_row() -> None:
    to = aligner(period=SECOND)
    push(to, *(one(0, channel) for channel in range(3)), one(SECOND, 1, 7), now=5)
    assert rows(to.give_up(5 * SECOND)) == []
    assert rows(to.give_up(5 + 5 * SECOND)) == [(0, 1, SECOND, (None, 7, None))]


def test_a_backlog_is_waited_for_longer_than_a_channel_that_died() -> None:
    to = aligner(period=SECOND)
    push(to, *(one(0, channel) for channel in range(3)))
    for turn in range(7):  # an hour within seconds, of one channel
        ahead = [one((1 + turn * 500 + at) * SECOND, 0) for at in range(500)]
        assert push(to, *ahead, now=turn * SECOND) == []
        assert rows(to.give_up(turn * SECOND)) == []
    rest = [one((1 + at) * SECOND, channel) for channel in (2, 1) for at in range(3500)]
    assert len(push(to, *rest, now=8 * SECOND)) == 3500
    assert to.counts["late"] == 0


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "PATIENCE", 100)
    to = aligner()
    assert push(to, *(one(100 + P * row, 0) for row in range(101))) == []
    assert to.waiting == 101
    assert len(push(to, *(one(100 + P * row, 0) for row in range(101, 150)))) == 150  # the others are given up
    assert to.waiting == 0


def test_many_streams_that_wait_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aez.daemon.rows.aligner._PENDING_VALUES", 3 * 64 * 4)
    to = aligner(streams=4)
    for row in range(100):
        push(to, *((stream, 100 + P * row, (1, NONE, NONE)) for stream in range(4)))
    assert to.waiting == 256
    assert to.counts["overflow"] == 4 * 36


def test_without_a_clock_values_of_one_time_make_a_row() -> None:
    to = aligner(period=None)
    assert push(to, one(5, 0), one(5, 1), one(9, 0)) == []
    assert push(to, one(5, 2)) == [(0, 0, 5, (1, 1, 1))]
    assert push(to, one(9, 2), one(9, 1)) == [(0, 1, 9, (1, 1, 1))]


def test_without_a_clock_sensors_with_times_of_their_own_wait_for_the_next_sample_alone() -> None:
    to = aligner(period=None)
    push(to, one(SECOND, 0), one(2 * SECOND, 1))
    assert len(rows(to.give_up(5 * SECOND))) == 2
    assert push(to, one(3 * SECOND, 0)) == []
    assert push(to, one(4 * SECOND, 1)) == [(0, 2, 3 * SECOND, (1, None, None))]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Array, list[int]]:
    """Values [rows, channels], some missing, and the rows' slots, with gaps."""
    count, channels = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    cells = draw(st.lists(st.sampled_from([1.0, 2.0, 3.0, NONE]), min_size=count * channels, max_size=count * channels))
    values = np.array(cells, np.float32).reshape(count, channels)
    values[np.isnan(values).all(axis=1), 0] = 1.0
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 4]), min_size=count, max_size=count))
    return values, np.cumsum(steps).tolist()


def expected(stream: int, values: Array, slots: list[int], start: int, gap: int) -> list[Any]:
    """The rows, and those that a gap is filled with."""
    found: list[Any] = []
    empty = (None,) * values.shape[1]
    for place, slot in enumerate(slots):
        back = slot - slots[place - 1] if place else 1
        first = slot - back + 1
        found += [(stream, at - slots[0], start + P * at, empty) for at in range(first, min(first + gap, slot))]
        row = tuple(None if np.isnan(v) else float(v) for v in values[place])
        found.append((stream, slot - slots[0], start + P * slot, row))
    return found


def in_pieces(values: Array, slots: list[int], start: int, data: st.DataObject, whole_columns: bool) -> list[Piece]:
    """Each value by itself: row by row, the channels of each in any order, or channel by channel, one ahead of another.

    With whole columns the channels come one behind the other.
    """
    count, channels = values.shape
    queues = [
        [(0, start + P * slots[row], channel, float(values[row, channel])) for row in range(count)]
        for channel in range(channels)
    ]
    cells: list[Any] = []
    if whole_columns:
        cells = [cell for queue in data.draw(st.permutations(queues)) for cell in queue]
    else:
        for row in range(count):
            cells += data.draw(st.permutations([queue[row] for queue in queues]))
    made = []
    for _, time, channel, value in cells:
        if value == value:
            alone = [NONE] * channels
            alone[channel] = value
            made.append((0, time, tuple(alone)))
    return made


@settings(max_examples=500, deadline=None)
@given(tables(), st.booleans(), st.data())
def test_pieces_of_rows_make_the_rows_however_they_come_and_are_cut(
    table: tuple[Array, list[int]], whole_columns: bool, data: st.DataObject
) -> None:
    values, slots = table
    start = 1000
    wanted = expected(0, values, slots, start, 5)
    whole = aligner(values.shape[1])
    together = [(0, start + P * slot, tuple(row)) for slot, row in zip(slots, values.tolist(), strict=True)]
    assert push(whole, *together) + rows(whole.flush()) == wanted
    pieces = in_pieces(values, slots, start, data, whole_columns)
    to = aligner(values.shape[1])
    found: list[Any] = []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pieces)), max_size=8)))
    for begin, end in zip([0, *cuts], [*cuts, len(pieces)], strict=True):
        found += push(to, *pieces[begin:end])
        if end and data.draw(st.booleans()):
            to = restarted(to, {0})
    found += rows(to.flush())
    assert found == wanted
    assert to.counts["late"] == to.counts["duplicate"] == to.counts["overflow"] == 0


sample = st.tuples(st.integers(0, 1), st.integers(-25, 40), st.tuples(*[st.sampled_from([NONE, NONE, 1.0, 2.0])] * 3))


@settings(max_examples=300, deadline=None)
@given(st.lists(sample, max_size=40), st.sampled_from([P, 32, None]), st.integers(3, 9), st.data())
def test_where_samples_are_cut_changes_nothing_whatever_they_are(
    steps: list[Piece], period: int | None, patience: int, data: st.DataObject
) -> None:
    times = np.cumsum([step for _, step, _ in steps]) + 1000
    pieces = [(stream, int(time), values) for (stream, _, values), time in zip(steps, times, strict=True)]

    def fresh() -> Aligner:
        made = aligner(period=period)
        assert made.fronts is not None
        made.fronts.patience = patience
        return made

    at_once = fresh()
    wanted = push(at_once, *pieces) + rows(at_once.flush())
    to, found = fresh(), []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pieces)), max_size=8)))
    for begin, end in zip([0, *cuts], [*cuts, len(pieces)], strict=True):
        found += push(to, *pieces[begin:end])
        if end and data.draw(st.booleans()):
            to = restarted(to, {stream for stream, _, _ in pieces[:end]})
            assert to.fronts is not None
            to.fronts.patience = patience
    found += rows(to.flush())
    assert sorted(found, key=lambda row: row[:2]) == sorted(wanted, key=lambda row: row[:2])
    assert to.counts == at_once.counts
