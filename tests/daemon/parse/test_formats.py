"""Worked examples of what is particular to each format, read alone and among many."""

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aez.codec.errors import AezError
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Samples
from aez.daemon.parse.formats import parser
from aez.daemon.transform.table import Transform
from tests.kit.parse_helpers import START, chunk, comparable, counts, encode, messages, rows

Read = Callable[..., tuple[list[Samples], dict[str, int]]]


@pytest.fixture(params=[1, 20], ids=["alone", "among many"])
def read(request: pytest.FixtureRequest) -> Read:
    """Parse one line, or the same line many times, and demand that all say the same; returns one."""
    times: int = request.param

    def run(form: str, line: bytes, options: dict[str, Any] | None = None, **more: Any) -> Any:
        samples, malformed = parser(form, options).parse(chunk((line + b"\n") * times, form, **more))
        found = rows(samples)
        assert len(set(comparable(found))) <= 1
        return found[0] if found else {reason: count / times for reason, count in counts(malformed).items()}

    return run


def test_nested_objects_are_columns_by_their_path(read: Read) -> None:
    line = b'{"time":1700000000,"tags":{"site":"a"},"data":{"in":{"x":1},"y":2.5},"list":[1,2,{"z":1}]}'
    assert read("json", line, {"stream": "tags.site"}) == (START, "a", {"data.in.x": 1.0, "data.y": 2.5})


def test_true_and_false_are_one_and_zero_and_null_is_missing(read: Read) -> None:
    moment, _, values = read("json", b'{"time":"2023-11-14T22:13:20Z","a":true,"b":false,"c":null}')
    assert moment == START
    assert (values["a"], values["b"]) == (1.0, 0.0)
    assert np.isnan(values["c"])


@pytest.mark.parametrize("separator", [b"", b" "])
def test_text_is_passed_over_unless_the_column_is_taken(read: Read, separator: bytes) -> None:
    line = b'{"time":' + separator + b'1700000000,"note":' + separator + b'"a, \xc3\xa4","x":' + separator + b"1}\r"
    assert read("json", line) == (START, "plant", {"x": 1.0})
    assert read("json", line, {"columns": ["note", "x"]}) == {"wrong_type": 1}


def test_escapes_are_read(read: Read) -> None:
    assert read("json", b'{"time":1700000000,"m":"a\\"\\u00e4","x\\n":1}', {"stream": "m"}) == (
        START,
        'a"\u00e4',
        {"x\n": 1.0},
    )
    assert read("json", b'{"time":1700000000,"m":"\\ud800","x":1}', {"stream": "m"}) == {"bad_stream": 1}


def test_whole_numbers_name_streams_as_texts_do(read: Read) -> None:
    assert read("json", b'{"time":1700000000,"id":17,"x":1}', {"stream": "unit-{id}"})[1] == "unit-17"
    assert read("json", b'{"time":1700000000,"id":1.7,"x":1}', {"stream": "unit-{id}"}) == {"wrong_type": 1}
    assert read("json", b'{"time":1700000000,"id":null,"x":1}', {"stream": "unit-{id}"}) == {"no_stream": 1}


def test_a_bare_number_is_a_value_where_the_options_say_so(read: Read) -> None:
    options = {"stream": "{topic[0]}", "value": "{topic[-1]}"}
    assert read("json", b"21.5", options, stream="hall/motor/heat") == (None, "hall", {"heat": 21.5})
    assert read("json", b"21.5", options, stream="hall.motor.heat") == (None, "hall", {"heat": 21.5})
    assert read("json", b"21.5", stream="hall/motor/heat") == {"not_an_object": 1}


def test_times_of_different_kinds_in_one_column_are_all_exact() -> None:
    written = [
        b"1700000000000000001",
        b"1700000000.5",
        b'"2023-11-14T22:13:20.000000003Z"',
        b'"2023-11-14 22:13:20"',
    ] * 9
    data = b"\n".join(b'{"time":%s,"x":1}' % moment for moment in written)
    samples, malformed = parser("json").parse(chunk(data, "json"))
    assert not malformed
    assert samples[0].time.tolist() == [START + 1, START + 500_000_000, START + 3, START] * 9


