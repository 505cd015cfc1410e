"""Reading series: every format gives the same series, and every bad file one sentence that names what is wrong."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aez.codec.errors import AezError, InvalidArgument, UnsupportedInput
from aez.codec.series.core import Series
from aez.codec.series.reader import read_batches, read_series
from aez.codec.series.summary import SeriesSummary

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SECOND = 1_000_000_000
START = 1_706_745_570 * SECOND  # 2024-01-31 23:59:30 UTC
NAN = float("nan")


def write(folder: Path, text: str | bytes, name: str = "pump.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str | bytes, **options: Any) -> tuple[Series, SeriesSummary]:
    return read_series(write(folder, text), **options)


def refusal(call: Callable[[], object], kind: type[AezError] = UnsupportedInput) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def times(series: Series) -> list[int]:
    assert series.time is not None
    return [int(t) - START for t in series.time]


# One series in every format.

STAMPS = ["2024-01-31 23:59:30", "2024-01-31 23:59:31", "2024-01-31 23:59:33"]
VALUES = np.array([[1.5, -2.0], [np.nan, 3e-7], [2.0, 12345678.25]])


def table_text(separator: str) -> str:
    rows = [["timestamp", "flow", "press"]]
    rows += [
        [stamp, *("" if np.isnan(v) else repr(float(v)) for v in row)]
        for stamp, row in zip(STAMPS, VALUES, strict=True)
    ]
    return "".join(separator.join(row) + "\n" for row in rows)


def json_text() -> str:
    return "".join(
        json.dumps({"timestamp": stamp, "flow": None if np.isnan(a) else a, "press": b}) + "\n"
        for stamp, (a, b) in zip(STAMPS, VALUES.tolist(), strict=True)
    )


def as_csv(folder: Path) -> Path:
    return write(folder, table_text(","))


def as_compressed_csv(folder: Path) -> Path:
    return write(folder, gzip.compress(table_text(";").encode()), "pump.csv.gz")


def as_json_lines(folder: Path) -> Path:
    return write(folder, json_text(), "pump.jsonl")


def as_compressed_json_lines(folder: Path) -> Path:
    return write(folder, gzip.compress(json_text().encode()), "pump.jsonl.gz")


def as_parquet(folder: Path) -> Path:
    stamps = pa.array([np.datetime64(stamp, "us") for stamp in STAMPS])
    columns = {"timestamp": stamps, "flow": pa.array([1.5, None, 2.0]), "press": pa.array(VALUES[:, 1])}
    parquet.write_table(pa.table(columns), folder / "pump.parquet")
    return folder / "pump.parquet"


def as_npz(folder: Path) -> Path:
    stamps = np.array(STAMPS, "datetime64[s]")
    np.savez(folder / "pump.npz", values=VALUES, time=stamps, channels=np.array(["flow", "press"]))
    return folder / "pump.npz"


def as_compressed_npz(folder: Path) -> Path:
    stamps = np.array(STAMPS)
    np.savez_compressed(
        folder / "pump.npz", readings=np.asfortranarray(VALUES), time=stamps, channels=np.array(["flow", "press"])
    )
    return folder / "pump.npz"


WRITERS = [
    as_csv,
    as_compressed_csv,
    as_json_lines,
    as_compressed_json_lines,
    as_parquet,
    as_npz,
    as_compressed_npz,
]


@pytest.mark.parametrize("save", WRITERS)
def test_every_format_gives_the_same_series(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    path = save(tmp_path)
    series, summary = read_series(path)
    np.testing.assert_array_equal(series.values, VALUES)
    assert series.channels == ("flow", "press")
    assert times(series) == [0, SECOND, 3 * SECOND]
    assert (series.timezone, series.name, series.period) == (None, "pump", 1.5)
    assert (summary.rows, summary.dropped, summary.missing) == (3, {}, {"flow": 1 / 3, "press": 0})
    assert summary.time_column in ("timestamp", "time")

    swapped, _ = read_series(path, channels=["press", "flow"], name="other")
    np.testing.assert_array_equal(swapped.values, VALUES[:, ::-1])
    assert (swapped.channels, swapped.name) == (("press", "flow"), "other")

    left, summary = read_series(path, ignore=["press", summary.time_column or ""])
    assert (left.channels, left.time) == (("flow",), None)
    assert summary.dropped["press"] == "ignored"


matrices = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(
            st.one_of(st.just(NAN), st.floats(-1e38, 1e38, allow_subnormal=False), st.integers(-(10**15), 10**15)),
            min_size=width,
            max_size=width,
        ),
        min_size=2,
        max_size=12,
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(matrices, st.sampled_from([",", ";", "\t", "|", " "]), st.booleans(), st.integers(1, 13))
def test_text_keeps_every_number_to_the_last_bit(
    tmp_path: Path, rows: list[list[float]], separator: str, header: bool, batch: int
) -> None:
    values = np.array(rows, np.float64)
    names = [f"sensor {i}" if separator != " " else f"sensor_{i}" for i in range(values.shape[1])]
    lines = [separator.join(repr(float(v)) for v in row) for row in values]
    # A row number of a column without a name would be left out.
    marked = [separator.join([*names, "mark"]), *(f"{line}{separator}{1 - i % 2}" for i, line in enumerate(lines))]
    path = write(tmp_path, "\n".join(marked if header else marked[1:]))
    series, _ = read_series(path, separator=separator)
    np.testing.assert_array_equal(series.values[:, :-1], values)
    assert series.channels[:-1] == tuple(names if header else [f"c{i}" for i in range(len(names))])

    parts = list(read_batches(path, rows=batch))
    assert all(len(part) == batch for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= batch
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), series.values)


@pytest.mark.parametrize("save", WRITERS)
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_batches_are_the_file_in_parts(tmp_path: Path, save: Callable[[Path], Path], rows: int) -> None:
    reader = read_batches(save(tmp_path), rows=rows)
    assert reader.channels == ("flow", "press")
    parts = list(reader)
    assert [len(part) for part in parts] == [min(rows, 3 - at) for at in range(0, 3, rows)]
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), VALUES)
    assert [t for part in parts for t in times(part)] == [0, SECOND, 3 * SECOND]
    assert reader.summary() == read_series(save(tmp_path))[1]


# Text: separators, headers, comments.


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found(tmp_path: Path, separator: str) -> None:
    series, _ = read(tmp_path, table_text(separator))
    np.testing.assert_array_equal(series.values, VALUES)


def test_blanks_separate_however_many_there_are(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "  time   a  b\n   1  2.0   3\n 2   4.5 \t 5  \n")
    assert series.channels == ("a", "b")
    assert series.values.tolist() == [[2, 3], [4.5, 5]]


@pytest.mark.parametrize(
    ("text", "channels", "rows"),
    [
        ("1,2\n3,4\n", ("c0", "c1"), 2),
        ("a,b\n1,2\n3,4\n", ("a", "b"), 2),
        ("\ufeffa,b\n1,2\n3,4\n", ("a", "b"), 2),
        ('"a, left","b ""x"""\n1,"2"\n3,4\n', ("a, left", 'b "x"'), 2),
        ("a,b\r\n1,2\r\n3,4\r\n", ("a", "b"), 2),
        ("a,b\r1,2\r3,4\r", ("a", "b"), 2),
        ("a,b\n1,2\n3,4", ("a", "b"), 2),
        ("a , b\n 1 , 2 \n 3 , 4\n", ("a", "b"), 2),
        ("# made by x\n\na,b\n1,2\n# pause\n\n3,4\n#end", ("a", "b"), 2),
        ("# a b\n1 2\n3 4\n", ("a", "b"), 2),
        ("#a,b\n1,2\n3,4\n", ("a", "b"), 2),
        ("# 16 sensors\n1,2\n3,4\n", ("c0", "c1"), 2),
        ("when,1,2\n2024-01-01,1,2\n2024-01-02,3,4\n", ("1", "2"), 2),
        (",a,b\n0,1,2\n1,3,4\n", ("a", "b"), 2),
        (",a\n2024-01-01 00:00,1\n2024-01-01 00:01,3\n", ("a",), 2),
        ("a,b,\n1,2,\n3,4,\n", ("a", "b"), 2),
        ("a,b,\n1,2,\n3,4,7\n", ("a", "b", "c2"), 2),
        ("flow\n1.5\n2.5\n3\n", ("flow",), 3),
        ("a,b\n,\n1,2\n", ("a", "b"), 2),
        ("a\tb\n\t\n1\t2\n", ("a", "b"), 2),
    ],
)
def test_names_and_rows_are_told_apart(tmp_path: Path, text: str, channels: tuple[str, ...], rows: int) -> None:
    series, _ = read(tmp_path, text)
    assert series.channels == channels
    assert len(series) == rows


