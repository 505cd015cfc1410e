"""Single streams: one that loses samples is named, one can be forgotten, begin anew or be called otherwise."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Samples
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.stream_state import pack, unpack
from aez.daemon.engine.watched import Watched
from tests.kit.engine_models import CHANNELS, PERIOD, SECOND, START, Magnitude, detector, samples, take

HOUR = 3600 * SECOND


def engine(**settings: Any) -> Engine:
    return Engine([Watched("plant", Magnitude(), **settings)], clock=lambda: START)


def quiet(rows: int, first: int = 0, stream: str = "a") -> Samples:
    return samples(np.full((rows, 2), 0.1), np.arange(first, first + rows), stream)


def entry(some: Engine, stream: str = "a") -> dict[str, Any]:
    (found,) = [one for one in some.describe() if one["stream"] == stream]
    return found


def test_one_sample_from_tomorrow_makes_no_stream_deaf() -> None:
    some = engine()
    some.process([quiet(20)])
    some.process([replace(quiet(1), time=np.array([START + 48 * HOUR]))])
    some.process([quiet(100, 20)])
    stats = some.stats()
    assert (stats["dropped.late"], stats["dropped.future"], stats["gap_rows"]) == (0, 1, 0)
    assert stats["scored"] == 117
    (letter,) = some.take_letters()
    assert letter.reason == "future"
    assert json.loads(letter.data) == {
        "time": START + 48 * HOUR,
        "stream": "a",
        **dict.fromkeys(CHANNELS, np.float32(0.1)),
    }
    assert some.take_letters() == []
    assert entry(some)["lost"] == {"future": 1}


def test_a_stream_that_is_ahead_of_the_clock_is_scored_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    some = engine()
    ahead = quiet(50)
    some.process([replace(ahead, time=ahead.time + 48 * HOUR)])
    with caplog.at_level(logging.WARNING):
        some.tick(START)
        some.tick(START + SECOND)
    assert some.stats()["scored"] == 47
    assert [record.getMessage() for record in caplog.records] == [
        "stream a: its time is more than 24 h ahead of this machine's clock"
    ]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("late", "lateness_seconds"),
        ("duplicate", "period_seconds"),
        ("gaps", "a row every 60 s"),
        ("no_channel", "columns"),
    ],
)
def test_a_stream_that_loses_samples_is_named_once_with_what_to_do(
    reason: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    some = engine()
    some.process([quiet(400), quiet(400, stream="well")])
    for turn in range(3):
        match reason:
            case "late":
                more = quiet(200)
            case "duplicate":  # three samples in each period
                more = samples(np.full((120, 2), 0.1), 400 + np.arange(120 * turn, 120 * turn + 120) / 3)
            case "gaps":
                more = samples(np.full((60, 2), 0.1), 400 + 600 * turn + np.arange(60) * 10)
            case _:
                more = replace(quiet(200, 400 + 200 * turn), columns=("x", "y"))
        some.process([more])
    with caplog.at_level(logging.WARNING):
        some.tick(START + 1000 * HOUR)
        some.tick(START + 1000 * HOUR)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"stream a: samples are not scored ({reason}): ")
    assert told in record.getMessage()
    assert (entry(some)["losing"], entry(some, "well")["losing"]) == (reason, None)
    assert told in entry(some)["advice"]
    assert list(some.losing) == [{"reason": reason, "count": 1, "streams": ["a"]}]
    stats = some.stats()
    assert {name: value for name, value in stats.items() if name.startswith("losing.") and value} == {
        f"losing.{reason}": 1
    }


def test_a_sender_that_tells_mostly_of_other_things_loses_no_channels(caplog: pytest.LogCaptureFixture) -> None:
    """As in long format, where what a model does not have lies beside the rest, however many lines are read at once."""
    some = engine()
    for turn in range(3):
        mine, other = quiet(200, 200 * turn), replace(quiet(800, 200 * turn), columns=("x", "y"))
        other = replace(other, time=np.repeat(mine.time, 4), order=np.arange(1000)[np.arange(1000) % 5 > 0], more=True)
        some.process([other, replace(mine, order=np.arange(1000)[::5])])
    with caplog.at_level(logging.WARNING):
        some.tick(START)
    assert caplog.records == []
    assert some.stats()["dropped.no_channel"] == 2400
    assert some.lost() == {"a": {"no_channel": 2400}}


def test_streams_that_differ_by_a_date_alone_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Files of a day each are a stream each, where nothing names it: each would begin afresh without a word."""
    some = engine()
    with caplog.at_level(logging.WARNING):
        for name in ("pump-7", "pump-8", "press-2026-01-01", "20260101", "part-19991301", "id-120260101"):
            some.process([quiet(3, stream=name)])
        assert caplog.records == []
        for name in ("press-2026-01-02", "press-2026-01-03", "20260102", "part-19991302", "id-120260102"):
            some.process([quiet(3, stream=name)])
    assert [record.getMessage()[:60] for record in caplog.records] == [
        "streams press-2026-01-01 and press-2026-01-02 differ by a da",
        "streams 20260101 and 20260102 differ by a date alone, and ea",
    ]