def test_columns_that_come_one_at_a_time_make_few_samples() -> None:
    data = b"".join(b'{"time":%d,"m":"a","sensor%03d":%d}\n' % (START + i, i % 200, i) for i in range(4000))
    samples, malformed = parser("json", {"stream": "m"}).parse(chunk(data, "json"))
    assert not malformed
    assert len(samples) <= 18
    given = {(moment, name): value for moment, _, values in rows(samples) for name, value in values.items()}
    present = {key: value for key, value in given.items() if value == value}
    assert present == {(START + i, f"sensor{i % 200:03d}"): float(i) for i in range(4000)}


def test_a_list_of_one_object_is_as_the_object(read: Read) -> None:
    assert read("json", b'[{"time":1700000000,"x":1}]') == (START, "plant", {"x": 1.0})


def test_a_list_of_objects_is_a_message_of_many_rows() -> None:
    samples, _ = parser("json").parse(chunk(b'[{"time":1700000000,"x":1},{"time":1700000001,"x":2}]', "json"))
    assert samples[0].values.tolist() == [[1.0], [2.0]]


def test_bombs_are_refused_by_what_they_are() -> None:
    reader = parser("json", limits=Limits(line_bytes=500_000))
    for data, reason in [
        (b"[" * 400_000, "too_deep"),
        (b'{"a":' * 80_000, "too_deep"),
        (b'{"a":' + b"9" * 400_000 + b"}", "too_large"),
        (b'{"a":' + b"9" * 600_000 + b"}", "too_long"),
        (b"{" + b",".join(b'"c%d":1' % i for i in range(20_000)) + b"}", "too_many_columns"),
        (b'{"' + b"c" * 300 + b'":1}', "bad_name"),
        (b'{"a":1,}', "syntax"),
        (b'{"a":1e999}', "too_large"),
        (b"\xff{}", "encoding"),
    ]:
        samples, malformed = reader.parse(chunk(data, "json"))
        assert not samples
        assert counts(malformed) == {reason: 1}


def test_a_flood_of_bad_lines_makes_few_objects() -> None:
    samples, malformed = parser("json").parse(chunk(b"x\n" * 100_000, "json"))
    assert not samples
    assert counts(malformed) == {"syntax": 100_000}
    assert len(malformed) == 101


def test_a_byte_order_mark_is_no_harm(read: Read) -> None:
    assert read("json", b'\xef\xbb\xbf{"time":1700000000,"x":1}') == (START, "plant", {"x": 1.0})


def test_line_protocol_has_all_types_of_fields(read: Read) -> None:
    line = b'cpu,host=a,rack=1 load=1.5,count=-3i,total=4u,on=T,off=false,note="a, \\"b\\" c=d" 1700000000000000000'
    values = {"load": 1.5, "count": -3.0, "total": 4.0, "on": 1.0, "off": 0.0}
    assert read("line", line) == (START, "cpu,host=a,rack=1", values)
    assert read("line", line.replace(b'"a, \\"b\\" c=d"', b'"ok"')) == (START, "cpu,host=a,rack=1", values)


def test_the_order_of_tags_does_not_matter(read: Read) -> None:
    assert read("line", b"cpu,rack=1,host=a x=1 1")[1] == read("line", b"cpu,host=a,rack=1 x=1 1")[1]


def test_escapes_of_line_protocol_are_read(read: Read) -> None:
    line = rb"my\ cpu,ta\=g=a\,b\ c fi\ eld=1 1700000000000000000"
    assert read("line", line) == (START, "my cpu,ta=g=a,b c", {"fi eld": 1.0})


def test_measurements_can_prefix_columns_and_units_of_time_be_stated(read: Read) -> None:
    options = {"stream": "host", "measurement_prefix": True, "columns": ["cpu.load"], "time_unit": "s"}
    assert read("line", b"cpu,host=a load=1,idle=2 1700000000", options) == (START, "a", {"cpu.load": 1.0})


def test_comments_and_blank_lines_are_idle() -> None:
    samples, malformed = parser("line").parse(chunk(b"# a\n\ncpu x=1\n   \n" * 10, "line"))
    assert not malformed
    assert len(samples[0]) == 10


