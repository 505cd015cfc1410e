"""Which streams lose samples, and that they are told of once."""

from __future__ import annotations

import numpy as np
import pytest

from aez.daemon.rows.losses import REASONS, Losses, advice

SECOND = 10**9


def losses(streams: int = 3) -> Losses:
    made = Losses()
    made.grow(streams)
    return made


def take(to: Losses, stream: int, samples: int, now: float = 0.0, rows: int | None = None, **lost: int) -> None:
    streams = np.full(samples, stream)
    left_out = {reason: np.full(number, stream) for reason, number in lost.items()}
    newest = np.full(to.size, int(now * SECOND))
    went = None if rows is None else np.full(rows, stream)
    to.take(streams, left_out, newest, int(now * SECOND), went)


def losing(to: Losses) -> list[str | None]:
    return [REASONS[code - 1] if code else None for code in to.losing.tolist()]


def test_what_is_left_out_is_counted_by_stream_and_reason() -> None:
    to = losses()
    take(to, 0, 10, late=2, duplicate=1)
    take(to, 2, 5)
    take(to, 0, 10, late=1)
    assert [to.state(stream) for stream in range(3)] == [{"late": 3, "duplicate": 1}, {}, {}]
    fresh = losses()
    fresh.restore(1, to.state(0))
    assert fresh.state(1) == to.state(0)
    for odd in (None, [], {"late": "x"}, {"late": -1}, {"late": 2**70}):
        fresh.restore(2, odd)
        assert fresh.state(2) == {}


def test_a_few_lost_ones_are_chance() -> None:
    to = losses()
    for _ in range(50):
        take(to, 0, 20, late=1, duplicate=2)
    assert losing(to) == [None] * 3
    assert to.news() == []


def test_a_stream_of_which_nothing_is_left_after_some_was_lost_is_not_well() -> None:
    to = losses()
    take(to, 0, 50)
    take(to, 0, 200)  # a sender that repeats itself loses nothing
    take(to, 0, 200, late=200)
    assert losing(to)[0] is None
    take(to, 0, 200, late=100)
    assert losing(to)[0] == "late"
    take(to, 0, 200, late=200)
    assert losing(to)[0] == "late"
    take(to, 0, 40)
    assert losing(to)[0] is None


def test_a_share_that_lasts_is_none_and_is_told_once_for_each_reason() -> None:
    to = losses()
    for at in range(10):
        take(to, 1, 10, now=at, duplicate=5)
        take(to, 0, 10, now=at)
    assert losing(to) == [None, "duplicate", None]
    assert to.losers() == {**dict.fromkeys(REASONS, 0), "duplicate": 1}
    assert to.news() == [("duplicate", [1])]
    for at in range(10, 30):
        take(to, 1, 10, now=at)
    assert losing(to) == [None] * 3
    for at in range(30, 50):
        take(to, 1, 10, now=at, duplicate=5)
    assert losing(to)[1] == "duplicate"
    assert to.news() == []
    for at in range(50, 60):
        take(to, 1, 10, now=at, late=9)
    assert to.news() == [("late", [1])]


def test_a_deaf_stream_is_told_of_after_seconds_however_slow_it_is() -> None:
    to = losses()
    for minute in range(8):
        take(to, 0, 1, now=60.0 * minute, late=1)
        assert losing(to)[0] == ("late" if minute == 7 else None)
    assert to.news() == [("late", [0])]


def test_what_comes_again_at_once_is_no_deafness_but_very_much_is() -> None:
    to = losses()
    for at in range(5):
        take(to, 0, 20, now=at / 10, duplicate=20)
    take(to, 0, 40, now=1)
    assert to.news() == []
    take(to, 0, 300, now=2, duplicate=300)
    assert to.news() == [("duplicate", [0])]


def test_what_was_lost_within_one_call_is_told_though_it_is_over() -> None:
    to = losses()
    take(to, 0, 4000, late=3600)
    take(to, 0, 4000, now=1)
    assert losing(to)[0] is None
    assert to.news() == [("late", [0])]


def test_rows_that_are_mostly_made_up_are_a_period_that_does_not_fit() -> None:
    to = losses()
    for at in range(10):
        take(to, 0, 10, now=at * 100, rows=10, gaps=10)
        take(to, 1, 10, now=at * 100, rows=10, gaps=2)
    assert losing(to) == ["gaps", None, None]
    assert to.interval[0] == pytest.approx(10, rel=0.2)


def test_messages_without_a_channel_are_no_loss_among_others() -> None:
    to = losses()
    for at in range(20):
        take(to, 0, 10, now=at, no_channel=5)
        take(to, 1, 10, now=at, no_channel=10)
    assert losing(to) == [None, "no_channel", None]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_an_advice(reason: str) -> None:
    for interval, period in ((float("nan"), None), (0.1, SECOND)):
        text = advice(reason, interval, period)
        assert len(text) > 30
        assert "nan" not in text
    assert "row every 1 s" in advice("gaps", 10.0, SECOND)


def test_samples_that_came_at_once_tell_of_no_interval() -> None:
    for reason in ("gaps", "duplicate"):
        assert "0 s" not in advice(reason, 0.0, SECOND)
