"""Times, durations and lists in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aez.codec.common.words import format_duration, format_time, iso_time, listed

TIME = 1_767_323_045_120_300_000


@pytest.mark.parametrize(
    ("decimals", "text"),
    [
        (None, "2026-01-02T03:04:05.1203Z"),
        (0, "2026-01-02T03:04:05Z"),
        (3, "2026-01-02T03:04:05.120Z"),
        (9, "2026-01-02T03:04:05.120300000Z"),
    ],
)
def test_a_time_has_the_decimals_that_are_asked_for(decimals: int | None, text: str) -> None:
    assert iso_time(TIME, decimals) == text


def test_times_are_rounded_down() -> None:
    assert iso_time(TIME // 10**9 * 10**9) == "2026-01-02T03:04:05Z"
    assert iso_time(-1, 3) == "1969-12-31T23:59:59.999Z"
    assert iso_time(1_999_999_999, 0) == "1970-01-01T00:00:01Z"


def test_times_for_a_person() -> None:
    assert format_time(TIME, "UTC") == "2026-01-02 03:04:05.1203 UTC"
    assert format_time(TIME, None) == "2026-01-02 03:04:05.1203"
    assert format_time(12_500_000_000, "UTC") == "12.5 s"


@pytest.mark.parametrize(
    ("seconds", "coarse", "fine"),
    [
        (345_600, "4 days", "4 days"),
        (100_000, "27.8 h", "27.78 h"),
        (450.5, "7.51 min", "7.508 min"),
        (60, "60 s", "60 s"),
        (1, "1 s", "1 s"),
        (0.45, "450 ms", "450 ms"),
        (2.5e-4, "0.25 ms", "250 us"),
        (5e-10, "5e-07 ms", "0.5 ns"),
    ],
)
def test_durations(seconds: float, coarse: str, fine: str) -> None:
    assert format_duration(seconds) == coarse
    assert format_duration(seconds, digits=4, finest="ns") == fine


def test_lists_say_how_many_are_left() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed({"a": 1, "b": 2, "c": 3}, 2) == "a, b and 1 more"
    assert listed([]) == ""


def test_words_load_no_numpy() -> None:
    script = "import sys, aez.codec.common.words; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
