"""The whole process: what it finds, how it ends, what it takes anew, and that being killed changes nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation, faults_until
from aez.daemon.state.store import Store
from tests.kit.brokers import free_port
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SIMULATION = Simulation(streams=2, seed=1, every=150, first=100, length=30)
ROWS = 1000
CONFIG = """\
[service]
drain_seconds = 10
[web]
port = {port}
[[models]]
path = "satellite.aezm"
streams = ["sat-*"]
[[sources]]
name = "telemetry"
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""


def lines(rows: int = ROWS, first: int = 0) -> bytes:
    """Rows of both satellites in the order of time."""
    blocks = [block for at in range(first, first + rows, 50) for block in SIMULATION.blocks(50, at)]
    return b"".join(encode(block, "json") for block in blocks)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG.format(port=free_port()))
    (tmp_path / "data.jsonl").write_bytes(lines())
    return tmp_path


def once(folder: Path) -> int:
    return Monitor(load(folder / "monitor.toml"), once=True).run()


def test_whoever_runs_it_hears_once_all_is_open(folder: Path) -> None:
    heard: list[bool] = []
    monitor = Monitor(load(folder / "monitor.toml"), once=True, opened=lambda: heard.append(monitor.worker.alive))
    assert monitor.run() == 0
    assert heard == [True]


def stored(folder: Path) -> list[dict[str, Any]]:
    """All events, without what depends on the clock of the day."""
    with Store(folder / "monitor.db") as store:
        found = [event.as_dict() for event in store.events.list(limit=1000)]
    return sorted(({**event, "stored": 0} for event in found), key=lambda event: (event["start"], event["id"]))


def delivered(folder: Path) -> list[tuple[str, int, str]]:
    steps = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [(step["id"], step["sequence"], step["action"]) for step in steps]


def get(folder: Path, path: str, data: bytes | None = None) -> tuple[int, Any]:
    port = load(folder / "monitor.toml").web.port
    try:
        with OPENER.open(f"http://127.0.0.1:{port}{path}", data, timeout=10) as answer:
            body = answer.read()
            return answer.status, json.loads(body) if body[:1] == b"{" else body.decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def answers(folder: Path, path: str = "/readyz") -> bool:
    try:
        return get(folder, path)[0] == 200
    except OSError:
        return False


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-m",
        "aez",
        "monitor",
        "run",
        str(folder / "monitor.toml"),
    ]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            command, cwd=folder, stderr=log, stdout=log, text=True, env={**os.environ, **environment}
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_every_fault_becomes_one_event_of_its_stream(folder: Path) -> None:
    assert once(folder) == 0
    found = stored(folder)
    faults = faults_until(SIMULATION, ROWS)
    of_scores = [one for one in found if one["kind"] == "anomaly"]
    assert len(of_scores) == len(faults) > 8
    frozen = [name for name, fault in faults if fault.kind == "sensor frozen"]
    assert sorted(one["stream"] for one in found if one["kind"] == "stuck") == sorted(frozen)
    assert len(found) == len(faults) + len(frozen)
    for name, fault in faults:
        begin, end = (SIMULATION.start + row * 10**9 for row in (fault.start, fault.end))
        (event,) = [one for one in of_scores if one["stream"] == name and one["start"] < end and one["end"] >= begin]
        assert event["state"] == "closed"
        assert event["start"] - begin <= 20 * 10**9
    assert {step[0] for step in delivered(folder)} == {event["id"] for event in found}


