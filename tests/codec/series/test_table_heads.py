"""What programs write above and below the names of columns is no row, and no reason to refuse the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.reader import read_series

START = np.datetime64("2026-03-02T00:00:00", "ns").astype(np.int64)
TOA5 = (
    '"TOA5","Station1","CR1000X","12345","CR1000X.Std.04","CPU:prog.CR1X","6789","Table10s"\r\n'
    '"TIMESTAMP","RECORD","load","temp"\r\n"TS","RN","kW","Deg C"\r\n"","","Avg","Smp"\r\n'
    '"2026-03-02 00:00:00",7,20.5,"NAN"\r\n"2026-03-02 00:00:10",8,20.6,41\r\n"2026-03-02 00:00:20",9,20.7,42\r\n'
)


def read(tmp_path: Path, text: str) -> tuple[list[int] | None, dict[str, list[float]]]:
    """Seconds since the start, and values by channel."""
    (tmp_path / "data.csv").write_text(text)
    series, _ = read_series(tmp_path / "data.csv")
    values = dict(zip(series.channels, series.values.T.tolist(), strict=True))
    return None if series.time is None else ((series.time - START) // 10**9).tolist(), values


def test_a_loggers_four_lines_are_its_head(tmp_path: Path) -> None:
    time, values = read(tmp_path, TOA5)
    assert time == [0, 10, 20]
    assert str(values) == "{'RECORD': [7.0, 8.0, 9.0], 'load': [20.5, 20.6, 20.7], 'temp': [nan, 41.0, 42.0]}"


@pytest.mark.parametrize("units", [",kW,degC", "s,kW,degC", "[UTC],[kW],[°C]"])
def test_units_below_the_names_are_no_row_and_the_number_of_a_bad_line_stays_right(tmp_path: Path, units: str) -> None:
    rows = [f"2026-03-02T00:00:{at:02}Z,{at},1" for at in range(20)]
    assert read(tmp_path, "\n".join(["time,load,temp", units, *rows]))[1]["load"] == list(range(20))
    rows[15] = "2026-03-02T00:00:15Z,broken,1"
    with pytest.raises(UnsupportedInput, match="line 18: column 'load' holds 'broken'"):
        read(tmp_path, "\n".join(["time,load,temp", units, *rows]))


def test_a_first_row_of_which_only_a_value_is_a_text_is_a_row(tmp_path: Path) -> None:
    rows = ["2026-03-02T00:00:00Z,Bad Input,1", *(f"2026-03-02T00:00:{at:02}Z,{at},1" for at in range(1, 9))]
    with pytest.raises(UnsupportedInput, match="line 2: column 'load' holds 'Bad Input'"):
        read(tmp_path, "\n".join(["time,load,temp", *rows]))


def test_files_put_together_name_their_columns_again(tmp_path: Path) -> None:
    part = "time,load\n,kW\n2026-03-02T00:00:0{}Z,1\n2026-03-02T00:00:0{}Z,2\n"
    time, values = read(tmp_path, part.format(0, 1) + part.format(2, 3))
    assert (time, values) == ([0, 1, 2, 3], {"load": [1.0, 2.0, 1.0, 2.0]})
    with pytest.raises(UnsupportedInput, match="line 9: column 'load' holds 'x'"):
        read(tmp_path, part.format(0, 1) + part.format(2, 3) + "2026-03-02T00:00:04Z,x\n")


def test_excels_line_of_the_separator_and_a_day_beside_its_time(tmp_path: Path) -> None:
    text = "sep=;\nDate;Time;load;\n02.03.2026;00:00:00;1;\n02.03.2026;00:00:10;2;\n"
    assert read(tmp_path, text) == ([0, 10], {"load": [1.0, 2.0]})


def test_one_object_of_json_with_all_rows_in_it_says_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"status":"success","data":{"result":[{"values":[[1,"2"],[2,"3"]]}]}}')
    with pytest.raises(UnsupportedInput, match=r"one row, .*nested in it is not read: write an object a row"):
        read_series(tmp_path / "data.json")


def test_influxs_result_is_read_where_it_was_pivoted(tmp_path: Path) -> None:
    heads = "#group,false,false,false,false\n#datatype,string,long,dateTime:RFC3339,double\n#default,_result,,,\n"
    rows = ",,0,2026-03-02T00:00:00Z,1\n,,0,2026-03-02T00:00:10Z,2\n"
    assert read(tmp_path, f"{heads},result,table,_time,load\n{rows}") == ([0, 10], {"load": [1.0, 2.0]})
    with pytest.raises(UnsupportedInput, match=r"the value of one field a row; pivot it .*\|> pivot\(rowKey"):
        read(tmp_path, f"{heads},result,table,_time,_value,_field\n,,0,2026-03-02T00:00:00Z,1,load\n")


@pytest.mark.parametrize("name", ["Date", "Time", "timestamp"])
def test_days_of_spreadsheets_have_to_be_called_so(tmp_path: Path, name: str) -> None:
    text = f"{name},load\n46083,1\n46083.0001157407,2\n46083.0002314815,3\n"
    message = (
        f"column '{name}': 46083 is 2026-03-02 00:00:00 in the days of spreadsheets, or counts seconds from a start"
    )
    with pytest.raises(UnsupportedInput, match=message):
        read(tmp_path, text)
    series, _ = read_series(tmp_path / "data.csv", time_unit="days")
    assert series.time is not None
    assert (series.timezone, (series.time - START).tolist()) == (None, [0, 10 * 10**9, 20 * 10**9])
    series, _ = read_series(tmp_path / "data.csv", time_unit="s")
    assert series.time is not None
    assert series.time[0] == 46083 * 10**9
    with pytest.raises(InvalidArgument, match="time_unit is one of s, ms, us, ns, days, not 'h'"):
        read_series(tmp_path / "data.csv", time_unit="h")
    (tmp_path / "data.csv").write_text(text.replace(name, "seconds"))  # which says what it is
    series, _ = read_series(tmp_path / "data.csv")
    assert series.period == pytest.approx(0.0001157407, rel=1e-4)
