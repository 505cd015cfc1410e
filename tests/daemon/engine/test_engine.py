"""The engine against `Detector.score` and `find_events` over the whole series, however samples arrive."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aez.codec.detect.events import Event, EventRule, find_events
from aez.codec.errors import InvalidArgument
from aez.codec.series.core import Series
from aez.daemon.alarms.habits import Habits
from aez.daemon.common.records import EventRecord, Samples
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.scorer import BATCHES
from aez.daemon.engine.stream_state import pack, unpack
from aez.daemon.engine.watched import Watched
from tests.kit.engine_models import (
    CHANNELS,
    PERIOD,
    RULE,
    SECOND,
    START,
    WINDOW,
    Array,
    Magnitude,
    bursts,
    detector,
    interleaved,
    samples,
    take,
)

#: Events of a quarter of an hour that go on, and a change that lasts two hours.
HABITS = Habits(reopen_within=15 * PERIOD * SECOND, growth=2.0, changed_after=120 * PERIOD * SECOND)


def engine(**settings: Any) -> Engine:
    return Engine([Watched("plant", detector(), **settings)])


def expected_events(values: Array, stream: str = "a", rule: EventRule = RULE) -> list[Event]:
    """Of the whole series at once; infinities are missing values."""
    scores = detector().score(Series(values, CHANNELS, None))
    time = START + np.arange(len(values)) * PERIOD * SECOND
    model = detector().bundle.id
    return find_events(scores.score, scores.channel_score, rule, CHANNELS, time, stream, model)


def closed(records: list[EventRecord]) -> list[Any]:
    return [json.loads(json.dumps(one.event)) for one in records if one.action == "close"]


def as_closed(events: list[Event]) -> list[Any]:
    return [json.loads(json.dumps(one.as_dict())) for one in events if not one.ongoing]


def same_events(found: list[Any], expected: list[Any]) -> None:
    assert [one["id"] for one in found] == [one["id"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert {**one, "peak": 0, "channels": 0} == {**other, "peak": 0, "channels": 0}
        assert one["peak"] == pytest.approx(other["peak"], rel=1e-6)
        assert {c["name"]: c["share"] for c in one["channels"]} == pytest.approx(
            {c["name"]: c["share"] for c in other["channels"]}, rel=1e-5
        )


def chunks(one: Samples, cuts: list[int]) -> list[Samples]:
    edges = sorted({0, len(one), *(cut for cut in cuts if cut < len(one))})
    return [take(one, start, end) for start, end in pairwise(edges)]


def moved(old: Engine, **settings: Any) -> Engine:
    """Another engine that goes on from the old one's state, as after a kill."""
    fresh = engine(**settings)
    for name, data in old.touched().items():
        assert fresh.restore(name, data) == ""
    return fresh


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 300), max_size=12), st.booleans(), st.data())
def test_chunks_and_restarts_change_nothing(seed: int, cuts: list[int], habits: bool, data: st.DataObject) -> None:
    values = bursts(300, seed)
    one = samples(values)
    settings = {"update_every": 3, "habits": HABITS if habits else Habits(), "warm_up": 10 if habits else 0}
    whole = engine(**settings)
    expected = whole.process([one]) + whole.flush(0)
    if not habits:
        same_events(closed(expected), as_closed(expected_events(values)))
    threads = {"workers": 2, "sizes": (1, 8, 32)} if data.draw(st.booleans()) else {}
    part = Engine([Watched("plant", detector(), **settings)], **threads)
    found = []
    for chunk in chunks(one, cuts):
        found += part.process([chunk], ahead=data.draw(st.booleans()))
        if data.draw(st.booleans()):
            found += part.settle()
            part = moved(part, **settings)
    assert found + part.flush(0) == expected


