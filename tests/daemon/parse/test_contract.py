"""What every parser does, whatever the format."""

from typing import Any

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.parse.formats import FORMATS as ALL_FORMATS
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options
from aez.daemon.parse.results import REASONS
from aez.daemon.transform.table import Transform
from tests.kit.parse_helpers import START, chunk, comparable, counts, encode, messages, rows

#: Images hold no columns; see test_frames_models.
FORMATS = tuple(form for form in ALL_FORMATS if form != "image")
OPTIONS = {"stream": "machine"}


def expected(given: list[dict[str, Any]]) -> list[Any]:
    return [(m["time"], m["machine"], {n: v for n, v in m.items() if n not in ("time", "machine")}) for m in given]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [1, 3, 8, 500])
def test_messages_become_rows_in_the_order_of_arrival(form: str, count: int) -> None:
    given = messages(count)
    samples, malformed = parser(form, OPTIONS).parse(chunk(encode(form, given), form))
    assert not malformed
    assert len(samples) == 1
    assert rows(samples) == expected(given)
    assert samples[0].columns == ("f0", "f1", "f2")


@pytest.mark.parametrize("form", FORMATS)
def test_one_parser_reads_chunk_after_chunk(form: str) -> None:
    given = messages(300)
    reader = parser(form, OPTIONS)
    found = []
    for start in range(0, 300, 50):
        samples, malformed = reader.parse(chunk(encode(form, given[start : start + 50]), form))
        assert not malformed
        found += rows(samples)
    assert found == expected(given)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [1, 40])
def test_many_chunks_at_once_are_as_one_after_another(form: str, count: int) -> None:
    given = messages(6 * count, machines=1)
    chunks = [chunk(encode(form, given[i * count : (i + 1) * count]), form, stream=f"hall/{i % 3}") for i in range(6)]
    options = {"stream": "{topic[1]}-{machine}"}
    at_once, malformed = parser(form, options).parse_many(chunks)
    assert not malformed
    reader = parser(form, options)
    alone = [row for one in chunks for row in rows(reader.parse(one)[0])]
    assert comparable(rows(at_once)) == comparable(alone)
    assert {stream for _, stream, _ in alone} == {"0-m0", "1-m0", "2-m0"}


@pytest.mark.parametrize("form", FORMATS)
def test_columns_are_chosen_renamed_and_ordered_as_configured(form: str) -> None:
    options = {**OPTIONS, "columns": ["f2", "f0"], "transforms": [Transform(columns=("f2",), rename="speed")]}
    samples, malformed = parser(form, options).parse(chunk(encode(form, messages(20)), form))
    assert not malformed
    assert samples[0].columns == ("speed", "f0")
    assert samples[0].values[4].tolist() == [3.0, 1.0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [2, 20])
def test_complete_makes_a_message_that_lacks_a_column_malformed(form: str, count: int) -> None:
    options = {**OPTIONS, "columns": ["f0", "f9"], "complete": True}
    samples, malformed = parser(form, options).parse(chunk(encode(form, messages(count)), form))
    assert not samples
    assert counts(malformed) == {"missing_column": count}
    samples, malformed = parser(form, {**options, "complete": False}).parse(chunk(encode(form, messages(count)), form))
    assert samples[0].columns == ("f0",)
    assert not malformed


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [2, 20])
def test_messages_without_a_taken_value_are_malformed(form: str, count: int) -> None:
    samples, malformed = parser(form, {"columns": ["other"]}).parse(chunk(encode(form, messages(count)), form))
    assert not samples
    assert counts(malformed) == {"no_values": count}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [2, 20])
def test_huge_numbers_are_counted_and_their_neighbours_unharmed(form: str, count: int) -> None:
    given = messages(count)
    given[1]["f1"] = 1e30
    samples, malformed = parser(form, OPTIONS).parse(chunk(encode(form, given), form))
    assert counts(malformed) == {"too_large": 1}
    assert comparable(rows(samples)) == comparable(expected(given[:1] + given[2:]))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [3, 30])
