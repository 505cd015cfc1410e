"""The phase of rows without a clock, told by the rows before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.calendar import Calendar, Season, cycle_clock
from aez.codec.detect.rhythm.cycle import nearest
from aez.codec.detect.rhythm.seasons import KnownLevel, Seasons, SeasonStream

BINS = 30
Floats = NDArray[np.float64]


def usual(known: bool = True) -> Seasons:
    """Two channels: the first has 30 bins, 0 to 29, one wide; the second nothing."""
    centre = np.stack([np.append(15.0, np.arange(BINS)), np.zeros(BINS + 1)], 1).astype(np.float32)
    flags = np.zeros(2, bool), np.array([True, False])
    zero = np.zeros(2, np.float32)
    names = ("one",) if known else ("one", "other")
    streams = {name: KnownLevel((0, 1), (zero, zero)) for name in names}
    width = np.ones((BINS + 1, 2), np.float32)
    block = cycle_clock(np.array([1]), BINS)[0]
    return Seasons(Calendar((Season("cycle", BINS),)), (centre,), width, *flags, 3 * BINS, int(block), streams)


def rows(count: int, begin: int, level: float = 0.0) -> Floats:
    return np.stack([(begin + np.arange(count)) % BINS + level, np.full(count, 7.0)], 1)


def test_the_phase_is_told_after_a_period_wherever_rows_begin() -> None:
    for begin in (0, 11, 29):
        phase = SeasonStream(usual(), 3).take(rows(100, begin), None).phase
        assert phase.shape == (100, 3, 1)
        assert not phase[:BINS, -1].any()
        assert phase[BINS:, -1, 0].tolist() == ((begin + np.arange(BINS, 100)) % BINS + 1).tolist()
        assert phase[BINS, :, 0].tolist() == [0, 0, (begin + BINS) % BINS + 1]


def test_cuts_change_nothing() -> None:
    values = rows(200, 4) + np.random.default_rng(0).normal(size=(200, 2))
    whole = SeasonStream(usual(), 3).take(values, None)
    cut = SeasonStream(usual(), 3)
    pieces = [cut.take(part, None) for part in np.split(values, [1, 29, 31, 90, 91])]
    np.testing.assert_array_equal(whole.phase, np.concatenate([one.phase for one in pieces]))
    np.testing.assert_array_equal(whole.level, np.concatenate([one.level for one in pieces]))


def test_strange_and_missing_rows_do_not_choose_their_phase() -> None:
    values = rows(150, 0)
    values[75:90, 0] = 3.0
    values[110:120] = np.nan
    phase = SeasonStream(usual(), 2).take(values, None).phase[:, -1, 0]
    right = np.arange(150) % BINS + 1
    assert (phase[75:90] == right[75:90]).all()
    assert (phase[105:] == right[105:]).all()


def test_a_phase_that_jumps_is_known_again_within_some_periods() -> None:
    values = np.concatenate([rows(90, 0), rows(150, 12)])
    phase = SeasonStream(usual(), 2).take(values, None).phase[:, -1, 0]
    assert (phase[-30:] == (12 + np.arange(120, 150)) % BINS + 1).all()


def test_a_new_streams_level_is_learned_and_followed() -> None:
    stream = SeasonStream(usual(known=False), 2, "third")
    stream.take(rows(300, 5, level=8.0), None)
    assert abs(stream.level[0] - 8.0) < 0.5
    assert stream.level[1] == 0


def test_places_go_the_nearest_way_round() -> None:
    assert nearest(4, 5, 30) == 5
    assert nearest(29, 0, 30) == 30
    assert nearest(5, 4, 30) == 4
    assert nearest(31, 29, 30) == 29
