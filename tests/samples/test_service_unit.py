"""The systemd unit in samples/: what systemd's own checker says of it, and that it fits the monitor."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aez.daemon.config.sections import Service
from tests.kit.places import SAMPLES

UNIT = (SAMPLES / "aez-monitor.service").read_text(encoding="utf-8")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here, because systemd looks for it."""
    path = tmp_path / "aez-monitor.service"
    path.write_text(UNIT.replace("/opt/aez/bin/aez", sys.executable))
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is missing; install the Debian package systemd"
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_gives_away_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", str(unit))
    (level,) = re.findall(r"Overall exposure level for .*: ([0-9.]+) ", done.stdout)
    assert float(level) < 2.5, done.stdout


def test_it_waits_for_the_drain_and_knows_the_exit_code_of_a_bad_configuration() -> None:
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(seconds) > Service().drain_seconds + 10
    assert "\nRestartPreventExitStatus=2\n" in UNIT
    assert "\nType=notify\n" in UNIT
