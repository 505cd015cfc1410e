"""CSV as loggers and spreadsheets write it, and times in two columns."""

from __future__ import annotations

from typing import Any

import pytest

from aez.codec.errors import InvalidArgument
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options
from aez.daemon.sources.lines import CsvLines, LineCutter
from tests.codec.series.test_table_heads import TOA5
from tests.kit.parse_helpers import START, chunk, counts, rows

Row = tuple[int | None, str, dict[str, float]]
DAY = "14.11.2023"  # START is 22:13:20 of it


def read(text: str, format: str = "csv", **options: Any) -> tuple[list[Row], dict[str, int]]:
    samples, malformed = parser(format, options).parse(chunk(text.encode(), format))
    return rows(samples), counts(malformed)


def test_a_loggers_head_is_no_row_wherever_it_stands() -> None:
    found, bad = read(TOA5)
    assert [(stream, len(values)) for _, stream, values in found] == [("plant", 3)] * 3
    assert found[1][2] == {"RECORD": 8.0, "load": 20.6, "temp": 41.0}
    assert not bad
    cutter = LineCutter(10_000, with_header=True)
    lines = b"".join(cutter.feed(TOA5.encode()[at : at + 7])[0] for at in range(0, len(TOA5), 7))
    assert cutter.header == '"TIMESTAMP","RECORD","load","temp"'
    assert lines.startswith(b'"TS","RN"')
    ((header, gone, _),) = CsvLines().cut(lines, cutter.header)  # units are no other names of columns
    assert (header, gone) == (cutter.header, ())


def test_other_names_of_columns_are_still_seen() -> None:
    lines = b"2023-11-14,1,2\nwhen,pressure,speed\n2023-11-14,3,4\n"
    assert [part.header for part in CsvLines().cut(lines, "time,a,b")] == ["time,a,b", "when,pressure,speed"]


def test_columns_without_a_name_are_called_by_their_place() -> None:
    text = f"sep=;\r\n;Time;a;\r\n0;{DAY} 22:13:20;1;\r\n1;{DAY} 22:13:21;2;\r\n"
    found, bad = read(text, separator=";")
    assert [(time, {name: values[name] for name in ("a", "c0")}) for time, _, values in found] == [
        (START, {"a": 1.0, "c0": 0.0}),
        (START + 10**9, {"a": 2.0, "c0": 1.0}),
    ]
    assert not bad
    assert read("time,a,a\n1,2,3\n")[1] == {"syntax": 2}


@pytest.mark.parametrize("name", ["Time", "Timestamp", "TIMESTAMP", "TIME"])
def test_a_time_with_a_capital_is_one_and_never_that_of_its_arrival(name: str) -> None:
    assert read(f"{name},a\n2023-11-14T22:13:20Z,1\n")[0] == [(START, "plant", {"a": 1.0})]
    assert read(f"Date;{name};a\n{DAY};22:13:20;1\n", separator=";") == ([], {"bad_time": 1})


def test_a_day_and_a_time_beside_it_are_put_together() -> None:
    text = f"Date;Time;a\n{DAY};22:13:20;1\n{DAY};22:13:21;2\n{DAY};;3\n"
    found, bad = read(text, separator=";", time="{Date} {Time}")
    assert found == [(START, "plant", {"a": 1.0}), (START + 10**9, "plant", {"a": 2.0})]
    assert bad == {"no_time": 1}
    text = '{"d":"2023-11-14","t":"22:13:20","a":1}\n{"d":"2023-11-14","a":2}\n'
    assert read(text, "json", time="{d}T{t}") == ([(START, "plant", {"a": 1.0})], {"no_time": 1})
    with pytest.raises(InvalidArgument, match="option time has a brace without its partner"):
        Options(time="{Date {Time}")
    assert read(f"{DAY},22:13:20,1\n", header=["d", "t", "a"], time="{d} {t}")[0] == [(START, "plant", {"a": 1.0})]


def test_a_text_with_a_unit_behind_a_number_is_no_row_of_units() -> None:
    assert read("time,a\n2023-11-14T22:13:20Z,20 kW\n") == ([], {"no_values": 1})


RESULT = """#group,false,false,true,true,false,false,true,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
#default,_result,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,host
,,0,2023-11-14T00:00:00Z,2023-11-15T00:00:00Z,2023-11-14T22:13:20Z,1.5,temp,plant,a
,,0,2023-11-14T00:00:00Z,2023-11-15T00:00:00Z,2023-11-14T22:13:21Z,1.6,temp,plant,a

#group,false,false,true,true,false,false,true,true,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string,string
#default,_result,,,,,,,,,
,result,table,_start,_stop,_time,_value,line,_field,_measurement,host
,,1,2023-11-14T00:00:00Z,2023-11-15T00:00:00Z,2023-11-14T22:13:20Z,7,x,flow,plant,a
"""


def test_influxs_annotated_tables_are_long_format() -> None:
    cutter = LineCutter(10_000, with_header=True)
    lines, _ = cutter.feed(RESULT.encode())
    parts = CsvLines().cut(lines, cutter.header)
    assert [len(part.header or "") for part in parts] == [64, 69]
    options = {"channel": "_field", "columns": ["_value"], "stream": "{_measurement}/{host}"}
    made = parser("csv", options)
    found, bad = [], []
    for part in parts:
        samples, malformed = made.parse(chunk(part.lines, "csv", header=part.header, gone=part.gone))
        found += rows(samples)
        bad += malformed
    assert not bad
    assert [(time, stream, values) for time, stream, values in found if time is not None] == [
        (START, "plant/a", {"temp": 1.5}),
        (START + 10**9, "plant/a", {"temp": 1.6}),
        (START, "plant/a", {"flow": 7.0}),
    ]
    _, malformed = parser("csv").parse(chunk(RESULT.partition("\n\n")[0].encode(), "csv"))
    assert 'set channel = "_field", columns = ["_value"]' in malformed[0].detail


def test_a_pivoted_result_of_influx_is_a_table() -> None:
    text = "#group,false,false,false,false\n#default,_result,,,\n,result,table,_time,a\n,,0,2023-11-14T22:13:20Z,1\n"
    found, bad = read(text, columns=["a"])
    assert (found, bad) == ([(START, "plant", {"a": 1.0})], {})
