"""Events: worked examples of every edge of the rule, a slow second implementation, and state saved at any row."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.detect.events import Event, EventRule, EventTracker, EventUpdate, find_events
from aez.codec.errors import InvalidArgument

NAN = math.nan
NAMES = ("inlet", "pump", "valve")

RULES = st.builds(
    EventRule,
    open_after=st.integers(1, 4),
    close_after=st.integers(1, 4),
    merge_within=st.integers(0, 8),
    min_length=st.integers(1, 7),
)
SCORES = st.lists(st.sampled_from([0.2, 0.2, 0.9, 1.0, 1.5, 3.0, 7.0, NAN]), max_size=60)


def marks(text: str) -> list[float]:
    """Scores from a drawing: `#` is 2, `.` is 0, `?` is missing, digits are themselves."""
    return [{"#": 2.0, ".": 0.0, "?": NAN}[c] if c in "#.?" else float(c) for c in text]


def spans(text: str, rule: EventRule) -> list[tuple[int, int]]:
    return [(event.start, event.end) for event in find_events(marks(text), rule=rule)]


def slow_spans(scores: Sequence[float], rule: EventRule) -> list[tuple[int, int]]:
    """The definition in whole-series steps: hysteresis, then merging, then the minimum length."""
    present = [(row, score > 1) for row, score in enumerate(scores) if not math.isnan(score)]
    raw: list[tuple[int, int]] = []
    at = 0
    while at < len(present):
        run = present[at : at + rule.open_after]
        if len(run) < rule.open_after or not all(loud for _, loud in run):
            at += 1
            continue
        start, last, quiet = run[0][0], run[-1][0], 0
        at += rule.open_after
        while at < len(present) and quiet < rule.close_after:
            row, loud = present[at]
            last, quiet = (row, 0) if loud else (last, quiet + 1)
            at += 1
        raw.append((start, last + 1))
    merged: list[tuple[int, int]] = []
    for start, end in raw:
        if merged and start - merged[-1][1] <= rule.merge_within:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return [(start, end) for start, end in merged if end - start >= rule.min_length]


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [
        ("..##..", []),  # one short of opening
        ("..###.", [(2, 5)]),  # opens at exactly three
        ("###...", [(0, 3)]),
        ("##.##.##", []),  # never three in a row
        ("###...###", [(0, 9)]),  # three quiet rows do not close it
        ("###....###", [(0, 3), (7, 10)]),  # four do
        ("###...#...#", [(0, 11)]),  # once open, one loud row keeps it so
        ("###....##", [(0, 3)]),
        ("....", []),
        ("", []),
        ("###", [(0, 3)]),  # open at the end
        ("1111", []),  # a score of one is the threshold, not above it
    ],
)
def test_events_open_at_the_third_loud_row_and_close_at_the_fourth_quiet_one(
    drawing: str, expected: list[tuple[int, int]]
) -> None:
    assert spans(drawing, EventRule(open_after=3, close_after=4)) == expected


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [
        ("#?#?#..", [(0, 5)]),  # missing scores do not break a run
        ("#??##..", [(0, 5)]),
        ("###?????###", [(0, 11)]),  # nor do they close an event
        ("###.?.?.###", [(0, 11)]),  # three quiet rows among them
        ("###.?.?.?.###", [(0, 3), (10, 13)]),  # four
        ("???", []),
        ("##?", []),  # nor open one
    ],
)
def test_a_missing_score_neither_opens_nor_closes(drawing: str, expected: list[tuple[int, int]]) -> None:
    assert spans(drawing, EventRule(open_after=3, close_after=4)) == expected


@pytest.mark.parametrize(
    ("gap", "expected"),
    [(2, [(0, 6)]), (5, [(0, 9)]), (6, [(0, 2), (8, 10)])],
)
def test_events_that_start_near_the_last_ones_end_continue_it(gap: int, expected: list[tuple[int, int]]) -> None:
    rule = EventRule(open_after=2, close_after=2, merge_within=5)
    assert spans("##" + "." * gap + "##", rule) == expected


def test_a_run_too_short_to_open_does_not_merge() -> None:
    assert spans("##...#...##", EventRule(open_after=2, close_after=2, merge_within=5)) == [(0, 2), (9, 11)]


@pytest.mark.parametrize(("drawing", "expected"), [("###", []), ("####", [(0, 4)]), ("##.#", [(0, 4)])])
def test_events_shorter_than_the_minimum_are_dropped(drawing: str, expected: list[tuple[int, int]]) -> None:
    assert spans(drawing + "...", EventRule(open_after=2, close_after=2, min_length=4)) == expected


def test_two_short_events_merge_into_one_that_is_long_enough() -> None:
    rule = EventRule(open_after=2, close_after=2, merge_within=3, min_length=6)
    assert spans("##..##...", rule) == [(0, 6)]
    assert spans("##....##...", rule) == []


@settings(deadline=None)
@given(scores=SCORES, rule=RULES)
def test_events_equal_the_definition_in_whole_series_steps(scores: list[float], rule: EventRule) -> None:
    assert [(event.start, event.end) for event in find_events(scores, rule=rule)] == slow_spans(scores, rule)


@settings(deadline=None)
@given(data=st.data(), scores=SCORES, rule=RULES)
def test_any_chunks_and_a_restart_at_any_row_give_the_same_events(
    data: st.DataObject, scores: list[float], rule: EventRule
) -> None:
    rng = np.random.default_rng(len(scores))
    blame = rng.random((len(scores), 3))
    time = 10**9 * np.arange(len(scores))
    whole = EventTracker(rule, NAMES, "north", "model")
    expected = whole.update_batch(0, scores, blame, time) + whole.finish()

    inner = data.draw(st.lists(st.integers(0, len(scores)), max_size=6))
    edges = [0, *sorted(inner), len(scores)]
    tracker = EventTracker(rule, NAMES, "north", "model")
    updates: list[EventUpdate] = []
    for low, high in pairwise(edges):
        if data.draw(st.booleans()):
            updates += tracker.update_batch(low, scores[low:high], blame[low:high], time[low:high])
        else:
            for row in range(low, high):
                updates += tracker.update(row, scores[row], blame[row], int(time[row]))
        tracker = EventTracker.from_state(json.loads(json.dumps(tracker.state())))
    assert updates + tracker.finish() == expected
    assert find_events(scores, blame, rule, NAMES, time, "north", "model") == [
        update.event for update in expected if update.kind == "closed"
    ]


@settings(deadline=None)
@given(scores=SCORES, rule=RULES)
def test_each_event_opens_once_and_then_closes_once(scores: list[float], rule: EventRule) -> None:
    tracker = EventTracker(rule)
    updates = tracker.update_batch(0, scores) + tracker.finish()
    assert [update.kind for update in updates] == ["opened", "closed"] * (len(updates) // 2)
    for opened, closed in zip(updates[::2], updates[1::2], strict=True):
        assert opened.event.id == closed.event.id
        assert opened.event.ongoing
        assert opened.event.opened == closed.event.opened == opened.event.end - 1
        assert closed.event.start <= closed.event.peak_row < closed.event.end
        assert closed.event.peak == scores[closed.event.peak_row] > 1
    assert len({update.event.id for update in updates}) == len(updates) // 2


def test_an_event_tells_its_time_peak_and_causes() -> None:
    scores = marks("..2943..........")
    blame = np.zeros((16, 3))
    blame[2:6] = [[1, 0, 0], [0, 6, 1], [NAN, -5, 1], [0, 0, 1]]
    blame[6:] = [100, 0, 0]  # quiet rows have no say
    (event,) = find_events(scores, blame, EventRule(), NAMES, time=1000 + np.arange(16) * 10, stream="north")
    assert (event.start, event.end, event.opened) == (2, 6, 4)
    assert (event.start_time, event.end_time) == (1020, 1050)
    assert (event.peak, event.peak_row, event.severity) == (9.0, 3, "critical")
    assert event.channels == (("pump", 0.6), ("valve", 0.3), ("inlet", 0.1))
    assert not event.ongoing
    assert event.as_dict()["channels"][0] == {"name": "pump", "share": 0.6}
    assert json.loads(json.dumps(event.as_dict()))["severity"] == "critical"


@pytest.mark.parametrize(
    ("peak", "severity"), [(1.5, "warning"), (2, "serious"), (4.9, "serious"), (5, "critical"), (math.inf, "critical")]
)
def test_severity_follows_the_peak(peak: float, severity: str) -> None:
    (event,) = find_events([1.1, peak, 1.1])
    assert event.severity == severity


def test_an_event_without_a_cause_has_no_channels() -> None:
    assert find_events([2.0] * 3, np.zeros((3, 3)), channels=NAMES)[0].channels == ()
    assert find_events([2.0] * 3, channels=NAMES)[0].channels == ()
    infinite = find_events([2.0] * 3, np.full((3, 3), [math.inf, 1, math.inf]), channels=NAMES)[0].channels
    assert [name for name, _ in infinite] == ["inlet", "valve", "pump"]
    assert sum(share for _, share in infinite) == pytest.approx(1)


def test_the_data_can_end_within_an_event() -> None:
    still_open, closed = find_events(marks("..###.."))[0], find_events(marks("..###.........."))[0]
    assert still_open.ongoing
    assert (still_open.start, still_open.end) == (closed.start, closed.end) == (2, 5)
    waiting = find_events(marks("###..."), rule=EventRule(close_after=2, merge_within=9))[0]
    assert not waiting.ongoing


def test_an_event_is_closed_at_the_row_that_ends_its_hope_of_merging() -> None:
    tracker = EventTracker(EventRule(open_after=1, close_after=2, merge_within=4))
    kinds = [[update.kind for update in tracker.update(row, score)] for row, score in enumerate(marks("#......"))]
    # Row 5 is the last that could still merge (5 - 1 <= 4), so the event is over once it is known to be quiet.
    assert kinds == [["opened"], [], [], [], [], ["closed"], []]


def test_rows_may_be_left_out_but_not_come_back() -> None:
    tracker = EventTracker(EventRule(open_after=1, close_after=1, merge_within=3))
    tracker.update(0, 2.0)
    tracker.update(1, 0.0)
    updates = tracker.update(50, 2.0)
    assert [(update.kind, update.event.start) for update in updates] == [("closed", 0), ("opened", 50)]
    assert tracker.next_row == 51
    with pytest.raises(InvalidArgument, match="row 50 comes after row 50"):
        tracker.update(50, 0.0)
    with pytest.raises(InvalidArgument, match="rise"):
        tracker.update_batch(7, [0.0])


def test_the_open_event_can_be_looked_at() -> None:
    tracker = EventTracker(channels=NAMES)
    assert tracker.current is None
    tracker.update_batch(0, [2.0, 2.0])
    assert tracker.current is None
    (update,) = tracker.update(2, 4.0, [0, 1, 0])
    assert tracker.current == update.event
    assert update.event.channels == (("pump", 1.0),)
    tracker.finish()
    assert tracker.current is None


def event_id(**changes: object) -> str:
    arguments: dict[str, object] = {"stream": "a", "model_id": "m", "time": None} | changes
    return find_events(marks("..###"), None, EventRule(), (), **arguments)[0].id  # type: ignore[arg-type]


def test_ids_name_model_stream_and_start() -> None:
    time = np.arange(5) * 10
    ids = [event_id(), event_id(stream="b"), event_id(model_id="n"), event_id(time=time), event_id(time=time + 1)]
    assert len(set(ids)) == 5
    assert event_id() == ids[0]
    assert len(ids[0]) == 32
    # With a clock, a replay that starts elsewhere gives the same id.
    (later,) = find_events(marks("###"), time=time[2:], stream="a", model_id="m")
    assert later.id == ids[3]


@pytest.mark.parametrize(
    "counts", [{"open_after": 0}, {"close_after": 0}, {"merge_within": -1}, {"min_length": 0}, {"open_after": 2.5}]
)
def test_rules_that_make_no_sense_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(counts))):
        EventRule(**counts)


@pytest.mark.parametrize(
    ("blame", "time"), [(np.zeros((2, 3)), None), (None, [1, 2]), (np.zeros((3, 2)), None), (np.zeros(3), None)]
)
def test_arrays_that_do_not_belong_together_are_refused(
    blame: npt.ArrayLike | None, time: npt.ArrayLike | None
) -> None:
    with pytest.raises(InvalidArgument):
        find_events([2.0, 2.0, 2.0], blame, EventRule(), NAMES, time)


def test_a_state_that_is_none_is_refused() -> None:
    state = EventTracker().state()
    with pytest.raises(InvalidArgument, match="format 9"):
        EventTracker.from_state(state | {"format": 9})
    for name in state:
        with pytest.raises(InvalidArgument):
            EventTracker.from_state({key: value for key, value in state.items() if key != name})
    with pytest.raises(InvalidArgument):
        EventTracker.from_state(state | {"event": {"start": 3}})


def test_quiet_rows_cost_next_to_nothing() -> None:
    tracker = EventTracker()
    assert tracker.update_batch(0, np.zeros(5_000_000)) == []
    assert tracker.next_row == 5_000_000


def test_events_are_plain_and_comparable() -> None:
    (event,) = find_events(marks("###"))
    assert isinstance(event, Event)
    assert event == find_events(marks("###"))[0]
    assert hash(event)


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_are_alike_are_taken_together_as_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    single, several = (EventTracker(EventRule(close_after=6), ("only",), "pump", "model") for _ in range(2))
    at = 0
    for row in range(5):
        for one in (single, several):
            one.take(row, 2.0, np.array([1.0]), row)
    at = 5
    for _ in range(10):
        assert several.steady
        loud = bool(rng.integers(2)) or several.room < 1
        rows = list(range(at, at + int(rng.integers(1, 20 if loud else several.room + 1))))
        scores, shares = rng.uniform(1.1, 9, len(rows)).tolist(), rng.uniform(size=(len(rows), 1))
        if loud:
            several.take_loud(rows, scores, shares, rows[-1])
        else:
            several.take_quiet(rows)
        for row, score, share in zip(rows, scores, shares, strict=True):
            assert single.take(row, score if loud else 0.5, share, row) == []
        at = rows[-1] + 1
        assert several.state() == single.state()
    for take in (several.take_quiet, lambda rows: several.take_loud(rows, [2.0], np.ones((1, 1)), 0)):
        with pytest.raises(InvalidArgument, match="must rise"):
            take([at - 1])
    assert several.state() == single.state()
