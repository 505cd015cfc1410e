"""Phases by the calendar, and the level that a stream has of late."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from aez.codec.detect.rhythm.calendar import Calendar, Season, days_of
from aez.codec.detect.rhythm.seasons import CLIP, Following, KnownLevel, Seasons, SeasonStream
from aez.codec.errors import InvalidArgument

HOUR = 3600 * 10**9
Ints = NDArray[np.int64]
MONDAY = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 10**9


def at(*when: datetime) -> Ints:
    return np.array([int(one.timestamp()) * 10**9 for one in when], np.int64)


def usual(share: bool = False, memory: int = 168, streams: dict[str, KnownLevel] | None = None) -> Seasons:
    """Two channels, the first with 24 bins a day: 10 to 33, one wide."""
    centre = np.stack([np.append(20.0, np.arange(24) + 10.0), np.zeros(25)], 1).astype(np.float32)
    flags = np.array([share, False]), np.array([True, False])
    calendar = Calendar((Season("day", 24),))
    return Seasons(calendar, (centre,), np.ones((25, 2), np.float32), *flags, memory, HOUR, streams or {})


def values_of(time: Ints, level: float = 0.0) -> NDArray[np.float64]:
    return np.stack([10.0 + time // HOUR % 24 + level, np.full(len(time), 5.0)], 1)


def test_bins_of_days_weeks_and_years_are_numbered_from_one() -> None:
    time = at(
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 7, 23, 59, tzinfo=UTC),
        datetime(2024, 12, 31, 12, tzinfo=UTC),
    )
    phase = Calendar((Season("day", 24), Season("week", 168), Season("year", 366))).phases(time)
    assert phase.dtype == np.float32
    assert phase[:, :2].tolist() == [[1, 1], [24, 168], [13, 37]]
    assert phase[:, 2].tolist() == [1, 7, 366]


def test_days_are_those_of_the_zone_on_either_side_of_summer_time() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noons = at(datetime(2024, 3, 30, 12, tzinfo=berlin), datetime(2024, 3, 31, 12, tzinfo=berlin))
    assert (noons[1] - noons[0]) // HOUR == 23
    assert Calendar((Season("day", 24),), "Europe/Berlin").phases(noons).ravel().tolist() == [13, 13]
    assert Calendar((Season("day", 24),), "+02:00").phases(noons).ravel().tolist() == [14, 13]
    assert Calendar((Season("day", 24),), "Europe/Berlin").phases(noons, local=True).ravel().tolist() == [12, 11]
    with pytest.raises(InvalidArgument, match="Mars"):
        Calendar((Season("day", 24),), "Mars/Base").phases(noons)


def test_holidays_are_as_sundays() -> None:
    calendar = Calendar((Season("week", 168),), holidays=days_of(["2024-01-01"]))
    assert calendar.phases(np.array([MONDAY, MONDAY + 24 * HOUR])).ravel().tolist() == [145, 25]
    with pytest.raises(InvalidArgument, match="no date"):
        days_of(["1st of May"])


@pytest.mark.parametrize("share", [False, True])
def test_the_level_follows_a_trend_and_no_anomaly(share: bool) -> None:
    seasons = usual(share, streams={"a": KnownLevel((0, 0), (np.zeros(2, np.float32),) * 2)})
    time = MONDAY + HOUR * np.arange(24 * 7 * 12, dtype=np.int64)
    stream = SeasonStream(seasons, 3, "a")
    found = stream.take(values_of(time) * (1.1 if share else 1.0) + (0.0 if share else 2.0), time)
    assert found.level[0].tolist() == [0, 0]
    assert stream.level[0] == pytest.approx(0.1 if share else 2.0, rel=0.05)
    assert stream.level[1] == 0  # a channel without seasons is not followed
    before = float(stream.level[0])
    day = time[-1] + HOUR * np.arange(1, 25)
    stream.take(np.full((24, 2), 1e9), day)
    _, width = seasons.usual(found.phase[:1, -1], found.level[:1])
    assert abs(float(stream.level[0]) - before) < 1.5 * CLIP * 24 / 168 * (0.06 if share else 1) * float(width[0, 0])


def test_a_new_stream_among_several_learns_its_level_from_its_first_rows() -> None:
    levels = {name: KnownLevel((0, 0), (np.zeros(2, np.float32),) * 2) for name in "ab"}
    time = MONDAY + HOUR * np.arange(48, dtype=np.int64)
    assert SeasonStream(usual(streams=levels), 3, "new").take(values_of(time, 50), time).level[:, 0] == pytest.approx(
        50
    )
    known = SeasonStream(usual(streams=levels), 3, "a").take(values_of(time, 50), time).level
    assert known[0, 0] == 0
    assert known[-1, 0] < 1


def test_a_known_stream_begins_with_the_level_it_had_at_that_time() -> None:
    rising = KnownLevel((MONDAY, MONDAY + 100 * HOUR), (np.zeros(2, np.float32), np.array([10, 0], np.float32)))
    for hours, level in ((-5, 0), (0, 0), (50, 5), (100, 10), (500, 10)):
        time = np.array([MONDAY + hours * HOUR])
        found = SeasonStream(usual(streams={"a": rising}), 3, "a").take(values_of(time), time).level
        assert found[0, 0] == pytest.approx(level)


def test_phases_and_levels_do_not_depend_on_how_rows_are_cut() -> None:
    rng = np.random.default_rng(0)
    time = MONDAY + HOUR // 6 * np.cumsum(rng.integers(1, 4, 500))
    values = values_of(time) + rng.normal(size=(500, 2))
    values[rng.random((500, 2)) < 0.1] = np.nan
    whole = SeasonStream(usual(), 7, "x").take(values, time)
    stream, parts = SeasonStream(usual(), 7, "x"), []
    stream.take(values[:0], time[:0])
    cuts = [0, 200, 201, 250, 500]
    for low, high in itertools.pairwise(cuts):
        parts.append(stream.take(values[low:high], time[low:high]))
    for place in range(2):
        np.testing.assert_array_equal(np.concatenate([part[place] for part in parts]), whole[place])
    assert whole.phase.shape == (500, 7, 1)
    assert whole.phase[0, :, 0].tolist() == [0] * 6 + [whole.phase[6, 0, 0]]  # rows before the first are not known


def test_many_streams_are_followed_as_each_by_itself() -> None:
    rng = np.random.default_rng(1)
    seasons, streams = usual(), 5
    alone, together = [], Following(seasons, streams)
    time = MONDAY + HOUR // 2 * np.arange(100, dtype=np.int64)
    values = np.stack([values_of(time, number) + rng.normal(size=(100, 2)) for number in range(streams)])
    phase = seasons.calendar.phases(time)
    for number in range(streams):
        one = Following(seasons)
        alone.append(one.take(np.zeros(100, np.int64), time, phase, values[number])[0])
    found = np.empty((streams, 100, 2), np.float32)
    for low in range(0, 100, 10):
        each = np.repeat(np.arange(streams), 10)
        part = slice(low, low + 10)
        given = np.tile(time[part], streams), np.tile(phase[part], (streams, 1)), values[:, part].reshape(-1, 2)
        found[:, part] = together.take(each, *given)[0].reshape(streams, 10, 2)
    np.testing.assert_array_equal(found, np.stack(alone))


def test_without_times_nothing_is_known_of_the_season() -> None:
    found = SeasonStream(usual(), 3).take(np.ones((4, 2)), None)
    assert not found.phase.any()
    assert found.level.shape == (4, 2)
