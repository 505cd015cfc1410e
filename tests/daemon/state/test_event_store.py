"""The events in a store: asked for, acknowledged, commented on, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.state.event_store import Retention
from aez.daemon.state.store import Store
from tests.kit.event_steps import SECOND, START, step

DAY = 86_400 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
def filled(store: Store) -> Store:
    """Events a to f that start ten seconds apart; the even ones closed five seconds later, on two streams."""
    for number, name in enumerate("abcdef"):
        start = START + 10 * number * SECOND
        stream = "pump" if number < 3 else "fan"
        severity = ("warning", "serious", "critical")[number % 3]
        opening = step(name, stream=stream, time=start + SECOND, start_time=start, severity=severity)
        store.commit({}, {}, [opening], now=START + number)
        if number % 2 == 0:
            end = start + 5 * SECOND
            closing = step(
                name, 1, "close", stream=stream, time=end + SECOND, start_time=start, end_time=end, severity=severity
            )
            store.commit({}, {}, [closing], now=START + number)
    return store


def ids(store: Store, **wanted: object) -> str:
    return "".join(event.id for event in store.events.list(**wanted))  # type: ignore[arg-type]


def test_events_come_latest_first_and_by_what_is_asked(filled: Store) -> None:
    assert ids(filled) == "fedcba"
    assert ids(filled, stream="pump") == "cba"
    assert ids(filled, state="open") == "fdb"
    assert ids(filled, state="closed") == "eca"
    assert ids(filled, severity="warning") == "fedcba"
    assert ids(filled, severity="serious") == "fecb"
    assert ids(filled, severity="critical") == "fc"
    assert ids(filled, state="closed", stream="fan", severity="serious") == "e"


def test_times_choose_events_that_overlap_them(filled: Store) -> None:
    assert ids(filled, until=START + 20 * SECOND) == "ba"
    assert ids(filled, since=START + 25 * SECOND) == "fedcb"  # b is open still, c ends there
    assert ids(filled, since=START + 26 * SECOND) == "fedb"
    assert ids(filled, since=START + 6 * SECOND, until=START + 11 * SECOND) == "b"


def test_pages_join_without_gap_or_repeat(filled: Store) -> None:
    found, after = "", None
    while page := filled.events.list(limit=2, after=after):
        found += "".join(event.id for event in page)
        after = page[-1].id
    assert found == "fedcba"


def test_an_event_is_told_as_it_stands(filled: Store) -> None:
    event = filled.events.get("c")
    assert event is not None
    assert (event.state, event.kind, event.severity) == ("closed", "anomaly", "critical")
    assert (event.start, event.end) == (START + 20 * SECOND, START + 25 * SECOND)
    assert event.record.sequence == 1
    assert event.as_dict()["event"]["peak"] == 3.25
    assert filled.events.get("nothing") is None
    assert [record.id for record in filled.events.open_records()] == ["b", "d", "f"]
    assert (filled.events.count(), filled.events.count("open"), filled.events.count("closed")) == (6, 3, 3)


def test_a_silent_stream_is_an_open_event_until_it_is_heard(store: Store) -> None:
    store.commit({}, {}, [step("s", 0, "silent", severity=None, start_time=None)])
    event = store.events.get("s")
    assert event is not None
    assert (event.kind, event.state, event.severity, event.start) == ("silence", "open", "warning", START)
    store.commit({}, {}, [step("s", 1, "heard", time=START + 9, start_time=None, end_time=None)])
    event = store.events.get("s")
    assert event is not None
    assert (event.kind, event.state, event.start, event.end) == ("silence", "closed", START, START + 9)


def test_the_first_to_acknowledge_stays(filled: Store) -> None:
    assert filled.events.acknowledge("a", "ann", now=5)
    assert not filled.events.acknowledge("a", "bob", now=6)
    event = filled.events.get("a")
    assert event is not None
    assert (event.acknowledged, event.acknowledged_by) == (5, "ann")
    assert ids(filled, acknowledged=True) == "a"
    assert ids(filled, acknowledged=False) == "fedcb"


def test_an_acknowledgement_outlives_later_steps(filled: Store) -> None:
    filled.events.acknowledge("b", "ann", now=5)
    filled.commit({}, {}, [step("b", 1, "close")])
    event = filled.events.get("b")
    assert event is not None
    assert (event.state, event.acknowledged_by) == ("closed", "ann")


def test_comments_are_kept_in_their_order(filled: Store) -> None:
    filled.events.comment("a", "ann", " bearing? ", now=1)
    filled.events.comment("a", "bob", "<b>yes</b>", now=2)
    event = filled.events.get("a")
    assert event is not None
    assert [(one.time, one.author, one.text) for one in event.comments] == [
        (1, "ann", "bearing?"),
        (2, "bob", "<b>yes</b>"),
    ]
    assert [one.comment_count for one in filled.events.list(stream="pump")] == [0, 0, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda events: events.comment("nothing", "a", "b"),
        lambda events: events.acknowledge("nothing", "a"),
        lambda events: events.comment("a", "a", "  "),
        lambda events: events.comment("a", "a", "x" * 10_001),
        lambda events: events.list(limit=0),
        lambda events: events.list(limit=1001),
        lambda events: events.list(severity="bad"),
        lambda events: events.list(state="ajar"),
        lambda events: events.list(after="nothing"),
        lambda _: Retention(days=0),
        lambda _: Retention(events=-1),
        lambda _: Retention(state_days=float("nan")),
    ],
)
def test_wrong_requests_are_refused(filled: Store, wrong: object) -> None:
    with pytest.raises(InvalidArgument):
        wrong(filled.events)  # type: ignore[operator]


def test_closed_events_go_with_age_and_open_ones_stay(filled: Store) -> None:
    filled.events.comment("a", "ann", "old")
    assert filled.events.forget(Retention(days=1), now=START + DAY) == 0
    assert filled.events.forget(Retention(days=1)) == 0  # without a time of the data nothing is old
    assert filled.events.forget(Retention(days=1), now=START + DAY + 26 * SECOND) == 2  # by the time of their data
    assert ids(filled) == "fedb"
    assert filled.events.get("a") is None
    filled.commit({}, {}, [step("a", 2)])
    event = filled.events.get("a")
    assert event is not None
    assert event.comments == ()


def test_the_oldest_closed_events_go_beyond_the_count(filled: Store) -> None:
    assert filled.events.forget(Retention(events=1), now=START) == 2
    assert ids(filled) == "fedb"


def test_forgetting_goes_in_small_steps(filled: Store) -> None:
    taken = [filled.events.forget(Retention(days=1), now=START + 2 * DAY, most=2) for _ in range(3)]
    assert taken == [2, 1, 0]


def test_states_of_streams_unheard_of_go_too(store: Store) -> None:
    store.commit({}, {"old": b"1"}, now=START)
    store.commit({}, {"new": b"2"}, now=START + DAY)
    store.forget(Retention(state_days=1), None, START + DAY + 1)
    assert [key for key, _ in store.states()] == ["new"]


def test_room_that_became_free_goes_back_to_the_disk(store: Store) -> None:
    store.commit({}, {}, [step(f"e{n}", 0, "close", padding="x" * 2000) for n in range(1000)], now=START)
    store.commit({}, {}, [step("last")])
    before = store.size
    for _ in range(3):
        store.events.forget(Retention(days=1), now=START + 2 * DAY)
    store.close()
    assert store.size < before / 4
