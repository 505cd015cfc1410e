"""Faults among training rows that should be normal: found, named, left out; normal bursts are none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from aez.codec.detect.events import find_events
from aez.export import SeriesDetector
from aez.export.series.data.suspects import find_suspects

Array = np.ndarray[Any, np.dtype[Any]]


def plant(n: int, seed: int) -> Array:
    """Six sensors of two rhythms, and noise."""
    rng = np.random.default_rng(seed)
    waves = np.sin(2 * np.pi * np.arange(n)[:, None] / [24, 11] + [0, 1])
    return waves @ np.random.default_rng(7).normal(size=(2, 6)) + 0.15 * rng.normal(size=(n, 6))


def spoil(rows: Array, start: int, kind: int, rng: np.random.Generator) -> slice:
    """One event of 20 to 60 rows in two sensors: a shift, noise, a rest, a mirror image, or a drift."""
    where = slice(start, start + int(rng.integers(20, 60)))
    some = rng.choice(6, 2, replace=False)
    part, width = rows[where, some], rows.std(axis=0)[some]
    rows[where, some] = (
        part + 2.5 * width,
        part + 1.5 * width * rng.normal(size=part.shape),
        np.broadcast_to(part[0] + 2 * width, part.shape),
        -1.5 * part,
        part + np.linspace(0, 4, len(part))[:, None] * width,
    )[kind]
    return where


def contaminated(share: float, seed: int = 0, n: int = 6000) -> tuple[Array, Array]:
    """(Rows of which about a share lies in events, which do)."""
    rng = np.random.default_rng(seed)
    rows, bad = plant(n, seed), np.zeros(n, bool)
    while bad.mean() < share:
        start = int(rng.integers(100, n - 100))
        if not bad[start : start + 60].any():
            bad[spoil(rows, start, int(rng.integers(5)), rng)] = True
    return rows, bad


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.05, 0.1])
def test_eight_events_are_found_whatever_share_of_the_training_rows_is_spoiled(share: float) -> None:
    rows, _ = contaminated(share)
    rng, test = np.random.default_rng(5), plant(6000, 99)
    events = [spoil(test, 300 + 700 * number, number % 5, rng) for number in range(8)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector = SeriesDetector(window=24).fit(rows)
    said = [str(one.message) for one in caught if "seem to hold faults" in str(one.message)]
    assert len(said) == bool(share)
    assert not said or "of the rows stand out from the others and were left out of what is normal" in said[0]
    alarms = find_events(detector.anomaly_score(test))
    assert all(any(one.start < event.stop and one.end > event.start for one in alarms) for event in events)
    near = np.zeros(len(test), bool)
    for event in events:
        near[event.start : event.stop + 24] = True
    assert sum(not near[one.start : one.end].any() for one in alarms) <= 1


def test_what_is_suspected_lies_about_the_events_and_nowhere_else() -> None:
    rows, bad = contaminated(0.05)
    (spans,) = find_suspects([rows.astype(np.float32)], 24, [()])
    flags = np.zeros(len(rows), bool)
    for start, end in spans:
        flags[start:end] = True
    assert flags[bad].mean() > 0.9
    assert flags.mean() < 0.12
    assert all(bad[start - 16 : end + 16].any() for start, end in spans)


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