def test_streams_without_a_model_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    some = engine(streams=["a"])
    some.process([quiet(3, stream="b"), quiet(3, stream="c")])
    with caplog.at_level(logging.WARNING):
        some.tick(START)
        some.process([quiet(3, stream="b")])
        some.tick(START)
    (record,) = caplog.records
    assert "no model watches 2 streams (b, c)" in record.getMessage()
    assert some.stats()["losing.no_model"] == 2


def test_losses_outlive_a_restart_and_what_was_put_aside_too() -> None:
    some = engine()
    some.process([quiet(20), quiet(5)])
    some.process([replace(quiet(1), time=np.array([START + 48 * HOUR]))])
    fresh = engine()
    for name, data in some.touched().items():
        assert fresh.restore(name, data) == ""
        assert pack(unpack(data)) == data
    assert entry(fresh)["lost"] == {"late": 5}
    fresh.process([quiet(10, 20)])
    assert fresh.stats()["dropped.future"] == 1


def test_a_state_from_before_fronts_were_known_is_taken() -> None:
    some = engine(lateness=0)
    some.process([quiet(20), samples(np.array([[0.1, np.nan]]), np.array([20]))])
    ((_, data),) = some.touched().items()
    state = unpack(data)
    assert len(state.aligner.slots) == 1
    fresh = engine()
    assert fresh.restore("a", data) == ""
    fresh.process([quiet(10, 21)])
    assert fresh.stats()["scored"] == 11
    assert fresh.stats()["dropped.late"] == 0


def test_a_forgotten_stream_is_as_if_it_had_never_been() -> None:
    some = engine()
    loud = samples(np.full((20, 2), 5.0))
    some.process([loud, quiet(20, stream="b")])
    assert some.forget_stream("a") == ["a"]
    (closed,) = some.tick(0)
    assert closed.action == "close"
    assert [one["stream"] for one in some.describe()] == ["b"]
    some.process([quiet(5)])
    assert entry(some)["rows"] == 5
    with pytest.raises(InvalidArgument, match="there is no stream 'zz'"):
        some.forget_stream("zz")


def test_a_stream_whose_clock_was_ahead_begins_anew_when_it_is_told_to() -> None:
    some = engine()
    ahead = quiet(20)
    some.process([replace(ahead, time=ahead.time + 48 * HOUR)])
    some.process([quiet(20)])
    assert some.stats()["dropped.late"] == 20
    assert some.reset_stream("a") == []
    some.process([quiet(20)])
    stats = some.stats()
    assert stats["dropped.late"] == 20
    assert stats["scored"] == 34
    recent = some.recent("a")
    assert recent is not None
    assert (recent.row, recent.time) == (39, START + 19 * PERIOD * SECOND)


def test_a_stream_that_is_reset_closes_what_was_open_and_keeps_its_limit() -> None:
    some = Engine([Watched("plant", detector(), learn=100)], clock=lambda: START)
    some.process([samples(0.4 + np.random.default_rng(0).normal(0, 0.02, (2000, 2)))])
    before = entry(some)["limit"]
    assert before < 1
    some.process([samples(np.full((20, 2), 5.0), np.arange(2000, 2020))])
    some.reset_stream("a")
    assert [one.action for one in some.tick(0)] == ["close"]
    assert entry(some)["limit"] == pytest.approx(before)
    assert entry(some)["event"] is None