def test_commas_in_numbers_are_no_separators(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "a;b;c\n1,5;-2;x\n3;,45e1;y\n;NA;z\n")
    assert series.channels == ("a", "b")
    np.testing.assert_array_equal(series.values, [[1.5, -2], [3, 4.5], [np.nan, np.nan]])
    nameless, _ = read(tmp_path, "1,5;2,5\n3,5;4,5\n")
    np.testing.assert_array_equal(nameless.values, [[1.5, 2.5], [3.5, 4.5]])
    message = refusal(lambda: read(tmp_path, "a;b\n1,5;2\n1.234,5;2\n3,5;4\n"))
    assert "line 3: '1.234,5' in column 'a', whose numbers have decimal commas" in message
    message = refusal(lambda: read(tmp_path, 'a,b\n"1,5","2,5"\n"3,5","4,5"\n'))
    assert "a: text, such as '1,5'" in message
    assert "decimal point" in message


def test_numbers_of_a_late_block_keep_their_decimal_commas(tmp_path: Path) -> None:
    rows = ["10;1,5"] * 400_000 + ["10,5;2"] * 3
    series, _ = read(tmp_path, "a;b\n" + "\n".join(rows))
    np.testing.assert_array_equal(series.values[-1], [10.5, 2])
    np.testing.assert_array_equal(series.values[0], [10, 1.5])


