"""What events say of themselves, how often they are told of, and levels that are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aez.codec.detect.detector import WindowScores
from aez.codec.detect.events import Event
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.curve import POINTS
from aez.daemon.alarms.habits import Habits
from aez.daemon.alarms.repeats import Repeats
from aez.daemon.common.records import EventRecord
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.watched import Watched
from tests.kit.engine_models import PERIOD, SECOND, START, Array, Magnitude, detector, samples

MINUTE = PERIOD * SECOND


class Level(Magnitude):
    """Expects (2, 5) of its channels; the score is the worse channel's mean distance from that over the window."""

    units = ("l/s", "")
    ranges = ((0.0, 4.0), (3.0, 7.0))

    def score_batch(self, batch: Array, *, whole: bool = False) -> WindowScores:  # noqa: ARG002
        distance = np.abs(np.nan_to_num(batch - self._middle)).mean(axis=1)
        return WindowScores(distance.max(axis=1), distance)

    def reconstruct(self, windows: Array) -> Array:
        return np.broadcast_to(self._middle, windows.shape).astype(np.float32)

    @property
    def _middle(self) -> Array:
        return np.array([2, 5], np.float32)


def level(listener: Any = None, **settings: Any) -> Engine:
    return Engine([Watched("plant", Level(), **settings)], listener=listener)


def fed(one: Engine, values: Array, first: int = 0) -> list[EventRecord]:
    rows = np.asarray(values, np.float32)
    return one.process([samples(rows, first + np.arange(len(rows)))])


def around(*parts: tuple[int, float, float]) -> Array:
    """So many rows of both channels' values, part by part."""
    return np.concatenate([np.full((count, 2), (flow, heat)) for count, flow, heat in parts])


def steps(records: list[EventRecord]) -> list[tuple[str, int]]:
    return [(one.action, one.sequence) for one in records]


def test_an_event_says_what_was_measured_and_expected_in_its_units() -> None:
    records = fed(level(), around((20, 2.5, 5), (6, 3.9, 4.8), (20, 2, 5)))
    assert [one.action for one in records] == ["open", "close"]
    flow, heat = records[-1].event["channels"]
    assert flow == {
        "name": "flow",
        "share": flow["share"],
        "measured": 3.9,
        "expected": 2.0,
        "expected_from": "reconstruction",
        "direction": "above",
        "unit": "l/s",
    }
    assert (heat["measured"], heat["expected"], heat["direction"]) == (4.8, 5.0, "below")
    assert "unit" not in heat


def test_without_a_reconstruction_the_centre_of_training_is_expected_and_a_missing_value_is_none() -> None:
    class Ranged(Magnitude):
        ranges = ((0.0, 4.0), (3.0, 7.0))

    values = around((20, 0.1, 0.1), (6, 3, 3))
    values[21:, 1] = np.nan
    values[21:, 0] = 9
    records = fed(Engine([Watched("plant", Ranged())]), values)
    entries = {one["name"]: one for one in records[-1].event["channels"]}
    assert entries["flow"]["expected_from"] == "centre of training"
    assert entries["flow"]["expected"] == 2.0
    assert entries["heat"]["measured"] is None
    assert "direction" not in entries["heat"]


def test_a_curve_has_the_window_and_the_rows_since_and_never_more_points_than_there_may_be() -> None:
    values = around((30, 2.5, 5), (6, 3.9, 5), (20, 2, 5))
    close = fed(level(), values)[-1]
    curve = close.curve
    assert curve is not None
    opened = close.event["opened"]
    assert curve["row"] == list(range(opened - 3, opened - 3 + len(curve["row"])))
    assert curve["row"][-1] >= close.event["end"]
    assert curve["time"] == [START + row * MINUTE for row in curve["row"]]
    (flow,) = [one for one in curve["channels"] if one["name"] == "flow"]
    assert flow["unit"] == "l/s"
    assert flow["values"] == pytest.approx(values[curve["row"], 0], rel=1e-4)
    assert curve["score"][:3] == [None] * 3
    assert max(score for score in curve["score"] if score is not None) == pytest.approx(close.event["peak"], rel=1e-4)
    long = fed(level(update_every=10**6), around((30, 2.5, 5), (5000, 3.9, 5), (1, 6, 5), (5000, 3.9, 5), (20, 2, 5)))
    curve = long[-1].curve
    assert curve is not None
    assert POINTS // 2 <= len(curve["row"]) <= POINTS
    assert 5030 - 160 < curve["row"][int(np.argmax([one or 0 for one in curve["score"]]))] < 5030 + 160
    assert long[-1].event["channels"][0]["measured"] == 6.0