def test_many_measurements_share_a_layout_and_comments_of_it_stay_idle() -> None:
    lines = [b"%spump%02d x=1,y=2 17000000000000000%02d\n" % (b"#" * (n % 7 == 3), n, n) for n in range(60)]
    reader = parser("line")
    samples, malformed = reader.parse(chunk(b"".join(lines), "line"))
    assert not malformed
    assert sorted(samples[0].streams) == [f"pump{n:02d}" for n in range(60) if n % 7 != 3]
    assert len(reader.layouts) == 1  # type: ignore[attr-defined]


def test_fields_name_streams_too(read: Read) -> None:
    assert read("line", b'm,a=1 unit="u7",x=1 1700000000000000000', {"stream": "unit"}) == (START, "u7", {"x": 1.0})
    assert read("line", b"m,a=1 unit=7i,x=1 1700000000000000000", {"stream": "{a}-{unit}"})[1] == "1-7"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"cpu", "syntax"),
        (b"cpu x", "syntax"),
        (b"cpu,a x=1", "syntax"),
        (b"cpu x=1,", "syntax"),
        (b"cpu x=1 12a", "syntax"),
        (b"cpu x=one", "wrong_type"),
        (b"cpu x=-1u", "wrong_type"),
        (b"cpu x=99999999999999999999i", "too_large"),
        (b'cpu x="text"', "no_values"),
        (b"cpu x=1 99999999999999999999", "bad_time"),
    ],
)
def test_wrong_lines_of_line_protocol_say_what_is_wrong(read: Read, line: bytes, reason: str) -> None:
    assert read("line", line) == {reason: 1}


def test_csv_takes_its_header_from_the_chunk_the_data_or_the_options(read: Read) -> None:
    wanted = (START, "a", {"x": 1.5})
    assert read("csv", b"1700000000,a,1.5", {"stream": "m"}, header="time,m,x") == wanted
    assert read("csv", b"1700000000,a,1.5", {"stream": "m", "header": ["time", "m", "x"]}) == wanted
    samples, _ = parser("csv", {"stream": "m"}).parse(chunk(b"time,m,x\r\n1700000000,a,1.5\r\n", "csv"))
    assert rows(samples) == [wanted]
    samples, malformed = parser("csv").parse(chunk(b"time,x\n1700000000,1.5\n", "csv", header="time,x"))
    assert not malformed
    assert len(samples[0]) == 1


def test_cells_may_be_quoted_and_have_blanks(read: Read) -> None:
    options = {"stream": "m", "separator": ";"}
    line = b'2023-11-14T22:13:20+00:00 ; "a;b"; 1.5'
    assert read("csv", line, options, header='"time"; m; x') == (START, "a;b", {"x": 1.5})


def test_missing_cells_are_missing_values(read: Read) -> None:
    for cell in (b"", b"NaN", b"n/a", b" null "):
        _, _, values = read("csv", b"1700000000,1.5," + cell, header="time,x,y")
        assert values["x"] == 1.5
        assert np.isnan(values["y"])


def test_rows_of_another_width_are_malformed(read: Read) -> None:
    assert read("csv", b"1", header="x,y") == {"missing_column": 1}
    assert read("csv", b"1,2,3", header="x,y") == {"syntax": 1}
    assert read("csv", b"a,1", {"columns": ["x"]}, header="x,y") == {"wrong_type": 1}


def test_a_header_that_cannot_be_makes_its_rows_malformed() -> None:
    for header in ("a,a", "a,,b", '"a'):
        samples, malformed = parser("csv").parse(chunk(b"1,2\n" * 20, "csv", header=header))
        assert not samples
        assert sum(counts(malformed).values()) >= 20


