"""`aez monitor`: check, run, replay, events, reload and simulate as a user meets them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from aez.daemon.simulate.satellites import CHANNELS
from tests.kit import commands
from tests.kit.satellite_model import save_satellite_model

run, aez = partial(commands.run, "monitor"), partial(commands.process, "monitor")
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
kind = "console"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG)
    simulated = run("simulate", "--rows", 700, "--seed", 1, "--faults", 200, "--first-fault", 100, "-o", "data.jsonl")
    assert simulated.exit_code == 0
    return tmp_path


@pytest.mark.usefixtures("here")
def test_check_says_yes_and_deep_tries_everything() -> None:
    assert run("check", "monitor.toml").stdout == "monitor.toml: can be used; 1 models, 1 sources, 1 sinks\n"
    deep = run("check", "monitor.toml", "--deep").stdout.splitlines()
    assert deep[0].startswith("model satellite: 8 channels, on ")
    assert deep[1:3] == ["source file: 1 files now", "sink console: answers"]
    assert json.loads(run("check", "monitor.toml", "--json").stdout)["ok"] is True


def test_check_names_every_fault_and_ends_with_2(here: Path) -> None:
    (here / "monitor.toml").write_text(CONFIG.replace("port", "prot").replace("satellite.aezm", "none.aezm"))
    result = aez("check", "monitor.toml")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "aez: error: monitor.toml:2: web.prot: there is no such key; did you mean port?",
        f"aez: error: monitor.toml:4: models[0].path: there is no file {here / 'none.aezm'}",
    ]
    told = json.loads(run("check", "monitor.toml", "--json").stdout)
    assert [(fault["line"], fault["key"]) for fault in told["faults"]] == [(2, "web.prot"), (4, "models[0].path")]


def test_check_names_what_only_the_parts_can_refuse(here: Path) -> None:
    (here / "monitor.toml").write_text(CONFIG.replace('stream = "stream"', 'stream = "{a"'))
    result = aez("check", "monitor.toml")
    assert result.returncode == 2
    assert result.stderr.startswith("aez: error: monitor.toml:5: source file: option stream has a brace without")


def test_check_knows_limits_and_channels_that_cannot_be(here: Path) -> None:
    limits = 'path = "satellite.aezm"\nlimits = { "*" = -1 }'
    (here / "monitor.toml").write_text(CONFIG.replace('path = "satellite.aezm"', limits))
    result = aez("check", "monitor.toml")
    assert result.returncode == 2
    assert "monitor.toml:5: models[0].limits: that of '*' is" in result.stderr
    assert "not -1" in result.stderr
    columns = 'path = "satellite.aezm"\ncolumns = { colour = "c" }'
    (here / "monitor.toml").write_text(CONFIG.replace('path = "satellite.aezm"', columns))
    result = aez("check", "monitor.toml")
    assert result.returncode == 2
    assert "monitor.toml:3: model satellite: column mapping names channel 'colour'; the model has " in result.stderr


def test_deep_tries_what_is_to_be_written(here: Path) -> None:
    (here / "taken").touch()
    more = '[state]\npath = "no/monitor.db"\n[service]\ndead_letters = "taken/letters"\n[scores]\npath = "taken/s"\n'
    (here / "monitor.toml").write_text(more + CONFIG)
    assert run("check", "monitor.toml").exit_code == 0
    told = json.loads(run("check", "monitor.toml", "--deep", "--json").stdout)
    assert [fault["key"] for fault in told["faults"]] == ["scores.path", "service.dead_letters", "state.path"]
    assert all("cannot be written to" in fault["text"] for fault in told["faults"])
    (here / "monitor.db").write_bytes(b"no database at all, and long enough to be one" * 100)
    (here / "monitor.toml").write_text(CONFIG)
    told = json.loads(run("check", "monitor.toml", "--deep", "--json").stdout)
    assert [fault["key"] for fault in told["faults"]] == ["state.path"]
    assert (here / "monitor.db").read_bytes().startswith(b"no database")
    (here / "monitor.db").unlink()
    assert "can be made" in run("check", "monitor.toml", "--deep").stdout
    assert not (here / "monitor.db").exists()


@pytest.mark.parametrize("content", [b"no model at all", b""])
def test_a_damaged_model_is_found_before_anything_starts(here: Path, content: bytes) -> None:
    (here / "satellite.aezm").write_bytes(content)
    result = aez("run", "monitor.toml", "--once")
    assert result.returncode == 2
    assert "monitor.toml:3: model satellite: " in result.stderr
    assert not (here / "monitor.db").exists()


def test_run_once_says_by_its_code_that_a_file_is_not_there(here: Path) -> None:
    gone = '[[sources]]\nname = "gone"\nkind = "file"\npaths = ["none.jsonl"]\nfollow = false\n'
    (here / "monitor.toml").write_text(CONFIG + gone)
    line = (CONFIG + gone).splitlines().index('name = "gone"')
    result = aez("run", "monitor.toml", "--once")
    assert result.returncode == 5
    said = [one for one in result.stderr.splitlines() if "not all was read" in one]
    where = f"monitor.toml:{line}: source gone, paths: no file matches {here / 'none.jsonl'}"
    assert [one.endswith(where) for one in said] == [True]
    assert len([one for one in result.stdout.splitlines() if "  open  " in one]) == 3  # the rest is scored


@pytest.mark.usefixtures("here")
def test_run_once_prints_events_that_the_list_then_has() -> None:
    result = aez("run", "monitor.toml", "--once")
    assert result.returncode == 0
    assert len([line for line in result.stdout.splitlines() if "  open  " in line]) == 3
    listed = run("events", "list", "monitor.toml").stdout.splitlines()
    assert len(listed) == 3
    assert "closed" in listed[0]
    assert "sat-01" in listed[0]
    assert listed == sorted(listed, key=lambda line: line.split()[1], reverse=True)
    assert run("events", "list", "monitor.toml", "--limit", "1").stdout.splitlines() == listed[:1]
    assert run("events", "list", "monitor.toml", "--open").stdout == ""
    assert run("events", "list", "monitor.toml", "--stream", "other").stdout == ""
    since = run("events", "list", "monitor.toml", "--since", "2026-01-01T00:06").stdout.splitlines()
    assert since == listed[:1]

    shown = json.loads(run("events", "show", "monitor.toml", listed[0].split()[0]).stdout)
    assert shown["stream"] == "sat-01"
    assert {one["name"] for one in shown["event"]["channels"]} <= set(CHANNELS)
    run("events", "acknowledge", "monitor.toml", shown["id"], "--by", "ann", "--comment", "seen")
    assert json.loads(run("events", "show", "monitor.toml", shown["id"]).stdout)["acknowledged_by"] == "ann"

    assert run("events", "export", "monitor.toml", "-o", "all.jsonl").exit_code == 0
    exported = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert [one["id"][:12] for one in exported] == [line.split()[0] for line in reversed(listed)]
    assert run("events", "export", "monitor.toml", "-o", "-").stdout == Path("all.jsonl").read_text()
    assert aez("events", "export", "monitor.toml", "-o", "all.jsonl").returncode == 6


@pytest.mark.usefixtures("here")
def test_events_are_exported_in_the_format_of_the_name() -> None:
    aez("run", "monitor.toml", "--once")
    listed = [json.loads(line) for line in run("events", "export", "monitor.toml", "-o", "-").stdout.splitlines()]
    run("events", "acknowledge", "monitor.toml", listed[1]["id"], "--by", "ann", "--comment", 'seen, "twice"')
    for name in ("all.csv", "all.parquet"):
        assert run("events", "export", "monitor.toml", "-o", name).exit_code == 0
    table = pyarrow.parquet.read_table("all.parquet")
    assert table.column("id").to_pylist() == [one["id"] for one in listed]
    assert [moment.value for moment in table.column("start").to_pandas()] == [one["start"] for one in listed]
    assert json.loads(table.column("comments")[1].as_py())[0]["text"] == 'seen, "twice"'
    assert json.loads(table.column("channels")[0].as_py()) == listed[0]["event"]["channels"]
    with Path("all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [one["id"] for one in listed]
    assert rows[1]["comments"] == table.column("comments")[1].as_py()
    assert rows[0]["start"].startswith("2026-01-01 00:0")
    some = run("events", "export", "monitor.toml", "-o", "-", "--since", "2026-01-01T00:06").stdout.splitlines()
    assert [json.loads(line)["id"] for line in some] == [listed[-1]["id"]]
    assert run("events", "export", "monitor.toml", "-o", "-", "--stream", "other").stdout == ""
    result = aez("events", "export", "monitor.toml", "-o", "all.xlsx")
    assert (result.returncode, "events are written as .jsonl, .csv, .parquet" in result.stderr) == (2, True)


@pytest.mark.usefixtures("here")
def test_replay_at_a_speed_prints_steps_when_they_happen() -> None:
    expected = [json.loads(line) for line in aez("replay", "monitor.toml", "data.jsonl", "--json").stdout.splitlines()]
    result = aez("replay", "monitor.toml", "data.jsonl", "--speed", "500", "--json")
    steps = [json.loads(line) for line in result.stdout.splitlines()]
    assert [step["action"] for step in steps if step["action"] != "update"] == ["open", "close"] * 3
    assert {step["id"] for step in steps} == {one["id"] for one in expected}
    seconds = float(result.stderr.partition(" rows in ")[2].partition(" s")[0])
    assert seconds >= 1.3  # 699 s of data
    assert not Path("monitor.db").exists()


@pytest.mark.usefixtures("here")
def test_a_replay_that_is_interrupted_or_reads_nothing_is_none_that_went_well() -> None:
    command = [
        sys.executable,
        "-m",
        "aez",
        "monitor",
        "replay",
        "monitor.toml",
        "data.jsonl",
        "--speed",
        "60",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["action"] == "open"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "interrupted before the end of the files" in errors) == (130, True), errors
    Path("bad.jsonl").write_text("this is no JSON\n")
    refused = aez("replay", "monitor.toml", "bad.jsonl")
    assert (refused.returncode, "nothing of what was read can be used" in refused.stderr) == (5, True), refused.stderr
    packed = gzip.compress(Path("data.jsonl").read_bytes())
    Path("cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    cut = aez("replay", "monitor.toml", "cut.jsonl.gz")
    assert (cut.returncode, "cut.jsonl.gz to its end: it is cut short" in cut.stderr) == (5, True), cut.stderr
    assert 300 < int(cut.stderr.partition(" rows in ")[0].rpartition(" ")[2]) < 400


@pytest.mark.usefixtures("here")
def test_what_is_not_there_is_a_sentence() -> None:
    assert "has the monitor run?" in aez("events", "list", "monitor.toml").stderr
    aez("run", "monitor.toml", "--once")
    result = aez("events", "show", "monitor.toml", "abcdef123")
    assert (result.returncode, "no event has an id that begins with" in result.stderr) == (2, True)
    result = aez("events", "list", "monitor.toml", "--since", "yesterday")
    assert (result.returncode, "--since takes a time" in result.stderr) == (2, True)
    result = aez("reload", "monitor.toml")
    assert (result.returncode, "send SIGHUP" in result.stderr) == (2, True)


def test_once_refuses_sources_without_an_end(here: Path) -> None:
    http = '[[sources]]\nkind = "http"\nport = 0\n'
    (here / "monitor.toml").write_text(CONFIG + http)
    result = aez("run", "monitor.toml", "--once")
    assert result.returncode == 2
    assert "monitor.toml:11: source http: http has no end" in result.stderr


def test_replay_gives_the_same_events_and_leaves_the_state_alone(here: Path) -> None:
    aez("run", "monitor.toml", "--once")
    expected = [json.loads(line) for line in run("events", "export", "monitor.toml", "-o", "-").stdout.splitlines()]
    before = {path.name: path.read_bytes() for path in here.glob("monitor.db")}
    result = aez("replay", "monitor.toml", "data.jsonl", "--json")
    assert result.returncode == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["id"], one["event"]) for one in found] == [(one["id"], one["event"]) for one in expected]
    assert "700 rows in" in result.stderr
    assert {path.name: path.read_bytes() for path in here.glob("monitor.db")} == before
    (here / "data.csv").write_text("time,stream,a\n")
    (here / "folder").mkdir()
    refused = aez("replay", "monitor.toml", "data.jsonl", "data.csv")
    assert (refused.returncode, "replay files of one format at a time" in refused.stderr) == (2, True), refused.stderr
    for files, code, said in (
        (["folder"], 5, "folder is a folder; name the files in it"),
        (["-"], 5, "a replay reads files"),
        (["/dev/null"], 5, "a replay reads files"),
    ):
        at_once = run("replay", "monitor.toml", *files)
        assert (at_once.exit_code, said in at_once.stderr) == (code, True), at_once.stderr
    swapped = run("replay", "data.jsonl", "monitor.toml")
    assert (swapped.exit_code, "the configuration comes first" in swapped.stderr) == (2, True), swapped.stderr


@pytest.mark.slow
def test_replay_of_csv_and_line_protocol_gives_the_same_events(here: Path) -> None:
    same = ("--rows", 700, "--seed", 1, "--faults", 200, "--first-fault", 100)
    run("simulate", *same, "-o", "data.csv")
    run("simulate", *same, "-o", "data.lp")
    (here / "line.toml").write_text(CONFIG.replace('stream = "stream"', 'stream = "stream"\nformat = "line"'))
    found = [
        [line.split("  ")[1:] for line in aez("replay", *arguments).stdout.splitlines()]
        for arguments in (("monitor.toml", "data.jsonl"), ("monitor.toml", "data.csv"), ("line.toml", "data.lp"))
    ]
    assert len(found[0]) == 3
    assert found[0] == found[1] == found[2]


def test_simulate_writes_files_that_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("simulate", "--rows", 30, "--streams", 2, "--faults", 20, "--first-fault", 5, "--fault-length", 4)
    for name in ("a.csv", "b.csv"):
        assert run(*options, "-o", name, "--labels", f"{name}.jsonl").exit_code == 0
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    assert len(Path("a.csv").read_text().splitlines()) == 61
    assert [json.loads(line)["start"] for line in Path("a.csv.jsonl").read_text().splitlines()][:1] == [5]
    run("simulate", "--rows", 10, "-o", "c.csv")
    run("simulate", "--rows", 20, "--skip", 10, "-o", "c.csv", "--append")
    run("simulate", "--rows", 30, "-o", "d.csv")
    assert Path("c.csv").read_bytes() == Path("d.csv").read_bytes()
    values = np.loadtxt(io.StringIO(Path("d.csv").read_text()), delimiter=",", skiprows=1, usecols=range(2, 10))
    assert values.shape == (30, 8)


def test_simulate_replaces_no_file_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("mine\n")
    refused = run("simulate", "--rows", 5, "-o", "a.jsonl")
    assert refused.exit_code == 6
    assert "a.jsonl exists; give --force to replace it, or --append to add to it" in refused.stderr
    assert Path("a.jsonl").read_text() == "mine\n"
    assert run("simulate", "--rows", 5, "-o", "a.jsonl", "--append").exit_code == 0
    assert len(Path("a.jsonl").read_text().splitlines()) == 6
    assert run("simulate", "--rows", 5, "-o", "a.jsonl", "--force").exit_code == 0
    assert len(Path("a.jsonl").read_text().splitlines()) == 5
    refused = run("simulate", "--rows", 5, "-o", "b.jsonl", "--labels", "a.jsonl")
    assert (refused.exit_code, "a.jsonl exists" in refused.stderr, Path("b.jsonl").exists()) == (6, True, False)
    refused = run("simulate", "--rows", 5, "-o", "a.jsonl", "--labels", "c.jsonl")
    assert (refused.exit_code, Path("c.jsonl").exists()) == (6, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rate", "nan"), "nan is no finite number"),
        (("--period", "inf"), "inf is no finite number"),
        (("-o", "x.jsonl", "--labels", "x.jsonl"), "--labels and --output are both x.jsonl"),
        (("-o", "x.csv.gz"), "as text, not x.csv.gz"),
        (("-o", "mqtt://localhost/sat/#"), "a topic without wildcards"),
        (("-o", "mqtt://localhost:99999/sat"), "a port that cannot be"),
        (("-o", "http://localhost:many/write"), "a port that cannot be"),
    ],
)
def test_simulate_refuses_before_it_writes(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("simulate", "--rows", 3, *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert not list(tmp_path.iterdir())


def test_simulate_keeps_to_a_rate_and_to_standard_output() -> None:
    result = aez("simulate", "--rows", 40, "--streams", 2, "--rate", 400)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 80
    times = [row["time"] for row in rows if row["stream"] == "sat-02"]
    assert times == sorted(times)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--rows", "5", "-o", "none/x.csv"), 6, "cannot be written"),
        (("--rows", "5", "-o", "ftp://x/y"), 2, "writes to files, http:// and mqtt://"),
        (("--rows", "5", "-o", "http://127.0.0.1:9/write"), 6, "cannot be reached"),
        (("--labels", "x.jsonl"), 2, "--labels needs --rows"),
        (("--faults", "30", "--rows", "5"), 2, "cannot come every 30 rows"),
    ],
)
def test_simulate_says_what_it_cannot(arguments: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aez", "monitor", "simulate", *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, said in result.stderr) == (code, True), result.stderr
