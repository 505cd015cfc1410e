"""What a reload takes while the monitor runs, and what it says of the rest."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aez.bench.load.receiver import Receiver
from aez.cli import main
from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation
from aez.daemon.state.database import StoreFull
from aez.daemon.state.store import Store
from tests.kit.brokers import free_port
from tests.kit.satellite_model import save_satellite_model
from tests.kit.waiting import until

CONFIG = """\
[service]
log_level = "error"
batch_seconds = 0.005
[web]
port = {port}
{web}
[[models]]
path = "satellite.aezm"
[[sources]]
kind = "file"
paths = ["data.jsonl"]
stream = "stream"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_satellite_model(tmp_path / "satellite.aezm")
    (tmp_path / "monitor.toml").write_text(CONFIG.format(port=free_port(), web=""))
    (tmp_path / "data.jsonl").touch()
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[Monitor]:
    monitor = Monitor(load(folder / "monitor.toml"))
    monitor.start()
    yield monitor
    monitor.end()


def change(folder: Path, *pairs: tuple[str, str]) -> None:
    text = (folder / "monitor.toml").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    (folder / "monitor.toml").write_text(text)


def reload(folder: Path) -> Result:
    return CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")], catch_exceptions=False)


@pytest.mark.usefixtures("running")
def test_it_says_what_was_taken_and_what_waits_for_a_restart(folder: Path) -> None:
    assert reload(folder).stdout == "reloaded: nothing changed\n"
    change(
        folder,
        ("batch_seconds = 0.005", "batch_seconds = 0.007\nqueue = 10"),
        ('log_level = "error"', 'log_level = "debug"'),
    )
    said = "reloaded: service.log_level, service.batch_seconds; service.queue only with a restart\n"
    assert reload(folder).stdout == said
    assert logging.getLogger("aez").level == logging.DEBUG
    # It still waits: the process was not started anew.
    assert reload(folder).stdout == "reloaded: service.queue only with a restart\n"


def test_dead_letters_go_to_the_new_file(folder: Path, running: Monitor) -> None:
    change(folder, ("batch_seconds = 0.005", 'dead_letters = "other.jsonl"\ndead_letters_bytes = 1000000'))
    assert "service.dead_letters, service.dead_letters_bytes" in reload(folder).stdout
    with (folder / "data.jsonl").open("a") as file:
        file.write("{bad\n")
    until(lambda: (folder / "other.jsonl").is_file() and (folder / "other.jsonl").read_text().endswith("\n"))
    assert not (folder / "dead-letters.jsonl").exists()
    assert running.counts()["refused"] == 1


@pytest.mark.usefixtures("running")
def test_what_cannot_be_used_is_told_and_changes_nothing(folder: Path) -> None:
    change(folder, ('stream = "stream"', 'stream = "{a"'), ("batch_seconds = 0.005", 'log_level = "debug"'))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert result.exit_code != 0
    change(folder, ('log_level = "error"\n', ""))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert result.exit_code == 2  # told here, before the monitor is asked
    assert "option stream has a brace without" in result.stderr
    change(folder, ('stream = "{a"', 'stream = "stream"\n[[sinks]]\nkind = "postgres"\nurl = "no url"'))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert (result.exit_code, "the monitor kept its old configuration: " in result.stderr) == (1, True)
    assert "the url of a PostgreSQL database cannot be read" in result.stderr
    assert logging.getLogger("aez").level == logging.NOTSET


def test_sources_that_stay_hear_of_new_files_of_the_monitor(folder: Path, running: Monitor) -> None:
    change(folder, ('stream = "stream"', 'stream = "stream"\n[[sinks]]\nkind = "json_lines"\npath = "more.jsonl"'))
    assert reload(folder).stdout == "reloaded: sinks\n"
    source = running.running.sources.all()["file"]
    assert source._own.what(str(folder / "more.jsonl")) == "the file of sink json_lines"


