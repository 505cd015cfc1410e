"""NAB's score: its fixed points, worked examples, and every limit in turn."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.bench.detect.metrics import label_events
from aez.bench.detect.nab import nab_probation, nab_score
from aez.codec.errors import InvalidArgument


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