def test_few_quoted_commas_are_no_words(tmp_path: Path) -> None:
    text = "a,b\n" + "".join(f'{row},"2{row % 2},5"\n' for row in range(100))
    series, summary = read(tmp_path, text, categories=True)
    assert series.channels == ("a",)
    assert summary.dropped["b"].startswith("text, such as '20,5'")


def test_a_named_separator_is_used(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "a:b\n1:2\n3:4\n", separator=":")
    assert series.values.tolist() == [[1, 2], [3, 4]]
    assert "';;'" in refusal(lambda: read(tmp_path, "a\n1\n2\n", separator=";;"), InvalidArgument)


@pytest.mark.parametrize("text", ["", " ", "NaN", "nan", "null", "NULL", "None", "NA", "N/A", "-", "--", "?", '""'])
def test_texts_for_missing_samples(tmp_path: Path, text: str) -> None:
    series, summary = read(tmp_path, f"a,b\n1,2\n{text},4\n")
    np.testing.assert_array_equal(series.values, [[1, 2], [np.nan, 4]])
    assert summary.missing["a"] == 0.5


@pytest.mark.parametrize(
    ("text", "value"),
    [("+1.5", 1.5), (" 2e-3 ", 2e-3), ("1E5", 1e5), (".5", 0.5), ("5.", 5), ("true", 1), ("False", 0), ("-0", 0)],
)
def test_spellings_of_numbers(tmp_path: Path, text: str, value: float) -> None:
    series, _ = read(tmp_path, f"a,b\n1,2\n{text},4\n? ,5\n")
    assert series.values[1, 0] == value


def test_text_columns_are_left_out_and_reported(tmp_path: Path) -> None:
    series, summary = read(tmp_path, "a,state,b\n1,open,2\n2,shut,3\n3,,4\n")
    assert series.channels == ("a", "b")
    assert summary.dropped == {"state": "text, such as 'open'"}
    assert "left out  state: text, such as 'open'" in summary.lines()


def test_a_column_without_any_value_stays(tmp_path: Path) -> None:
    series, summary = read(tmp_path, "a,dead,b\n1,,2\n2,,3\n")
    assert series.channels == ("a", "dead", "b")
    assert summary.missing["dead"] == 1


