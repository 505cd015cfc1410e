"""SKAB's score of changepoints: its fixed points and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aez.bench.detect.changepoints import ChangepointScore, changepoint_score, changepoints_of
from aez.codec.errors import InvalidArgument

SECOND = 10**9


def skab(changepoints: list[int], predicted: list[int], rows: int = 400, step: int = SECOND) -> ChangepointScore:
    labels, alarms = np.zeros(rows, np.uint8), np.zeros(rows, np.uint8)
    labels[changepoints], alarms[predicted] = 1, 1
    return changepoint_score([(np.arange(rows) * step, labels, alarms)])


def tanh_worth(position: float, hit: float, false_alarm: float) -> float:
    """At a position 0..1 within the window."""
    falling = -math.tanh(math.pi * (position - 0.5)) / math.tanh(math.pi / 2)
    return (hit - false_alarm) / 2 * falling + (hit + false_alarm) / 2


def test_changepoints_are_where_a_prediction_changes() -> None:
    assert changepoints_of([1, 1, 0, 0, 1]).tolist() == [1, 0, 1, 0, 1]
    assert changepoints_of(np.array([False, True])).tolist() == [0, 1]


def test_meeting_each_changepoint_at_once_is_a_hundred_and_silence_is_nothing() -> None:
    perfect = skab([50, 200], [50, 200])
    assert [perfect.standard, perfect.low_fp, perfect.low_fn] == pytest.approx([100, 100, 100])
    assert skab([50, 200], []) == ChangepointScore(0, 0, 0)
    assert math.isnan(skab([], [3]).standard)


def test_a_changepoint_met_late_earns_less() -> None:
    late = skab([50], [65])
    assert late.standard == pytest.approx(100 * (tanh_worth(0.25, 1, -0.11) + 1) / 2, abs=0.2)
    assert late.low_fp == pytest.approx(100 * (tanh_worth(0.25, 1, -0.22) + 1) / 2, abs=0.2)
    assert late.low_fn == pytest.approx(100 * (tanh_worth(0.25, 1, -0.11) + 2) / 3, abs=0.2)
    # The window's last second still counts as met, at what a false alarm costs.
    assert skab([50], [110]).standard == pytest.approx(100 * (-0.11 + 1) / 2, abs=0.1)
    # One second more, and it is a miss and a false alarm.
    assert skab([50], [111]).standard == pytest.approx(100 * -0.11 / 2)


def test_only_the_first_prediction_in_a_window_counts() -> None:
    assert skab([50], [50, 60, 70]) == skab([50], [50])
    assert skab([50], [65, 70]) == skab([50], [65])


def test_predictions_outside_all_windows_cost() -> None:
    assert skab([50], [50, 10, 20, 300]).standard == pytest.approx(100 * (1 - 3 * 0.11 + 1) / 2)
    assert skab([50], [50, 10, 20, 300]).low_fp == pytest.approx(100 * (1 - 3 * 0.22 + 1) / 2)


def test_overlapping_windows_are_cut_on_the_right() -> None:
    # The second window is [110, 140]: a hit at 110 serves both, one at 100 the first alone.
    both = skab([50, 80], [110])
    assert both.standard == pytest.approx(100 * (-0.11 + 1 + 2) / 4, abs=0.1)
    first = skab([50, 80], [100])
    assert first.standard == pytest.approx(100 * (tanh_worth(50 / 60, 1, -0.11) - 1 + 2) / 4, abs=0.1)
    middle = skab([50, 80], [125])
    assert middle.standard == pytest.approx(100 * (-1 + tanh_worth(0.5, 1, -0.11) + 2) / 4, abs=0.1)


def test_windows_are_seconds_not_rows() -> None:
    assert skab([50], [55], step=10 * SECOND) == skab([50], [100])


def test_changepoint_scores_are_pooled_before_they_are_scaled() -> None:
    time = np.arange(100) * SECOND
    mark, none = np.zeros(100, np.uint8), np.zeros(100, np.uint8)
    mark[10] = 1
    # A perfect file and one that is missed: half way, and a file without changepoints adds its false alarms.
    assert changepoint_score([(time, mark, mark), (time, mark, none)]).standard == pytest.approx(50)
    assert changepoint_score([(time, mark, mark), (time, none, mark)]).standard == pytest.approx(100 * (2 - 0.11) / 2)
    with pytest.raises(InvalidArgument, match="rising"):
        changepoint_score([(time[::-1], mark, mark)])
