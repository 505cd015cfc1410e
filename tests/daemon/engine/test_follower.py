"""A follower that gets many rows at once tells what one tells that gets them one by one."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aez.codec.detect.events import EventRule, EventTracker
from aez.daemon.alarms.habits import Habits
from aez.daemon.alarms.witness import Witness
from aez.daemon.engine.follower import Follower, Seen

CHANNELS = ("flow", "heat", "valve")
SECOND = 10**9
HABITS = {
    "plain": Habits(),
    "tells often": Habits(reopen_within=12 * SECOND, growth=1.2),
    "knows levels": Habits(reopen_within=20 * SECOND, changed_after=40 * SECOND, repeats=2),
}


def scores_of(rng: np.random.Generator, count: int) -> np.ndarray:
    """Stretches that are quiet, loud, severe, or without a score."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < count:
        length, kind = int(rng.integers(1, 60)), rng.choice(["quiet", "loud", "flat", "severe", "none"])
        part = {
            "quiet": rng.uniform(0, 1, length),
            "loud": rng.uniform(1.01, 2.5, length),
            "flat": np.full(length, 1.5),
            "severe": rng.uniform(0.9, 8, length),
            "none": np.full(min(length, 4), np.nan),
        }[kind]
        parts.append(part)
    return np.concatenate(parts)[:count].astype(np.float32)


def follower(habits: Habits, witness: Witness, every: int) -> Follower:
    rule = EventRule(open_after=3, close_after=5, merge_within=0, min_length=2)
    return Follower(EventTracker(rule, CHANNELS, "pump", "model"), "plant", every, habits, witness)


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.parametrize("every", [1, 7, 60])
@pytest.mark.parametrize("seed", range(6))
def test_rows_at_once_are_rows_one_by_one(name: str, every: int, seed: int) -> None:
    rng, count, window = np.random.default_rng(seed), 600, 4
    scores = scores_of(rng, count)
    blame = rng.normal(size=(count, 3)).astype(np.float32)
    joined = rng.normal(size=(count + window - 1, 3)).astype(np.float32)
    times, rows = np.arange(count) * SECOND, np.arange(count)
    model = SimpleNamespace(channels=CHANNELS, ranges=((-1, 1),) * 3)
    told: list[Any] = []
    for cuts in ([0, count], [0, *np.sort(rng.integers(1, count, 9)).tolist(), count], list(range(count + 1))):
        witness = Witness(model)
        one, records = follower(HABITS[name], witness, every), []
        for start, end in pairwise(cuts):
            part = slice(start, end)
            seen = Seen(joined, rows[part], window, None, SECOND)
            records += one.update(rows[part], scores[part], blame[part], times[part], seen)
            witness.settle()
        told.append([[vars(record) for record in records], json.loads(json.dumps(one.state()))])
    assert len(told[0][0]) > 5
    assert told[0] == told[1] == told[2]