def test_what_is_under_way_is_settled_before_anything_else_is_asked() -> None:
    values = bursts(300, 3)
    expected = engine(update_every=3).process([samples(values)])
    assert expected
    for ask in (lambda one: one.tick(0), lambda one: one.flush(0), lambda one: one.process([]), Engine.settle):
        ahead = engine(update_every=3)
        assert ahead.process([samples(values)], ahead=True) == []
        assert ask(ahead) == expected
    ahead = engine(update_every=3)
    ahead.process([samples(values)], ahead=True)
    ahead.replace_models(ahead.models)
    assert ahead.process([]) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.data())
def test_late_duplicate_and_disordered_samples_are_put_right(seed: int, reach: int, data: st.DataObject) -> None:
    values = bursts(120, seed, missing=0.1)
    rng = np.random.default_rng(seed)
    # Each sample is at most `reach` periods late, some come twice, and values of one row may come apart.
    arrivals = [(row + rng.uniform(0, reach), row, part) for row in range(120) for part in rng.permutation(2)]
    arrivals += [(arrivals[i][0] + 0.1, *arrivals[i][1:]) for i in rng.integers(0, 240, 20)]
    arrivals.sort()
    slots = np.array([row for _, row, _ in arrivals])
    apart = np.full((len(arrivals), 2), np.nan)
    for place, (_, row, part) in enumerate(arrivals):
        apart[place, part] = values[row, part]
    one = samples(apart, slots)
    part = engine(lateness=(reach + 1) * PERIOD)
    found = []
    for chunk in chunks(one, data.draw(st.lists(st.integers(0, len(one)), max_size=6))):
        found += part.process([chunk])
        if data.draw(st.booleans()):
            part = moved(part, lateness=(reach + 1) * PERIOD)
    found += part.flush(0)
    first = int(slots[0])  # the clock starts at the first sample that arrived; here with whole periods
    if slots.min() == 0 and np.isfinite(values[first]).any():
        same = [one["id"] for one in closed(found)]
        assert same == [one["id"] for one in as_closed(expected_events(values))]


def test_an_event_opens_grows_and_closes_once_each_with_rising_sequence() -> None:
    values = np.full((60, 2), 0.1)
    values[20:40] = 5.0
    records = engine(update_every=5).process([samples(values)])
    updates = len(records) - 2
    assert [one.action for one in records] == ["open", *["update"] * updates, "close"]
    assert 4 <= updates <= 6
    assert [one.sequence for one in records] == list(range(len(records)))
    assert len({one.id for one in records}) == 1
    assert [one.event["ongoing"] for one in records] == [True] * (updates + 1) + [False]
    severities = [one.event["severity"] for one in records]
    assert [severity for severity, _ in groupby(severities)] == ["serious", "critical"]  # told as soon as it is so
    told = [one for one, before in zip(records, [None, *severities], strict=False) if one.event["severity"] == before]
    assert all(later.time - one.time >= 5 * PERIOD * SECOND for one, later in pairwise(told[:-1]))
    assert records[0].time == START + (records[0].event["opened"] * PERIOD) * SECOND
    assert {one.model for one in records} == {"plant"}


def test_many_streams_in_one_batch_are_told_apart() -> None:
    by_stream = {f"s{number}": bursts(150, number) for number in range(12)}
    one = interleaved(by_stream)
    for step in (1, 7, 400, len(one)):
        whole = engine()
        records = [
            record for start in range(0, len(one), step) for record in whole.process([take(one, start, start + step)])
        ] + whole.flush(0)
        for name, values in by_stream.items():
            mine = [record for record in records if record.stream == name]
            same_events(closed(mine), as_closed(expected_events(values, name)))


def test_streams_that_are_joined_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one = interleaved({f"s{number}": bursts(150, number) for number in range(12)})
    expected = engine().process([one])
    monkeypatch.setattr("aez.daemon.engine.ring._JOINED", 1000)
    for ahead in (False, True):
        few = Engine([Watched("plant", detector())], workers=2, sizes=(1, 8, 32))
        halves = [few.process([take(one, start, start + 900)], ahead=ahead) for start in (0, 900)]
        records = [*halves[0], *halves[1], *few.settle()]
        assert sorted(records, key=_place) == sorted(expected, key=_place)


