"""A period of so many rows is found without a clock, where rows can be told a period ahead, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.detect.detector import Detector
from aez.export.series.seasons.cycles import find_cycle
from aez.export.series.train import DetectorConfig, fit_detector, make_bundle
from tests.kit.cycles import BINS, cycling, fitted_cycle, without_knock

Floats = NDArray[np.float64]


def bins_of(values: Floats) -> int | None:
    """The period that is found in values [time, channels]."""
    rows = values.astype(np.float32)
    found = find_cycle([rows], np.ones(rows.shape[1], bool))
    return None if found is None else found.bins


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(fitted_cycle(tmp_path_factory.mktemp("cycle")), "press", "periods")


def test_a_period_is_found_beside_noise_and_a_trend() -> None:
    values = cycling(40 * BINS).values
    assert bins_of(values) == BINS
    noise = np.random.default_rng(1).normal(size=values.shape)
    assert bins_of(np.concatenate([values + np.linspace(0, 3, len(values))[:, None], noise], axis=1)) == BINS
    assert bins_of(values[: 8 * BINS]) is None  # too few of them


def test_what_cannot_be_told_a_period_ahead_has_none() -> None:
    for seed in range(2):
        drawn = np.random.default_rng(seed).normal(size=2400)
        wandering, before, last = np.empty(2400), 0.0, 0.0
        for row in range(2400):  # a wave of about 40 rows whose phase is lost within some of them
            before, last = 2 * 0.95 * np.cos(2 * np.pi / 40) * before - 0.95**2 * last + drawn[row], before
            wandering[row] = before
        for other in (drawn, np.cumsum(drawn), wandering, np.linspace(0, 20, 2400) + drawn):
            assert bins_of(other[:, None]) is None


def test_a_model_knows_the_phase_of_a_file_that_begins_anywhere(bundle: Bundle) -> None:
    detector = Detector(bundle, "cpu", 1)
    assert detector.seasons is not None
    assert detector.seasons.cycle == BINS
    assert detector.window <= 4
    for begin, late in ((0.0, 0.0), (0.37, 0.0), (0.8, 0.01)):
        test = without_knock(cycling(20 * BINS, begin, seed=5, late=late), 10 * BINS)
        score = detector.score(test).score
        wrong = np.zeros(len(test), bool)
        wrong[10 * BINS : 11 * BINS] = True
        # What follows within a period is held against what was wrong, too.
        assert (score[wrong] > 1).mean() > 0.4
        assert (score[: 10 * BINS] > 1).mean() < 0.02
        assert (score[12 * BINS :] > 1).mean() < 0.02


def test_pieces_of_a_file_get_the_scores_of_the_whole(bundle: Bundle) -> None:
    detector = Detector(bundle, "cpu", 1)
    test = cycling(6 * BINS, 0.6, seed=7)
    whole = detector.score(test).score
    cuts = [0, 5, 60, 61, len(test)]
    pieces = [replace(test, values=test.values[a:b]) for a, b in pairwise(cuts)]
    parts = [one.score for one in detector.score_batches(pieces)]
    np.testing.assert_allclose(np.concatenate(parts)[-len(whole) :], whole, rtol=1e-5)


def test_none_is_looked_for_where_seasons_are_none(tmp_path: Path) -> None:
    fitted = fit_detector([cycling(40 * BINS)], DetectorConfig(seasons="none"), tmp_path)
    assert fitted.seasons is None
    assert fitted.graph.window == BINS