def test_a_signal_is_taken_whatever_the_main_thread_holds(folder: Path) -> None:
    """A handler runs inside what the main thread does: it must not wait for what that holds."""
    monitor = Monitor(load(folder / "monitor.toml"))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with monitor._signals(), monitor._stop._cond:
        for number in before:
            handler = signal.getsignal(number)
            assert callable(handler)
            handler(number, None)
    assert (monitor._ends_asked, monitor._reload_asked) == (1, True)
    assert {number: signal.getsignal(number) for number in before} == before


def test_no_reload_ends_what_runs(
    running: Monitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("aez.daemon.service.monitor.reload", defect)
    running._reload_or_say_why()
    assert "the old one stays" in caplog.text
    assert running.metrics.config_good._value.get() == 0


def test_a_push_port_that_is_taken_is_told_and_changes_nothing(folder: Path, running: Monitor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        push = f'[[sources]]\nkind = "http"\nport = {port}\nstream = "stream"\n[[models]]'
        change(folder, ("[[models]]", push), ("batch_seconds = 0.005", "batch_seconds = 0.007"))
        result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert result.exit_code == 1
    said = rf"source http: cannot listen at 127\.0\.0\.1:{port}: .*; the old configuration goes on"
    assert re.search(said, result.stderr)
    assert list(running.running.sources.all()) == ["file"]
    assert running.config.service.batch_seconds == 0.005
    assert reload(folder).stdout == "reloaded: sources http; service.batch_seconds\n"


def test_a_broker_that_is_away_is_told_and_changes_nothing(folder: Path, running: Monitor) -> None:
    mqtt = f'[[sources]]\nkind = "mqtt"\ntopics = ["a"]\nclient_id = "a"\nport = {free_port()}\n[[models]]'
    change(folder, ("[[models]]", mqtt))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert "source mqtt: cannot reach the broker" in result.stderr
    assert "the old configuration goes on" in result.stderr
    assert list(running.running.sources.all()) == ["file"]


def test_dead_letters_that_cannot_be_written_are_told_and_change_nothing(folder: Path, running: Monitor) -> None:
    change(folder, ("batch_seconds = 0.005", 'dead_letters = "nowhere/letters.jsonl"'))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert "dead letters cannot be written to" in result.stderr
    assert running.config.service.dead_letters.endswith("dead-letters.jsonl")


def test_a_disk_that_is_full_is_told_at_once_and_changes_nothing(
    folder: Path, running: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise StoreFull("no room")

    before = running.running.engine.models
    change(folder, ('path = "satellite.aezm"', 'path = "satellite.aezm"\nlimits = { "*" = 1000.0 }'))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "try_to_write", full)
        result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
        assert result.stderr.endswith("kept its old configuration: no room; the old configuration goes on\n")
        patch.setattr(Store, "commit", full)
        with (folder / "data.jsonl").open("a") as file:
            file.write('{"stream": "a", "time": 1700000000, "bus_current": 1}\n')
        until(lambda: running.worker.stuck)
        result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
        assert "the state cannot be written: no room; the old configuration goes on" in result.stderr
    until(lambda: not running.worker.stuck)
    assert running.running.engine.models is before
    assert reload(folder).stdout == "reloaded: models\n"


def test_a_busy_worker_is_told_and_nothing_is_done_later(
    folder: Path, running: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aez.daemon.service.exchange._WORKER_SECONDS", 0.3)
    change(folder, ('path = "satellite.aezm"', 'path = "satellite.aezm"\nlimits = { "*" = 1000.0 }'))
    held = threading.Event()
    running.worker._post(lambda: held.wait(60))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert "the worker did not come to it within 0.3 s" in result.stderr
    held.set()
    running.worker.call(lambda: None)
    assert not running.running.engine.models[0].limits
    assert running.config.models[0].options.limits == {}


def test_the_monitor_is_asked_where_it_listens(folder: Path, running: Monitor) -> None:
    port = running.config.web.port
    change(folder, (f"port = {port}", f"port = {free_port()}"))
    assert reload(folder).stdout == "reloaded: web.port only with a restart\n"
    change(folder, ("[web]\n", "[web]\nenabled = false\n"))
    assert reload(folder).stdout == "reloaded: web.enabled, web.port only with a restart\n"


def test_a_state_that_is_gone_is_told_and_nothing_is_acknowledged(
    folder: Path, running: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    state = folder / "monitor.db"
    state.rename(folder / "away.db")
    (trouble,) = running.view.readiness()
    assert trouble.startswith(f"the state is lost: {state} was deleted or moved")
    running._look_at_state(running.running)
    running._look_at_state(running.running)
    assert caplog.text.count("the state is lost") == 1
    running.view.refresh()
    assert running.metrics.state_writable._value.get() == 0
    before = running.store.positions()
    with (folder / "data.jsonl").open("a") as file:
        file.write('{"stream": "a", "time": 1700000000, "bus_current": 1}\n')
    until(lambda: running.worker.stuck)
    assert running.store.positions() == before
    (folder / "away.db").rename(state)
    until(lambda: not running.worker.stuck)
    assert running.store.positions() != before
    assert running.view.readiness() == []


def test_a_first_start_is_not_called_well_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, ("[[models]]", f'[[sources]]\nkind = "http"\nport = {free_port()}\n[[models]]'))
    caplog.set_level(logging.INFO)
    monitor = Monitor(load(folder / "monitor.toml"))
    monitor.start()
    monitor.end()
    assert "watching" in caplog.text
    assert "well again" not in caplog.text


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_hangups_from_the_first_line_on_end_nothing(folder: Path) -> None:
    """They come from the spawn on; the mask is lifted where aez's first line is reached, at which one is waiting."""
    command = (
        "import signal, sys, aez.__main__ as first\n"
        "note = first.note_hangups\n"
        "def noted():\n    note()\n    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})\n"
        "first.note_hangups = noted\n"
        "first.main()\n"
    )
    change(folder, ('log_level = "error"', 'log_level = "info"'))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", command, "monitor", "run", str(folder / "monitor.toml")],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    assert process.stderr is not None
    stop = threading.Event()

    def hang_up() -> None:
        while not stop.wait(0.002):
            process.send_signal(signal.SIGHUP)

    sender = threading.Thread(target=hang_up)
    sender.start()
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "reloaded: nothing changed" in line:
                break
        time.sleep(0.2)
        assert process.poll() is None, lines
    finally:
        stop.set()
        sender.join()
        process.terminate()
    assert process.wait(60) == 0
    process.stderr.close()


def test_a_webhook_goes_on_behind_reloads_whatever_they_change(folder: Path) -> None:
    with Receiver() as receiver:
        sink = f'[[sinks]]\nkind = "webhook"\nurl = "http://127.0.0.1:{receiver.port}/"\n'
        with (folder / "monitor.toml").open("a") as file:
            file.write(sink)
        monitor = Monitor(load(folder / "monitor.toml"))
        monitor.start()
        try:
            simulation = Simulation(streams=1, seed=1, every=300, first=300, length=60)
            for turn, pair in enumerate(
                [
                    ("batch_seconds = 0.005", "batch_seconds = 0.006"),
                    ('kind = "webhook"\n', 'kind = "webhook"\ntimeout_seconds = 7\n'),
                    ('path = "satellite.aezm"\n', 'path = "satellite.aezm"\nupdate_every = 7\nreopen_seconds = 0\n'),
                ]
            ):
                before = len(receiver.steps)
                change(folder, pair)
                assert reload(folder).exit_code == 0
                with (folder / "data.jsonl").open("ab") as file:
                    for block in simulation.blocks(600, 600 * turn):
                        file.write(encode(block, "json"))
                until(lambda: len(receiver.steps) > before, 30)  # noqa: B023 - it is waited for within the loop
        finally:
            monitor.end()
