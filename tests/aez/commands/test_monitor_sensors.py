"""What the monitor makes of a sensor that dies in one way or another, of a gateway that freezes, and of units."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aez.daemon.simulate.satellites import CHANNELS
from aez.export.series import bundle
from tests.kit import commands
from tests.kit.satellite_model import save_satellite_model

run = partial(commands.run, "monitor")
CONFIG = """\
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""
ROWS, START, END = 1200, 700, 1000
#: Rows within which what is missing or stuck is told.
SOON = 10
Row = dict[str, Any]
HEAT = "battery_temperature"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert run("simulate", "--rows", ROWS, "--streams", 1, "--seed", 1, "-o", str(path)).exit_code == 0
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Row]) -> Callable[..., list[Row]]:
    """The events, as of their last steps, of rows that are changed between START and END."""
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")

    def replay(change: Callable[[Row, int], Row | None], more: str = "", model: str = "") -> list[Row]:
        (tmp_path / "monitor.toml").write_text(CONFIG.replace("[[sources]]", f"{model}[[sources]]") + more)
        return replay_changed(rows, change)

    return replay


def replay_changed(rows: list[Row], change: Callable[[Row, int], Row | None], twice: bool = False) -> list[Row]:
    """The events of rows that are changed between START and END, with each of those rows `twice`; in this folder."""
    lines: list[str] = []
    for at, one in enumerate(rows):
        row = change(dict(one), at) if START <= at < END else one
        if row is not None:
            lines += [json.dumps(row)] * (2 if twice and START <= at < END else 1)
    Path("old.jsonl").write_text("\n".join([*lines, ""]))
    done = run("replay", "monitor.toml", "old.jsonl", "--json")
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def dropped(row: Row, name: str) -> Row:
    del row[name]
    return row


MISSING: dict[str, Callable[[Row, int], Row]] = {
    "absent": lambda row, _: dropped(row, HEAT),
    "null": lambda row, _: row | {HEAT: None},
    "a text": lambda row, _: row | {HEAT: str(row[HEAT])},
    "renamed": lambda row, _: dropped(row | {"batt_temp": row[HEAT]}, HEAT),
    "-999": lambda row, _: row | {HEAT: -999},
    "9.9e37": lambda row, _: row | {HEAT: 9.9e37},
    "NaN": lambda row, _: row | {HEAT: float("nan")},
    "an infinity": lambda row, _: row | {HEAT: float("inf")},
}


def names(record: Row) -> list[str]:
    return [one["name"] for one in record["event"]["channels"]]


@pytest.mark.parametrize("how", MISSING)
def test_a_channel_that_is_missing_is_one_event(replayed: Callable[..., list[Row]], how: str) -> None:
    (event,) = replayed(MISSING[how])
    assert (event["action"], names(event)) == ("present", [HEAT])
    assert (event["event"]["start"], event["event"]["end"]) == (START, END)
    assert event["event"]["opened"] <= START + SOON


@pytest.mark.parametrize("value", ["the last", 0.0])
def test_a_channel_that_stands_still_is_told_and_left_out(
    replayed: Callable[..., list[Row]], rows: list[Row], value: Any
) -> None:
    still = rows[START - 1][HEAT] if value == "the last" else value
    events = replayed(lambda row, _: row | {HEAT: still})
    stuck = [one for one in events if one["action"] == "moving"]
    assert [names(one) for one in stuck] == [[HEAT]]
    assert stuck[0]["event"]["opened"] <= START + SOON
    # What the jump to 0 opened is of the same incident, and over as soon as the channel is left out.
    others = [one for one in events if one["action"] != "moving"]
    assert all(one["id"] == stuck[0]["event"]["incident"] for one in others)
    assert all(one["event"]["end"] <= START + 2 * SOON for one in others)
    assert len(others) == (value == 0.0)


def test_a_frozen_gateway_is_one_event(replayed: Callable[..., list[Row]], rows: list[Row]) -> None:
    (event,) = replayed(lambda row, _: rows[START - 1] | {"time": row["time"]})
    assert (event["action"], sorted(names(event))) == ("moving", sorted(CHANNELS))
    assert event["event"]["opened"] <= START + SOON


@pytest.mark.parametrize("value", [None, 9.9e37, -999, float("nan")])
def test_rows_without_any_reading_make_all_channels_missing(
    replayed: Callable[..., list[Row]], value: float | None
) -> None:
    events = replayed(lambda row, _: row | dict.fromkeys(CHANNELS, value))
    assert {one["action"] for one in events} == {"present"}
    assert sorted(names(one)[0] for one in events) == sorted(CHANNELS)
    assert {one["event"]["opened"] - START <= SOON for one in events} == {True}
    assert len({one["event"]["incident"] for one in events}) == 1


def test_of_channels_that_are_missing_together_each_is_told_and_all_are_one_incident(
    replayed: Callable[..., list[Row]],
) -> None:
    events = replayed(lambda row, _: {name: row[name] for name in ("time", "stream", "bus_voltage")})
    assert {one["action"] for one in events} == {"present"}
    assert sorted(names(one)[0] for one in events) == sorted(set(CHANNELS) - {"bus_voltage"})
    assert len({one["event"]["incident"] for one in events}) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda row, _: row,
        lambda row, _: row | {"coolant": 3.0},
        lambda *_: None,
        lambda row, at: row if at % 2 else None,
    ],
    ids=["nothing", "a new channel", "an outage", "half the rate"],
)
def test_what_is_no_signal_that_stops_raises_nothing(replayed: Callable[..., list[Row]], change: Any) -> None:
    assert replayed(change) == []