def _place(record: EventRecord) -> tuple[str, int, int]:
    return record.stream, record.time, record.sequence


def test_every_score_goes_to_the_listener() -> None:
    values = bursts(100)
    got: list[ScoredRows] = []
    whole = Engine([Watched("plant", detector())], listener=got.append)
    for chunk in chunks(samples(values), [3, 10, 11, 60]):
        whole.process([chunk])
    whole.flush(0)
    expected = detector().score(Series(values, CHANNELS, None))
    np.testing.assert_allclose(np.concatenate([one.score for one in got]), expected.score, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([one.channel_score for one in got]), expected.channel_score, rtol=1e-6)
    assert {got[0].names[number] for number in got[0].rows.stream} == {"a"}
    assert whole.stats()["scored"] == 100 - WINDOW + 1


def test_a_gap_scores_as_missing_rows_do() -> None:
    values = bursts(200, 3, missing=0.0)
    values[60:64] = 5.0
    for gap in (1, 3, 10, 100):
        kept = np.r_[0:66, 66 + gap : 200]
        holes = values.copy()
        holes[66 : 66 + gap] = np.nan
        found = engine().process([samples(values[kept], kept)])
        same_events(closed(found), as_closed(expected_events(holes)))


def test_streams_go_to_the_model_whose_pattern_fits() -> None:
    other = Magnitude(window=3, channels=("x",), period=1.0, name="other")
    both = Engine([Watched("plant", detector(), streams=["pump-*"]), Watched("fans", other, streams=["fan-?"])])
    rows = np.full((20, 2), 5.0)
    loud = {"pump-1": rows, "fan-1": rows, "door": rows}
    one = interleaved(loud)
    records = both.process([replace(one, columns=("flow", "heat")), replace(one, columns=("x", "y"))])
    records += both.flush(0)
    assert {(one.stream, one.model) for one in records} == {("pump-1", "plant"), ("fan-1", "fans")}
    stats = both.stats()
    assert stats["streams"] == 2
    assert stats["dropped.no_model"] == 40
    assert stats["dropped.no_channel"] == 40


def test_a_thousand_streams() -> None:
    streams, count = 1000, 30
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (count, streams, 2))
    values[10:18, ::100] = 4.0
    names = [f"s{number}" for number in range(streams)]
    whole = Engine([Watched("plant", detector())], streams=streams)
    records = []
    order = np.random.default_rng(1)
    for row in range(count):
        shuffled = order.permutation(streams).astype(np.int32)
        time = np.full(streams, START + row * PERIOD * SECOND)
        records += whole.process([Samples(names, shuffled, time, CHANNELS, values[row][shuffled])])
    opened = {one.stream for one in records if one.action == "open"}
    assert opened == {f"s{number}" for number in range(0, streams, 100)}
    assert whole.stats()["scored"] == streams * (count - WINDOW + 1)
    state = whole.touched()
    assert len(state) == streams
    assert max(map(len, state.values())) < 2000
    assert whole.touched() == {}


def test_streams_beyond_the_bound_are_counted() -> None:
    few = Engine([Watched("plant", Magnitude())], streams=3)
    names = [f"s{number}" for number in range(10)]
    rows = Samples(names, np.arange(10, dtype=np.int32), np.full(10, START), CHANNELS, np.ones((10, 2)))
    few.process([rows])
    few.process([rows])
    stats = few.stats()
    assert (stats["streams"], stats["dropped.too_many_streams"]) == (3, 14)
    assert few.admit("s0")
    assert not few.admit("s9")


def test_batches_have_a_few_shapes_whatever_comes() -> None:
    model = Magnitude()
    some = Engine([Watched("plant", model)])
    rng = np.random.default_rng(0)
    for turn in range(60):
        count = int(rng.integers(1, 600))
        numbers = rng.integers(0, 50, count).astype(np.int32)
        time = np.full(count, START + turn * PERIOD * SECOND) + np.arange(count) * 1000
        some.process([Samples([f"s{n}" for n in range(50)], numbers, time, CHANNELS, rng.normal(size=(count, 2)))])
    assert {shape[0] for shape in model.shapes} <= set(BATCHES)