def _stream(batch: pa.RecordBatch) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def test_arrow_types_become_numbers_times_and_keys() -> None:
    batch = pa.record_batch(
        {
            "timestamp": pa.array([START // 10**6, None], pa.timestamp("ms", "UTC")),
            "m": pa.array(["a", "b"]).dictionary_encode(),
            "i": pa.array([1, None], pa.int8()),
            "f": pa.array([1.5, float("nan")], pa.float32()),
            "b": pa.array([True, False]),
            "t": pa.array(["x", "y"], pa.large_string()),
        }
    )
    samples, malformed = parser("arrow", {"stream": "m"}).parse(chunk(_stream(batch), "arrow"))
    assert not malformed
    first, second = rows(samples)
    assert first == (START, "a", {"b": 1.0, "f": 1.5, "i": 1.0})
    assert second[:2] == (None, "b")
    assert np.isnan(second[2]["i"])
    assert np.isnan(second[2]["f"])


def test_arrow_streams_back_to_back_may_differ_in_their_schemas() -> None:
    data = _stream(pa.record_batch({"x": [1.0]})) + _stream(pa.record_batch({"y": [2.0, 3.0]}))
    samples, malformed = parser("arrow").parse(chunk(data, "arrow"))
    assert not malformed
    assert sorted((one.columns, one.values.ravel().tolist()) for one in samples) == [
        (("x",), [1.0]),
        (("y",), [2.0, 3.0]),
    ]


def test_huge_values_of_arrow_are_malformed_row_by_row_and_infinite_ones_missing() -> None:
    data = _stream(pa.record_batch({"x": [1.0, float("inf"), 1e300, 9.9e37, 2.0]}))
    samples, malformed = parser("arrow").parse(chunk(data, "arrow"))
    assert counts(malformed) == {"too_large": 1}
    assert str(samples[0].values.ravel().tolist()) == "[1.0, nan, nan, 2.0]"


@pytest.mark.parametrize(
    ("form", "line", "more"),
    [
        *[("json", b'{"x":%s,"y":1}' % word, {}) for word in (b"NaN", b"-Infinity", b"9.9e37", b"-9.9e37", b"9.91e37")],
        *[("line", b"cpu x=%s,y=1" % word, {}) for word in (b"nan", b"inf", b"9.9E37")],
        *[("csv", b"%s,1" % word, {"header": "x,y"}) for word in (b"inf", b"-Infinity", b"nan", b"9.9e37")],
    ],
)
def test_what_says_that_there_is_no_reading_is_a_missing_value(
    read: Read, form: str, line: bytes, more: dict[str, Any]
) -> None:
    _, _, values = read(form, line, **more)
    assert str(values) == "{'x': nan, 'y': 1.0}"


def test_damaged_arrow_keeps_what_stands_before_the_damage() -> None:
    good = encode("arrow", messages(5))
    samples, malformed = parser("arrow").parse(chunk(good + good[:-200], "arrow"))
    assert len(samples[0]) == 5
    assert counts(malformed) == {"syntax": 1}


def test_pyarrow_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(AezError, match="aez\\[monitor\\]"):
        parser("arrow").parse(chunk(b"1234", "arrow"))


def test_an_envelope_gives_the_messages_of_its_list(read: Read) -> None:
    """As Telegraf's output in JSON, and gateways that send what they gathered."""
    batch = b'{"metrics":[{"name":"opc","tags":{"host":"a"},"timestamp":1700000000,"fields":{"x":1,"s":"on"}}]}'
    assert read("json", batch, {"stream": "tags.host"}) == (START, "a", {"fields.x": 1.0})
    assert read("json", b'{"time":1700000000,"id":"a","seen":[{"x":1}],"note":"n"}', {"stream": "id"}) == (
        START,
        "a",
        {"x": 1.0},
    )
    # What has a value of its own is a message, and its list is passed over; of two lists nothing says which.
    assert read("json", b'{"time":1700000000,"x":1,"alarms":[{"code":7}]}') == (START, "plant", {"x": 1.0})
    assert np.isnan(read("json", b'{"time":1700000000,"x":null,"alarms":[{"code":7}]}')[2]["x"])
    assert read("json", b'{"time":1700000000,"a":[{"x":1}],"b":[{"x":2}]}') == {"no_values": 1}
    assert read("json", b'{"time":1700000000,"a":[{"s":"x"}]}') == {"no_values": 1}
    assert read("json", b'{"time":1700000000,"a":[]}') == {"no_values": 1}
    assert parser("json").parse(chunk(b'{"metrics":[]}\n', "json")) == ([], [])


def test_what_stands_beside_the_list_of_an_envelope_holds_where_an_object_says_nothing_else() -> None:
    line = b'{"timestamp":1700000000,"id":"a","seen":[{"x":1},{"x":2,"time":1700000001},{"x":3,"id":"b"},7,{"x":"4"}]}'
    samples, malformed = parser("json", {"stream": "id", "columns": ["x"]}).parse(chunk(line + b"\n", "json"))
    found = sorted((moment, stream, values["x"]) for moment, stream, values in rows(samples))
    assert found == [(START, "a", 1.0), (START, "b", 3.0), (START + 10**9, "a", 2.0)]
    assert counts(malformed) == {"not_an_object": 1, "wrong_type": 1}


@pytest.mark.parametrize("count", [1, 30])
def test_of_a_list_only_what_cannot_be_used_is_left_out_and_said_by_itself(count: int) -> None:
    good = [{"time": START + at, "machine": "m", "a": at} for at in range(count)]
    bad = [7, {"time": START, "machine": "m", "a": 1e30}, {"time": "never", "machine": "m", "a": 1}]
    samples, malformed = parser("json", {"stream": "machine"}).parse(chunk(json.dumps(good + bad).encode(), "json"))
    assert [values for _, _, values in rows(samples)] == [{"a": float(at)} for at in range(count)]
    assert {(one.reason, one.count, one.stream, bytes(one.data)) for one in malformed} == {
        ("not_an_object", 1, "", b"7"),
        ("too_large", 1, "m", json.dumps(bad[1]).encode()),
        ("bad_time", 1, "m", json.dumps(bad[2]).encode()),
    }
    samples, malformed = parser("json", {"stream": "machine"}).parse(chunk(json.dumps(bad).encode(), "json"))
    assert not samples
    assert counts(malformed) == {"not_an_object": 1, "too_large": 1, "bad_time": 1}


@pytest.mark.parametrize("count", [1, 30])
def test_what_is_on_or_off_is_one_or_zero_in_csv_and_where_a_transform_names_its_column(count: int) -> None:
    texts = ["on", "off", "True", "FALSE", "On", "stopped"]
    cells = "".join(f"{START + at},{text},{at}\n" for at, text in enumerate(texts * count))
    samples, malformed = parser("csv", {}).parse(chunk(f"time,valve,a\n{cells}".encode(), "csv"))
    assert not malformed
    found = [values.get("valve") for _, _, values in sorted(rows(samples), key=lambda row: row[0] or 0)]
    assert found == [1.0, 0.0, 1.0, 0.0, 1.0, None] * count
    lines = "".join(json.dumps({"time": START + at, "valve": text, "a": at}) + "\n" for at, text in enumerate(texts))
    named = {"transforms": [Transform(columns=("valve",), scale=10.0)]}
    samples, _ = parser("json", named).parse(chunk(lines.encode(), "json"))
    assert str([values["valve"] for _, _, values in rows(samples)]) == "[10.0, 0.0, 10.0, 0.0, 10.0, nan]"
    samples, _ = parser("json", {}).parse(chunk(lines.encode(), "json"))
    assert all("valve" not in values for _, _, values in rows(samples))


def test_a_header_of_another_separator_or_code_is_refused_with_what_to_do() -> None:
    for data, separator, reason, said in (
        (b"time;a;b\n2026-01-01;1,5;2\n", ",", "syntax", "';' in it; set separator"),
        (b"time\ta\n2026-01-01\t1\n", ",", "syntax", "'\\t' in it; set separator"),
        (b"time,a\n2026-01-01,1\n", ";", "syntax", "',' in it; set separator"),
        ("time,a\n2026-01-01,1\n".encode("utf-16-le"), ",", "encoding", "UTF-16"),
        (gzip.compress(b"time,a\n2026-01-01,1\n"), ",", "encoding", "packed with gzip"),
        (b"PK\x03\x04\x14\x00\n", ",", "encoding", "a workbook or a zip archive; save it as CSV"),
    ):
        samples, malformed = parser("csv", {"separator": separator}).parse(chunk(data, "csv"))
        assert samples == []
        assert malformed[0].reason == reason
        assert said in malformed[0].detail
    _, malformed = parser("json", {}).parse(chunk('{"a": 1}\n'.encode("utf-16-le"), "json"))
    assert (malformed[0].reason, "UTF-16" in malformed[0].detail) == ("encoding", True)