@pytest.mark.parametrize("text", ["abc", "1,5x", "1_0", "0x10", "12 V", "\u0661"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_text_among_numbers_is_named_with_its_line(tmp_path: Path, text: str, compressed: bool) -> None:
    content = f"# log\n\na;b\n1;2\n# here\n3;4\n5;{text}\n6;7\n".encode()
    path = write(tmp_path, gzip.compress(content, mtime=0) if compressed else content)
    message = refusal(lambda: read_series(path))
    assert message.startswith(f"{path}, line 7: column 'b' holds {text!r} among its numbers; ")
    assert "NaN" in message
    assert read_series(path, ignore=["b"])[0].channels == ("a",)
    assert "line 7" in refusal(lambda: read_series(path, channels=["b"]))


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aez.codec.series.formats.text.TEXT_BLOCK", 64)
    rows = [f"{i},{i * i}" + ("\n# note\n" if i % 7 == 0 else "") for i in range(300)]
    text = "a,b\n" + "\n".join(rows) + "\n"
    series, _ = read(tmp_path, text)
    np.testing.assert_array_equal(series.values, [[i, i * i] for i in range(300)])
    spoiled = text.replace("250,62500", "250,x")
    line = spoiled[: spoiled.index("250,x")].count("\n") + 1
    assert f"line {line}:" in refusal(lambda: read(tmp_path, spoiled))
    torn = text.replace("250,62500", "250")
    assert f"line {line} has 1 fields and not 2" in refusal(lambda: read(tmp_path, torn))


# Clocks.


@pytest.mark.parametrize(
    ("stamps", "zone", "first"),
    [
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31"], None, 0),
        (["2024-01-31T23:59:30.25", "2024-01-31T23:59:31"], None, SECOND // 4),
        (["2024-01-31T23:59:30.123456789Z", "2024-01-31T23:59:31.123Z"], "UTC", 123456789),
        (["2024-01-31 23:59:30 UTC", "2024-01-31 23:59:31 UTC"], "UTC", 0),
        (["2024-02-01T01:59:30+02:00", "2024-02-01T01:59:31+02:00"], "+02:00", 0),
        (["2024-02-01 01:59:30 +0200", "2024-02-01 00:59:31 +0100"], "+0200", 0),
        (["2024-01-31 18:59:30-05", "2024-01-31 18:59:31-05"], "-05", 0),
        (["2024/01/31 23:59:30", "2024/01/31 23:59:31"], None, 0),
        (["31.01.2024 23:59:30", "31.01.2024 23:59:31"], None, 0),
        (["20240131T235930Z", "20240131T235931Z"], "UTC", 0),
        (["2024-01-31 23:59:30,5", "2024-01-31 23:59:31,5"], None, SECOND // 2),
        (["1706745570", "1706745571"], "UTC", 0),
        (["1706745570.25", "1706745571"], "UTC", SECOND // 4),
        (["1706745570000", "1706745571000"], "UTC", 0),
        (["1706745570000123", "1706745571000000"], "UTC", 123000),
        (["1706745570000000123", "1706745571000000000"], "UTC", 123),
        (["1.70674557e9", "1706745571"], "UTC", 0),
    ],
)
def test_times_are_read_in_every_form(tmp_path: Path, stamps: list[str], zone: str | None, first: int) -> None:
    text = "".join(f'"{stamp}";{i}\n' for i, stamp in enumerate(stamps))
    series, summary = read(tmp_path, "time;a\n" + text)
    assert times(series)[0] == first
    assert series.timezone == summary.timezone == zone
    assert summary.time_column == "time"
    # The same without names: found by what it holds, in the first column.
    bare, summary = read(tmp_path, text, separator=";")
    assert times(bare) == times(series)
    assert (bare.channels, summary.time_column) == (("c1",), "c0")


@pytest.mark.parametrize(
    "name", ["timestamp", "Time", "datetime", "Date", "ts", "t", "date_time", "@timestamp", "Time (UTC)", "unix time"]
)
def test_clocks_are_found_by_name(tmp_path: Path, name: str) -> None:
    series, summary = read(tmp_path, f"count,{name},a\n1,1706745570,5\n2,1706745571,6\n")
    assert summary.time_column == name
    assert series.channels == ("count", "a")
    assert times(series) == [0, SECOND]


@pytest.mark.parametrize(
    ("name", "values", "period"),
    [
        ("t", "0 0.5 1.0 1.5", 0.5),
        ("Time", "0 60 120 180", 60),
        ("time_ms", "0 20 40 60", 0.02),
        ("time [us]", "5 10 15 20", 5e-6),
        ("seconds", "100 101 102 103", 1),
        ("t", "20.5 20.1 20.7 20.2", None),  # a temperature
        ("Time", "7 7 7 7", None),
        ("date", "20240101 20240102 20240103 20240104", None),
        ("response_time", "120 121 122 123", None),
        ("uptime_bytes", "1706745570 1706745571 1706745572 1706745573", None),
        ("sample_time", "1706745570 1706745571 1706745572 1706745573", 1),
        ("run_time_ns", "170674557 170674558 170674559 170674560", None),
    ],
)
def test_numbers_are_a_clock_only_where_they_look_like_one(
    tmp_path: Path, name: str, values: str, period: float | None
) -> None:
    lines = [f"{value},{i}" for i, value in enumerate(values.split())]
    series, _ = read(tmp_path, f"{name},a\n" + "\n".join(lines))
    assert series.period == (None if period is None else pytest.approx(period))
    assert series.channels == ((name, "a") if period is None else ("a",))


def test_seconds_from_some_start_are_told_so(tmp_path: Path) -> None:
    _, summary = read(tmp_path, "t,a\n0,1\n0.5,2\n1,3\n")
    assert "time      0 s to 1 s, counted from a start of their own, column t" in summary.lines()


def test_a_clock_may_be_named(tmp_path: Path) -> None:
    text = "time,when,x\n5,9,1\n6,7,2\n7,8,3\n"
    series, summary = read(tmp_path, text, time_column="when")
    assert (series.channels, summary.time_column, summary.backwards) == (("time", "x"), "when", 1)
    assert series.time is not None
    assert list(series.time) == [9 * SECOND, 7 * SECOND, 8 * SECOND]
    message = refusal(lambda: read(tmp_path, text, time_column="wen"), InvalidArgument)
    assert "no time column 'wen' (nearest: 'when')" in message
    message = refusal(lambda: read(tmp_path, "a,b\nhot,1\ncold,2\n", time_column="a"))
    assert "column 'a' holds no times, but 'hot'" in message


def test_a_text_column_of_times_is_found_under_any_name(tmp_path: Path) -> None:
    series, summary = read(tmp_path, "a,recorded\n1,2024-01-31 23:59:30\n2,2024-01-31 23:59:31\n")
    assert (summary.time_column, series.channels, times(series)) == ("recorded", ("a",), [0, SECOND])


def test_a_date_goes_together_with_a_time_of_day(tmp_path: Path) -> None:
    series, summary = read(tmp_path, "Date,Time,a\n2024-01-31,23:59:30,1\n2024-02-01,00:00:00.5,2\n")
    assert times(series) == [0, 30 * SECOND + SECOND // 2]
    assert (summary.time_column, series.channels) == ("Date and Time", ("a",))
    blanks, _ = read(tmp_path, "2024-01-31 23:59:30 1 5\n2024-01-31 23:59:31 2 6\n")
    assert (times(blanks), blanks.channels) == ([0, SECOND], ("c2", "c3"))
    days, _ = read(tmp_path, "date,a\n2024-01-31,1\n2024-02-01,2\n")
    assert days.period == 86_400


def test_dates_with_the_day_first_and_dots_are_a_clock(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "time,a\n31.01.2024 23:59,1\n01.02.2024 00:00,2\n")
    assert times(series) == [-30 * SECOND, 30 * SECOND]


def test_dates_with_strokes_are_no_clock_and_told_so(tmp_path: Path) -> None:
    series, summary = read(tmp_path, "time,a\n31/01/2024 23:59,1\n01/02/2024 00:00,2\n")
    assert series.time is None
    assert summary.dropped["time"].startswith("text, such as '31/01/2024 23:59'; times are read as 2024-01-31")


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31", "yesterday"], "'yesterday', which is no time"),
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31", "2024-02-30 00:00:00"], "'2024-02-30 00:00:00'"),
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31", ""], "nothing, which is no time"),
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31", "NaN"], "which is no time"),
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31", "1500-01-01 00:00:00"], "'1500-01-01 00:00:00'"),
        (["2024-01-31 23:59:30Z", "2024-01-31 23:59:31Z", "2024-01-31 23:59:32"], "with a zone as in the rows before"),
        (["2024-01-31 23:59:30", "2024-01-31 23:59:31", "2024-01-31 23:59:32Z"], "'2024-01-31 23:59:32Z'"),
        (["1706745570", "1706745571", "x"], "'x'"),
        (["1706745570", "1706745571", ""], "nothing"),
        (["1706745570", "1706745571", "99999999999999999999"], "'99999999999999999999'"),
        (["1706745570", "1706745571", "1e300"], "'1e300'"),
    ],
)
def test_a_row_without_a_time_is_named(tmp_path: Path, rows: list[str], what: str) -> None:
    text = "time,a\n" + "".join(f"{stamp},{i}\n" for i, stamp in enumerate(rows))
    message = refusal(lambda: read(tmp_path, text))
    assert "line 4: column 'time' holds " in message
    assert what in message
    series, _ = read(tmp_path, text, ignore=["time"])
    assert (series.time, len(series)) == (None, 3)


# Values that are not what they seem.


def test_infinite_values_are_missing_and_reported(tmp_path: Path) -> None:
    series, summary = read(tmp_path, "a,b\n1,2\ninf,3\n-Infinity,1e39\n1e400,4\n")
    np.testing.assert_array_equal(series.values, [[1, 2], [np.nan, 3], [np.nan, np.nan], [np.nan, 4]])
    assert summary.infinite == {"a": 3, "b": 1}
    assert "infinite  4 values taken as missing: a, b" in summary.lines()


def test_huge_integers_are_rounded_and_reported(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": 2**53 + 1}, {"a": 2**63}, {"a": 10**30}]
    expected = [1, float(2**53 + 1), 2.0**63, 1e30]
    as_text = "a\n" + "".join(f"{row['a']}\n" for row in rows)
    for text, name in ((as_text, "x.csv"), ("".join(json.dumps(row) + "\n" for row in rows), "x.jsonl")):
        series, summary = read_series(write(tmp_path, text, name))
        assert list(series.values[:, 0]) == expected
        assert summary.rounded == {"a": 2}
    for column in (pa.array([1, 2**53 + 1, 2**63 - 1]), pa.array([1, 2**64 - 1, None], pa.uint64())):
        parquet.write_table(pa.table({"a": column}), tmp_path / "x.parquet")
        series, _ = read_series(tmp_path / "x.parquet")
        np.testing.assert_array_equal(
            series.values[:, 0], [np.nan if v is None else float(v) for v in column.to_pylist()]
        )


# Parquet, JSON Lines and NumPy's files.


def test_parquet_types_become_numbers(tmp_path: Path) -> None:
    from decimal import Decimal

    table = pa.table(
        {
            "when": pa.array(np.array(STAMPS, "datetime64[ms]"))
            .cast(pa.timestamp("ms"))
            .cast(pa.timestamp("ms", "Europe/Berlin")),
            "later": pa.array(np.array(STAMPS, "datetime64[ms]")),
            "i8": pa.array([1, None, 3], pa.int8()),
            "f16": pa.array(np.array([1, 2, 3], np.float16)),
            "bool": pa.array([True, None, False]),
            "dec": pa.array([Decimal("1.5"), None, Decimal("2.5")]),
            "number": pa.array(["1", None, "2.5"]),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "list": pa.array([[1], [2], [3]]),
            "nothing": pa.nulls(3),
        }
    )
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    series, summary = read_series(tmp_path / "x.parquet")
    assert series.timezone == "Europe/Berlin"
    assert times(series) == [0, SECOND, 3 * SECOND]
    assert series.channels == ("i8", "f16", "bool", "dec", "number", "nothing")
    expected = [[1, 1, 1, 1.5, 1, NAN], [NAN, 2, NAN, NAN, NAN, NAN], [3, 3, 0, 2.5, 2.5, NAN]]
    np.testing.assert_array_equal(series.values, expected)
    assert summary.dropped == {
        "list": "of type list<element: int64>",
        "later": "times beside the clock",
        "kind": "text, such as 'a'",
    }


def test_times_that_nanoseconds_cannot_count_are_named(tmp_path: Path) -> None:
    when = pa.array([0, 1, 253402300799], pa.timestamp("s"))  # the last: 9999-12-31
    parquet.write_table(pa.table({"time": when, "a": [1, 2, 3]}), tmp_path / "x.parquet")
    assert "row 3: column 'time' holds nothing" in refusal(lambda: read_series(tmp_path / "x.parquet"))
    parquet.write_table(pa.table({"time": when.slice(0, 3), "a": [1, 2, 3]}), tmp_path / "x.parquet")
    assert len(read_series(tmp_path / "x.parquet", ignore=["time"])[0]) == 3


def test_rows_of_a_parquet_file_are_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [str(i) for i in range(50)] + ["x"]}), tmp_path / "x.parquet", row_group_size=7)
    assert "row 51: column 'a' holds 'x'" in refusal(lambda: read_series(tmp_path / "x.parquet"))


def test_json_objects_may_lack_keys_and_mix_types(tmp_path: Path) -> None:
    text = (
        '{"t": 1706745570, "a": 1}\n\n{"a": "2.5", "t": 1706745571, "b": true}\n'
        '{"t": 1706745572.5, "b": 7, "a": null}\n'
    )
    series, summary = read_series(write(tmp_path, text, "x.log"))
    np.testing.assert_array_equal(series.values, [[1, np.nan], [2.5, 1], [np.nan, 7]])
    assert times(series) == [0, SECOND, 5 * SECOND // 2]
    nested, summary = read(tmp_path, '{"a": 1, "b": {"c": 2}}\n{"a": 2, "b": [1]}\n')
    assert (nested.channels, summary.dropped) == (("a",), {"b": """text, such as '{"c": 2}'"""})


def test_json_keys_that_come_late_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aez.codec.series.formats.text.TEXT_BLOCK", 40)
    lines = [json.dumps({"a": i} if i < 20 else {"b": i}) for i in range(30)]
    series, summary = read(tmp_path, "\n".join(lines))
    assert series.channels == ("a",)
    assert np.isnan(series.values[20:]).all()
    assert summary.dropped["b"].startswith("not in the first rows; first met behind line ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": \n', "line 2 is no JSON object: Expecting value"),
        ('{"a": 1}\n5\n', "line 2 is no JSON object but a int"),
        ('[{"a": 1}]\n', "holds a JSON list; write one object a line"),
        ('{"a": 1}\n{"a": 2}\n{"a": "x"}\n', "line 3: column 'a' holds 'x' among its numbers"),
        ('{"a": 1}\n{"a": 2}\n{"a": [3]}\n', "line 3: column 'a' holds '[3]' among its numbers"),
        ("{" * 20_000 + "\n", "line 1 is no JSON object"),
    ],
)
def test_bad_json_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(lambda: read(tmp_path, text))


def test_one_array_of_several_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "machine.npz"
    train, test = np.arange(12.0).reshape(4, 3), np.arange(6, dtype=np.int16).reshape(2, 3)
    stamps, names = np.array([1706745570, 1706745580]), np.array(["x", "y", "z"])
    np.savez(path, train=train, test=test, test_label=np.zeros(2), test_time=stamps, channels=names)
    series, _ = read_series(path, array="test")
    assert series.channels == ("x", "y", "z")
    np.testing.assert_array_equal(series.values, test)
    assert times(series) == [0, 10 * SECOND]
    assert read_series(path, array="train")[0].time is None
    label, _ = read_series(path, array="test_label")
    assert (label.values.shape, label.channels) == ((2, 1), ("c0",))
    message = refusal(lambda: read_series(path), InvalidArgument)
    assert "train, test, test_label, test_time, channels; choose the one of the values" in message
    message = refusal(lambda: read_series(path, array="tst"), InvalidArgument)
    assert "no array 'tst'; it has train" in message
    assert "is no npz" in refusal(lambda: read_series(write(tmp_path, "a\n1\n2\n"), array="train"), InvalidArgument)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., None], order: Any
) -> None:
    monkeypatch.setattr("aez.codec.series.formats.arrays.VALUES_BLOCK", 10)
    monkeypatch.setattr("aez.codec.series.formats.parquet.VALUES_BLOCK", 10)
    values = np.asarray(np.arange(300, dtype=">f4").reshape(100, 3), order=order)
    save(tmp_path / "x.npz", values=values, time=START + np.arange(100))
    np.save(tmp_path / "x.npy", values)
    for path in (tmp_path / "x.npz", tmp_path / "x.npy"):
        series, _ = read_series(path)
        np.testing.assert_array_equal(series.values, values)
    assert times(read_series(tmp_path / "x.npz")[0]) == list(range(100))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((2, 2, 2))}, r"a has shape (2, 2, 2), and a series is [time, channels]"),
        ({"a": np.array([["x"], ["y"]])}, "a holds <U1, and a series holds numbers"),
        ({"a": np.zeros((2, 2), complex)}, "a holds complex128"),
        ({"a": np.array([[{}], [None]], object)}, "a holds object"),
        ({"a": np.zeros((3, 1)), "time": np.zeros(2)}, "time has shape (2,) beside 3 rows of a; ignore it"),
        ({"a": np.zeros((3, 1)), "time": np.array([{}] * 3, object)}, "time holds Python objects"),
        (
            {"a": np.zeros((3, 2)), "channels": np.array(["x"])},
            "channels has shape (1,) beside 2 columns; save one name for each",
        ),
        ({"a": np.zeros((3, 2)), "channels": np.array(["x", "x"])}, "two columns called 'x'"),
        ({"a": np.zeros((3, 1)), "channels": np.array([{}], object)}, "the array channels holds Python objects"),
        ({"a": np.zeros((0, 2))}, "has no rows"),
        ({"a": np.zeros((3, 0))}, "a has shape (3, 0)"),
    ],
)
def test_arrays_that_are_no_series_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    assert message in refusal(lambda: read_series(tmp_path / "x.npz"))