def test_times_that_cannot_be_are_left_out() -> None:
    strict = Engine([Watched("plant", Magnitude())])
    rows = samples(np.full((20, 2), 0.1))
    rows.time[5] += 2 * 3600 * SECOND
    rows.time[6], rows.time[7] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    strict.process([rows])
    stats = strict.stats()
    assert stats["dropped.future"] == 3
    assert stats["gap_rows"] == 3
    assert stats["dropped.late"] == 0


def test_bad_values_count_as_missing_and_hurt_no_other_stream() -> None:
    values = bursts(200, 5)
    worse = values.copy()
    worse[::9, 0], worse[::11, 1], worse[::13] = np.inf, -1e300, np.nan
    one = interleaved({"good": values, "bad": worse})
    whole = engine()
    records = whole.process([one]) + whole.flush(0)
    missing = worse.copy()
    missing[~(np.abs(missing) < 1e30)] = np.nan
    same_events(closed([r for r in records if r.stream == "good"]), as_closed(expected_events(values, "good")))
    same_events(closed([r for r in records if r.stream == "bad"]), as_closed(expected_events(missing, "bad")))


def test_a_score_without_bound_stays_within_json() -> None:
    values = np.full((30, 2), 0.1)
    values[10:15] = 3e38
    records = engine().process([samples(values)])
    assert [one.action for one in records] == ["open", "close"]
    json.dumps([one.event for one in records], allow_nan=False)


def test_warm_up_holds_events_back() -> None:
    values = np.full((60, 2), 0.1)
    values[10:16] = values[40:46] = 5.0
    found = closed(engine(warm_up=30).process([samples(values)]))
    assert [one["start"] for one in found] == [40]


def test_a_stream_has_its_own_limit() -> None:
    values = np.full((60, 2), 0.1)
    values[20:30] = 1.5
    limits = {"tolerant-*": 2.0}
    for name, count in (("tolerant-1", 0), ("strict", 1)):
        assert len(closed(engine(limits=limits).process([samples(values, stream=name)]))) == count


def test_silence_is_an_event_of_its_own_that_ends_when_the_stream_is_heard() -> None:
    now = [START]
    quiet = Engine([Watched("plant", Magnitude(), silent_after=300)], clock=lambda: now[0])
    quiet.process([samples(np.full((3, 2), 0.1))])
    assert quiet.tick(START + 300 * SECOND) == []
    (silent,) = quiet.tick(START + 301 * SECOND)
    last = START + 2 * PERIOD * SECOND
    assert (silent.action, silent.sequence, silent.stream) == ("silent", 0, "a")
    assert silent.event["start_time"] == last
    assert quiet.tick(START + 900 * SECOND) == []
    assert quiet.stats()["silent"] == 1
    # It goes on after a restart, and an old sample that comes again says nothing.
    again = Engine([Watched("plant", Magnitude(), silent_after=300)], clock=lambda: now[0])
    for name, data in quiet.touched().items():
        again.restore(name, data)
    now[0] = START + 1000 * SECOND
    assert again.tick(now[0]) == []
    assert again.process([samples(np.full((1, 2), 0.1), np.array([1]))]) == []
    (heard,) = again.process([samples(np.full((1, 2), 0.1), np.array([20]))])
    assert (heard.action, heard.sequence, heard.id) == ("heard", 1, silent.id)
    assert heard.event["end_time"] == START + 20 * PERIOD * SECOND
    assert again.stats()["silent"] == 0


