"""What every sink owes: all records in order, an error when it cannot, no secret told, no name that breaks it."""

from __future__ import annotations

import inspect
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from aez.daemon.common.options import options_of
from aez.daemon.config.kinds import SINKS
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.wire import as_dict
from tests.kit.event_steps import step, steps
from tests.kit.sink_receivers import RECEIVERS, AlertmanagerReceiver, ConsoleReceiver, Receiver

NAMES = [
    "",
    "a/b/c",
    "+",
    "#",
    "$SYS/x",
    "a.b.*.>",
    " \t\n",
    "../../etc/passwd",
    "\ud800",
    "ü 漢 🛰",
    "<b>",
    "a\0b",
    "x" * 3000,
]


@pytest.fixture(params=list(SINKS))
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    made = RECEIVERS[request.param](tmp_path / "receiver" if request.param in ("mqtt", "nats") else tmp_path)
    yield made
    made.stop()


@pytest.fixture
def sink(receiver: Receiver) -> Iterator[Sink]:
    made = receiver.sink()
    yield made
    made.close()


def test_records_arrive_whole_and_in_order(receiver: Receiver, sink: Sink) -> None:
    records = [*steps(30), step("e00000", 1), step("e00000", 2, "close")]
    for start in range(0, len(records), 9):
        sink.deliver(records[start : start + 9])
    found = receiver.steps(len(records))
    if isinstance(receiver, AlertmanagerReceiver):  # the last record of each event in a post is the one that counts
        assert set(found) >= {(record.id, 0) for record in records[1:30]} | {("e00000", 2)}
        return
    assert found == [(record.id, record.sequence) for record in records]
    if not receiver.whole:
        return
    assert receiver.records() == json.loads(json.dumps([as_dict(record) for record in records]))


def test_nothing_to_deliver_is_fine(receiver: Receiver, sink: Sink) -> None:
    sink.deliver([])
    assert receiver.steps() == []


def test_a_broken_receiver_is_an_error_and_the_same_sink_goes_on_once_it_is_mended(
    receiver: Receiver, sink: Sink
) -> None:
    sink.deliver(steps(1, "before"))
    for round_ in range(2):
        receiver.broken()
        for _ in range(2):
            with pytest.raises(SinkError) as caught:
                sink.deliver(steps(3, f"round{round_}-"))
            assert not isinstance(caught.value, Rejected)
        receiver.mended()
        sink.deliver(steps(3, f"round{round_}-"))
    found = receiver.steps(7)
    assert list(dict.fromkeys(found)) == [
        ("before00000", 0),
        *((record.id, 0) for round_ in range(2) for record in steps(3, f"round{round_}-")),
    ]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_of_a_stream_is_delivered_or_rejected(receiver: Receiver, sink: Sink, name: str) -> None:
    record = step("odd", stream=name, channels=[{"name": name, "share": 1.0}])
    try:
        sink.deliver([record])
    except Rejected:
        assert len(name) > 1000
    else:
        assert receiver.steps(1) == [("odd", 0)]


def test_an_event_without_details_or_with_infinities_is_delivered(receiver: Receiver, sink: Sink) -> None:
    bare = step("bare", 0, "silent")
    object.__setattr__(bare, "event", {})
    sink.deliver([bare, step("infinite", peak=float("inf")), step("nan", peak=float("nan"), channels=[{"name": None}])])
    assert {name for name, _ in receiver.steps(3)} == {"bare", "infinite", "nan"}


def test_secrets_stand_in_no_repr_error_or_log(
    receiver: Receiver, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = repr(sink)
    sink.deliver(steps(1))
    receiver.broken()
    with pytest.raises(SinkError) as caught:
        sink.deliver(steps(1, "x"))
    told += "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "s3cr3t" not in told
    receiver.mended()


def test_a_check_tells_whether_it_answers(receiver: Receiver, sink: Sink) -> None:
    sink.check()
    if not isinstance(receiver, ConsoleReceiver) and not hasattr(receiver, "server"):
        receiver.broken()
        with pytest.raises(SinkError):
            sink.check()
        receiver.mended()
    assert receiver.steps() == []


def test_closing_twice_is_fine_and_delivering_opens_again(receiver: Receiver, sink: Sink) -> None:
    sink.deliver(steps(1, "a"))
    sink.close()
    sink.close()
    sink.deliver(steps(1, "b"))
    assert [name for name, _ in receiver.steps(2)] == ["a00000", "b00000"]


@pytest.mark.parametrize("kind", list(SINKS))
def test_options_are_keywords_with_names_and_each_says_what_it_means(kind: str) -> None:
    for parameter in inspect.signature(SINKS.options(kind)).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert options_of(SINKS.options(kind))[parameter.name].about.help
