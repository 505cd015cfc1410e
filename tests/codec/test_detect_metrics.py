"""Detection measures: worked examples, definitions by brute force, and the fixed points of SKAB's and NAB's scores."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.detect_metrics import (
    ChangepointScore,
    average_precision,
    changepoint_score,
    changepoints_of,
    event_metrics,
    label_events,
    nab_probation,
    nab_score,
    period_window,
    point_metrics,
    roc_auc,
    vus_pr,
)
from aez.codec.errors import InvalidArgument
from aez.codec.events import Event, EventRule, find_events

NAMES = ("inlet", "pump", "valve")
SECOND = 10**9


def alarm(start: int, end: int, opened: int | None = None, channel: str | None = None) -> Event:
    opened = start if opened is None else opened
    channels = () if channel is None else ((channel, 1.0),)
    return Event("id", "", start, end, opened, None, None, 3.0, start, channels)


# --- without a limit ------------------------------------------------------------------------------------------------


def test_runs_of_labels() -> None:
    assert label_events([1, 0, 0, 1, 1, 0, 1]) == [(0, 1), (3, 5), (6, 7)]
    assert label_events([]) == label_events([0, 0]) == []


def test_average_precision_of_a_worked_example() -> None:
    pytest.importorskip("sklearn")
    # By rank: hit, miss, hit, miss: precision 1 and 2/3 at the hits.
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([1, 0, 1, 0], np.ones(4)) == 0.5
    assert math.isnan(average_precision([0, 0], [1, 2]))


def test_the_area_under_roc_counts_pairs_in_order() -> None:
    pytest.importorskip("sklearn")
    assert roc_auc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(3 / 4)
    assert roc_auc([1, 0, 1, 0], np.ones(4)) == 0.5
    assert math.isnan(roc_auc([1, 1], [1, 2]))


@pytest.mark.parametrize("measure", [average_precision, roc_auc])
def test_rows_without_a_score_rank_last(measure: object) -> None:
    pytest.importorskip("sklearn")
    assert callable(measure)
    assert measure([0, 1, 0, 1], [math.nan, 0.9, 0.2, 0.8]) == 1
    assert measure([1, 0, 1], [math.nan] * 3) == measure([1, 0, 1], np.ones(3))
    with pytest.raises(InvalidArgument, match="one length"):
        measure([0, 1], [0.5])
    with pytest.raises(InvalidArgument, match="row 1 is infinite"):
        measure([0, 1], [0.5, math.inf])


def slow_vus_pr(labels: npt.NDArray[np.uint8], scores: npt.NDArray[np.float64], buffer: int) -> float:
    """The definition, from cumulative sums over the sorted scores."""
    areas = []
    for width in range(buffer + 1):
        weight = labels.astype(float)
        if width > 1:
            for start, end in label_events(labels):
                for step in range(width // 2):
                    if end - 1 + step < labels.size:
                        weight[end - 1 + step] += math.sqrt(1 - step / width)
                for row in range(max(start - width // 2, 0), start):
                    weight[row] += math.sqrt(1 - (start - row) / width)
        weight = weight.clip(0, 1)
        ranges = label_events(weight > 0)
        total = (labels.sum() + weight.sum()) / 2
        falling = np.sort(scores)[::-1]
        recall, precision = [0.0], [1.0]
        for limit in falling[np.linspace(0, scores.size - 1, 250).astype(int)]:
            flags = scores >= limit
            found = float(weight[flags].sum())
            met = np.mean([scores[a:b].max() >= limit for a, b in ranges])
            recall.append(min(found / total, 1) * float(met))
            precision.append(found / flags.sum())
        areas.append(float(np.sum(np.diff(recall) * (np.array(precision[1:]) + precision[:-1]) / 2)))
    return float(np.mean(areas))


def test_vus_pr_equals_its_definition() -> None:
    pytest.importorskip("aeon")
    rng = np.random.default_rng(1)
    labels = np.zeros(300, np.uint8)
    labels[[40, 41, 42]] = 1
    labels[200:230] = 1
    for scores in (rng.random(300), rng.random(300) + labels, np.roll(labels, 3) + rng.random(300)):
        assert vus_pr(labels, scores, 12) == pytest.approx(slow_vus_pr(labels, scores, 12))


def test_vus_pr_prefers_a_near_miss_to_a_far_one() -> None:
    pytest.importorskip("aeon")
    labels = np.zeros(400, np.uint8)
    labels[100:120] = 1
    noise = np.random.default_rng(2).random(400) / 10
    exact, near, far = (vus_pr(labels, np.roll(labels, shift) + noise, 40) for shift in (0, 12, 150))
    assert 1 >= exact > near > far > 0


def test_vus_pr_without_a_ranking_is_the_labelled_share() -> None:
    pytest.importorskip("aeon")
    labels = np.array([0, 1, 0, 0], np.uint8)
    assert vus_pr(labels, np.ones(4), 5) == 0.25
    assert vus_pr(labels, np.full(4, math.nan), 5) == 0.25
    assert math.isnan(vus_pr(np.zeros(4), np.arange(4), 5))
    # A missing score must not reach the library, which would count it as an alarm at no limit.
    assert vus_pr([0, 0, 1, 1], [math.nan, 0.1, 0.8, 0.9], 0) == vus_pr([0, 0, 1, 1], [0.1, 0.1, 0.8, 0.9], 0)
    with pytest.raises(InvalidArgument, match="buffer of -1"):
        vus_pr(labels, np.arange(4), -1)


@pytest.mark.parametrize("period", [7, 24, 150])
def test_the_window_of_a_periodic_series_is_its_period(period: int) -> None:
    rows = np.arange(3000)
    wave = np.sin(2 * np.pi * rows / period) + 0.05 * np.random.default_rng(3).normal(size=3000)
    assert abs(period_window(wave) - period) <= 1
    wave[::50] = math.nan
    assert abs(period_window(wave) - period) <= 1


def test_a_series_without_a_period_gets_the_usual_window() -> None:
    assert period_window(np.ones(1000)) == 125
    assert period_window(np.linspace(0, 1, 1000)) == 125
    assert period_window(np.sin(2 * np.pi * np.arange(5000) / 390)) == 125  # longer than what is believed
    assert period_window([1.0]) == period_window([math.nan] * 9) == 125
    with pytest.raises(InvalidArgument, match="one row"):
        period_window(np.ones((5, 2)))


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


# --- SKAB -----------------------------------------------------------------------------------------------------------


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


# --- NAB ------------------------------------------------------------------------------------------------------------


def sigmoid(x: float) -> float:
    return 2 / (1 + math.exp(5 * x)) - 1


def slow_nab(files: list[tuple[list[float], list[int]]], hit: float, miss: float, false_positive: float) -> float:
    """Every limit in turn, every window by its earliest alarm."""
    windows = sum(len(label_events(labels)) for _, labels in files)
    best = -math.inf
    for limit in [math.inf, *{score for scores, _ in files for score in scores if not math.isnan(score)}]:
        total = 0.0
        for scores, labels in files:
            runs = label_events(labels)
            alarms = [row for row, score in enumerate(scores) if score >= limit]
            for start, end in runs:
                inside = [row for row in alarms if start <= row < end]
                total += hit * sigmoid(-(end - inside[0]) / (end - start)) / sigmoid(-1) if inside else -miss
            for row in alarms:
                if labels[row]:
                    continue
                before = [(start, end) for start, end in runs if end <= row]
                if not before:
                    total -= false_positive
                else:
                    start, end = before[-1]
                    x = (row - (end - 1)) / max(end - start - 1, 1)
                    total += false_positive * (-1 if x >= 3 else sigmoid(x))
        best = max(best, total)
    return 100 * (best + windows * miss) / (windows * (hit + miss))


@settings(deadline=None)
@given(
    files=st.lists(
        st.lists(
            st.tuples(st.sampled_from([0.1, 0.2, 0.4, 0.7, 0.9, math.nan]), st.sampled_from([0, 0, 1])),
            min_size=1,
            max_size=25,
        ),
        min_size=1,
        max_size=3,
    ),
    profile=st.sampled_from(["standard", "low_fp", "low_fn"]),
)
def test_nabs_sweep_equals_every_limit_in_turn(files: list[list[tuple[float, int]]], profile: str) -> None:
    files[0].append((0.3, 1))
    corpus = [([row[0] for row in rows], [row[1] for row in rows]) for rows in files]
    weights = {"standard": (1, 1, 0.11), "low_fp": (1, 1, 0.22), "low_fn": (1, 2, 0.11)}[profile]
    assert nab_score(corpus, profile).score == pytest.approx(slow_nab(corpus, *weights))  # type: ignore[arg-type]


def nab_file(
    rows: int = 200, window: tuple[int, int] = (100, 120)
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    labels = np.zeros(rows, np.uint8)
    labels[slice(*window)] = 1
    return np.zeros(rows), labels


@pytest.mark.parametrize("profile", ["standard", "low_fp", "low_fn"])
def test_nab_gives_a_perfect_detector_a_hundred_and_a_silent_one_nothing(profile: str) -> None:
    scores, labels = nab_file()
    silent = nab_score([(np.full(200, math.nan), labels)], profile)  # type: ignore[arg-type]
    assert (silent.score, silent.threshold, silent.found, silent.false_alarms) == (0, math.inf, 0, 0)
    scores[100] = 1
    perfect = nab_score([(scores, labels)], profile)  # type: ignore[arg-type]
    assert perfect.score == pytest.approx(100)
    assert (perfect.threshold, perfect.windows, perfect.found, perfect.false_alarms) == (1.0, 1, 1, 0)


def test_nab_rewards_early_alarms_and_forgives_near_misses() -> None:
    def score(*alarms: int) -> float:
        scores, labels = nab_file()
        scores[list(alarms)] = 1
        return nab_score([(scores, labels)]).score

    # Row 110 has 10 rows left of 20, the row itself among them.
    assert score(110) == pytest.approx(100 * (sigmoid(-0.5) / sigmoid(-1) + 1) / 2)
    assert score(110, 115) == score(110)
    # 19 rows after the last one is one width less a row.
    assert score(100, 138) == pytest.approx(100 * (1 + 0.11 * sigmoid(1) + 1) / 2)
    assert score(100, 121) > score(100, 138) > score(100, 190) == score(100, 20)
    assert score(100, 20) == pytest.approx(100 * (1 - 0.11 + 1) / 2)


def test_nab_takes_one_limit_for_the_whole_corpus() -> None:
    (loud, labels), (quiet, _) = nab_file(), nab_file()
    loud[100], quiet[100], quiet[20], loud[20:60] = 0.9, 0.5, 0.6, 0.4
    found = nab_score([(loud, labels), (quiet, labels)])
    # At 0.5 both windows are met, for one false alarm; the forty at 0.4 are not worth it.
    assert found.threshold == 0.5
    assert (found.windows, found.found, found.false_alarms) == (2, 2, 1)
    assert found.score == pytest.approx(100 * (2 - 0.11 + 2) / 4)


def test_nab_does_not_score_the_probationary_rows() -> None:
    scores, labels = nab_file()
    scores[[10, 100]] = 1
    assert nab_score([(scores, labels)]).score < 100
    assert nab_score([(scores, labels)], probation=[30]).score == pytest.approx(100)
    assert nab_score([(scores[30:], labels[30:])]).score == pytest.approx(100)
    assert [nab_probation(rows) for rows in (99, 4032, 5000, 22695)] == [14, 604, 750, 750]


def test_nab_refuses_what_makes_no_sense() -> None:
    scores, labels = nab_file()
    assert math.isnan(nab_score([(scores, labels * 0)]).score)
    with pytest.raises(InvalidArgument, match="low_fp"):
        nab_score([(scores, labels)], "reward_low_fp")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="as many"):
        nab_score([(scores, labels)], probation=[1, 2])
    with pytest.raises(InvalidArgument, match="one length"):
        nab_score([(scores[1:], labels)])
