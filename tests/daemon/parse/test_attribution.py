"""What is refused is counted for its stream, wherever that can be known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Malformed
from aez.daemon.parse.formats import FORMATS as ALL_FORMATS
from aez.daemon.parse.formats import parser
from tests.kit.parse_helpers import START, chunk, encode, messages

FORMATS = tuple(form for form in ALL_FORMATS if form != "image")
OPTIONS = {"stream": "machine"}


def by_stream(malformed: Iterable[Malformed]) -> dict[tuple[str, str], int]:
    found = Counter[tuple[str, str]]()
    for one in malformed:
        found[one.reason, one.stream] += one.count
    return dict(found)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [4, 60, 1000])
def test_a_value_that_cannot_be_is_counted_for_its_stream(form: str, count: int) -> None:
    given = messages(count)
    for message in given[1::2]:
        message["f1"] = 1e30
    samples, malformed = parser(form, OPTIONS).parse(chunk(encode(form, given), form))
    assert by_stream(malformed) == {("too_large", "m1"): count // 2}
    assert len(malformed) <= 101
    assert {name for one in samples for name in one.streams} == {"m0"}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [4, 60])
def test_a_time_that_cannot_be_is_counted_for_its_stream(form: str, count: int) -> None:
    given = messages(count)
    for message in given[1::2]:
        message["time"] = 9 * 10**18  # beyond what int64 holds as ms
    for message in given[::2]:
        message["time"] = START // 10**6
    _, malformed = parser(form, {**OPTIONS, "time_unit": "ms"}).parse(chunk(encode(form, given), form))
    assert by_stream(malformed) == {("bad_time", "m1"): count // 2}


@pytest.mark.parametrize("form", FORMATS)
def test_a_column_that_lacks_or_that_nobody_takes_is_counted_for_each_stream(form: str) -> None:
    given = messages(40)
    for options, reason in (
        ({"columns": ["f0", "f9"], "complete": True}, "missing_column"),
        ({"columns": ["other"]}, "no_values"),
    ):
        _, malformed = parser(form, {**OPTIONS, **options}).parse(chunk(encode(form, given), form))
        assert by_stream(malformed) == {(reason, "m0"): 20, (reason, "m1"): 20}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [6, 60])
def test_streams_that_are_not_taken_are_named_while_they_are_few(form: str, count: int) -> None:
    given = messages(count, machines=3)
    _, malformed = parser(form, {**OPTIONS, "streams": ["m1"]}).parse(chunk(encode(form, given), form))
    assert by_stream(malformed) == {("unknown_stream", "m0"): count // 3, ("unknown_stream", "m2"): count // 3}
    _, malformed = parser(form, OPTIONS, Limits(streams=2)).parse(chunk(encode(form, given), form))
    (((reason, stream), refused),) = by_stream(malformed).items()
    assert (reason, stream in ("m0", "m1", "m2"), refused) == ("too_many_streams", True, count // 3)
    _, malformed = parser(form, OPTIONS, Limits(streams=1)).parse(
        chunk(encode(form, messages(5000, machines=5000)), form)
    )
    assert len(malformed) == 101
    assert malformed[-1].stream == ""


def test_what_a_topic_or_a_file_names_needs_no_column() -> None:
    for form, options, data in (
        ("json", {}, b"{ this is no JSON\n"),
        ("csv", {"header": ["time", "a"]}, b"1,2,3\n"),
        ("json", {"stream": "{topic[1]}"}, b"[1, 2]\n"),
    ):
        stream = "hall/pump-7"
        _, (one,) = parser(form, options).parse(chunk(data, form, stream=stream))
        assert one.stream == ("pump-7" if options.get("stream") else stream)
    for form, data in (("json", b"{ no\n"), ("line", b"m,machine=m0\n"), ("csv", b"time,machine,a\n1,m0\n")):
        _, (one,) = parser(form, OPTIONS).parse(chunk(data, form, stream="x"))
        assert one.stream == ""


@pytest.mark.parametrize("wrong", [{"f1": "text"}, {"f1": [1]}, {"time": True}])
def test_what_is_wrong_with_one_of_a_list_is_that_ones(wrong: dict[str, Any]) -> None:
    given = messages(2)
    given[1] |= wrong
    data = b"[" + b",".join(encode("json", [one]).strip() for one in given) + b"]\n"
    _, malformed = parser("json", {**OPTIONS, "columns": ["f0", "f1"]}).parse(chunk(data, "json"))
    assert [one.stream for one in malformed] == ["m1"]


def test_a_refused_message_takes_no_place_among_the_streams() -> None:
    given = messages(2)
    given[0]["f1"] = 1e30
    samples, malformed = parser("json", OPTIONS, Limits(streams=1)).parse(chunk(encode("json", given), "json"))
    assert by_stream(malformed) == {("too_large", "m0"): 1}
    assert samples[0].streams == ["m1"]