def test_an_event_that_reopens_within_the_bound_goes_on_and_its_end_is_told_once_it_stays_quiet() -> None:
    habits = Habits(reopen_within=15 * MINUTE)
    one = level(habits=habits)
    loud, quiet = (6, 3.9, 5.0), (12, 2.0, 5.0)
    records = fed(one, around((10, 2, 5), loud, quiet, loud, quiet, loud, quiet, (20, 2, 5)))
    assert steps(records) == [("open", 0), ("close", 1), ("reopen", 2), ("close", 3)]
    assert len({record.id for record in records}) == 1
    last = records[-1]
    assert last.event["reopened"] == 2
    assert last.event["start"] == records[0].event["start"]
    assert last.time == last.event["end_time"] + 16 * MINUTE
    assert one.stats()["open_events"] == 0
    # Behind the bound another event begins.
    after = fed(one, around((6, 3.9, 5), (40, 2, 5)), first=len(around(loud)) * 3 + 10 + 36 + 20)
    assert steps(after) == [("open", 0), ("close", 1)]
    assert after[0].id != last.id


def test_pauses_between_updates_grow_and_what_becomes_worse_is_told_at_once() -> None:
    grown = np.linspace(3.5, 3.9, 700)
    values = np.concatenate([around((10, 2, 5)), np.stack([grown, np.full(700, 5)], 1)])
    actions = [one.action for one in fed(level(update_every=10), values)]
    assert actions.count("update") == 69
    records = fed(level(update_every=10, habits=Habits(growth=2.0)), np.concatenate([values, around((8, 8, 5))]))
    updates = [one.event["end"] for one in records if one.action == "update"]
    assert np.diff(updates)[:5].tolist() == [20, 40, 80, 160, 320]
    assert [one.event["severity"] for one in records][-3:] == ["warning", "serious", "critical"]


def test_a_level_that_lasts_is_told_once_and_ends_the_updates() -> None:
    habits = Habits(changed_after=100 * MINUTE)
    records = fed(level(update_every=30, habits=habits), around((10, 2, 5), (600, 3.9, 5)))
    changed = [one for one in records if one.action == "changed"]
    assert len(changed) == 1
    assert changed[0].event["changed"]["level"] == pytest.approx(1.9, rel=1e-3)
    assert records[-1] == changed[0]
    # One that grows on and on does not stand.
    grows = np.stack([4 * 2 ** (np.arange(600) / 30), np.full(600, 5)], 1)
    records = fed(level(habits=habits), np.concatenate([around((10, 2, 5)), grows]))
    assert "changed" not in [one.action for one in records]