def test_a_replay_finds_the_silence_in_the_times() -> None:
    slots = np.r_[0:5, 30:35]
    replayed = engine(silent_after=600).process([samples(np.full((10, 2), 0.1), slots)])
    assert [one.action for one in replayed] == ["silent", "heard"]
    assert replayed[0].event["start_time"] == START + 4 * PERIOD * SECOND
    now = [START]
    live = Engine([Watched("plant", Magnitude(), silent_after=600)], clock=lambda: now[0])
    one = samples(np.full((10, 2), 0.1), slots)
    live.process([take(one, 0, 5)])
    records = live.tick(START + 601 * SECOND)
    now[0] += 700 * SECOND
    records += live.process([take(one, 5, 10)])
    assert [(r.id, r.sequence, r.action, r.time) for r in records] == [
        (r.id, r.sequence, r.action, r.time) for r in replayed
    ]


def test_another_model_starts_a_stream_afresh_says_so_and_closes_what_was_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    values = np.full((30, 2), 0.1)
    values[20:] = 5.0
    old = engine()
    opened, *worse = old.process([samples(values)])
    ((name, data),) = old.touched().items()
    new = Engine([Watched("plant", Magnitude(name="retrained"))])
    with caplog.at_level(logging.WARNING):
        assert "is of model" in new.restore(name, data)
    assert "stream a starts afresh" in caplog.text
    (ended,) = new.tick(0)
    assert (ended.action, ended.id, ended.sequence) == ("close", opened.id, len(worse) + 1)
    assert ended.event["reason"] == "model changed"
    assert new.stats()["afresh"] == 1
    assert new.process([samples(np.full((WINDOW, 2), 0.1))]) == []
    assert new.stats()["scored"] == 1


def test_a_state_that_is_damaged_or_fits_no_more_starts_the_stream_afresh() -> None:
    old = engine()
    old.process([samples(bursts(50))])
    ((name, data),) = old.touched().items()
    assert "period" in engine(period=30.0).restore(name, data)
    assert "no model" in engine(streams=["b*"]).restore(name, data)
    for bad in (b"", b"AZS1" + data[4:], data[:-1], data[:-5] + b"\0" + data[-4:], data + b"\0"):
        fresh = engine()
        assert fresh.restore(name, bad)
        assert fresh.stats()["afresh"] == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damaged_state_raises(data: st.DataObject) -> None:
    old = engine(lateness=300)
    old.process([samples(bursts(40))])
    ((name, state),) = old.touched().items()
    broken = bytearray(state)
    for place in data.draw(st.lists(st.integers(0, len(state) - 1), min_size=1, max_size=3)):
        broken[place] ^= data.draw(st.integers(1, 255))
    fresh = engine(lateness=300)
    assert bytes(broken) == state or fresh.restore(name, bytes(broken))
    fresh.process([samples(bursts(40))])


def test_a_state_survives_packing() -> None:
    old = engine(lateness=300, habits=HABITS)
    old.process([samples(bursts(90), np.r_[0:88, 89:91])])
    ((_, data),) = old.touched().items()
    state = unpack(data)
    assert pack(state) == data
    assert len(state.aligner.slots) > 0
    assert state.ring.shape == (WINDOW - 1, 2)


def test_models_are_replaced_without_a_gap() -> None:
    values = bursts(200, 8)
    one = samples(values)
    whole = engine()
    expected = whole.process([one]) + whole.flush(0)
    some = engine()
    found = some.process([take(one, 0, 100)])
    some.replace_models([Watched("plant", detector())])
    found += some.process([take(one, 100, 200)]) + some.flush(0)
    assert found == expected
    assert some.stats()["scored"] == whole.stats()["scored"]
    with pytest.raises(InvalidArgument, match="two models"):
        some.replace_models([Watched("plant", detector()), Watched("plant", detector())])
    assert some.stats()["streams"] == 1
    some.replace_models([Watched("plant", Magnitude(name="new"))])
    assert some.stats()["afresh"] == 1


