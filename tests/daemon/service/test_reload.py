"""What a reload takes while the monitor runs, and what it says of the rest."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aez.cli import main
from aez.daemon.config.reader import load
from aez.daemon.service.monitor import Monitor
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
    logger = logging.getLogger("aez")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


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
    change(folder, ('stream = "{a"', 'stream = "stream"\n[[sinks]]\nkind = "mqtt"\ntopic = "a/#"'))
    result = CliRunner().invoke(main, ["monitor", "reload", str(folder / "monitor.toml")])
    assert (result.exit_code, "the monitor kept its old configuration: " in result.stderr) == (1, True)
    assert "an MQTT sink cannot publish to the topic 'a/#'" in result.stderr
    assert logging.getLogger("aez").level == logging.NOTSET


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
