"""The clock that retention goes by."""

from __future__ import annotations

from aez.daemon.state.slow_clock import SlowClock

SECOND = 10**9
DAY = 86_400 * SECOND


def test_a_step_of_the_clock_that_it_follows_moves_it_little_and_back_at_once() -> None:
    ticks = [0]
    clock = SlowClock(None, lambda: ticks[0])
    assert clock.follow(100 * DAY) == 100 * DAY
    for second in range(1, 61):
        ticks[0] = second * SECOND
        clock.follow(500 * DAY)
    assert clock.follow(500 * DAY) == 100 * DAY + 3600 * SECOND
    assert clock.follow(100 * DAY + 60 * SECOND) == 100 * DAY + 60 * SECOND


def test_what_was_right_before_bounds_what_it_is_told_at_a_start() -> None:
    ticks = [0]
    clock = SlowClock(100 * DAY, lambda: ticks[0])
    assert clock.follow(500 * DAY) == 100 * DAY
    ticks[0] = SECOND
    assert clock.follow(500 * DAY) == 100 * DAY + 60 * SECOND
    assert clock.follow(99 * DAY) == 99 * DAY
