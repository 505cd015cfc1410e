"""Channels that are sent on change only: their last values stand for a while, in whatever pieces rows come."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.watched import Watched
from aez.daemon.shadow.candidate import Candidate
from aez.daemon.shadow.figures import Comparison
from aez.daemon.signals.rules import Figures, SignalRules
from tests.kit.engine_models import CHANNELS, PERIOD, RULE, SECOND, START, Magnitude, bursts, interleaved, samples, take

FIGURES = Figures(rest=(1, 1), absence=(0, 0), ranges=((-4, 4), (-4, 4)))
RULES = SignalRules(CHANNELS, FIGURES, hold={"heat": 20})
MINUTE = PERIOD * SECOND


def engine(rules: SignalRules, **settings: Any) -> Engine:
    return Engine([Watched("plant", Magnitude(), signals=rules, **settings)], clock=lambda: START)


def on_change(values: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """What a sender with a dead band, and a word every 15 rows, gives of the second channel; and its last values."""
    sent, known = values.copy(), values.copy()
    for row in range(1, len(values)):
        if row % 15 and abs(values[row, 1] - known[row - 1, 1]) < least:
            sent[row, 1], known[row, 1] = np.nan, known[row - 1, 1]
    return sent, known


def steps(records: list[EventRecord]) -> list[tuple[str, int, list[str]]]:
    return [
        (one.action, (one.time - START) // MINUTE, [each["name"] for each in one.event["channels"]]) for one in records
    ]


def test_a_channel_that_is_sent_on_change_is_scored_as_if_it_came_each_time() -> None:
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (200, 2))
    values[:, 1] = np.round(np.cumsum(values[:, 1]) / 40, 2)
    values[100:104, 1] += 6
    sent, known = on_change(values, 0.05)
    assert np.isnan(sent[:, 1]).sum() > 100
    plain = engine(replace(RULES, hold={}, stuck={"heat": np.inf}))
    wanted = plain.process([samples(known)]) + plain.settle()
    assert {one.action for one in wanted} == {"open", "update", "close"}
    some = engine(RULES)
    assert some.process([samples(sent)]) + some.flush(0) == wanted
    without = engine(replace(RULES, hold={}))
    found = without.process([samples(sent)]) + without.flush(0)
    assert {one.action for one in found} == {"missing", "present"}  # and the event is nobody's


def test_it_is_missing_once_its_last_value_holds_no_more_and_never_stuck_unless_that_is_asked_for() -> None:
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (90, 2))
    values[10:40, 1] = 0.5
    values[50:80, 1] = np.nan
    some = engine(RULES)
    records = some.process([samples(values)]) + some.flush(0)
    assert steps(records) == [("missing", 70, ["heat"]), ("present", 80, ["heat"])]
    some = engine(replace(RULES, stuck={"*": 8}, missing={"heat": 3}))
    records = some.process([samples(values)]) + some.flush(0)
    assert steps(records)[:3] == [("stuck", 18, ["heat"]), ("moving", 40, ["heat"]), ("missing", 53, ["heat"])]


def test_rows_that_do_not_come_because_nothing_changed_are_scored_with_what_holds() -> None:
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (60, 2))
    slots = np.array([*range(20), 31, 52, *range(70, 108)])
    seen: list[ScoredRows] = []
    some = Engine(
        [Watched("plant", Magnitude(), signals=replace(RULES, hold={"*": 15}))],
        clock=lambda: START,
        listener=seen.append,
    )
    some.process([samples(values, slots)])
    some.flush(0)
    rows = np.concatenate([one.rows.values for one in seen])
    time = np.concatenate([one.rows.time for one in seen])
    found = dict(zip(((time - START) // MINUTE).tolist(), rows.tolist(), strict=True))
    assert found[30] == found[19] == np.float32(values[19]).tolist()
    assert found[46] == found[31]
    assert 47 not in found
    assert max(found) == 107
    assert some.lost() == {}  # gaps are no loss where nothing is sent


@pytest.mark.parametrize("seed", range(6))
def test_cuts_and_restarts_change_nothing(seed: int) -> None:
    dice = np.random.default_rng(seed)
    by_stream = {name: bursts(200, seed=2 * seed + at, missing=0.4) for at, name in enumerate("ab")}
    whole = interleaved(by_stream)
    rules = replace(RULES, hold={"*": float(dice.integers(1, 9))})
    period = dice.choice([0.0, float(PERIOD)])
    wanted = engine(rules, period=period).process([whole])
    some, records, states = engine(rules, period=period), [], {}
    for start, end in pairwise(sorted({0, len(whole), *dice.integers(0, len(whole), 12).tolist()})):
        records += some.process([take(whole, start, end)])
        if dice.random() < 0.4:
            records += some.settle()
            states.update(some.touched())
            some = engine(rules, period=period)
            some.restore_all((name, state, 0.0) for name, state in states.items())
    records += some.settle()

    def key(one: EventRecord) -> tuple[str, str, int]:
        return one.stream, one.id, one.sequence

    assert sorted(records, key=key) == sorted(wanted, key=key)
    assert "open" in {one.action for one in wanted}


def test_a_state_without_what_holds_or_with_another_shape_is_gone_on_from_or_refused() -> None:
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 2))
    before = engine(replace(RULES, hold={}))
    before.process([samples(values)])
    before.settle()
    state = before.touched()["a"]
    assert engine(RULES).restore("a", state) == ""
    held = engine(RULES)
    held.process([samples(values)])
    held.settle()
    state = held.touched()["a"]
    assert engine(replace(RULES, hold={})).restore("a", state) == ""
    assert "hold" in engine(replace(RULES, hold={"*": 20})).restore("a", state)


def test_a_candidate_gets_what_holds_and_no_more() -> None:
    watched = Watched("plant", Magnitude(), signals=RULES)
    candidate = Candidate(watched, Magnitude(name="other"), RULE, Comparison(0), RULES)
    seen: list[ScoredRows] = []
    some = Engine([watched], clock=lambda: START, listener=seen.append)
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (80, 2))
    values[20:60, 1] = np.nan
    some.process([samples(values)])
    some.flush(0)
    for one in seen:
        candidate.take(one)
    model = np.concatenate([one.score for one in seen])
    assert np.isfinite(model[10:]).all()
    assert candidate.comparison.rows == np.isfinite(model).sum()
    assert np.isnan(np.concatenate([one.rows.values for one in seen])[40:60, 1]).all()


def test_what_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="hold names channel 'cold'"):
        SignalRules(CHANNELS, hold={"cold": 3})
    assert SignalRules(CHANNELS, hold={"heat": 0, "*": 7}).holds().tolist() == [7, 0]