def test_a_level_is_taken_by_shifting_the_channels_that_moved() -> None:
    scored: list[ScoredRows] = []
    one = level(scored.append)
    fed(one, around((10, 2, 5), (40, 4.4, 5)))
    event = one.describe()[0]["event"]
    assert one.adopt("a") == {"flow": pytest.approx(2.4, rel=1e-3)}
    (close,) = one.process([])
    assert (close.id, close.action, close.event["adopted"]) == (event, "close", {"flow": pytest.approx(2.4, rel=1e-3)})
    # It is as sensitive as it was, and shows what the sensor said.
    records = fed(one, around((20, 4.4, 5), (6, 2.9, 5)), first=50)
    assert [record.action for record in records] == ["open"]
    entry = records[0].event["channels"][0]
    assert (entry["measured"], entry["direction"]) == (pytest.approx(2.9), "below")
    assert entry["expected"] == pytest.approx(4.4, rel=1e-3)
    assert scored[-1].rows.values[-1, 0] == pytest.approx(2.9)
    assert scored[-1].shifts[0].tolist() == pytest.approx([2.4, 0], rel=1e-3)
    # It outlives a restart, and can be taken back.
    again = level()
    for name, data in one.touched().items():
        assert again.restore(name, data) == ""
    assert again.stats()["adopted"] == 1
    assert again.adopt("a", undo=True) == {}
    assert again.stats()["adopted"] == 0
    records = fed(again, around((10, 4.4, 5)), first=80)
    assert [record.action for record in records][:2] == ["close", "open"]


def test_a_level_that_cannot_be_taken_is_refused_in_a_sentence() -> None:
    one = level(adopt_most=0.5)
    with pytest.raises(InvalidArgument, match="there is no stream 'b'"):
        one.adopt("b")
    fed(one, around((2, 2, 5)))
    with pytest.raises(InvalidArgument, match="whole window"):
        one.adopt("a")
    fed(one, around((20, 4.4, 5)), first=2)
    with pytest.raises(InvalidArgument, match=r"flow would have to be shifted by -2\.4, more than 0\.5 times the 4"):
        one.adopt("a")
    assert one.stats()["adopted"] == 0
    frames = Engine([Watched("plant", Magnitude())])
    fed(frames, around((20, 4, 4)))
    with pytest.raises(InvalidArgument, match="there is no level to take"):
        frames.adopt("a")
    stubborn = Engine([Watched("plant", detector())])  # what it expects is what it sees
    fed(stubborn, around((20, 9, 9)))
    with pytest.raises(InvalidArgument, match="still"):
        stubborn.adopt("a")


def test_by_policy_the_monitor_takes_the_level_of_a_lasting_change(caplog: pytest.LogCaptureFixture) -> None:
    habits = Habits(changed_after=100 * MINUTE)
    one = level(habits=habits, adopt="when_changed")
    fed(one, around((10, 2, 5), (150, 3.9, 5)))
    assert [record.action for record in one.tick(START)] == ["close"]
    assert one.stats()["adopted"] == 1
    refused = level(habits=habits, adopt="when_changed", adopt_most=0.1)
    fed(refused, around((10, 2, 5), (150, 3.9, 5)))
    for _ in range(3):
        assert refused.tick(START) == []
    assert sum("its level is not taken" in one.message for one in caplog.records) == 1


def daily(count: int, hours: int = 5, start: float = 3.9) -> Array:
    """So many faults of the first channel, some minutes of each few hours."""
    return np.concatenate([around((10, 2, 5)), *[around((6, start, 5), (60 * hours - 6, 2, 5))] * count])


REPEATING = Habits(reopen_within=60 * MINUTE, growth=100.0, repeats=3)


def test_what_comes_back_all_day_is_three_events_and_the_last_goes_on() -> None:
    plain = fed(level(habits=Habits(reopen_within=60 * MINUTE)), daily(12))
    assert [one.action for one in plain] == ["open", "close"] * 12
    one = level(habits=REPEATING)
    records = fed(one, daily(12))
    assert steps(records) == [("open", 0), ("close", 1)] * 3 + [("reopen", 2), ("update", 3)]
    assert len({record.id for record in records}) == 3
    assert one.stats()["open_events"] == 1
    quiet = fed(one, around((24 * 60, 2, 5)), first=len(daily(12)))
    assert steps(quiet) == [("close", 4)]
    assert quiet[0].event["reopened"] == 9
    assert quiet[0].event["start"] == records[4].event["start"]
    # Behind a day without one it is new again.
    assert steps(fed(one, daily(1), first=len(daily(12)) + 24 * 60)) == [("open", 0), ("close", 1)]