def test_times_in_seconds_milli_micro_and_nanoseconds_are_told_apart(form: str, count: int) -> None:
    for unit in (10**9, 10**6, 10**3, 1):
        given = messages(count)
        for message in given:
            message["time"] //= unit
        samples, malformed = parser(form, {**OPTIONS, "time_unit": "auto"}).parse(chunk(encode(form, given), form))
        assert not malformed
        assert samples[0].time.tolist() == [START + row * 10**9 for row in range(count)]


@pytest.mark.parametrize("form", FORMATS)
def test_a_stated_unit_of_time_holds(form: str) -> None:
    given = messages(20)
    for message in given:
        message["time"] = (message["time"] - START) // 10**9
    samples, _ = parser(form, {**OPTIONS, "time_unit": "ms"}).parse(chunk(encode(form, given), form))
    assert samples[0].time.tolist() == [row * 10**6 for row in range(20)]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [3, 30])
def test_times_beyond_the_range_are_bad(form: str, count: int) -> None:
    given = messages(count)
    given[1]["time"] = 9 * 10**18
    samples, malformed = parser(form, {**OPTIONS, "time_unit": "ms"}).parse(chunk(encode(form, given), form))
    assert not samples
    assert counts(malformed) == {"bad_time": count}


@pytest.mark.parametrize("form", FORMATS)
def test_streams_by_the_thousand_are_refused_beyond_the_limit(form: str) -> None:
    given = messages(5000, machines=5000)
    reader = parser(form, OPTIONS, Limits(streams=10))
    taken: set[str] = set()
    for start in range(0, 5000, 1000):
        samples, malformed = reader.parse(chunk(encode(form, given[start : start + 1000]), form))
        assert counts(malformed) == {"too_many_streams": 1000 if start else 990}
        assert len(malformed) <= 101
        taken |= {stream for _, stream, _ in rows(samples)}
        assert len(taken) == 10
    samples, malformed = reader.parse(chunk(encode(form, [m for m in given if m["machine"] in taken]), form))
    assert not malformed
    assert sum(len(one) for one in samples) == 10


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [4, 40])
def test_admission_can_be_left_to_the_caller(form: str, count: int) -> None:
    asked = []

    def admit(name: str) -> bool:
        asked.append(name)
        return name == "m1"

    samples, malformed = parser(form, OPTIONS, admit=admit).parse(chunk(encode(form, messages(count)), form))
    assert {stream for _, stream, _ in rows(samples)} == {"m1"}
    assert counts(malformed) == {"too_many_streams": count // 2}
    assert set(asked) == {"m0", "m1"}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [4, 40])