def test_another_rule_applies_from_the_next_row_on() -> None:
    values = np.full((60, 2), 0.1)
    values[20:40] = 5.0
    one = samples(values)
    some = engine()
    some.process([take(one, 0, 30)])
    some.replace_models([Watched("plant", detector(), rule=replace(RULE, close_after=12, merge_within=0))])
    records = some.process([take(one, 30, 60)])
    assert [record.action for record in records] == ["close"]
    assert records[0].time == START + (records[0].event["end"] + 11) * PERIOD * SECOND


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lateness": -1.0}, "lateness"),
        ({"period": float("nan")}, "period"),
        ({"silent_after": 1e12}, "silent_after"),
        ({"warm_up": -1}, "warm_up"),
        ({"update_every": 0}, "update_every"),
        ({"limits": {"*": 0.0}}, "limit"),
        ({"columns": {"speed": "v"}}, "speed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        engine(**settings)


def test_streams_are_described_as_plain_data() -> None:
    some = engine()
    some.process([samples(np.full((20, 2), 5.0))])
    (found,) = some.describe()
    assert found["state"] == "event"
    assert found["score"] == pytest.approx(5.0)
    assert (found["stream"], found["model"], found["rows"], found["limit"]) == ("a", "plant", 20, 1.0)
    json.dumps(found, allow_nan=False)
    recent = some.recent("a")
    assert recent is not None
    assert (recent.values.shape, recent.row, recent.model) == ((WINDOW - 1, 2), 19, "plant")
    assert some.recent("b") is None
    assert some.stats()["open_events"] == 1


def test_a_stream_without_a_good_sample_is_as_new_after_its_model_was_replaced() -> None:
    plant = Watched("plant", Magnitude(), silent_after=300)
    one = samples(bursts(60))
    later = replace(one, time=one.time + 7 * SECOND)
    some, fresh = (Engine([plant], clock=lambda: START + 3600 * SECOND) for _ in range(2))
    assert some.process([replace(one, time=one.time + 2**62)]) == []  # all of it beyond any time that can be
    some.replace_models([plant])
    assert some.process([later]) == fresh.process([later])
    assert some.touched() == fresh.touched()


def test_nothing_in_gives_nothing_out() -> None:
    some = engine()
    empty = Samples([], np.empty(0, np.int32), np.empty(0, np.int64), CHANNELS, np.empty((0, 2)))
    assert some.process([]) == some.process([empty]) == some.tick(0) == some.flush(0) == []
    assert some.touched() == {}


def test_memory_does_not_grow_with_rows() -> None:
    import tracemalloc

    some = Engine([Watched("plant", Magnitude(), lateness=600, habits=HABITS)])
    rng = np.random.default_rng(0)

    def feed(turns: range) -> None:
        for turn in turns:
            by_stream = {f"s{number}": rng.normal(0, 0.3, (100, 2)) for number in range(20)}
            one = interleaved(by_stream)
            some.process([replace(one, time=one.time + turn * 100 * PERIOD * SECOND)])
            some.touched()

    feed(range(30))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    feed(range(30, 60))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 300_000


def test_a_silence_is_closed_where_nobody_of_its_model_is_left_to_end_it() -> None:
    old = Engine([Watched("plant", Magnitude(), silent_after=300)], clock=lambda: START)
    old.process([samples(np.full((10, 2), 0.1))])
    (silent,) = old.tick(START + 400 * SECOND)
    assert silent.action == "silent"
    ((name, data),) = old.touched().items()
    kept = Engine([Watched("plant", Magnitude(), silent_after=300)], clock=lambda: START)
    assert kept.restore(name, data) == ""
    assert kept.describe()[0]["state"] == "silent"
    assert kept.tick(START) == []
    renamed = Engine([Watched("other", Magnitude(), silent_after=300)], clock=lambda: START)
    renamed.restore(name, data)
    (ended,) = renamed.tick(START)
    assert (ended.id, ended.action, ended.sequence) == (silent.id, "heard", 1)
    assert (ended.model, ended.event["reason"]) == ("plant", "model changed")
    assert renamed.describe()[0]["state"] == "normal"
    gone = Engine([Watched("plant", Magnitude(), ["b*"])], clock=lambda: START)
    gone.restore(name, data)
    (ended,) = gone.tick(START)
    assert (ended.id, ended.event["reason"]) == (silent.id, "not watched any more")
