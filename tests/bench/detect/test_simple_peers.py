"""Peers that anybody would write: what each of them sees, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from aez.bench.detect.data import Case
from aez.bench.detect.simple_peers import (
    SIMPLE_PEERS,
    Deviation,
    KMeans,
    LargestStep,
    NearestNeighbour,
    RowNumber,
    SeasonalResidual,
    season_phases,
)

RNG = np.random.default_rng(0)
HOUR = 3600 * 10**9


@pytest.mark.parametrize("name", SIMPLE_PEERS)
def test_each_gives_every_row_a_finite_score_whatever_is_missing(name: str) -> None:
    train, test = RNG.normal(size=(300, 3)), RNG.normal(size=(100, 3))
    train[:, 2] = 5.0  # constant
    train[10:20, 0] = test[30:40, 1] = np.nan
    scores = SIMPLE_PEERS[name]().fit(train).score(test)
    assert scores.shape == (100,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("peer", [KMeans, NearestNeighbour])
def test_windows_far_from_all_of_training_score_high(peer: type[KMeans] | type[NearestNeighbour]) -> None:
    wave = np.sin(np.arange(2000) / 5)[:, None]
    test = wave[:400].copy()
    test[200:240] = 0  # within the range: a single row says nothing
    scores = peer(window=20).fit(wave).score(test)
    assert 200 < np.argmax(scores) < 260
    assert scores[210:240].min() > 2 * scores[40:190].max()


def test_the_nearest_neighbour_of_a_training_window_is_itself() -> None:
    rows = RNG.normal(size=(120, 2))
    scores = NearestNeighbour(window=8).fit(rows).score(rows)
    np.testing.assert_allclose(scores[7:], 0, atol=1e-6)


def test_one_liners_are_what_they_say() -> None:
    train = np.array([[0.0, 10], [2, 30], [0, 10], [2, 30]])  # mean 1 and 20, deviation 1 and 10
    np.testing.assert_allclose(Deviation().fit(train).score([[4, 20], [1, 0]]), [1.5, 1.0])
    np.testing.assert_allclose(RowNumber().fit(train).score(np.zeros((3, 2))), [0, 1, 2])
    steps = LargestStep().fit(train).score([[0, 10], [0, 10], [2, 10]])
    assert steps[0] == steps[1] == 0 < steps[2]


def hourly(days: int) -> Case:
    """Busy from 8 to 18 on weekdays; in the test one such day on a Sunday, which is the 5th."""
    hours = np.arange(days * 24)
    weekday = (hours // 24) % 7 < 5
    values = np.where(weekday & (hours % 24 >= 8) & (hours % 24 < 18), 10.0, 1.0) + 0.1 * RNG.normal(size=hours.size)
    cut = (days - 14) * 24
    test, labels = values[cut:].copy(), np.zeros(14 * 24, np.uint8)
    sunday = 13 * 24
    test[sunday + 8 : sunday + 18] = 10
    labels[sunday + 8 : sunday + 18] = 1
    time = hours * HOUR
    return Case(
        "shop", values[:cut, None], test[:, None], labels, None, None, 3600.0, ("sales",), time[cut:], time[:cut]
    )


def test_the_seasonal_residual_knows_the_day_of_the_week() -> None:
    case = hourly(56)
    phases = season_phases(case)
    assert phases is not None
    assert (len(phases), phases.max()) == (56 * 24, 167)
    scores = SeasonalResidual(phases).fit(case.train).score(case.test)
    assert scores[case.labels == 1].min() > 5 * scores[case.labels == 0].max()
    flat = SeasonalResidual().fit(case.train).score(case.test)
    assert flat[case.labels == 1].max() <= flat[case.labels == 0].max()


def test_a_season_needs_to_come_again_and_again() -> None:
    assert season_phases(hourly(16)) is None  # two days to learn from
    case = hourly(30)  # sixteen days: a day, but no week
    phases = season_phases(case)
    assert phases is not None
    assert phases.max() == 23
    unclocked = Case("x", case.train, case.test, case.labels, None, None, None, ("a",))
    assert season_phases(unclocked) is None
