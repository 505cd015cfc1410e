"""Faults among training rows that should be normal: found, named, left out; normal bursts are none."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pytest

from aez.export import SeriesDetector
from aez.export.series.data.suspects import find_suspects
from tests.kit.places import SAMPLES

_spec = importlib.util.spec_from_file_location("contamination", SAMPLES / "contamination.py")
assert _spec is not None
assert _spec.loader is not None
sample = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sample)
contaminated, plant = sample.contaminated, sample.plant


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.05, 0.1])
def test_eight_events_are_found_whatever_share_of_the_training_rows_is_spoiled(share: float) -> None:
    rows, _ = contaminated(share)
    test, events = sample.watched()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector = SeriesDetector(window=24).fit(rows)
    said = [str(one.message) for one in caught if "seem to hold faults" in str(one.message)]
    assert len(said) == bool(share)
    assert not said or "of the rows stand out from the others and were left out of what is normal" in said[0]
    found, false = sample.judged(detector, test, events)
    assert found == len(events) == 8
    assert false <= 1


def test_what_is_suspected_lies_about_the_events_and_nowhere_else() -> None:
    rows, bad = contaminated(0.05)
    (spans,) = find_suspects([rows.astype(np.float32)], 24, [()])
    flags = np.zeros(len(rows), bool)
    for start, end in spans:
        flags[start:end] = True
    assert flags[bad].mean() > 0.9
    assert flags.mean() < 0.12
    assert all(bad[start - 16 : end + 16].any() for start, end in spans)


def test_most_of_a_tenth_is_suspected_where_much_of_it_is_learned_at_first() -> None:
    rows, bad = contaminated(0.1, 1, sample.wandering)
    (spans,) = find_suspects([rows.astype(np.float32)], 24, [()])
    flags = np.zeros(len(rows), bool)
    for start, end in spans:
        flags[start:end] = True
    assert flags[bad].mean() > 0.8  # a quarter, with one bound for all rounds
    assert flags[~bad].mean() < 0.1
    assert find_suspects([sample.wandering(6000, 1).astype(np.float32)], 24, [()]) == [[]]


@pytest.mark.parametrize("seed", range(3))
def test_normal_noise_bursts_of_busy_servers_and_two_ways_of_being_normal_are_not_suspected(seed: int) -> None:
    rng = np.random.default_rng(seed)
    busy = np.exp(rng.normal(size=(4000, 1)).repeat(6, axis=1) * 0.8 + rng.normal(size=(4000, 6)))
    two = plant(4000, seed)
    two[1500:] += 4 * two.std(axis=0)
    for rows in (plant(4000, seed), busy, rng.standard_t(3, size=(4000, 4)), two):
        assert find_suspects([rows.astype(np.float32)], 24, [()]) == [[]]


def test_without_robust_nothing_is_left_out_and_little_data_are_not_judged() -> None:
    rows, _ = contaminated(0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SeriesDetector(window=24, robust=False).fit(rows)
    assert find_suspects([rows[:100].astype(np.float32)], 24, [()]) == [[]]
    assert find_suspects([np.full((500, 2), np.nan, np.float32)], 8, [()]) == [[]]
