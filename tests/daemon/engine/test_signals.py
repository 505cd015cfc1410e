"""Signals that stop, through the engine: events, what the score does without them, restarts, and own absence."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from aez.daemon.alarms.habits import Habits
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.watched import Watched
from aez.daemon.signals.rules import Figures, SignalRules
from tests.kit.engine_models import CHANNELS, PERIOD, SECOND, START, Magnitude, bursts, interleaved, samples, take

RULES = SignalRules(CHANNELS, Figures(rest=(1, 1), absence=(0, 0), ranges=((-4, 4), (-4, 4))))
MINUTE = PERIOD * SECOND


def engine(rules: SignalRules | None = RULES, **settings: Any) -> Engine:
    return Engine([Watched("plant", Magnitude(), signals=rules, **settings)], clock=lambda: START)


def noise(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.8, 0.8, (rows, len(CHANNELS)))


def steps(records: list[EventRecord]) -> list[tuple[str, int, list[str]]]:
    """(Action, minute, channels)."""
    return [
        (one.action, (one.time - START) // MINUTE, [each["name"] for each in one.event["channels"]]) for one in records
    ]


def test_a_channel_that_is_absent_renamed_or_no_reading_is_one_event_and_ends() -> None:
    for how in ("null", "sentinel", "renamed"):
        values = noise(40)
        parts = [samples(values)]
        if how == "renamed":
            other = replace(samples(values), columns=("flow", "hot"))
            parts = [take(samples(values), 0, 10), take(other, 10, 30), take(samples(values), 30, 40)]
        else:
            values[10:30, 1] = np.nan if how == "null" else -999
            parts = [samples(values)]
        some = engine()
        records = some.process(parts) + some.flush(0)
        assert steps(records) == [("missing", 15, ["heat"]), ("present", 30, ["heat"])], how
        found, over = records
        assert (found.sequence, over.sequence, found.id == over.id) == (0, 1, True)
        assert found.event["start_time"] == START + 10 * MINUTE
        assert (found.event["start"], over.event["start"], over.event["end"]) == (10, 10, 30)
        assert over.event["end_time"] == START + 30 * MINUTE
        assert found.event["cause"] == ("no reading comes" if how == "sentinel" else "no value comes")


@pytest.mark.parametrize("step", [1, 7, 60])
def test_rows_that_come_without_any_value_make_their_channels_missing_and_rows_that_do_not_come_none(step: int) -> None:
    values = noise(60)
    values[20:45] = np.nan
    some = engine()
    records = [one for at in range(0, 60, step) for one in some.process([take(samples(values), at, at + step)])]
    assert sorted(steps(records)) == [
        ("missing", 25, ["flow"]),
        ("missing", 25, ["heat"]),
        ("present", 45, ["flow"]),
        ("present", 45, ["heat"]),
    ]
    assert len({one.event["began_with"] for one in records}) == 1
    some = engine()
    records = some.process([take(samples(values), 0, 20)])
    for at in range(45, 60, step):
        records += some.process([take(samples(values), at, min(60, at + step))])
    assert records == []
    assert some.stats()["gap_rows"] > 0


def test_what_stands_still_is_left_out_of_the_score_and_joins_the_incident() -> None:
    values = noise(60)
    values[20:45, 0] = 3.9  # loud: the score's event opens first
    records = [one for one in engine().process([samples(values)]) if one.action != "update"]
    assert [one.action for one in records] == ["open", "stuck", "close", "moving"]
    opened, stuck, closed, moving = records
    assert stuck.event["began_with"] == opened.id == moving.event["began_with"]
    assert stuck.event["value"] == pytest.approx(3.9)
    assert "began_with" not in opened.event
    assert (closed.time - START) // MINUTE < 32  # it is quiet without the channel, though that still stands at 3.9
    assert steps(records)[-1] == ("moving", 45, ["flow"])


def test_an_event_of_the_score_that_opens_while_a_signal_is_stopped_joins_it() -> None:
    values = noise(60)
    values[20:50, 0] = np.nan
    values[30:38, 1] *= 20
    records = engine().process([samples(values)])
    assert [one.action for one in records if one.action != "update"] == ["missing", "open", "close", "present"]
    assert {one.event["began_with"] for one in records} == {records[0].id}


def test_a_frozen_gateway_is_one_event() -> None:
    values = noise(60)
    values[20:50] = values[19]
    records = engine().process([samples(values)])
    assert steps(records) == [("stuck", 25, list(CHANNELS)), ("moving", 50, list(CHANNELS))]
    assert records[0].event["severity"] == "serious"


@pytest.mark.parametrize("cut", [1, 60])
def test_a_gateway_that_sends_nothing_but_nulls_misses_all_its_channels(cut: int) -> None:
    values = noise(60)
    values[20:50] = np.nan
    some, whole = engine(), samples(values)
    records = [one for at in range(0, 60, cut) for one in some.process([take(whole, at, at + cut)])]
    assert sorted(steps(records)) == [
        ("missing", 25, ["flow"]),
        ("missing", 25, ["heat"]),
        ("present", 50, ["flow"]),
        ("present", 50, ["heat"]),
    ]
    # Rows that nobody sent are nobody's.
    slots = np.flatnonzero(~np.isnan(values[:, 0]))
    assert engine().process([samples(values[slots], slots)]) == []


def test_nothing_of_it_where_it_is_not_asked_for() -> None:
    values = noise(60)
    values[20:50] = values[19]
    values[10:15, 0] = np.nan
    assert engine(None).process([samples(values)]) == []


@pytest.mark.parametrize("seed", range(12))
def test_cuts_and_restarts_change_nothing(seed: int) -> None:
    dice = np.random.default_rng(seed)
    rows = 250
    by_stream = {}
    for name in ("a", "b"):
        values = bursts(rows, seed=seed + len(by_stream), missing=0.02)
        for _ in range(5):
            start, length = dice.integers(0, rows - 40), dice.integers(1, 40)
            where = (slice(start, start + length), dice.choice([0, 1]))
            if dice.random() < 0.3:
                where = (where[0], slice(None))
            values[where] = dice.choice([0.3, 3.7, np.nan, -999])
        by_stream[name] = values
    whole = interleaved(by_stream)
    learned = replace(RULES, figures=Figures(ranges=RULES.figures.ranges), learn=int(dice.choice([30, 100])))
    rules = RULES if dice.random() < 0.6 else learned
    habits = Habits(int(dice.choice([0, 10, 30])) * MINUTE, repeats=int(dice.choice([0, 2])))
    wanted = engine(rules, habits=habits).process([whole])
    cuts = sorted({0, len(whole), *dice.integers(0, len(whole), 12).tolist()})
    some, records, states = engine(rules, habits=habits), [], {}
    for start, end in pairwise(cuts):
        records += some.process([take(whole, start, end)], ahead=bool(dice.integers(2)))
        if dice.random() < 0.4:
            records += some.settle()
            states.update(some.touched())
            some = engine(rules, habits=habits)
            some.restore_all((name, state, 0.0) for name, state in states.items())
    records += some.settle()

    def key(one: EventRecord) -> tuple[str, str, int]:
        return one.stream, one.id, one.sequence

    assert sorted(records, key=key) == sorted(wanted, key=key)
    assert {one.action for one in wanted} & {"missing", "stuck"}


def actions(records: list[EventRecord]) -> list[tuple[str, int, int]]:
    """(Action, sequence, minute)."""
    return [(one.action, one.sequence, (one.time - START) // MINUTE) for one in records]


@pytest.mark.parametrize("cut", [1, 13, 1000])
def test_a_sparse_channel_is_one_event_that_stays_open_until_it_has_been_well(cut: int) -> None:
    """It reports every 20 minutes, where training had it each minute; then each minute again."""
    values = noise(400)
    values[10:210, 0][np.arange(200) % 20 > 0] = np.nan
    whole = samples(values)
    some = engine(habits=Habits(30 * MINUTE))
    records = [one for at in range(0, 400, cut) for one in some.process([take(whole, at, at + cut)])]
    assert len({one.id for one in records}) == 1
    assert actions(records) == [
        ("missing", 0, 16),
        ("present", 1, 30),
        ("missing", 2, 36),  # from here on it comes and goes, and nobody needs to hear of it
        ("present", 3, 247),  # well since 210, for half an hour and the rows that would have told otherwise
    ]
    assert records[-1].event["reopened"] == 9
    assert records[-1].event["end_time"] == START + 210 * MINUTE
    assert records[-1].event["start_time"] == records[0].event["start_time"]


def test_a_value_that_rests_moves_once_and_rests_again_is_one_event() -> None:
    values = noise(300)
    values[10:200, 0] = np.repeat(np.arange(10) / 20, 19)
    records = engine(habits=Habits(30 * MINUTE)).process([samples(values)])
    assert len({one.id for one in records}) == 1
    assert [one.action for one in records] == ["stuck", "moving", "stuck", "moving"]


def test_of_one_channel_so_many_events_begin_within_a_day_and_the_last_goes_on() -> None:
    values = noise(4000)
    for start in range(100, 1300, 120):  # each two hours, far more than half an hour apart
        values[start : start + 20, 0] = np.nan
    records = engine(habits=Habits(30 * MINUTE, repeats=3)).process([samples(values)])
    assert len({one.id for one in records}) == 3
    third = [one for one in records if one.id == records[-1].id]
    assert [(one.action, one.sequence) for one in third] == [
        ("missing", 0),
        ("present", 1),
        ("missing", 2),
        ("present", 3),
    ]
    assert (third[-1].time - START) // MINUTE > 1200 + 1440
    assert third[-1].event["reopened"] == 7


def test_a_channel_that_comes_back_brings_no_event_of_the_score_with_it() -> None:
    """What it shows behind a hole is another level than what is still in the window; each alone is normal."""

    class Steps(Magnitude):
        def score_batch(self, batch: Any, *, whole: bool = False) -> Any:
            found = super().score_batch(batch, whole=whole)
            spread = np.nanmax(batch, axis=1, initial=-9) - np.nanmin(batch, axis=1, initial=9)
            return replace(found, score=np.where(spread[:, 0] > 0.55, np.float32(9), found.score))

    for stopped in (np.nan, 0.5):
        values = noise(80)
        values[30:40, 0] = stopped
        values[:30, 0] -= 2
        values[40:, 0] += 2
        model = Watched(
            "plant", Steps(window=12, event_rule=replace(Magnitude().event_rule, open_after=1)), signals=RULES
        )
        records = Engine([model], clock=lambda: START).process([samples(values / 4)])
        kinds = {one.action for one in records if one.time >= START + 40 * MINUTE}
        assert ("present" if np.isnan(stopped) else "moving") in kinds
        assert "open" not in kinds, stopped


def test_names_stand_in_the_log_once_and_in_the_tables(caplog: pytest.LogCaptureFixture) -> None:
    some, values = engine(), noise(200)
    values[20:50, 0] = np.nan
    values[100:140, 0] = np.nan
    values[150:, 1] = 0.25
    with caplog.at_level(logging.WARNING):
        for start in range(0, 200, 50):
            some.process([take(samples(values), start, start + 50)])
            some.tick(START)
    said = [one.getMessage() for one in caplog.records]
    assert said == [
        "stream a: channel flow: missing (no value comes); where it is sent on change only, set hold",
        "stream a: channel heat: stuck (it does not move)",
    ]
    (entry,) = some.describe()
    assert (entry["missing"], entry["stuck"]) == ([], ["heat"])
    assert some.stopped == [{"stream": "a", "missing": [], "stuck": ["heat"]}]
    stats = some.stats()
    assert (stats["missing_channels"], stats["stuck_channels"]) == (0, 1)


def test_what_is_open_is_closed_where_the_stream_is_forgotten_or_has_another_model() -> None:
    steady = [0]
    some = Engine(
        [Watched("plant", Magnitude(), signals=RULES)], clock=lambda: START, steady=lambda: steady[0] * SECOND
    )
    values = noise(30)
    values[10:, 0] = np.nan
    (missing,) = some.process([samples(values)])
    states = some.touched()
    steady[0] = 1000
    assert some.forget(500) == ["a"]
    (over,) = some.tick(START)
    assert (over.action, over.id, over.event["reason"]) == ("present", missing.id, "stream forgotten")
    other = Engine([Watched("plant", Magnitude(name="other"), signals=RULES)], clock=lambda: START)
    assert other.restore("a", states["a"])
    assert [(one.action, one.id, one.event["reason"]) for one in other.tick(START)] == [
        ("present", missing.id, "model changed")
    ]


def test_a_restart_is_no_silence_and_neither_is_a_machine_that_slept() -> None:
    now = [START]

    def made() -> Engine:
        return Engine([Watched("plant", Magnitude(), silent_after=300)], clock=lambda: now[0])

    some = made()
    some.process([samples(noise(10))])
    last = START + 9 * MINUTE
    now[0] = last
    some.process([])
    states = some.touched()
    now[0] = last + 3600 * SECOND  # away for an hour; what came meanwhile was lost
    again = made()
    again.restore_all([("a", states["a"], 3600.0)], away=True)
    assert again.tick(now[0]) == []
    later = samples(noise(5), np.arange(5) + 70)
    assert again.process([later]) == []
    # Of the same gap without an absence, and of one that is too long even so, it is told.
    assert [one.action for one in made_restored(made(), states, 0.0).process([later])] == ["silent", "heard"]
    late = samples(noise(5), np.arange(5) + 100)
    assert [one.action for one in made_restored(made(), states, 3600.0).process([late])] == ["silent", "heard"]

    some = made()
    now[0] = START + 9 * MINUTE
    some.process([samples(noise(10))])
    slept = now[0] + 7200 * SECOND
    some.absent(now[0], slept)
    now[0] = slept
    assert some.tick(slept) == []
    assert some.tick(slept + 200 * SECOND) == []
    assert [one.action for one in some.tick(slept + 400 * SECOND)] == ["silent"]


def made_restored(some: Engine, states: dict[str, bytes], away: float) -> Engine:
    some.restore_all([("a", states["a"], away)], away=True)
    return some


def test_a_replay_of_the_past_knows_no_absence() -> None:
    some = Engine([Watched("plant", Magnitude(), silent_after=600)], clock=lambda: START + 10**6 * MINUTE)
    some.process([samples(noise(3))])
    some.absent(START + 10**5 * MINUTE, START + 10**6 * MINUTE)
    assert [one.action for one in some.process([samples(noise(5), np.arange(5) + 40)])] == ["silent", "heard"]


@pytest.mark.parametrize("step", [1, 7, 60])
def test_all_channels_renamed_at_once_are_missing_within_ten_rows_and_end_with_the_first_row(step: int) -> None:
    values = noise(60)
    other = replace(samples(values), columns=("strom", "hitze"))
    parts = [take(samples(values), 0, 20), take(other, 20, 40), take(samples(values), 40, 60)]
    cut = [take(part, at, min(at + step, len(part))) for part in parts for at in range(0, len(part), step)]
    some, records = engine(), []
    for number, part in enumerate(cut):
        records += some.process([part])
        if number == len(cut) // 2:  # in the midst of it
            states, some = some.touched(), engine()
            for name, state in states.items():
                assert some.restore(name, state) == ""
    found = steps(records)
    assert [(action, channels) for action, _, channels in found] == [
        (action, [name]) for action in ("missing", "present") for name in CHANNELS
    ]
    assert {at for action, at, _ in found if action == "present"} == {40}
    assert all(20 < at <= 30 for action, at, _ in found if action == "missing")
    assert {one.event["start"] for one in records} == {22}  # before, they might have been late


def test_what_else_a_stream_tells_ahead_of_its_rows_is_no_row_of_it() -> None:
    """Bodies of ten minutes, of another measurement first; then the rows stay away, and the others go on."""
    values = noise(100)
    rows, other = samples(values), replace(samples(values), columns=("disk", "memory"))
    some, records = engine(), []
    for at in range(0, 60, 10):
        records += some.process([take(other, at, at + 10), take(rows, at, at + 10)])
    assert not records
    assert some.stats().get("dropped.late", 0) == 0
    records = [one for at in range(60, 100, 10) for one in some.process([take(other, at, at + 10)])]
    assert [action for action, _, _ in steps(records)] == ["missing"] * len(CHANNELS)