# Bad files.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"\n\n  \n", "is empty, or holds comments alone"),
        (b"# a\n# b\n", "is empty, or holds comments alone"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"a,b\n", "has no rows"),
        (b"a,b", "has no rows"),
        (b"a,b\n1,2\n", "has one row, and a series has at least two"),
        (b"1,2\n", "has one row"),
        (b"a,b\nx,y\nz,w\n", "has no numeric column (a: text, such as 'x'; b: text, such as 'y')"),
        (b"time\n2024-01-01\n2024-01-02\n", "has no numeric column"),
        (b"a,b\n,\nNaN,-\n", "has no value: every sample of every channel is missing"),
        (b"a,b\ninf,\n-inf,\n", "has no value"),
        (b"a,b\n1,2\n3\n4,5\n", "line 3 has 1 fields and not 2, as separated by ','"),
        (b"a,b\n1,2\n3,4,5\n4,5\n", "line 3 has 3 fields and not 2"),
        (b"a,b\n1,2\n3,4\n5,", None),
        (b"a,b\n1,2\n3,4\n5", "line 4 has 1 fields"),
        (b"a,a\n1,2\n3,4\n", "two columns called 'a'"),
        (b"a,b\n1,2\n\x00\x00,4\n", "is no text (it holds a zero byte in line 3)"),
        (b"a,b\n1,2\n3,\xb04\n", "is no UTF-8 text (byte 0xb0 in line 3); save it as UTF-8"),
        ("a,b\n1,2\n3,4\n".encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
        (bytes(range(1, 256)) * 40, "is no UTF-8 text"),
        (gzip.compress(b"a,b\n1,2\n3,4\n" * 999, mtime=0)[:-30], "is damaged or cut off"),
        (gzip.compress(b"a,b\n1,2\n3,4\n" * 999, mtime=0)[:12], "is damaged or cut off"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-8] + b"\0" * 8, "is damaged or cut off: CRC check failed"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\x1f\x8bnot gzip at all", "is damaged or cut off"),
        (b"PAR1 not parquet at all PAR1", "is no Parquet file, or a damaged one"),
        (b"PK\x03\x04 not a zip", "is damaged or cut off"),
        (b"\x93NUMPY not an array", "is damaged"),
        (b'a,"b\n1,2\n3,4\n', None),
    ],
)
def test_bad_files_end_in_one_sentence(tmp_path: Path, text: bytes, message: str | None) -> None:
    path = write(tmp_path, text)
    if message is None:  # odd, but readable or not: never a traceback
        try:
            read_series(path)
        except AezError as error:
            assert str(path) in str(error)  # noqa: PT017
        return
    found = refusal(lambda: read_series(path))
    assert found.startswith(str(path))
    assert message in found


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "nothing.csv does not exist" in refusal(lambda: read_series(tmp_path / "nothing.csv"))
    assert "is a folder; give a file in it" in refusal(lambda: read_series(tmp_path))