def test_a_second_run_finds_nothing_new_and_goes_on_with_what_was_added(folder: Path) -> None:
    whole = lines()
    cut = whole.index(b"\n", len(whole) // 2) + 1
    (folder / "data.jsonl").write_bytes(whole)
    once(folder)
    expected, steps = stored(folder), delivered(folder)
    assert once(folder) == 0
    assert (stored(folder), delivered(folder)) == (expected, steps)
    for path in folder.glob("monitor.db*"):
        path.unlink()
    (folder / "events.jsonl").unlink()
    (folder / "data.jsonl").write_bytes(whole[:cut])
    once(folder)
    with (folder / "data.jsonl").open("ab") as file:
        file.write(whole[cut:])
    once(folder)
    assert stored(folder) == expected
    assert sorted(delivered(folder)) == sorted(steps)


def test_malformed_messages_are_kept_and_harm_no_other(folder: Path) -> None:
    once(folder)
    expected = stored(folder)
    for path in folder.glob("monitor.db*"):
        path.unlink()
    good = (folder / "data.jsonl").read_bytes().splitlines(keepends=True)
    bad = [b"{\n", b"\xff\xfe\n", b"[]\n", b'{"time": "yesterday", "stream": "sat-01"}\n', b"x" * 2_000_000 + b"\n"]
    mixed = [
        line for number, one in enumerate(good) for line in ([one, bad[number // 9 % 5]] if number % 9 == 0 else [one])
    ]
    (folder / "data.jsonl").write_bytes(b"".join(mixed[:300] + mixed[300:]))
    assert once(folder) == 0
    assert stored(folder) == expected
    letters = [json.loads(line) for line in (folder / "dead-letters.jsonl").read_text().splitlines()]
    assert len({letter["reason"] for letter in letters}) >= 3


@pytest.mark.slow
def test_killed_at_any_moment_the_events_at_the_end_are_the_same(folder: Path) -> None:
    once(folder)
    expected, steps = stored(folder), set(delivered(folder))
    assert len(steps) >= 2 * len(expected)
    for path in [*folder.glob("monitor.db*"), folder / "events.jsonl"]:
        path.unlink()
    whole = lines().splitlines(keepends=True)
    (folder / "data.jsonl").write_bytes(b"")
    rng = random.Random(7)
    at = 0
    with (folder / "data.jsonl").open("ab", buffering=0) as data:
        for _ in range(10):
            with running(folder) as process:
                stop = time.monotonic() + rng.uniform(0.4, 2.5)  # during the start, too
                while time.monotonic() < stop:
                    step = rng.randint(1, 40)
                    data.write(b"".join(whole[at : at + step]))
                    at = min(at + step, len(whole))
                    time.sleep(0.02)
                assert process.poll() is None
                process.send_signal(signal.SIGKILL)
                process.wait(10)
        data.write(b"".join(whole[at:]))
    assert once(folder) == 0
    assert stored(folder) == expected
    # A sink gets a step again only where the process was killed between its taking and the note of it.
    assert set(delivered(folder)) == steps


def test_a_second_monitor_of_the_same_state_is_refused(folder: Path) -> None:
    with running(folder):
        until(lambda: answers(folder))
        text = (folder / "monitor.toml").read_text().replace("port = ", "port = 0 # ")
        (folder / "other.toml").write_text(text)
        other = subprocess.run(
            [
                sys.executable,
                "-m",
                "aez",
                "monitor",
                "run",
                str(folder / "other.toml"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert other.returncode == 6
        assert "monitor.db" in other.stderr


def test_sigterm_drains_and_tells_the_service_manager(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(30)
        with running(folder, NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="4000000") as process:
            heard = [manager.recv(1000) for _ in range(3)]
            assert any(one.startswith(b"READY=1") for one in heard)
            assert b"WATCHDOG=1" in heard
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            while (word := manager.recv(1000)) != b"STOPPING=1":
                assert word.startswith((b"WATCHDOG=1", b"READY=1"))
    assert "ended; all that came is stored" in (folder / "log").read_text()


def test_a_second_signal_forces_the_end(folder: Path) -> None:
    config = folder / "monitor.toml"
    config.write_text(config.read_text().replace("drain_seconds = 10", "drain_seconds = 600"))
    with running(folder) as process:
        until(lambda: answers(folder))
        os.kill(process.pid, signal.SIGSTOP)
        for number in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) in (0, 1)  # the drain alone would have had 600 s


def test_rows_pushed_as_line_protocol_become_the_same_events(folder: Path) -> None:
    once(folder)
    expected = [(event["id"], event["event"]) for event in stored(folder)]
    for path in folder.glob("monitor.db*"):
        path.unlink()
    port = free_port()
    text = (folder / "monitor.toml").read_text()
    http = f'kind = "http"\nport = {port}\nstream = "{{stream}}"\n'
    (folder / "monitor.toml").write_text(
        text.replace('kind = "file"\npaths = ["data.jsonl"]\nstream = "stream"\n', http)
    )
    with running(folder) as process:
        until(lambda: answers(folder))
        for at in range(0, ROWS, 50):
            body = b"".join(encode(block, "line") for block in SIMULATION.blocks(50, at))
            with OPENER.open(f"http://127.0.0.1:{port}/write", body, timeout=30) as answer:
                assert answer.status == 204
        process.send_signal(signal.SIGKILL)  # what was answered is stored
        process.wait(10)
    assert [(event["id"], event["event"]) for event in stored(folder)] == expected


def test_what_it_shows_while_it_runs(folder: Path) -> None:
    with running(folder):
        until(lambda: answers(folder))
        until(lambda: get(folder, "/api/events?limit=1000")[1]["events"])
        until(lambda: f'aez_samples_total{{source="telemetry"}} {2.0 * ROWS}' in get(folder, "/metrics")[1])
        streams = get(folder, "/api/streams")[1]["streams"]
        assert {one["stream"] for one in streams} == {"sat-01", "sat-02"}
        event = get(folder, "/api/events?limit=1")[1]["events"][0]
        body = json.dumps({"by": "ann", "comment": "<i>seen</i>"}).encode()
        assert get(folder, f"/api/events/{event['id']}/acknowledge", body)[0] == 200
        metrics = get(folder, "/metrics")[1]
        assert 'aez_model_info{device="' in metrics
        assert "aez_config_last_reload_successful 1.0" in metrics
        assert 'aez_sink_pending{sink="json_lines"} 0.0' in metrics
    with Store(folder / "monitor.db") as store:
        kept = store.events.get(event["id"])
        assert kept is not None
        assert (kept.acknowledged_by, kept.comments[0].text) == ("ann", "<i>seen</i>")


def test_a_reload_takes_what_is_good_and_keeps_the_old_where_it_is_bad(folder: Path) -> None:
    config = folder / "monitor.toml"
    text = config.read_text()
    with running(folder) as process:
        until(lambda: answers(folder))
        config.write_text(text + "[web2]\n")
        code, body = get_raw(text, "/api/reload")
        assert code == 422
        assert "web2" in body["error"]
        (folder / "more.jsonl").write_bytes(lines(200).replace(b"sat-", b"sat-x"))
        config.write_text(text.replace('"data.jsonl"', '"data.jsonl", "more.jsonl"'))
        process.send_signal(signal.SIGHUP)
        until(lambda: any("x" in one["stream"] for one in get(folder, "/api/streams")[1]["streams"]))
        assert "aez_config_last_reload_successful 1.0" in get(folder, "/metrics")[1]
        assert 'aez_reloads_total{result="failure"} 1.0' in get(folder, "/metrics")[1]
        assert process.poll() is None


def get_raw(text: str, path: str) -> tuple[int, Any]:
    port = int(text.partition("port = ")[2].partition("\n")[0])
    try:
        with OPENER.open(f"http://127.0.0.1:{port}{path}", b"", timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