def test_a_renamed_stream_goes_on_under_its_new_name() -> None:
    some = engine(limits={"b": 3.0})
    some.process([quiet(20), quiet(20, stream="c")])
    assert some.rename_stream("a", "b") == ["a"]
    some.process([quiet(20, 20, "b")])
    assert entry(some, "b")["rows"] == 40
    assert entry(some, "b")["limit"] == 3.0
    assert some.stats()["streams"] == 2
    assert set(some.touched()) == {"b", "c"}


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("c", "there is a stream 'c' already"),
        ("x-1", "model other watches"),
        ("q", "no model watches"),
        ("b\n", "cannot be called"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_a_sentence(to: str, why: str) -> None:
    models = [
        Watched("plant", Magnitude(), streams=["a", "b*", "c"]),
        Watched("other", Magnitude(name="o"), streams=["x-*"]),
    ]
    some = Engine(models, clock=lambda: START)
    some.process([quiet(20), quiet(20, stream="c")])
    with pytest.raises(InvalidArgument, match=why):
        some.rename_stream("a", to)
    some.process([quiet(1, 20)])
    assert entry(some)["rows"] == 21


def test_the_time_of_the_data_is_that_of_most_streams() -> None:
    some = engine()
    assert some.data_time() is None
    ahead = replace(quiet(1, stream="wrong"), time=np.array([START + 10_000 * HOUR]))
    some.process([ahead, quiet(10), quiet(12, stream="b")])
    assert some.data_time() == START + 11 * PERIOD * SECOND
    assert some.newest("a") == START + 9 * PERIOD * SECOND
    assert some.newest("zz") is None


def test_an_incomplete_last_row_is_scored_after_a_while_by_the_walls_clock() -> None:
    now = [0]
    some = Engine([Watched("plant", Magnitude())], clock=lambda: START, steady=lambda: now[0])
    some.process([quiet(10), samples(np.array([[0.1, np.nan]]), np.array([10]))])
    some.tick(START)
    assert some.stats()["scored"] == 7
    now[0] = 3 * PERIOD * SECOND
    some.tick(START)
    assert some.stats()["scored"] == 8
    assert some.stats()["waiting"] == 0


def test_samples_are_taken_in_the_order_of_arrival_across_sets_of_columns() -> None:
    rows = quiet(20)
    places = np.arange(20, dtype=np.int64)
    one, other = (
        replace(rows, columns=("flow", "x"), order=2 * places, more=True),
        replace(rows, columns=("heat", "y"), order=2 * places + 1),
    )
    some = engine(lateness=0)
    some.process([one, other, take(quiet(21), 20, 21)])
    stats = some.stats()
    assert (stats["dropped.late"], stats["dropped.duplicate"], stats["scored"]) == (0, 0, 18)


@pytest.mark.parametrize("first", [0, 4_102_444_800 * SECOND], ids=["1970", "2100"])
@pytest.mark.parametrize("cut", [1, 7, 100])
def test_a_first_stamp_far_off_decides_nothing(first: int, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    values = np.random.default_rng(0).uniform(-0.8, 0.8, (40, len(CHANNELS)))
    one = samples(values)
    time = one.time.copy()
    time[0] = first
    one = replace(one, time=time)
    made = Engine([Watched("plant", Magnitude(), silent_after=3600.0)], clock=lambda: START)
    records = [record for at in range(0, 40, cut) for record in made.process([take(one, at, at + cut)])]
    with caplog.at_level(logging.WARNING):
        records += [*made.tick(START), *made.tick(START)]
    assert records == []
    stats = made.stats()
    assert (stats["scored"], stats["gap_rows"]) == (36, 0)  # of 39 rows the first three have no whole window
    told = [text for text in caplog.messages if "far from what followed" in text]
    assert told == [
        "stream a: what came first lay far from what followed it; the clock begins with that, and the first rows go"
    ]