@pytest.mark.parametrize("suffix", ["parquet", "npz", "npy"])
def test_a_name_that_promises_another_format_is_told(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, "a,b\n1,2\n3,4\n", f"x.{suffix}")
    assert f"is no {suffix} file, or a damaged one" in refusal(lambda: read_series(path))


@pytest.mark.parametrize("save", [as_parquet, as_npz, as_compressed_npz, as_compressed_csv])
def test_files_cut_off_anywhere_are_refused(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    path = save(tmp_path)
    data = path.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 97)):
        path.write_bytes(data[:size])
        refusal(lambda: read_series(path))


@pytest.mark.parametrize("save", WRITERS)
def test_damaged_bytes_never_end_in_a_traceback(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    path = save(tmp_path)
    data = path.read_bytes()
    rng = np.random.RandomState(3)
    for place in rng.permutation(len(data))[:200]:
        spoiled = bytearray(data)
        spoiled[place] = rng.randint(256)
        path.write_bytes(spoiled)
        try:
            read_series(path)
        except AezError as error:
            assert str(path) in str(error)  # noqa: PT017


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text('abt,;|\t "\n\r#0123456789.-+:eTZ{}[]/\u00e9', max_size=80).map(str.encode),
        st.lists(
            st.sampled_from(["time", "a", "1", "2.5", "", "x", "2024-01-31", "23:59:30", "-", "inf", '"', "#"])
        ).map(lambda cells: "\n".join(",".join(cells[i : i + 3]) for i in range(0, len(cells), 3)).encode()),
    )
)
def test_any_bytes_are_a_series_or_an_error(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path, data)
    try:
        series, summary = read_series(path)
    except AezError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    assert len(series) == summary.rows >= 2
    assert np.isfinite(series.values).any()
    assert summary.lines()


