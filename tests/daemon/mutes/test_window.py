"""Windows in which streams are muted, also where clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.mutes.options import MuteOptions
from aez.daemon.mutes.window import MuteWindow, day_time, moment_of, weekdays_of

NIGHT = MuteWindow(("sat-*",), "backup", daily=(time(22), time(6)), weekdays=(4,), timezone="Europe/Berlin")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def test_a_single_window_has_its_bounds_and_fits_its_patterns() -> None:
    window = MuteWindow(("sat-*", "pump"), "service", at("2026-03-01T06:00"), at("2026-03-01T08:00"))
    assert [window.fits(name) for name in ("sat-01", "pump", "pump-2")] == [True, True, False]
    assert window.until(at("2026-03-01T05:59")) is None
    assert window.until(at("2026-03-01T06:00")) == at("2026-03-01T08:00")
    assert window.until(at("2026-03-01T08:00")) is None


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-06-05T20:00", "2026-06-06T04:00"),  # a Friday, in summer
        ("2026-06-06T03:59", "2026-06-06T04:00"),
        ("2026-06-06T04:00", None),
        ("2026-06-06T21:00", None),  # Saturday evening
        ("2026-06-05T19:59", None),
        ("2026-01-02T21:00", "2026-01-03T05:00"),  # in winter
    ],
)
def test_a_daily_window_is_of_local_time_and_of_the_day_on_which_it_begins(moment: str, end: str | None) -> None:
    assert NIGHT.until(at(moment)) == (None if end is None else at(end))


def test_the_nights_in_which_clocks_are_set_have_one_hour_more_and_less() -> None:
    night = MuteWindow(("*",), "night", daily=(time(22), time(6)), timezone="Europe/Berlin")
    for begin, end, hours in (("2026-03-28T21:00", "2026-03-29T04:00", 7), ("2026-10-24T20:00", "2026-10-25T05:00", 9)):
        moments = range(at(begin), at(end), 3600 * 10**9)
        assert len(moments) == hours
        assert {night.until(one) for one in moments} == {at(end)}
        assert night.until(at(begin) - 1) is None


def test_a_daily_window_ends_with_the_whole_and_odd_times_are_in_none() -> None:
    window = MuteWindow(("*",), "x", None, at("2026-06-05T23:00"), daily=(time(22), time(6)))
    assert window.until(at("2026-06-05T22:30")) == at("2026-06-05T23:00")
    assert window.until(at("2026-06-05T23:00")) is None
    assert NIGHT.until(1 << 62) is None
    assert NIGHT.until(-(1 << 62)) is None


def test_times_are_read_and_others_refused() -> None:
    assert moment_of("2026-06-05T22:00", "Europe/Berlin") == at("2026-06-05T20:00")
    assert moment_of("2026-06-05T22:00Z", "Europe/Berlin") == at("2026-06-05T22:00")
    assert day_time("22:05") == time(22, 5)
    assert weekdays_of(["Sunday", "mon"]) == (0, 6)
    for call, said in ((moment_of, "is no time"), (day_time, "time of the day")):
        with pytest.raises(InvalidArgument, match=said):
            call("25:61")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "until: it is missing"),
        ({"until": "tomorrow"}, "until: 'tomorrow' is no time"),
        ({"begins": "2026-02-01", "until": "2026-01-01"}, "until: it is no later than begins"),
        ({"daily_from": "22:00"}, "daily_to: it is missing"),
        ({"daily_from": "22", "daily_to": "06:00"}, "daily_from: '22'"),
        ({"until": "2026-01-01", "weekdays": ["mon"]}, "weekdays: they are of a daily"),
        ({"daily_from": "22:00", "daily_to": "06:00", "weekdays": ["mo"]}, "weekdays: 'mo' is no weekday"),
        ({"until": "2026-01-01", "timezone": "Mars/Olympus"}, "timezone: there is no time zone"),
        ({"until": "2026-01-01", "streams": [""]}, "streams: a pattern is empty"),
    ],
)
def test_windows_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidArgument) as found:
        MuteOptions.of(**{"streams": ["*"], "reason": "why"} | options)
    assert str(found.value).startswith(said)
