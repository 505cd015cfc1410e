"""Times as senders write them: zones, leap seconds, small letters, numbers as text, the newest first."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from aez.codec.errors import InvalidArgument
from aez.codec.series.zones import from_local, settled
from aez.daemon.common.limits import Limits
from aez.daemon.parse.by_source import SourceParsers
from aez.daemon.parse.formats import parser
from aez.daemon.parse.options import Options
from tests.kit.parse_helpers import START, chunk, rows

BERLIN = ZoneInfo("Europe/Berlin")
NS = 10**9


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS


def local(begin: datetime, seconds: int, step: int = 1) -> tuple[list[str], list[int]]:
    """Texts without a zone, as clocks in Berlin show them, and what they mean."""
    moments = [begin + timedelta(seconds=at) for at in range(0, seconds, step)]
    return [one.astimezone(BERLIN).replace(tzinfo=None).isoformat() for one in moments], [ns(one) for one in moments]


def times(lines: list[str], form: str = "json", **options: Any) -> list[int | None]:
    made = parser(form, {"time": "time", **options})
    samples, malformed = made.parse(chunk("\n".join(lines).encode(), form))
    assert not malformed
    return [moment for moment, _, _ in rows(samples)]


def json_lines(texts: list[Any]) -> list[str]:
    return [json.dumps({"time": text, "a": 1.0}) for text in texts]


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
@pytest.mark.parametrize(
    "begin",
    [datetime(2026, 10, 24, 23, 30, tzinfo=UTC), datetime(2026, 3, 29, 0, 0, tzinfo=UTC)],
    ids=["autumn", "spring"],
)
def test_local_times_mean_what_their_order_says(form: str, begin: datetime) -> None:
    texts, wanted = local(begin, 3 * 3600, 20)
    made = parser(form, {"time": "time", "timezone": "Europe/Berlin"})
    found: list[int | None] = []
    for start in range(0, len(texts), 37):
        part = texts[start : start + 37]
        if form == "json":
            data = "\n".join(json_lines(part)).encode()
        elif form == "csv":
            data = ("time,a\n" + "".join(f"{text},1\n" for text in part)).encode()
        else:
            table = pa.table({"time": [datetime.fromisoformat(one) for one in part], "a": [1.0] * len(part)})
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            data = sink.getvalue()
        samples, malformed = made.parse(chunk(data, form))
        assert not malformed
        found += [moment for moment, _, _ in rows(samples)]
    assert found == wanted


def test_an_hour_that_comes_twice_is_told_by_what_was_before() -> None:
    made = parser("json", {"time": "time", "timezone": "Europe/Berlin", "stream": "s"})
    second = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    made.local.newest = {"old": ns(second) - NS, "new": None}.get
    lines = [json.dumps({"time": "2026-10-25T02:10:00", "s": name, "a": 1}) for name in ("old", "new")]
    samples, _ = made.parse(chunk("\n".join(lines).encode(), "json"))
    assert {stream: moment for moment, stream, _ in rows(samples)} == {"old": ns(second), "new": ns(second) - 3600 * NS}


def test_a_zone_in_the_text_goes_before_that_of_the_source() -> None:
    texts = ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00", "2026-07-01T12:00:00-02:00"]
    noon = ns(datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert times(json_lines(texts), timezone="Europe/Berlin") == [noon, noon - 7200 * NS, noon + 7200 * NS]


def test_a_zone_that_does_not_exist_is_refused_in_a_sentence() -> None:
    for name in ("Europe/Berlim", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(InvalidArgument, match="option timezone: there is no time zone"):
            Options(timezone=name)


def test_without_a_zone_local_times_are_utc() -> None:
    assert times(json_lines(["2026-10-25T02:10:00"])) == [ns(datetime(2026, 10, 25, 2, 10, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2016-12-31T23:59:60Z", ns(datetime(2017, 1, 1, tzinfo=UTC))),
        ("2016-12-31T23:59:60.25+00:00", ns(datetime(2017, 1, 1, tzinfo=UTC)) + NS // 4),
        ("2026-01-01t00:00:00z", ns(datetime(2026, 1, 1, tzinfo=UTC))),
        ("2026-01-01t00:00:00.5z", ns(datetime(2026, 1, 1, tzinfo=UTC)) + NS // 2),
        ("1700000000", 1_700_000_000 * NS),
        ("1700000000.25", 1_700_000_000 * NS + NS // 4),
        ("1700000000000", 1_700_000_000 * NS),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("20240101", ns(datetime(2024, 1, 1, tzinfo=UTC))),
    ],
)
def test_times_as_senders_write_them(text: str, wanted: int) -> None:
    assert times(json_lines([text])) == [wanted]
    among = times(json_lines([text] * 20 + ["2026-01-01T00:00:00Z"] * 20))
    assert among == [wanted] * 20 + [ns(datetime(2026, 1, 1, tzinfo=UTC))] * 20
    assert times(json_lines([text] * 20)) == [wanted] * 20


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "12345", "1.5e9", "17000000000000000000"]
)
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    _, malformed = parser("json", {"time": "time"}).parse(chunk(json_lines([text])[0].encode(), "json"))
    assert [one.reason for one in malformed] == ["bad_time"]


def test_offsets_of_many_zones_are_those_of_the_library() -> None:
    for name in ("Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"):
        where = ZoneInfo(name)
        moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=7 * at) for at in range(0, 75_000, 97)]
        shown = [int((one.astimezone(where).replace(tzinfo=UTC)).timestamp()) * NS for one in moments]
        found, later = from_local(np.array(shown), name)
        wanted = np.array([ns(one) for one in moments])
        assert np.all((found == wanted) | (found + later == wanted)), name


def test_settled_takes_the_nearer_meaning() -> None:
    hour = 3600
    assert settled(np.array([10, 20, 10]), np.array([hour] * 3), None).tolist() == [10, 20, 10]
    assert settled(np.array([10, 20]), np.array([hour] * 2), 3590).tolist() == [10 + hour, 20 + hour]


def in_order(samples: list[Any]) -> list[tuple[int, str, dict[str, float]]]:
    """Rows in the order in which they count."""
    found: list[Any] = []
    for one in samples:
        order = range(len(one)) if one.order is None else one.order.tolist()
        named = zip(order, one.time.tolist(), one.stream.tolist(), one.values.tolist(), strict=True)
        found += [(at, time, one.streams[s], dict(zip(one.columns, v, strict=True))) for at, time, s, v in named]
    return [row[1:] for row in sorted(found, key=lambda row: row[0])]


def test_a_chunk_of_several_sets_of_columns_tells_the_order_of_arrival() -> None:
    lines = [json.dumps({"time": START + at, "stream": "s", name: at}) for at in range(40) for name in ("a", "b", "c")]
    samples, _ = parser("json", {"stream": "stream"}).parse(chunk("\n".join(lines).encode(), "json"))
    assert [one.more for one in samples] == [True, True, False]
    assert [(time - START, list(values)) for time, _, values in in_order(samples)] == [
        (at, [name]) for at in range(40) for name in ("a", "b", "c")
    ]


def test_a_list_with_the_newest_first_is_turned_round_stream_by_stream() -> None:
    sent = [{"time": START + at, "s": name, "a": at} for name in "xy" for at in (3, 2, 1)]
    lines = [json.dumps(sent), json.dumps([{"time": START + at, "s": "x", "a": at} for at in (5, 4, 6)])]
    samples, _ = parser("json", {"stream": "s"}).parse(chunk("\n".join(lines).encode(), "json"))
    found = [(stream, time - START) for time, stream, _ in in_order(samples)]
    assert [time for stream, time in found if stream == "x"] == [1, 2, 3, 5, 4, 6]
    assert [time for stream, time in found if stream == "y"] == [1, 2, 3]


@pytest.mark.parametrize("form", ["json", "csv", "line", "arrow"])
def test_a_body_with_the_newest_first_is_turned_round_and_a_cut_of_a_file_is_not(form: str) -> None:
    moments = [START + at * NS for at in range(30, 0, -1)]
    if form == "json":
        data = "\n".join(json.dumps({"time": one, "a": 1}) for one in moments).encode()
    elif form == "csv":
        data = ("time,a\n" + "".join(f"{one},1\n" for one in moments)).encode()
    elif form == "line":
        data = "\n".join(f"m a=1 {one}" for one in moments).encode()
    else:
        table = pa.table({"time": moments, "a": [1.0] * len(moments)})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
        data = sink.getvalue()
    whole, _ = parser(form).parse(chunk(data, form, body=True))
    assert [time for time, _, _ in in_order(whole)] == moments[::-1]
    cut, _ = parser(form).parse(chunk(data, form))
    assert [time for time, _, _ in in_order(cut)] != moments[::-1]


@pytest.mark.parametrize("many", [1, 40])
def test_dates_with_dots_have_the_day_first_as_plants_export_them(many: int) -> None:
    texts = ["16.03.2026 00:00:01", "29.03.2026 12:30:00.25"]
    wanted = [datetime(2026, 3, 16, 0, 0, 1, tzinfo=BERLIN), datetime(2026, 3, 29, 12, 30, tzinfo=BERLIN)]
    for text, moment in zip(texts, wanted, strict=True):
        found = times([f'{{"time":"{text}","v":1}}'] * many, timezone="Europe/Berlin")
        assert found == [ns(moment) + (NS // 4 if "." in text[10:] else 0)] * many
    assert times(['{"time":"2026/03/16 00:00:01","v":1}'] * many, timezone="Europe/Berlin") == [ns(wanted[0])] * many
    for wrong in ("31.02.2026 00:00:00", "2026.03.16 00:00:00", "03/16/2026 00:00:00"):
        samples, malformed = parser("json").parse(chunk(f'{{"time":"{wrong}","v":1}}\n'.encode() * many, "json"))
        assert samples == []
        assert {one.reason for one in malformed} == {"bad_time"}


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_days_of_spreadsheets_are_times_where_they_are_called_so(form: str) -> None:
    """Excel's numbers, whole and broken, beside one another: local times, to the millisecond."""
    texts, wanted = local(datetime(2026, 10, 24, 23, 30, tzinfo=UTC), 3 * 3600, 20)
    zero = datetime(1899, 12, 30, tzinfo=UTC)
    days = [(datetime.fromisoformat(text).replace(tzinfo=UTC) - zero) / timedelta(days=1) for text in texts]
    made = parser(form, {"time": "time", "time_unit": "days", "timezone": "Europe/Berlin"})
    if form == "arrow":
        sink = io.BytesIO()
        table = pa.table({"time": days, "a": [1.0] * len(days)})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
    else:
        cells = [f"{day:.10f}".rstrip("0").rstrip(".") for day in days]
        lines = (
            [f'{{"time":{cell},"a":1}}' for cell in cells] if form == "json" else ["time,a", *(f"{c},1" for c in cells)]
        )
        data = "\n".join(lines).encode()
    samples, malformed = made.parse(chunk(data, form))
    assert not malformed
    assert [moment for moment, _, _ in rows(samples)] == wanted
    if form == "csv":
        comma = parser(form, {"time_unit": "days", "separator": ";"})
        (found,), _ = comma.parse(chunk(b"time;a\n45627,5;1\n45627;2\n", form))
        assert found.time.tolist() == [ns(datetime(2024, 12, 1, hour, tzinfo=UTC)) for hour in (12, 0)]


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
@pytest.mark.parametrize("cell", [45627.5, 45627, 12])
def test_numbers_that_are_no_time_since_1970_are_refused_with_what_to_set(form: str, cell: float) -> None:
    if form == "arrow":
        sink = io.BytesIO()
        table = pa.table({"time": [cell], "a": [1.0]})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
    else:
        data = (json_lines([cell])[0] if form == "json" else f"time,a\n{cell},1\n").encode()
    samples, (letter,) = parser(form).parse(chunk(data, form))
    assert (samples, letter.reason) == ([], "bad_time")
    says = (
        "too small to be a time since 1970" if cell == 12 else "is 2024-12-01 .* in the days of spreadsheets, or counts"
    )
    assert re.search(rf'{cell} {says}.*; set time_unit = "days" or "s"|{says}', letter.detail)
    (found,), malformed = parser(form, {"time_unit": "s"}).parse(chunk(data, form))
    assert (found.time.tolist(), malformed) == ([int(cell * NS)], [])


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("Zeitpunkt", ["2026-03-02 10:00:00", "2026-03-02 10:00:01"], True),
        ("made", ["2026-03-02 10:00:00", "2026-03-02 10:00:00"], False),  # it stands still
        ("measured_at_time", [1_772_445_600, 1_772_445_601], True),
        ("bytes", [1_772_445_600, 1_772_445_601], False),
        ("response_time", [0.5, 0.7], False),
    ],
)
def test_a_column_that_seems_to_hold_the_time_is_named_once(
    form: str, name: str, values: list[Any], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if form == "arrow":
        sink = io.BytesIO()
        typed = pa.array(values).cast(pa.timestamp("ns")) if told and isinstance(values[0], str) else pa.array(values)
        table = pa.table({name: typed, "a": [1.0, 2.0]})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
    elif form == "json":
        data = "\n".join(json.dumps({name: value, "a": 1.0}) for value in values).encode()
    else:
        data = "\n".join([f"{name},a", *(f"{value},1" for value in values)]).encode()
    parsers = SourceParsers({"plant": Options()}, Limits())
    for _ in range(2):
        parsers.parse_many([chunk(data, form)])
    said = [record.getMessage() for record in caplog.records]
    wanted = (
        f"source plant: its messages get the time of their arrival, and {name!r} seems to hold it; set time = {name!r}"
    )
    assert said == ([wanted] if told else [])
    caplog.clear()
    SourceParsers({"plant": Options(time=name)}, Limits()).parse_many([chunk(data, form)])
    assert not caplog.records
