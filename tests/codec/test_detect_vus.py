"""The fast VUS-PR equals aeon's, which compares all rows with every limit for every width."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aez.codec import detect_metrics
from aez.codec.detect_vus import vus_pr
from aez.codec.errors import InvalidArgument


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 400),
    events=st.integers(1, 6),
    buffer=st.integers(0, 20),
    levels=st.sampled_from([2, 5, 10**9]),
)
def test_it_equals_aeons(seed: int, rows: int, events: int, buffer: int, levels: int) -> None:
    pytest.importorskip("aeon")
    rng = np.random.default_rng(seed)
    labels = np.zeros(rows, np.uint8)
    for start in rng.integers(0, rows, events):
        labels[start : start + rng.integers(1, 30)] = 1
    assume(not labels.all())  # aeon divides by the number of the others
    scores = rng.integers(0, levels, rows) / levels + rng.choice([0.0, 0.3]) * labels  # few levels: many equal scores
    assert vus_pr(labels, scores, buffer) == pytest.approx(detect_metrics.vus_pr(labels, scores, buffer), abs=1e-12)


def test_it_equals_aeons_where_scores_are_missing_and_buffers_are_wider_than_gaps() -> None:
    pytest.importorskip("aeon")
    labels = np.zeros(500, np.uint8)
    labels[[0, 1, 100, 110, 111, 498, 499]] = 1
    scores = np.random.default_rng(3).random(500)
    scores[::7] = math.nan
    assert vus_pr(labels, scores, 60) == pytest.approx(detect_metrics.vus_pr(labels, scores, 60), abs=1e-12)


def test_without_a_ranking_it_is_the_labelled_share() -> None:
    assert vus_pr([0, 1, 0, 0], np.ones(4), 5) == 0.25
    assert vus_pr([0, 1, 0, 0], np.full(4, math.nan), 5) == 0.25
    assert math.isnan(vus_pr(np.zeros(4), np.arange(4), 5))
    assert vus_pr(np.ones(4), np.arange(4), 5) == 1


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="one length"):
        vus_pr([0, 1], [0.5], 3)
    with pytest.raises(InvalidArgument, match="row 1 is infinite"):
        vus_pr([0, 1], [0.5, math.inf], 3)
    with pytest.raises(InvalidArgument, match="buffer of -1"):
        vus_pr([0, 1], [0.5, 1], -1)