def test_another_cause_and_what_becomes_worse_are_told_while_an_event_repeats() -> None:
    one = level(habits=REPEATING)
    first = fed(one, daily(5))
    other = fed(one, around((6, 2, 7), (60, 2, 5)), first=len(daily(5)))
    assert [record.action for record in other] == ["close", "open", "close"]
    assert other[0].id == first[-1].id
    assert other[1].event["channels"][0]["name"] == "heat"
    one = level(habits=REPEATING)
    fed(one, daily(5))
    worse = fed(one, around((6, 8, 5)), first=len(daily(5)))
    assert [record.action for record in worse] == ["close", "open", "update"]
    assert worse[-1].event["severity"] == "critical"


def test_what_comes_and_goes_is_no_lasting_change() -> None:
    habits = Habits(reopen_within=60 * MINUTE, repeats=3, changed_after=600 * MINUTE)
    records = fed(level(habits=habits), daily(20))
    assert not [one for one in records if one.action == "changed"]


@pytest.mark.parametrize("cut", [7, 311, 2000])
def test_repeats_depend_neither_on_cuts_nor_on_restarts(cut: int) -> None:
    values = np.concatenate([daily(9), around((6, 2, 7), (600, 2, 5)), daily(4, 3), around((24 * 60, 2, 5))])
    whole = fed(level(habits=REPEATING), values)
    found: list[EventRecord] = []
    one = level(habits=REPEATING)
    for at in range(0, len(values), cut):
        found += fed(one, values[at : at + cut], first=at)
        if cut > 300:
            again = level(habits=REPEATING)
            for stream, state in one.touched().items():
                assert again.restore(stream, state) == ""
            one = again
    assert [(r.id, r.sequence, r.action, r.event) for r in found] == [
        (r.id, r.sequence, r.action, r.event) for r in whole
    ]


def blamed(hour: float, *channels: tuple[str, float]) -> Event:
    return Event("id", "a", 0, 1, 0, round(hour * 60 * MINUTE), round(hour * 60 * MINUTE), 1.5, 0, channels)


def test_a_fault_that_is_blamed_on_one_channel_and_then_on_another_is_one_cause() -> None:
    repeats = Repeats()
    assert repeats.begin(blamed(0, ("heat", 0.8), ("flow", 0.1))) == 1
    assert repeats.begin(blamed(2, ("flow", 0.4), ("load", 0.3))) == 1
    repeats.end(blamed(2, ("heat", 0.3), ("flow", 0.3), ("load", 0.2)))
    again = Repeats.from_state(repeats.state())
    assert again.begin(blamed(4, ("flow", 0.6), ("load", 0.2))) == 3
    assert again.begin(blamed(5, ("speed", 0.9))) == 1
    assert again.begin(blamed(26.5, ("flow", 0.6))) == 2  # of the two earlier ones one lies a day behind
    with pytest.raises(InvalidArgument, match="cannot be read"):
        Repeats.from_state([["soon"]])


def test_a_fault_whose_blame_goes_back_and_forth_is_one_cause() -> None:
    """Each is known first by a channel that the one before does not have, but they are joined by those of before."""
    repeats = Repeats()
    assert repeats.begin(blamed(0, ("wheel", 0.55), ("panel", 0.13))) == 1
    assert repeats.begin(blamed(2, ("gyro", 0.21), ("battery", 0.21), ("wheel", 0.17))) == 2
    repeats.end(blamed(2, ("panel", 0.22), ("battery", 0.21), ("wheel", 0.16)))
    assert repeats.begin(blamed(7, ("gyro", 0.21), ("battery", 0.2), ("wheel", 0.17))) == 3
    repeats.end(blamed(7, ("panel", 0.22), ("battery", 0.21), ("wheel", 0.16)))
    assert repeats.same_cause(blamed(11, ("current", 0.31), ("wheel", 0.25), ("gyro", 0.17)))
    assert not repeats.same_cause(blamed(11, ("signal", 0.5), ("gyro", 0.3)))