def test_streams_of_no_pattern_are_unknown(form: str, count: int) -> None:
    options = {**OPTIONS, "streams": ["x*", "m[1-3]"]}
    samples, malformed = parser(form, options).parse(chunk(encode(form, messages(count)), form))
    assert {stream for _, stream, _ in rows(samples)} == {"m1"}
    assert counts(malformed) == {"unknown_stream": count // 2}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [4, 40])
def test_a_name_too_long_for_a_stream_is_bad(form: str, count: int) -> None:
    given = messages(count)
    given[2]["machine"] = "ä" * 200
    samples, malformed = parser(form, OPTIONS).parse(chunk(encode(form, given), form))
    assert counts(malformed) == {"bad_stream": 1}
    assert sum(map(len, samples)) == count - 1


@pytest.mark.parametrize("form", FORMATS)
def test_the_stream_is_the_topic_else_the_source(form: str) -> None:
    given = messages(20, machines=1)
    if form == "line":
        pytest.skip("line protocol names its own series")
    data = encode(form, given)
    assert parser(form).parse(chunk(data, form))[0][0].streams == ["plant"]
    assert parser(form).parse(chunk(data, form, stream="a/b"))[0][0].streams == ["a/b"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_hole_that_nothing_fills_leaves_no_stream(form: str) -> None:
    for template in ("{shop}", "{topic}", "{topic[3]}"):
        samples, malformed = parser(form, {"stream": template}).parse(chunk(encode(form, messages(20)), form))
        assert not samples
        assert counts(malformed) == {"no_stream": 20}


@pytest.mark.parametrize("form", FORMATS)
def test_tags_go_with_their_stream(form: str) -> None:
    options = {"stream": "s-{machine}", "tags": ["machine"]}
    samples, _ = parser(form, options).parse(chunk(encode(form, messages(20)), form))
    assert {name: tags["machine"] for name, tags in samples[0].tags.items()} == {"s-m0": "m0", "s-m1": "m1"}


@pytest.mark.parametrize("form", FORMATS)
def test_messages_without_a_time_get_rising_times_of_arrival(form: str) -> None:
    data = b"m,machine=a f=1\n" * 20 if form == "line" else encode(form, [{"machine": "a", "f": 1.0}] * 20)
    reader = parser(form, OPTIONS)
    first, second = reader.parse(chunk(data, form))[0][0], reader.parse(chunk(data, form))[0][0]
    moments = [*first.time.tolist(), *second.time.tolist()]
    assert np.all(np.diff(moments) > 0)
    assert all(moment is None for moment, _, _ in rows([first, second]))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [2, 20])
def test_a_configured_time_must_be_there(form: str, count: int) -> None:
    options = {**OPTIONS, "time": "when"}
    data = b"m,machine=a f=1\n" * count if form == "line" else encode(form, messages(count))
    samples, malformed = parser(form, options).parse(chunk(data, form))
    assert not samples
    assert counts(malformed) == {"no_time": count}


@pytest.mark.parametrize("form", FORMATS)
def test_noise_is_malformed_and_raises_nothing(form: str) -> None:
    random = np.random.default_rng(0)
    reader = parser(form, OPTIONS)
    good = encode(form, messages(30))
    for _ in range(100):
        noise = bytearray(good)
        for place in random.integers(0, len(noise), 20):
            noise[place] = random.integers(0, 256)
        samples, malformed = reader.parse(chunk(bytes(noise), form))
        assert set(counts(malformed)) <= set(REASONS)
        rows(samples)
    reader.parse(chunk(random.bytes(20_000), form))
    samples, malformed = parser(form, OPTIONS).parse(chunk(good, form))
    assert len(samples[0]) == 30


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("data", [b"", b"\n", b"\n" * 50])
def test_nothing_gives_nothing(form: str, data: bytes) -> None:
    if form in ("arrow", "csv"):
        data = b""
    samples, _ = parser(form, {"header": ["a"]} if form == "csv" else {}).parse(chunk(data, form))
    assert not samples


def test_formats_and_options_that_do_not_exist_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"'xml'.*json, csv, line, arrow"):
        parser("xml")
    with pytest.raises(InvalidArgument, match=r"'colums'.*columns"):
        parser("json", {"colums": []})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": ""}, "time"),
        ({"time_unit": "h"}, "time_unit"),
        ({"columns": "a"}, "columns"),
        ({"columns": ["a", "a"]}, "twice"),
        ({"complete": True}, "complete"),
        ({"complete": 1}, "complete"),
        ({"transforms": [Transform(columns=(one,), rename="x") for one in "ab"]}, "'x'"),
        ({"stream": "{a"}, "brace"),
        ({"separator": ";;"}, "separator"),
        ({"separator": 1}, "separator"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Options.from_mapping(options)


@pytest.mark.parametrize(
    "values", [{"lines": 1}, {"depth": 0}, {"depth": 1.5}, {"magnitude": float("inf")}, {"depth": True}]
)
def test_limits_that_cannot_be_are_named(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(values))):
        Limits.from_mapping(values)