@pytest.mark.usefixtures("replayed")
def test_rows_that_come_twice_raise_nothing_and_cost_nothing(rows: list[Row]) -> None:
    Path("monitor.toml").write_text(CONFIG)
    assert replay_changed(rows, lambda row, _: row, twice=True) == []


def exchanged(row: Row, _: int) -> Row:
    return row | {HEAT: row["panel_temperature"], "panel_temperature": row[HEAT]}


@pytest.mark.parametrize(
    ("change", "blamed"),
    [(lambda row, _: row | {"bus_voltage": 1000 * row["bus_voltage"]}, "bus_voltage"), (exchanged, HEAT)],
    ids=["mV", "two that changed places"],
)
def test_values_of_another_unit_or_sensor_are_one_anomaly(
    replayed: Callable[..., list[Row]], change: Callable[[Row, int], Row], blamed: str
) -> None:
    (event,) = replayed(change)
    assert (event["action"], names(event)[0]) == ("close", blamed)
    assert event["event"]["start"] - START <= SOON


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned how channels go together, where the one written by hand knows their ranges alone."""
    folder = tmp_path_factory.mktemp("learned")
    normal, path = folder / "normal.csv", folder / "satellite.aezm"
    assert run("simulate", "--rows", 4000, "--streams", 1, "--seed", 5, "-o", normal).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "export_whole", lambda *_: None)  # the second graph takes long to export
        done = commands.run("train", "series", normal, "-o", path, "--family", "pca", "--ignore", "stream")
    assert done.exit_code == 0, done.stderr
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"gyro_rate": -row["gyro_rate"]},
        lambda row: row | {"gyro_rate": 12 + 3 * (row["gyro_rate"] - 12)},
        lambda row: exchanged(row, 0),
        lambda row: row | {"bus_voltage": 1000 * row["bus_voltage"]},
    ],
    ids=["a sign", "three times as far from the middle", "two that changed places", "mV"],
)
def test_a_learned_model_finds_what_stays_within_ranges(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Row], change: Callable[[Row], Row]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("monitor.toml").write_text(CONFIG.replace("satellite.aezm", str(learned)))
    assert replay_changed(rows, lambda row, _: row) == []
    events = replay_changed(rows, lambda row, _: change(row))
    assert [one["action"] for one in events] == ["close"]
    assert START <= events[0]["event"]["start"] < START + 100
    assert END - SOON <= events[0]["event"]["end"] <= END + 40


@pytest.mark.parametrize(
    ("unit", "change"), [("°F", lambda value: value * 1.8 + 32), ("K", lambda value: value + 273.15)]
)
def test_a_change_of_units_is_an_anomaly_that_a_transform_puts_right(
    replayed: Callable[..., list[Row]], unit: str, change: Callable[[float], float]
) -> None:
    events = replayed(lambda row, _: row | {HEAT: change(row[HEAT])})
    assert [(one["action"], names(one)[0]) for one in events] == [("close", HEAT)]
    scale, offset = (5 / 9, -160 / 9) if unit == "°F" else (1.0, -273.15)
    more = f"""
[[transform]]
columns = ["{HEAT}"]
unit = "{unit}"
scale = {scale}
offset = {offset}
"""
    assert replayed(lambda row, _: row | {HEAT: f"{change(row[HEAT])} {unit}"}, more) == []


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (lambda value: str(value), ""),
        (lambda value: f"{value:.4f}".replace(".", ","), 'decimal = ","'),
        (lambda value: f"{value:.4f} °C", 'unit = "°C"'),
        (lambda value: f"{value * 1e6:,.0f}", 'thousands = ","\nscale = 1e-6'),
    ],
    ids=["a text", "a decimal comma", "a unit", "thousands"],
)
def test_texts_that_are_numbers_are_read_by_a_transform(
    replayed: Callable[..., list[Row]], text: Callable[[float], str], more: str
) -> None:
    transform = f'\n[[transform]]\ncolumns = ["batt"]\nrename = "{HEAT}"\n{more}\n'
    assert replayed(lambda row, _: dropped(row | {"batt": text(row[HEAT])}, HEAT), transform) == []


def test_what_is_said_of_a_channel_holds(replayed: Callable[..., list[Row]], rows: list[Row]) -> None:
    model = f'missing = {{ {HEAT} = "2 min" }}\nstuck = false\nno_reading = [77]\n'

    def change(row: Row, at: int) -> Row:
        return row | {HEAT: 77 if at >= START + 100 else None, "wheel_speed": rows[START - 1]["wheel_speed"]}

    (event,) = replayed(change, model=model)
    assert (event["action"], names(event), event["event"]["opened"]) == ("present", [HEAT], START + 120)
    assert event["event"]["cause"] == "no reading comes"


@pytest.mark.usefixtures("replayed")
def test_check_and_tap_show_transforms() -> None:
    transform = '\n[[transform]]\ncolumns = "Temp"\nunit = "°C"\ndecimal = ","\nrename = "heat"\nscale = 2\n'
    Path("monitor.toml").write_text(CONFIG + transform)
    Path("data.jsonl").write_text('{"time": 1700000000, "stream": "s", "Temp": "1,5 °C"}\n')
    said = run("check", "monitor.toml")
    assert said.exit_code == 0
    assert said.stdout.splitlines()[0] == "source file: Temp becomes heat; texts such as 1234,5 °C; times 2"
    assert json.loads(run("check", "monitor.toml", "--json").stdout)["transforms"] == [
        "source file: Temp becomes heat; texts such as 1234,5 °C; times 2"
    ]
    seen = run("tap", "monitor.toml", "--from-start", "--rows", 1, "--json")
    assert json.loads(seen.stdout.splitlines()[0])["values"] == {"heat": 3.0}
