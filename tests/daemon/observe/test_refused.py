"""Streams of which messages are refused."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from aez.daemon.common.records import Malformed, Samples
from aez.daemon.observe import refused
from aez.daemon.observe.refused import RefusedStreams


def rows(**streams: int) -> list[Samples]:
    counts = list(streams.values())
    index = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return [Samples(list(streams), index, np.zeros(len(index), np.int64), ("a",), np.zeros((len(index), 1)))]


def bad(stream: str, count: int = 1, reason: str = "wrong_type", detail: str = "'a' is a text") -> Malformed:
    return Malformed(reason, detail, b"{}", count, stream)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(refused.time, "monotonic", lambda: now[0])
    return now


def test_a_stream_of_which_all_is_refused_is_named_beside_others_that_are_well(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    streams = RefusedStreams()
    for second in range(20):
        clock[0] = second
        streams.take("plant", rows(good=5), [bad("deaf")])
        streams.tell()
        assert bool(streams.losing()) == (second >= 10)
    (said,) = caplog.messages
    assert said.startswith("source plant: messages of stream deaf cannot be used (wrong_type: 'a' is a text)")
    (entry,) = streams.losing()
    assert (entry["stream"], entry["source"], entry["losing"]) == ("deaf", "plant", "wrong_type")
    assert entry["lost"] == {"wrong_type": 20}
    assert "'a' is a text" in entry["advice"]
    assert streams.entry("good")["lost"] == {}
    assert streams.beside({"streams": 2.0}) == {"streams": 2.0, "losing.wrong_type": 1}


def test_a_share_is_told_once_for_each_reason_and_is_over_when_all_is_well(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    streams = RefusedStreams()
    for at in range(40):
        clock[0] = at / 10
        streams.take("plant", rows(s=2), [bad("s")])
        streams.tell()
    assert len(caplog.messages) == 1
    assert streams.losing()
    assert streams.beside({}) == {"losing.wrong_type": 1}
    for _ in range(20):
        streams.take("plant", rows(s=4), [])
    assert not streams.losing()
    assert streams.beside({}) == {"losing.wrong_type": 0}
    for _ in range(40):
        streams.take("plant", rows(s=2), [bad("s"), bad("s", reason="bad_time")])
        streams.tell()
    assert streams.losing()
    assert len(caplog.messages) == 1  # wrong_type was told before, and leads by the first message


@pytest.mark.usefixtures("clock")
def test_a_few_are_chance_and_none_costs_anything(caplog: pytest.LogCaptureFixture) -> None:
    streams = RefusedStreams()
    streams.take("plant", rows(s=5), [])
    assert not streams._streams
    for _ in range(100):
        streams.take("plant", rows(s=10), [bad("s")])
    streams.tell()
    assert not caplog.messages
    assert streams.entry("s")["lost"] == {"wrong_type": 100}
    assert streams.entry("s")["losing"] is None


@pytest.mark.usefixtures("clock")
def test_many_of_one_cause_are_one_line_and_what_patterns_leave_out_is_no_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    streams = RefusedStreams()
    letters: list[Any] = [bad(f"s{number}", 300) for number in range(5)]
    streams.take("plant", [], [*letters, bad("other", 300, "unknown_stream", "no pattern takes stream 'other'")])
    streams.tell()
    assert caplog.messages == [
        (
            "source plant: messages of 5 streams (s0, s1, s2, ...) cannot be used (wrong_type: 'a' is a text); "
            "aez monitor tap --malformed shows them"
        ),
        "source plant: its streams leaves out stream other",
    ]
    assert {one["stream"] for one in streams.losing()} == {f"s{number}" for number in range(5)}
    assert streams.entry("other")["lost"] == {"unknown_stream": 300}


@pytest.mark.usefixtures("clock")
def test_what_no_stream_is_known_of_and_streams_beyond_the_bound_are_counted_by_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refused, "_STREAMS", 2)
    streams = RefusedStreams()
    streams.take("plant", [], [bad("", 3, "syntax"), *(bad(f"s{number}") for number in range(5))])
    by_stream, by_source = streams.counts()
    assert by_stream == {"s0": {"wrong_type": 1}, "s1": {"wrong_type": 1}}
    assert by_source == {("plant", "syntax"): 3, ("plant", "wrong_type"): 3}