def test_a_sheet_is_no_archive_of_arrays(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    assert "without arrays; save a spreadsheet as CSV" in refusal(lambda: read_series(tmp_path / "x.xlsx"))


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1.0, 2.0]), pa.array([3.0, 4.0])], names=["a", "a"])
    parquet.write_table(table, tmp_path / "x.parquet")
    assert "two columns called 'a'" in refusal(lambda: read_series(tmp_path / "x.parquet"))


# Options.


def test_labels_are_left_out(tmp_path: Path) -> None:
    text = "a,b,anomaly\n1,2,0\n3,4,1\n"
    series, summary = read(tmp_path, text, ignore=["anomaly", "changepoint"])
    assert (series.channels, summary.dropped) == (("a", "b"), {"anomaly": "ignored"})
    message = refusal(lambda: read(tmp_path, text, ignore=["anomoly"]), InvalidArgument)
    assert "no column 'anomoly' to ignore; is it 'anomaly'?" in message


def test_channels_that_are_not_there_are_named(tmp_path: Path) -> None:
    text = "flow,press\n1,2\n3,4\n"
    message = refusal(lambda: read(tmp_path, text, channels=["flow", "pres"]))
    assert "no channel 'pres' (nearest: 'press'); it has 'flow', 'press'" in message
    for channels in ([], ["flow", "flow"]):
        assert "different names" in refusal(lambda c=channels: read(tmp_path, text, channels=c), InvalidArgument)
    with pytest.raises(InvalidArgument, match="asked for and to be ignored"):
        read(tmp_path, text, channels=["flow"], ignore=["flow"])
    with pytest.raises(InvalidArgument, match="not one text"):
        read(tmp_path, text, ignore="flow")
    with pytest.raises(InvalidArgument, match="at least 1 row, not 0"):
        read_batches(write(tmp_path, text), rows=0)


