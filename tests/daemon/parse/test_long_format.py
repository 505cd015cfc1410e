"""Messages with the value of one sensor each, whose name is in a column, a tag or the topic."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options
from aez.daemon.transform.table import Transform
from tests.kit.parse_helpers import START, chunk, comparable, counts, rows

OPTIONS = {"channel": "sensor", "stream": "machine", "columns": ["value"]}
TEXT = {
    "json": lambda at, machine, sensor, value: (
        f'{{"time":{at},"machine":"{machine}","sensor":"{sensor}","value":{value},"quality":192}}'
    ),
    "csv": lambda at, machine, sensor, value: f"{at},{machine},{sensor},{value},192",
    "line": lambda at, machine, sensor, value: (
        f"opc,machine={machine},sensor={sensor} value={value},quality=192 {at * 10**9}"
    ),
}
READINGS = [
    (1_700_000_000 + second, machine, sensor, value + 0.5 * second)
    for second in range(20)
    for machine in "ab"
    for sensor, value in (("temp", 20), ("flow", 3))
]


def body(form: str, readings: list[tuple[int, str, str, Any]]) -> bytes:
    if form == "arrow":
        columns = dict(zip(("time", "machine", "sensor", "value"), map(list, zip(*readings, strict=True)), strict=True))
        table = pa.table({**columns, "quality": [192] * len(readings)})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()
    head = "time,machine,sensor,value,quality\n" if form == "csv" else ""
    return (head + "".join(TEXT[form](*one) + "\n" for one in readings)).encode()


def read(form: str, readings: list[tuple[int, str, str, Any]], **options: Any) -> tuple[list[Any], dict[str, int]]:
    samples, malformed = parser(form, OPTIONS | options).parse(chunk(body(form, readings), form))
    return rows(samples), counts(malformed)


@pytest.mark.parametrize("form", ["json", "csv", "line", "arrow"])
def test_each_value_is_called_as_its_message_says_in_every_format(form: str) -> None:
    found, refused = read(form, READINGS)
    assert refused == {}
    wanted = [(at * 10**9, machine, {sensor: value}) for at, machine, sensor, value in READINGS]
    assert sorted(comparable(found)) == sorted(comparable(wanted))
    few, _ = read(form, READINGS[:1])
    assert few == [(START, "a", {"temp": 20.0})]


@pytest.mark.parametrize("form", ["json", "csv", "line", "arrow"])
def test_of_several_values_each_has_its_column_behind_the_name_and_transforms_go_by_it(form: str) -> None:
    found, _ = read(form, READINGS[:1], columns=["value", "quality"])
    assert found == [(START, "a", {"temp.value": 20.0, "temp.quality": 192.0})]
    transforms = (Transform(columns=["temp"], scale=10.0, rename="heat"),)
    found, _ = read(form, READINGS[:2], transforms=transforms)
    assert [values for *_, values in found] == [{"heat": 200.0}, {"flow": 3.0}]


def test_a_message_without_a_name_is_refused_and_the_others_are_unharmed() -> None:
    lines = b'[{"machine":"a","value":1},{"machine":"a","sensor":"temp","value":2}]\n'
    samples, malformed = parser("json", OPTIONS).parse(chunk(lines, "json"))
    assert [values for *_, values in rows(samples)] == [{"temp": 2.0}]
    assert [(one.reason, one.detail) for one in malformed] == [
        ("missing_column", "the message has no 'sensor', which names its value")
    ]


def test_the_name_may_be_a_template_of_the_topic_and_keeps_out_of_the_streams_name() -> None:
    options = {"channel": "{topic[2]}", "stream": "{topic[1]}"}
    samples, _ = parser("json", options).parse(chunk(b'{"v":3}\n', "json", stream="plant/p1/temp"))
    assert [(stream, values) for _, stream, values in rows(samples)] == [("p1", {"temp": 3.0})]
    samples, _ = parser("line", {"channel": "name"}).parse(chunk(b"opcua,host=a,name=temp v=3 7\n", "line"))
    assert [(stream, values) for _, stream, values in rows(samples)] == [("opcua,host=a", {"temp": 3.0})]
    assert samples[0].tags == {"opcua,host=a": {"host": "a", "measurement": "opcua"}}


def test_a_template_with_one_brace_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="option channel has a brace"):
        Options(channel="{a")
