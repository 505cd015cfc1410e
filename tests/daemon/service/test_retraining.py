"""Successors on a schedule: when one is trained, what is said of it, and that it ends with the monitor."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from aez.daemon.service.retraining import Retraining
from aez.daemon.shadow.folder import ShadowFolder
from tests.kit.waiting import until

DAY = 86_400.0


def script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def finish(one: Retraining) -> None:
    process = one._process
    assert process is not None
    until(lambda: process.poll() is not None)
    one.look({})


def test_it_is_due_when_the_days_are_over_and_not_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder, asked = ShadowFolder(tmp_path / "monitor.db"), []

    def command(config: Path, model: str) -> list[str]:
        asked.append((config, model))
        return script("print('all is well')")

    one = Retraining(tmp_path / "m.toml", folder, command)
    one.look({"plant": 30.0}, 1000.0)  # the first look begins the count
    one.look({"plant": 30.0}, 1000.0 + 29.9 * DAY)
    assert asked == []
    again = Retraining(tmp_path / "m.toml", folder, command)  # a restart does not begin anew
    again.look({"plant": 30.0}, 1000.0 + 30 * DAY)
    assert asked == [(tmp_path / "m.toml", "plant")]
    finish(again)
    assert "model plant was retrained: all is well" in caplog.text
    again.look({"plant": 30.0}, 1000.0 + 31 * DAY)
    assert len(asked) == 1
    again.look({"plant": 30.0}, 1000.0 + 60 * DAY)
    assert len(asked) == 2
    again.stop()


def test_what_fails_is_said_with_its_last_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Retraining(
        tmp_path / "m.toml",
        ShadowFolder(tmp_path / "monitor.db"),
        lambda config, model: script("import sys; print('a'); sys.exit('no torch here')"),  # noqa: ARG005
    )
    one.look({"plant": 1.0}, 0.0)
    one.look({"plant": 1.0}, 2 * DAY)
    finish(one)
    assert "model plant was not retrained (code 1): no torch here" in caplog.text
    one.look({"plant": 1.0}, 2.5 * DAY)
    assert one._process is None


def test_the_end_of_the_monitor_ends_it(tmp_path: Path) -> None:
    one = Retraining(
        tmp_path / "m.toml",
        ShadowFolder(tmp_path / "monitor.db"),
        lambda config, model: script("import time; time.sleep(600)"),  # noqa: ARG005
    )
    one.look({"plant": 1.0}, 0.0)
    one.look({"plant": 1.0}, 2 * DAY)
    process = one._process
    assert process is not None
    one.stop()
    assert process.poll() is not None
