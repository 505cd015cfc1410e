"""Names of columns in the middle of CSV decide what columns are, also where all of them are new."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aez.daemon.common.records import Chunk
from aez.daemon.config.reader import load
from aez.daemon.parse.formats import parser
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import CHANNELS, Simulation
from aez.daemon.sources.lines import CsvLines
from aez.daemon.state.store import Store
from tests.kit.satellite_model import save_satellite_model

OLD, NEW = "time,stream,a,b", "zeit,maschine,x,y"


def cut(*rows: str, header: str = OLD, reader: CsvLines | None = None) -> list[tuple[str, tuple[str, ...], str]]:
    parts = (reader or CsvLines()).cut("".join(f"{row}\n" for row in rows).encode(), header)
    return [(part.header or "", part.gone, part.lines.decode().replace("\n", "|")) for part in parts]


def test_a_line_of_names_that_are_all_new_holds_for_what_follows_and_says_what_is_gone() -> None:
    old = ("time", "stream", "a", "b")
    assert cut("1,s,2,3", NEW, "4,s,5,6") == [(OLD, (), "1,s,2,3|"), (NEW, old, "4,s,5,6|")]
    assert cut("1,s,2,3", NEW, "4,s,5,6", OLD, "7,s,8,9")[-1] == (OLD, ("zeit", "maschine", "x", "y"), "7,s,8,9|")
    assert cut(NEW, "4,s,5,6", "time,stream,x,y", "7,s,8,9")[-1][1] == ("zeit", "maschine", "a", "b")
    assert cut("1,s,2,3", '"zeit";"die Maschine";x;y'.replace(";", ","), "4,s,5,6")[1][0].startswith('"zeit"')
    assert cut("a;b", header="ts;v", reader=CsvLines(";"))[1][:2] == ("a;b", ("ts", "v"))
    assert cut("s,zeit,x", "s,3,4", header="stream,clock,a", reader=CsvLines(",", ["clock"]))[1] == (
        "s,zeit,x",
        ("stream", "clock", "a"),
        "s,3,4|",
    )


@pytest.mark.parametrize(
    "row",
    [
        "1,s,2,3",
        "2026-01-01T00:00:00Z,s,on,off",
        "null,s,on,off",
        ",s,on,off",
        "nan,s,on,off",
        "later,s,2,off",
        "later,on,on,off",
        "later,s,,off",
        "a line of the log",
        "error,disk full",
        '"2026-01-01","s","on","off"',
        "-,s,on,off",
    ],
)
def test_what_may_be_a_row_or_is_none_of_as_many_texts_is_no_line_of_names(row: str) -> None:
    assert cut("1,s,2,3", row, "4,s,5,6") == [(OLD, (), f"1,s,2,3|{row}|4,s,5,6|")]


def test_without_a_column_of_the_time_only_names_that_are_known_are_names() -> None:
    assert len(cut("pump-7,off,err", header="stream,state,v")) == 1
    assert len(cut("stream,state,w", header="stream,state,v")) == 2


@given(st.lists(st.sampled_from([OLD, NEW, "time,stream,a,x", "1,s,2,3", "x,s,2,3", "stop"]), max_size=12), st.data())
def test_where_lines_are_cut_changes_nothing(rows: list[str], data: st.DataObject) -> None:
    lines = [f"{row}\n" for row in rows]
    whole = CsvLines().cut("".join(lines).encode(), OLD)
    place = data.draw(st.integers(0, len(lines)))
    first = CsvLines().cut("".join(lines[:place]).encode(), OLD)
    second = CsvLines().cut("".join(lines[place:]).encode(), first[-1].header, first[-1].gone)

    def told(parts: Any) -> list[Any]:
        return [(part.header, part.gone, line) for part in parts for line in part.lines.splitlines()]

    assert told(first) + told(second) == told(whole)
    assert second[-1][:2] == whole[-1][:2]


@pytest.mark.parametrize("count", [2, 50])
def test_columns_that_are_gone_are_missing_values(count: int) -> None:
    reader = parser("csv", {"stream": "machine", "time_unit": "s"})
    body = "".join(f"{at},m,5,6\n" for at in range(1, count + 1)).encode()
    gone = ("time", "machine", "a", "b")
    chunk = Chunk("plant", body, "csv", {}, 0.0, header="ts,machine,x,b", gone=gone)
    (samples,), malformed = reader.parse_many([chunk])
    assert not malformed
    assert samples.columns == ("b", "x", "a")
    assert samples.values[0].tolist()[:2] == [6.0, 5.0]
    assert all(value != value for value in samples.values[:, 2].tolist())
    wanted = parser("csv", {"stream": "machine", "time_unit": "s", "columns": ["a", "b"]})
    (samples,), malformed = wanted.parse_many([Chunk("p", body, "csv", {}, 0.0, header="ts,machine,x,y", gone=gone)])
    assert not malformed
    assert samples.columns == ("a", "b")
    assert len(samples) == count


def test_a_file_whose_columns_are_all_renamed_makes_its_channels_missing_and_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    save_satellite_model(tmp_path / "satellite.aezm")
    Path("monitor.toml").write_text(
        '[web]\nenabled = false\n[[models]]\npath = "satellite.aezm"\n[[sources]]\nkind = "file"\nformat = "csv"\n'
        'paths = ["data.csv"]\nstream = "stream"\n'
    )
    text = b"".join(encode(block, "csv") for block in Simulation(streams=1, seed=1).blocks(1200, 0)).decode()
    given = [line for line in text.splitlines() if not line.startswith("time,")]
    names = ["time", "stream", *CHANNELS]
    renamed = ["time", "stream", *(f"kanal {number}" for number in range(len(CHANNELS)))]
    lines = [",".join(names), *given[:700], ",".join(renamed), *given[700:1000], ",".join(names), *given[1000:]]
    Path("data.csv").write_text("\n".join(lines) + "\n")
    monitor = Monitor(load(Path("monitor.toml")), once=True)
    assert monitor.run() == 0
    with Store(tmp_path / "monitor.db", check=False) as store:
        told = [one.as_dict() for one in store.events.list(limit=100)]
    events = [one for one in told if one["kind"] != "incident"]
    assert len(told) == len(events) + 1
    assert {one["kind"] for one in events} == {"missing"}
    assert sorted(one["event"]["channels"][0]["name"] for one in events) == sorted(CHANNELS)
    assert all((one["event"]["start"], one["event"]["end"]) == (700, 1000) for one in events)
    assert len({one["event"]["incident"] for one in events}) == 1
    said = [one for one in caplog.messages if "another line of column names within" in one]
    assert len(said) == 2
    assert "8 new (kanal 0, kanal 1, kanal 2, ...), 8 gone, which are missing from there on (" in said[0]
    assert "data.csv" in said[0]
