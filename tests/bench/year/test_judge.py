"""`aez bench monitor year`: what counts as false, as found, as soon enough; and the run over a year with few rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aez.bench.year.judge import Told, judge, told
from aez.bench.year.measure import figures, measure
from aez.daemon.simulate.year import Label

MINUTE, HOUR = 60 * 10**9, 3600 * 10**9


def label(kind: str, group: str, start: int, end: int, stream: str = "a") -> Label:
    """Hours."""
    return Label(stream, kind, group, start * 60, end * 60, start * HOUR, end * HOUR, ("x",))


def event(opened: float, hours: float = 0.1, kind: str = "anomaly", stream: str = "a") -> Told:
    at = round(opened * HOUR)
    return Told(stream, kind, at - 2 * MINUTE, at, at + round(hours * HOUR), ("x",))


LABELS = [
    label("ramp", "anomaly", 10, 20),
    label("missing", "sensor", 30, 40),
    label("flat", "sensor", 50, 60),
    label("maintenance", "maintenance", 70, 80),
    label("clock off", "clock", 90, 92),
]


def test_an_event_within_a_label_finds_it_and_one_beside_all_is_false() -> None:
    found = judge([event(12), event(25), event(75), event(12, stream="b")], LABELS, 60, 10)
    assert [(one.stream, one.opened // HOUR) for one in found.false] == [("a", 25), ("b", 12)]
    assert found.found["ramp"] == (1, 1)
    assert found.found["missing"] == (0, 1)
    assert found.share == pytest.approx(1 / 3)  # maintenance and clocks are nobody's fault


def test_an_event_of_before_is_not_false_where_it_reaches_a_label_but_does_not_find_it() -> None:
    found = judge([event(9, hours=3)], LABELS, 60, 10)
    assert (len(found.false), found.found["ramp"]) == (0, (0, 1))


def test_slack_lies_behind_a_label_and_two_hours_around_a_wrong_clock() -> None:
    assert not judge([event(20.1), event(88.5), event(93.5)], LABELS, 60, 10).false
    assert len(judge([event(20.5), event(87.5), event(94.5)], LABELS, 60, 10).false) == 3


def test_signals_that_come_as_an_incident_of_their_stream_are_told_as_what_they_are() -> None:
    def step(sequence: int, action: str, time: int, **event: Any) -> dict[str, Any]:
        return {"id": "i", "sequence": sequence, "action": action, "stream": "a", "time": time, "event": event}

    channels = [{"name": "x"}, {"name": "y"}]
    incident = {"kind": "incident", "cause": "missing", "start_time": 30 * HOUR, "channels": channels}
    (one,) = told([step(0, "open", 30 * HOUR + 5 * MINUTE, **incident), step(1, "close", 40 * HOUR, **incident)])
    assert (one.kind, one.channels) == ("missing", ("x", "y"))
    assert judge([one], LABELS, 60, 10).delays["missing"] == [pytest.approx(5)]
    alone = {"kind": "stuck", "start_time": 50 * HOUR, "channels": channels[:1]}
    again = [step(at, action, 50 * HOUR + at, **alone) for at, action in enumerate(("stuck", "moving", "stuck"))]
    assert told(again)[0].again == (50 * HOUR + 2,)


def test_delays_are_those_of_events_that_say_what_it_is() -> None:
    events = [event(30.05), event(30.5, kind="missing"), event(50.1, kind="stuck"), event(51, kind="stuck")]
    found = judge(events, LABELS, 60, 10)
    assert found.delays == {"missing": [pytest.approx(30)], "flat": [pytest.approx(6)]}
    assert judge([event(30.05)], LABELS, 60, 10).delays == {"missing": [None], "flat": [None]}


def test_events_of_one_cause_are_counted_by_day() -> None:
    found = judge([event(10 + hour) for hour in range(6)] + [event(24.5), event(25.5)], LABELS, 60, 10)
    assert found.most == (6, "ramp of a")
    assert judge([], LABELS, 60, 10).most[0] == 0


def test_an_event_that_is_told_to_go_on_within_a_label_finds_it_and_outside_of_all_is_counted() -> None:
    again = tuple(round(hour * HOUR) for hour in (12, 25, 26))
    found = judge([Told("a", "anomaly", 9 * HOUR, 9 * HOUR, 26 * HOUR, ("x",), again)], LABELS, 60, 10)
    assert found.found["ramp"] == (1, 1)
    assert found.again == (3, 2)


def test_steps_become_events() -> None:
    def step(one: str, sequence: int, action: str, time: int, **event: Any) -> dict[str, Any]:
        names = [{"name": "x", "share": 1.0}]
        return {
            "id": one,
            "sequence": sequence,
            "action": action,
            "stream": "a",
            "time": time,
            "event": {"channels": names, **event},
        }

    steps = [
        step("1", 0, "open", 12, start_time=10, end_time=12),
        step("2", 0, "silent", 11, start_time=None, end_time=None),
        step("1", 1, "close", 30, start_time=10, end_time=20),
        step("1", 2, "reopen", 35, start_time=10, end_time=35),
        step("1", 3, "close", 50, start_time=10, end_time=40),
        step("2", 1, "heard", 90, start_time=None, end_time=None),
        step("3", 0, "open", 99, start_time=98, end_time=99, kind="stuck"),
    ]
    assert told(steps) == [
        Told("a", "silent", 11, 11, 90, ("x",)),
        Told("a", "anomaly", 10, 12, 40, ("x",), (35,)),
        Told("a", "stuck", 98, 99, 99, ("x",)),
    ]


def test_figures_tell_what_was_reached() -> None:
    judged = judge([event(12), event(31, kind="missing"), event(25)], LABELS, 60, 10)
    found = {figure.what: figure for figure in figures(judged, 0.5, LABELS)}
    assert found["false events, per machine and year"].value == 2
    assert found["faults found"].reached is False
    assert found["missing: told as such within 10 periods"].value == 0
    assert found["missing: longest delay"].value == pytest.approx(60)
    assert "flat: longest delay" not in found


@pytest.mark.slow
def test_a_year_of_few_rows_is_trained_run_and_judged(tmp_path: Path) -> None:
    found = {figure.what: figure.value for figure in measure(tmp_path, weeks=13, seed=1, period=600).figures}
    assert found["labels"] >= 20
    assert found["events"] >= 10
    assert found["faults found"] >= 80
    # A model of so few rows knows little of the drift: 34 events in five weeks of four machines.
    assert found["false events, per machine and year"] < 120
