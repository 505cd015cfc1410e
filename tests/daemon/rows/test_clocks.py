"""Clocks that are apart are found; backlogs, replays and what is late for a while are none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from aez.daemon.rows.clocks import Clocks

SECOND, HOUR = 10**9, 3600
WALL = 1_700_000_000
CHANNELS = ("load", "flow", "temp")
#: When it comes and what it is stamped, s since the watch began; which channels have a value.
Came = tuple[float, float, str]


def watched(came: Iterable[Came], period: int = 1, stream: int = 0, clocks: Clocks | None = None) -> list[str]:
    """What is said of a stream, looked at once a second; arrivals of one moment are one call."""
    if clocks is None:
        clocks = Clocks(period * SECOND)
        clocks.grow(2)
    said: list[str] = []
    found = sorted(came, key=lambda one: one[0])
    moments = sorted({one[0] for one in found})
    at = 0
    for moment in moments:
        here = []
        while at < len(found) and found[at][0] == moment:
            here.append(found[at])
            at += 1
        times = np.array([round((WALL + time) * SECOND) for _, time, _ in here], np.int64)
        values = np.array([[1 if name in channels else np.nan for name in CHANNELS] for _, _, channels in here])
        now = round((1000 + moment) * SECOND)
        clocks.take(np.full(len(here), stream), times, values.astype(np.float32), now)
        clocks.look(round((WALL + moment) * SECOND), now, CHANNELS)
        said += [text for text, numbers in clocks.news() for number in numbers if number == stream]
    return said


def live(seconds: int, off: float, channels: str, every: int = 1, begin: int = 0) -> list[Came]:
    """Rows as they come, by a clock that is off by so many seconds."""
    return [(at + 0.1, at + off, channels) for at in range(begin, seconds, every)]


@pytest.mark.parametrize("period", [1, 60, 300])
@pytest.mark.parametrize(
    ("off", "said"), [(2, "temp come with times about 2 h ahead of those of load, flow"), (-2, "about 2 h behind")]
)
def test_a_gateway_whose_clock_is_off_is_named_with_its_channels(period: int, off: int, said: str) -> None:
    one = live(40 * period, 0, "load flow", period)
    other = live(40 * period, off * HOUR, "temp", period, 5 * period)
    (text,) = watched(one + other, period)
    assert said in text
    assert text.startswith("temp come with")
    assert "local times that name no zone give their sender a source of its own with its timezone" in text
    assert ("so much later" in text) == (off < 0)


def test_two_gateways_that_both_are_off_are_apart_and_one_that_is_wrong_by_minutes_has_no_zone() -> None:
    (text,) = watched(live(60, HOUR, "load flow") + live(60, -HOUR, "temp"))
    assert "temp come with times about 2 h behind those of load, flow" in text
    (text,) = watched(live(60, 0, "load flow") + live(60, 400, "temp"))
    assert "temp come with times about 7 min ahead" in text
    assert "timezone" not in text
    assert text.endswith("their clocks are apart; set the sender's clock")


def test_three_clocks_are_said_as_the_two_that_are_certain() -> None:
    (text,) = watched(live(90, 0, "load") + live(90, 2 * HOUR, "flow") + live(90, -2 * HOUR, "temp"))
    assert " h " in text


def test_batches_of_minutes_by_two_clocks_are_found_all_the_same() -> None:
    """Each gateway sends what it has of five minutes, at once."""
    came = []
    for begin in range(0, 12_000, 300):
        came += [(begin + 300.0, begin + second, "load flow") for second in range(300)]
        came += [(begin + 450.0, begin + 150 + second + 7200, "temp") for second in range(300)]
    (text,) = watched(came)
    assert "temp come with times about 2 h ahead" in text


def test_a_file_that_is_read_at_once_shows_it_too() -> None:
    """Nothing is known of when its rows came; their order is."""
    rows = [one for at in range(100) for one in ((0.0, at, "load flow"), (0.0, at - 7200, "temp"))]
    clocks = Clocks(SECOND)
    clocks.grow(2)
    for place in range(0, 200, 7):
        said = watched([(place / 1e3, time - 1e8, names) for _, time, names in rows[place : place + 7]], clocks=clocks)
        if said:
            break
    assert "temp come with times about 2 h behind those of load, flow" in said[0]


def test_a_clock_that_is_wrong_by_years_is_found_as_it_comes_and_two_months_read_by_turns_are_none() -> None:
    years = -50 * 365 * 24 * HOUR
    (text,) = watched(live(60, 0, "load flow") + live(60, years, "temp"))
    assert text.startswith(
        "temp come with times about 18250 days behind those of load, flow: their clocks are apart; set"
    )
    read = [(at / 1e3, at + off, names) for at in range(9000) for off, names in ((0, "load flow"), (years, "temp"))]
    assert watched(read) == []


def test_two_senders_of_one_name() -> None:
    both = "load flow temp"
    (ahead,) = watched(live(60, 0, both) + live(60, 2 * HOUR, both, 1, 10))
    assert ahead.startswith("two senders with clocks about 2 h apart use its name; ")
    assert "give each a name" in ahead
    (behind,) = watched(live(9000, 0, both) + live(9000, -2 * HOUR, both, 1, 8000))
    assert behind.startswith("two senders with clocks about 2 h apart use its name; ")


@pytest.mark.parametrize("off", [2 * HOUR, 5 * HOUR + 1800, 420])
def test_a_machine_that_is_ahead_of_this_one(off: int) -> None:
    (text,) = watched(live(60, off, "load flow temp"))
    span = {420: "7 min", 2 * HOUR: "2 h"}.get(off, "5 h 30 min")
    assert text.startswith(f"its times are about {span} ahead of this machine's clock")
    assert ("timezone" in text) == (off != 420)


def test_a_machine_that_is_behind_is_named_where_zones_are_or_where_it_went_with_the_clock() -> None:
    every = "load flow temp"
    clocks = Clocks(SECOND)
    clocks.grow(2)
    (text,) = watched(live(60, -5 * HOUR, every), clocks=clocks)
    clocks.look((WALL + 500) * SECOND, 1500 * SECOND, CHANNELS)
    assert clocks.counts()["machine"] == 1
    clocks.look((WALL + 900) * SECOND, 1900 * SECOND, CHANNELS)  # nothing comes any more
    assert clocks.counts()["machine"] == 0
    assert "its times are about 5 h behind this machine's clock; where these are local times" in text
    assert watched(live(100, -5 * HOUR - 700, every)) == []  # as where a recording is played
    (text,) = watched(live(50, 0, every) + live(120, -40 * 60 + 200, every, 1, 50))
    assert "37 min behind this machine's clock, which they kept before; look at the clocks" in text


def test_it_is_told_once_and_is_over_when_the_clock_is_set() -> None:
    clocks = Clocks(SECOND)
    clocks.grow(2)
    other = live(60, 0, "load flow")
    assert len(watched(live(60, 2 * HOUR, "temp") + other, clocks=clocks)) == 1
    assert clocks.counts() == {"channels": 1, "senders": 0, "machine": 0}
    assert watched(live(900, 0, "load flow temp", 1, 61), clocks=clocks) == []
    assert clocks.counts()["channels"] == 0
    assert not clocks.suspects
    again = [(at + 1000, time, names) for at, time, names in live(60, 2 * HOUR, "temp") + other]
    assert watched(again, clocks=clocks) == []


def backlog(speed: float, begin: int, length: int, channels: str) -> list[Came]:
    """Rows that were kept back for so long, the oldest first, from then on; `speed` times as fast as they were made."""
    count = round(length * speed / (speed - 1)) if speed > 1 else 3 * length
    return [(begin + at / speed + 0.2, begin - length + at, channels) for at in range(count)]


@pytest.mark.parametrize("speed", [2, 10, 1000])
def test_a_gateway_that_catches_up_has_no_wrong_clock(speed: float) -> None:
    one = live(9000, 0, "load flow")
    other = [*live(300, 0, "temp"), *backlog(speed, 2100, 1800, "temp")]
    assert watched(one + other) == []


@pytest.mark.parametrize("new_first", [True, False])
def test_what_was_kept_back_between_what_is_new_is_no_other_clock(new_first: bool) -> None:
    """For each new row an old one, as gateways do that store and forward: their distance stays as it is."""
    both = "load flow temp"
    old = [(2100.05 + 0.1 * new_first + at, 300 + at, both) for at in range(1800)]
    assert watched([*live(300, 0, both), *live(4500, 0, both, 1, 2100), *old]) == []


def test_sensors_one_behind_the_other_and_rows_in_any_order_are_none() -> None:
    assert watched([(0.1 * place, at, name) for place, name in enumerate(CHANNELS) for at in range(7200)]) == []
    order = np.random.default_rng(0).permutation(7200)
    assert watched([(at / 1e3, float(time), "load flow temp") for at, time in enumerate(order.tolist())]) == []


@pytest.mark.parametrize("speed", [1.5, 60, 10_000])
def test_what_runs_faster_than_the_clock_is_no_machine_ahead(speed: float) -> None:
    """As `aez monitor simulate --now`, twice."""
    run = [(at / speed, at + 900.0, "load flow temp") for at in range(8000)]
    assert watched([*run, *((at + run[-1][0] + 1, time, names) for at, time, names in run)]) == []


def test_times_that_hop_about_are_none() -> None:
    hops = np.random.default_rng(1).integers(0, 9, 4000) * HOUR
    assert watched([(at / 10, at / 10 + hop, "load flow temp") for at, hop in enumerate(hops.tolist())]) == []


def test_gaps_and_a_lone_wrong_stamp_are_none() -> None:
    both = "load flow temp"
    rows = [one for one in live(9000, 0, both) if not 1000 < one[0] < 3000]
    assert watched([*rows, *((at, at + 7200.0, both) for at in (100.5, 500.5, 5000.5, 5001.5))]) == []


def test_many_streams_are_told_apart() -> None:
    clocks = Clocks(SECOND)
    clocks.grow(2)
    for at in range(40):
        stream = np.array([0, 0, 1])
        times = np.array([WALL + at, WALL + at + 7200, WALL + at], np.int64) * SECOND
        values = np.array([[1, 1, np.nan], [np.nan, np.nan, 1], [1, 1, 1]], np.float32)
        clocks.take(stream, times, values, (1000 + at) * SECOND)
    clocks.look((WALL + 40) * SECOND, 1040 * SECOND, CHANNELS)
    assert [numbers for _, numbers in clocks.news()] == [[0]]
    clocks.move(1, 0)
    assert not clocks.found
    assert not clocks.suspects
