"""Measures at a limit: worked examples by row and by event."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.bench.detect.metrics import event_metrics, label_events, point_metrics
from aez.codec.detect.events import Event, EventRule, find_events
from aez.codec.errors import InvalidArgument

NAMES = ("inlet", "pump", "valve")


def alarm(start: int, end: int, opened: int | None = None, channel: str | None = None) -> Event:
    opened = start if opened is None else opened
    channels = () if channel is None else ((channel, 1.0),)
    return Event("id", "", start, end, opened, None, None, 3.0, start, channels)


def test_runs_of_labels() -> None:
    assert label_events([1, 0, 0, 1, 1, 0, 1]) == [(0, 1), (3, 5), (6, 7)]
    assert label_events([]) == label_events([0, 0]) == []


# --- by row ---------------------------------------------------------------------------------------------------------


def test_rows_are_counted_over_all_series() -> None:
    found = point_metrics([([1, 1, 0, 0], [1, 0, 1, 0]), ([0, 0, 1], [0, 0, 1])])
    assert (found.true_positives, found.false_positives, found.true_negatives, found.false_negatives) == (2, 1, 3, 1)
    assert found.precision == found.recall == found.f1 == pytest.approx(2 / 3)
    assert found.false_alarm_rate == pytest.approx(1 / 4)
    assert found.missed_alarm_rate == pytest.approx(1 / 3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(rows: list[tuple[bool, bool]]) -> None:
    found = point_metrics([([row[0] for row in rows], [row[1] for row in rows])])
    if found.true_positives:
        assert found.f1 == pytest.approx(2 / (1 / found.precision + 1 / found.recall))
        assert found.missed_alarm_rate == pytest.approx(1 - found.recall)


def test_rates_of_nothing_are_not_numbers() -> None:
    found = point_metrics([([0, 0], [0, 0])])
    assert math.isnan(found.f1)
    assert math.isnan(found.precision)
    assert found.false_alarm_rate == 0
    with pytest.raises(InvalidArgument, match="one length"):
        point_metrics([([0, 1], [0])])


# --- by event -------------------------------------------------------------------------------------------------------


def test_events_of_a_worked_example() -> None:
    labels = np.zeros(1440, np.uint8)
    for start, end in ((100, 120), (200, 210), (300, 320), (500, 505)):
        labels[start:end] = 1
    alarms = [
        alarm(104, 110, opened=106, channel="pump"),  # in the first, 6 rows late
        alarm(115, 118, channel="inlet"),  # in it too: neither a false alarm nor the first word
        alarm(190, 205, opened=192, channel="inlet"),  # stood when the second began
        alarm(318, 340, opened=330, channel="valve"),  # shares two rows with the third
        alarm(600, 610),  # false
        alarm(120, 125),  # starts where the first has ended: false
    ]
    causes = [(100, 120, (1, 2)), (195, 205, (2,)), (500, 505, (0,))]
    found = event_metrics(labels, alarms, period_seconds=60, causes=causes, channels=NAMES)
    assert (found.labelled, found.found, found.alarms, found.false_alarms) == (4, 3, 6, 2)
    assert found.precision == pytest.approx(4 / 6)
    assert found.recall == pytest.approx(3 / 4)
    assert found.days == 1
    assert found.false_alarms_per_day == 2
    assert found.delays == (6, 0, 30)
    assert found.median_delay == 6
    assert found.median_delay_seconds == 360
    assert (found.explainable, found.explained) == (2, 1)
    assert found.top_channel_share == 0.5


def test_an_alarm_in_the_tolerance_after_an_event_is_no_false_one() -> None:
    labels = [0, 1, 1, 0, 0, 0, 0, 0]
    late = [alarm(4, 6)]
    assert event_metrics(labels, late).false_alarms == 1
    assert event_metrics(labels, late, tolerance=1).false_alarms == 1
    assert event_metrics(labels, late, tolerance=2).false_alarms == 0


def test_one_alarm_can_find_two_events() -> None:
    found = event_metrics([0, 1, 0, 1, 0], [alarm(0, 5)])
    assert (found.found, found.alarms, found.false_alarms) == (2, 1, 0)


def test_event_metrics_of_several_series_add_up() -> None:
    one = event_metrics([0, 1, 1, 0], [alarm(2, 3)], period_seconds=21600)
    two = event_metrics([0, 1, 1, 0], [alarm(0, 1)], period_seconds=21600)
    both = one + two
    assert (both.labelled, both.found, both.false_alarms, both.days) == (2, 1, 1, 2)
    assert both.false_alarms_per_day == 0.5
    assert both.delays == (1,)
    assert (one + event_metrics([0, 1], [])).days is None


def test_event_measures_of_nothing_are_not_numbers() -> None:
    found = event_metrics([0, 0, 0], [])
    for value in (
        found.precision,
        found.recall,
        found.false_alarms_per_day,
        found.median_delay,
        found.median_delay_seconds,
        found.top_channel_share,
    ):
        assert math.isnan(value)


def test_delays_are_counted_to_the_row_that_raised_the_alarm() -> None:
    labels = np.zeros(50, np.uint8)
    labels[20:40] = 1
    events = find_events(labels * 2.0, rule=EventRule(open_after=4))
    assert event_metrics(labels, events).delays == (3,)


@pytest.mark.parametrize(
    ("options", "message"), [({"period_seconds": 0}, "period"), ({"causes": [(0, 1, [0])]}, "names")]
)
def test_event_metrics_refuse_what_makes_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        event_metrics([1], [], **options)  # type: ignore[arg-type]
