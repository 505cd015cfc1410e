"""What the process tells others: the service manager, and the log."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path

import pytest

from aez.daemon.observe import logs
from aez.daemon.observe.notify import Notifier


def test_states_go_to_the_socket_that_the_manager_names(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"})
        assert notifier.watchdog_seconds == 30
        notifier.ready("2 sources")
        assert manager.recv(1000) == b"READY=1\nSTATUS=2 sources"
        notifier.progress()
        assert manager.recv(1000) == b"WATCHDOG=1"
        notifier.reloading()
        states = dict(one.split("=") for one in manager.recv(1000).decode().splitlines())
        assert states["RELOADING"] == "1"
        assert int(states["MONOTONIC_USEC"]) > 0
        notifier.stopping()
        assert manager.recv(1000) == b"STOPPING=1"


def test_an_abstract_socket_is_understood() -> None:
    name = f"aez-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert manager.recv(1000) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "x" * 500])
def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"})
    notifier.ready()
    assert notifier.watchdog_seconds is None


def test_a_message_cannot_forge_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("console", "info")
    logging.getLogger("aez.daemon.service").warning("stream %s", "x\n2026-01-01 critical all is lost \x1b[2J")
    (line,) = capsys.readouterr().err.splitlines()
    assert " warning service: stream x\\n2026" in line
    assert "\x1b" not in line


def test_json_logs_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "warning")
    logs.set_up("json", "warning")  # again, as at a reload: nothing is written twice
    logger = logging.getLogger("aez.daemon.sources")
    logger.info("not this")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("two\nlines", extra={"source": "a"})
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"], entry["source"]) == (
        "error",
        "sources",
        "two\nlines",
        "a",
    )
    assert "ValueError: why" in entry["traceback"]
