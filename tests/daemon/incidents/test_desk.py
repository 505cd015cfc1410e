"""What is sent and what is held back: in a real store, whose outbox is what sinks get."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.incidents.desk import AlarmDesk
from aez.daemon.incidents.options import Alarms
from aez.daemon.mutes import stored
from aez.daemon.mutes.window import MuteWindow
from aez.daemon.state.store import Store

SECOND = 10**9
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
NOW = 20_000 * DAY


class Desk:
    """A store with a desk and one sink."""

    def __init__(self, folder: Path, windows: tuple[MuteWindow, ...] = (), **rules: Any) -> None:
        self.store = Store(folder / "monitor.db", exclusive=True)
        self.store.register_sinks(["s"])
        self.desk = self.store.desk = AlarmDesk(Alarms(**rules), windows)

    def __call__(self, *records: EventRecord, now: int = NOW) -> None:
        self.store.commit(events=records, now=now)

    def sent(self) -> list[tuple[str, str]]:
        """(Stream, action) of what the sink gets."""
        return [(one.record.stream, one.record.action) for one in self.store.pending("s", 10**6)]

    def event(self, event: str) -> Any:
        found = self.store.events.get(event)
        assert found is not None
        return found.record.event

    def mute(self, pattern: str, until: int, now: int = NOW) -> stored.StoredMute:
        return self.store.change(lambda connection: stored.add(connection, pattern, until, "service", "me", now))

    def sweep(self, now: int, data: int) -> int:
        return self.store.change(lambda connection: self.desk.sweep(connection, now, data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def step(
    stream: str,
    action: str = "open",
    sequence: int = 0,
    time: int = NOW,
    severity: str = "warning",
    event: str = "",
    channel: str = "flow",
) -> EventRecord:
    details = {"start_time": NOW, "severity": severity, "channels": [{"name": channel, "share": 1.0}]}
    return EventRecord(event or f"{stream}-{'x' * 8}", sequence, action, stream, "plant", time, details)


def silences(count: int, time: int = NOW) -> list[EventRecord]:
    return [step(f"s{number:05}", "silent", time=time) for number in range(count)]


def test_a_mute_by_hand_records_and_marks_and_sends_nothing(folder: Path) -> None:
    desk = Desk(folder)
    desk.mute("pump-*", NOW + HOUR)
    desk(step("pump-1", time=NOW - 30 * DAY), step("sat"))  # data of older times are meant, too
    desk(step("pump-1", "update", 1, NOW - 30 * DAY), step("sat", "update", 1))
    desk(step("pump-1", "close", 2, NOW - 30 * DAY))
    assert desk.sent() == [("sat", "open"), ("sat", "update")]
    assert desk.event("pump-1-xxxxxxxx")["muted"] == "service"
    assert "muted" not in desk.event("sat-xxxxxxxx")
    assert desk.desk.held["muted"] == 3


def test_what_is_still_open_when_its_mute_is_over_is_sent_then(folder: Path) -> None:
    desk = Desk(folder)
    mute = desk.mute("pump-*", NOW + HOUR)
    desk(step("pump-1"), step("pump-2"), step("pump-3"))
    desk(step("pump-2", "close", 1))
    assert desk.sweep(NOW, NOW) == 0
    desk(step("pump-3", "update", 1, NOW + HOUR), now=NOW + HOUR)  # its own next step
    desk.store.change(lambda connection: stored.end(connection, mute.number, NOW + 1))
    assert desk.sweep(NOW + 2, NOW + 2) == 1
    assert desk.sweep(NOW + 2, NOW + 2) == 0
    assert desk.sent() == [("pump-3", "update"), ("pump-1", "open")]
    assert "muted" not in desk.event("pump-1-xxxxxxxx")
    assert desk.event("pump-2-xxxxxxxx")["muted"]
    with pytest.raises(InvalidArgument, match="no mute 1 in force"):
        desk.store.change(lambda connection: stored.end(connection, mute.number, NOW + 2))


def test_an_event_that_sinks_know_is_closed_for_them_also_in_a_mute(folder: Path) -> None:
    window = MuteWindow(("*",), "night", NOW + HOUR, NOW + 2 * HOUR)
    desk = Desk(folder, (window,))
    desk(step("sat"))
    desk(step("sat", "update", 1, NOW + HOUR), step("pump", time=NOW + 3 * HOUR))
    assert desk.event("sat-xxxxxxxx")["muted"] == "night"
    desk(step("sat", "close", 2, NOW + HOUR + 1))
    assert desk.sent() == [("sat", "open"), ("pump", "open"), ("sat", "close")]


@pytest.mark.parametrize(
    ("pattern", "until", "reason", "said"),
    [
        ("*", NOW, "x", "is past"),
        ("*", NOW + 400 * DAY, "x", "366 days"),
        ("", NOW + 1, "x", "which streams"),
        ("*", NOW + 1, " ", "reason"),
    ],
)
def test_mutes_that_cannot_be_are_refused(folder: Path, pattern: str, until: int, reason: str, said: str) -> None:
    desk = Desk(folder)
    with pytest.raises(InvalidArgument, match=said):
        desk.store.change(lambda connection: stored.add(connection, pattern, until, reason, "", NOW))
    assert desk.store.look(lambda connection: stored.in_force(connection, NOW)) == []


def test_20000_streams_that_fall_silent_at_once_are_one_incident(folder: Path) -> None:
    desk = Desk(folder)
    desk(*silences(20_000))
    assert desk.sent() == [("*", "open")]
    (incident,) = [one.record for one in desk.store.pending("s")]
    event = incident.event
    assert (event["cause"], event["count"], event["open"]) == ("silent", 20_000, 20_000)
    assert event["examples"] == [f"s{number:05}" for number in range(10)]
    assert desk.event("s00007-xxxxxxxx")["incident"] == incident.id
    found = desk.store.events.get(incident.id)
    assert found is not None
    assert (found.kind, found.state) == ("incident", "open")
    assert desk.store.events.count() == 20_001
    desk(*(step(f"s{number:05}", "heard", 1, NOW + HOUR) for number in range(19_999)))
    assert len(desk.sent()) == 1
    desk(step("s19999", "heard", 1, NOW + 2 * HOUR))
    assert desk.sent() == [("*", "open"), ("*", "close")]
    assert desk.event(incident.id)["end_time"] == NOW + 2 * HOUR


def stops(channel: str, action: str = "missing", sequence: int = 0, at: int = 0, began: int = 0) -> EventRecord:
    """A step of an event of a channel that began so many s behind NOW, at so many s."""
    details = {"start_time": NOW + began * SECOND, "severity": "warning", "channels": [{"name": channel, "share": 1.0}]}
    return EventRecord(f"{channel}-xxxxxxxx", sequence, action, "pump", "plant", NOW + at * SECOND, details)


def names(record: EventRecord) -> list[str]:
    return [one["name"] for one in record.event["channels"]]


def test_channels_of_a_stream_that_stop_together_are_one_message_with_all_of_them(folder: Path) -> None:
    desk = Desk(folder)
    desk(*(stops(channel, at=5) for channel in ("flow", "heat", "load")))
    (opened,) = [one.record for one in desk.store.pending("s")]
    assert (opened.stream, opened.action, opened.event["kind"], opened.event["cause"]) == (
        *("pump", "open", "incident", "missing"),
    )
    assert names(opened) == ["flow", "heat", "load"]
    assert (opened.event["count"], opened.event["open"]) == (3, 3)
    assert [desk.event(f"{one}-xxxxxxxx")["incident"] for one in ("flow", "heat", "load")] == [opened.id] * 3
    assert desk.desk.held["incident"] == 3
    desk(stops("flow", "present", 1, 50), stops("heat", "present", 1, 50))
    assert desk.sent() == [("pump", "open")]
    desk(stops("load", "present", 1, 60))
    assert desk.sent() == [("pump", "open"), ("pump", "close")]
    assert len(desk.store.events.list(incident=opened.id)) == 3
    assert [one.id for one in desk.store.events.list(folded=True)] == [opened.id]


def test_a_channel_that_stopped_first_was_sent_and_its_end_is(folder: Path) -> None:
    desk = Desk(folder)
    desk(stops("flow", at=5))
    desk(stops("heat", at=40, began=20))
    desk(stops("load", at=50, began=30))
    desk(stops("late", at=900, began=895))  # long behind: one of its own
    sent = [one.record for one in desk.store.pending("s")]
    assert [(one.action, names(one)) for one in sent] == [
        ("missing", ["flow"]),
        ("open", ["flow", "heat"]),
        ("update", ["flow", "heat", "load"]),
        ("missing", ["late"]),
    ]
    assert "incident" not in desk.event("flow-xxxxxxxx")  # it was sent
    assert len(desk.store.events.list(incident=sent[1].id)) == 3
    desk(stops("flow", "present", 1, 950), stops("heat", "present", 1, 950))
    assert desk.sent()[4:] == [("pump", "present")]
    desk(stops("load", "present", 1, 1000))
    assert desk.sent()[5:] == [("pump", "close")]
    assert {one.stream for one in desk.store.events.open_records()} == {"pump"}
    assert [names(one) for one in desk.store.events.open_records()] == [["late"]]


def test_channels_that_stop_again_together_are_one_message_again(folder: Path) -> None:
    desk = Desk(folder)
    for turn in (0, 100):
        desk(stops("flow", "missing", turn // 50, turn + 5), stops("heat", "missing", turn // 50, turn + 5))
        desk(stops("flow", "present", turn // 50 + 1, turn + 9), stops("heat", "present", turn // 50 + 1, turn + 9))
    assert desk.sent() == [("pump", "open"), ("pump", "close")] * 2
    assert desk.store.events.open_records() == ()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_sent_of_a_stream_does_not_depend_on_how_it_is_committed(folder: Path, seed: int) -> None:
    """Rows in one transaction, or in any number of them; those of one row are always together."""
    dice = np.random.default_rng(seed)
    steps: dict[str, int] = {}
    began: dict[str, int] = {}
    rows: list[list[EventRecord]] = []
    for at in range(0, 400, 7):
        row = []
        for channel in ("flow", "heat", "load", "valve"):
            if dice.random() < 0.25:
                sequence = steps[channel] = steps.get(channel, -1) + 1
                action = "present" if sequence % 2 else "missing"
                row.append(stops(channel, action, sequence, at, began.setdefault(channel, at - 5)))
        if row:
            rows.append(row)
    (folder / "cut").mkdir()
    whole, cut = Desk(folder), Desk(folder / "cut")
    whole(*(record for row in rows for record in row))
    places = sorted({0, len(rows), *dice.integers(0, len(rows), 5 * seed).tolist()})
    for start, end in pairwise(places):
        cut(*(record for row in rows[start:end] for record in row))

    def sent(desk: Desk) -> list[object]:
        found = [one.record for one in desk.store.pending("s", 10**6)]
        return [(one.id, one.sequence, one.action, one.time, one.event) for one in found]

    assert sent(whole) == sent(cut)
    assert len(sent(whole)) < sum(map(len, rows))
    assert [one.record for one in whole.store.events.list()] == [one.record for one in cut.store.events.list()]


def test_another_thing_and_where_nothing_is_grouped_are_messages_of_their_own(folder: Path) -> None:
    desk = Desk(folder)
    desk(stops("flow", at=5), stops("heat", "stuck", at=6))
    assert desk.sent() == [("pump", "missing"), ("pump", "stuck")]
    desk.store.close()
    (folder / "other").mkdir()
    desk = Desk(folder / "other", group_streams=0)
    desk(stops("flow", at=5), stops("heat", at=5))
    assert desk.sent() == [("pump", "missing")] * 2


def test_a_stream_has_its_share_of_the_day_of_such_incidents_too(folder: Path) -> None:
    desk = Desk(folder, events_per_day=1)
    desk(stops("flow", at=5), stops("heat", at=5))
    desk(stops("load", at=905, began=900), stops("valve", at=905, began=900))
    assert desk.sent() == [("pump", "open")]
    assert desk.event("load-xxxxxxxx")["capped"]


def test_silences_that_lie_far_apart_are_no_incident_though_they_are_found_at_once(folder: Path) -> None:
    desk = Desk(folder)
    desk(step("early", "silent", time=NOW - HOUR), *silences(20))
    assert desk.sent() == [("early", "silent"), ("*", "open")]
    (_, incident) = [one.record for one in desk.store.pending("s")]
    assert incident.event["count"] == 20
    assert "incident" not in desk.event("early-xxxxxxxx")


def test_events_that_trickle_in_join_an_incident_whose_updates_become_rare(folder: Path) -> None:
    desk = Desk(folder, group_streams=10, group_seconds=60)
    for one in silences(100):
        desk(one)
    assert desk.sent() == [
        *((f"s{number:05}", "silent") for number in range(10)),
        *[
            ("*", "open"),
            ("*", "update"),
            ("*", "update"),
            ("*", "update"),
            ("*", "update"),
            ("*", "update"),
            ("*", "update"),
        ],
    ]
    counts = [one.record.event["count"] for one in desk.store.pending("s", 1000) if one.record.stream == "*"]
    assert counts == [1, 2, 4, 8, 16, 32, 64]
    # Another cause, and the same one much later, are events of their own; none of 10 is grouped.
    desk(step("z"), *silences_of("late", 10, NOW + HOUR))
    assert [stream for stream, _ in desk.sent()[-11:]] == ["z", *(f"late{number}" for number in range(10))]


def silences_of(prefix: str, count: int, time: int) -> list[EventRecord]:
    return [step(f"{prefix}{number}", "silent", time=time) for number in range(count)]


def test_anomalies_are_grouped_by_model_and_the_channel_to_blame(folder: Path) -> None:
    desk = Desk(folder, group_streams=3)
    streams = [step(f"a{number}", channel="flow" if number % 2 else "heat") for number in range(8)]
    desk(*streams)
    assert desk.sent() == [("*", "open"), ("*", "open")]
    blamed = {one.record.event["channels"][0]["name"] for one in desk.store.pending("s")}
    assert blamed == {"flow", "heat"}
    never = Desk(folder_of(folder, "never"), group_streams=0)
    never(*silences(50))
    assert len(never.sent()) == 50


def folder_of(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def test_a_stream_has_its_share_of_a_day_and_the_last_message_says_so(folder: Path) -> None:
    desk = Desk(folder, events_per_day=3)
    for number in range(6):
        desk(
            step("sat", event=f"e{number}", time=NOW + number),
            step("sat", "close", 1, NOW + number, event=f"e{number}"),
        )
    assert [action for _, action in desk.sent()] == ["open", "close"] * 3
    assert desk.event("e2")["severity"] == "warning"
    opened = [one.record.event for one in desk.store.pending("s") if one.record.action == "open"]
    assert ["cap" in one for one in opened] == [False, False, True]
    assert opened[2]["cap"] == {"events_per_day": 3, "until": NOW + DAY}
    assert desk.event("e3")["capped"]
    assert desk.desk.held["capped"] == 6
    desk(step("sat", event="next", time=NOW + DAY), step("other", event="other", time=NOW + 9))
    assert len(desk.sent()) == 8


def test_acknowledging_ends_the_updates_but_not_the_news_that_it_is_worse(folder: Path) -> None:
    desk = Desk(folder)
    desk(step("sat"), step("sat", "update", 1))
    desk.store.events.acknowledge("sat-xxxxxxxx", "me")
    desk(step("sat", "update", 2))
    desk(step("sat", "update", 3, severity="serious"), step("sat", "close", 4))
    assert [action for _, action in desk.sent()] == ["open", "update", "update", "close"]
    assert desk.desk.held["acknowledged"] == 1


def test_a_replay_and_a_restart_count_nothing_twice(folder: Path) -> None:
    desk = Desk(folder, events_per_day=3, group_streams=4)
    steps = [step("sat", event=f"e{number}", time=NOW + number) for number in range(5)]
    desk(*steps[:2])
    desk(*steps[:2])
    desk(*silences(6))
    desk.store.close()
    again = Desk(folder, events_per_day=3, group_streams=4)
    again(*steps[:2], *silences(6))
    again(*steps)
    assert again.sent() == [("sat", "open"), ("sat", "open"), ("*", "open"), ("sat", "open")]
    again(*silences_of("more", 1, NOW + SECOND))
    assert again.sent()[-1] == ("sat", "open")
    assert again.event("more0-xxxxxxxx")["incident"]


def test_a_store_of_the_version_before_gets_the_tables(folder: Path) -> None:
    import sqlite3

    Desk(folder).store.close()
    with sqlite3.connect(folder / "monitor.db") as old:
        for table in ("curves", "mutes", "held", "openings", "daily", "incidents"):
            old.execute(f"DROP TABLE {table}")
        old.execute("PRAGMA user_version=1")
    desk = Desk(folder)
    desk.mute("*", NOW + HOUR)
    desk(step("sat"))
    assert desk.sent() == []


def test_curves_are_kept_beside_their_events_and_bounded(folder: Path) -> None:
    from dataclasses import replace

    desk = Desk(folder)
    for number in range(5):
        desk(replace(step("sat", event=f"e{number}"), curve={"row": [number]}))
    desk(replace(step("sat", "close", 1, event="e0"), curve={"row": [0, 1]}))
    assert desk.store.curve("e0") == {"row": [0, 1]}
    assert desk.store.curve("none") is None
    assert all(one.record.curve is None for one in desk.store.pending("s"))
    desk.store.forget_curves(2)
    assert [desk.store.curve(f"e{number}") is not None for number in range(5)] == [True, False, False, False, True]
