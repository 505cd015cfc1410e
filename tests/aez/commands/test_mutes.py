"""`aez monitor mute`, `mutes`, `unmute`, and events of many: shown with their rows, acknowledged together."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from aez.daemon.state.store import Store
from tests.kit import commands
from tests.kit.satellite_model import save_satellite_model

run = partial(commands.run, "monitor")
CONFIG = """\
[web]
port = 0
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG)
    made = run("simulate", "--rows", 700, "--seed", 1, "--faults", 200, "--first-fault", 100, "-o", "data.jsonl")
    assert made.exit_code == 0
    return tmp_path


def listed(*options: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in run("events", "list", "monitor.toml", "--json", *options).stdout.splitlines()]


def test_a_muted_stream_is_watched_and_nobody_is_told(here: Path) -> None:
    assert "does not exist yet" in run("mutes", "monitor.toml").stderr
    Store(here / "monitor.db", exclusive=True).close()
    muted = run("mute", "monitor.toml", "sat-*", "--for", "2h", "--reason", "service day", "--by", "ann")
    assert muted.stdout.startswith("mute 1: sat-* until 20")
    told = json.loads(run("mutes", "monitor.toml", "--json").stdout)
    assert [(one["pattern"], one["reason"], one["author"]) for one in told["by_hand"]] == [
        ("sat-*", "service day", "ann")
    ]
    assert run("run", "monitor.toml", "--once").exit_code == 0
    assert not (here / "events.jsonl").exists()
    events = listed()
    assert len(events) == 3
    assert {one["event"]["muted"] for one in events} == {"service day"}  # type: ignore[index]
    assert "[muted]" in run("events", "list", "monitor.toml").stdout
    assert run("unmute", "monitor.toml", "1").stdout == "ended mute 1 of sat-*\n"
    assert run("mutes", "monitor.toml").stderr.endswith("no mutes\n")
    again = run("unmute", "monitor.toml", "1")
    assert (again.exit_code, "there is no mute 1 in force" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "2h"], "--reason"),
        (["--reason", "x"], "--for 8h or --until"),
        (["--reason", "x", "--for", "2h", "--until", "2026-12-01"], "one of them"),
        (["--reason", "x", "--for", "two hours"], "--for: 'two hours' is no time"),
        (["--reason", "x", "--until", "soon"], "--until: 'soon' is no time"),
        (["--reason", "x", "--until", "2020-01-01"], "the end of the mute is past"),
    ],
)
def test_mutes_that_cannot_be_are_refused(here: Path, options: list[str], said: str) -> None:
    Store(here / "monitor.db", exclusive=True).close()
    result = run("mute", "monitor.toml", "*", *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_window_of_the_configuration_mutes_by_the_time_of_the_data(here: Path) -> None:
    window = '[[mute]]\nstreams = ["sat-*"]\nreason = "night"\nbegins = 2026-01-01T00:00:00Z\nuntil = "{}"\n'
    (here / "monitor.toml").write_text(CONFIG + window.format("2026-01-01T00:04:00Z"))
    refused = run("check", "monitor.toml")
    assert refused.exit_code == 2
    assert "monitor.toml:16: mute[0].until: it is past, so that it mutes nothing; take it out" in refused.stderr
    assert run("run", "monitor.toml", "--once").exit_code == 0  # a restart shall not fail for it
    muted = [bool(one["event"].get("muted")) for one in listed()]  # type: ignore[attr-defined]
    assert muted == [False, False, True]
    assert len({json.loads(line)["id"] for line in (here / "events.jsonl").read_text().splitlines()}) == 2
    assert "night" in run("mutes", "monitor.toml").stdout


@pytest.mark.usefixtures("here")
def test_an_event_shows_what_was_measured_and_its_rows() -> None:
    assert run("run", "monitor.toml", "--once").exit_code == 0
    event = str(listed()[0]["id"])
    shown = run("events", "show", "monitor.toml", event[:8], "--draw").stdout
    assert "measured " in shown
    assert "▁" in shown
    told = json.loads(run("events", "show", "monitor.toml", event[:8]).stdout)
    entry = told["event"]["channels"][0]
    assert {"measured", "expected", "expected_from"} <= set(entry)
    assert told["curve"]["channels"][0]["name"] == entry["name"]
    assert len(told["curve"]["row"]) == len(told["curve"]["score"]) > 10


def test_several_events_are_acknowledged_at_once(here: Path) -> None:
    assert run("run", "monitor.toml", "--once").exit_code == 0
    first, second, third = (str(one["id"]) for one in listed())
    for options in ((), (first, "--all"), (first, "--open")):
        assert run("events", "acknowledge", "monitor.toml", *options).exit_code == 2
    done = run("events", "acknowledge", "monitor.toml", first, second[:8], "--by", "ann", "--comment", "known")
    assert "acknowledged 2 events" in done.stderr
    assert [one["id"] for one in listed("--unacknowledged")] == [third]
    assert (
        "acknowledged 3 events"
        not in run("events", "acknowledge", "monitor.toml", "--all", "--stream", "sat-01").stderr
    )
    assert listed("--unacknowledged") == []
    assert {one["acknowledged_by"] for one in listed()} == {"ann", ""}
    assert (here / "monitor.db").exists()