def test_a_time_column_that_is_asked_for_is_a_channel(tmp_path: Path) -> None:
    series, _ = read(tmp_path, "t,a\n0,1\n1,2\n", channels=["a", "t"])
    assert (series.channels, series.time) == (("a", "t"), None)


@pytest.mark.parametrize(
    ("file", "name"),
    [("pump.csv", "pump"), ("pump.7.csv.gz", "pump.7"), ("a.b", "a.b"), ("x.jsonl.gz", "x"), ("log", "log")],
)
def test_a_stream_is_called_as_its_file(tmp_path: Path, file: str, name: str) -> None:
    assert read_series(write(tmp_path, "a\n1\n2\n", file))[0].name == name


def test_without_pyarrow_text_says_what_to_install_and_arrays_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("pyarrow", "pyarrow.csv", "pyarrow.parquet", "pyarrow.compute"):
        monkeypatch.setitem(sys.modules, module, None)
    message = refusal(lambda: read(tmp_path, "a\n1\n2\n"))
    assert message == "this needs pyarrow, which is not installed: pip install 'aez[monitor]'"
    np.savez(tmp_path / "x.npz", values=VALUES, time=START + np.arange(3), channels=np.array(["a", "b"]))
    series, _ = read_series(tmp_path / "x.npz")
    np.testing.assert_array_equal(series.values, VALUES)


# Memory.


def big(folder: Path, kind: str, rows: int, columns: int) -> Path:
    values: npt.NDArray[np.float64] = np.round(np.random.RandomState(4).rand(rows, columns), 6)
    if kind == "npz":
        np.savez_compressed(folder / "x.npz", values=values)
        return folder / "x.npz"
    if kind == "parquet":
        table = pa.table({f"c{i}": values[:, i] for i in range(columns)})
        parquet.write_table(table, folder / "x.parquet", row_group_size=rows)
        return folder / "x.parquet"
    lines = [",".join(map(str, row)) for row in values.tolist()]
    if kind == "jsonl":
        lines = [json.dumps({f"c{i}": v for i, v in enumerate(row)}) for row in values.tolist()]
    return write(folder, "\n".join(lines), f"x.{kind}")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rows"), [("csv", 40_000), ("jsonl", 20_000), ("npz", 40_000), ("parquet", 240_000)])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rows: int
) -> None:
    """Peaks of Python's and Arrow's memory, over a file of many blocks and one three times as long."""
    monkeypatch.setattr("aez.codec.series.formats.text.TEXT_BLOCK", 2**18)
    monkeypatch.setattr("aez.codec.series.formats.arrays.VALUES_BLOCK", 2**15)
    monkeypatch.setattr("aez.codec.series.formats.parquet.VALUES_BLOCK", 2**15)
    peaks = []
    for length in (rows, 3 * rows):
        path = big(tmp_path, kind, length, 10)
        tracemalloc.start()
        reader, arrow_peak, seen = read_batches(path, rows=1000), 0, 0
        for batch in reader:
            seen += len(batch)
            arrow_peak = max(arrow_peak, pa.total_allocated_bytes())
        peaks.append(tracemalloc.get_traced_memory()[1] + arrow_peak)
        tracemalloc.stop()
        assert seen == length
        del batch, reader
    # As float64, the rows that the second file has more take 3 MB and up.
    assert peaks[1] - peaks[0] < 1e6, peaks
