"""Clocks of senders, as an operator meets them: local times in the nights of DST, one sample from tomorrow."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

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
BERLIN = ZoneInfo("Europe/Berlin")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Two and a half hours, a row each 10 s of which the model thinks that it is one, with faults."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    given = ("--rows", 900, "--streams", 1, "--seed", 1, "--faults", 120)
    assert run("simulate", *given, "-o", path).exit_code == 0
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[Row], str]]:
    """The events of rows as of their last steps, and what was said."""
    monkeypatch.chdir(tmp_path)
    save_satellite_model(tmp_path / "satellite.aezm")

    def replay(rows: list[Row], source: str = "") -> tuple[list[Row], str]:
        model = CONFIG.replace("[[sources]]", "period_seconds = 10\n[[sources]]")
        Path("monitor.toml").write_text(model + source)
        Path("old.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        done = run("replay", "monitor.toml", "old.jsonl", "--json")
        assert done.exit_code == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [{name: value for name, value in one.items() if name != "stored"} for one in events], done.stderr

    return replay


def timed(rows: list[Row], start: datetime, written: Callable[[datetime], str]) -> list[Row]:
    return [row | {"time": written(start + timedelta(seconds=10 * at))} for at, row in enumerate(rows)]


@pytest.mark.parametrize(
    "start", [datetime(2026, 10, 24, 23, 30, tzinfo=UTC), datetime(2026, 3, 28, 23, 30, tzinfo=UTC)]
)
def test_in_the_nights_of_dst_local_times_of_a_named_zone_give_the_events_of_utc(
    replayed: Callable[..., tuple[list[Row], str]], rows: list[Row], start: datetime
) -> None:
    wanted, _ = replayed(timed(rows, start, datetime.isoformat))
    local = timed(rows, start, lambda time: time.astimezone(BERLIN).replace(tzinfo=None).isoformat())
    found, said = replayed(local, 'timezone = "Europe/Berlin"\n')
    assert len(wanted) >= 3
    assert found == wanted
    assert "900 rows" in said
    assert "not scored" not in said


def test_without_its_zone_the_hour_that_comes_twice_is_said_to_be_lost(
    replayed: Callable[..., tuple[list[Row], str]], rows: list[Row]
) -> None:
    start = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    _, said = replayed(timed(rows, start, lambda time: time.astimezone(BERLIN).replace(tzinfo=None).isoformat()))
    assert "stream sat-01: samples are not scored (late)" in said
    assert "name the timezone" in said


@pytest.mark.parametrize("hours", [2, 400 * 24])
def test_one_sample_far_ahead_costs_that_sample_alone(
    replayed: Callable[..., tuple[list[Row], str]], rows: list[Row], hours: int
) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    right = timed(rows, start, datetime.isoformat)
    wanted, _ = replayed(right)
    ahead = right[450] | {"time": (start + timedelta(hours=hours)).isoformat()}
    found, _ = replayed([*right[:451], ahead, *right[451:]])
    assert len(wanted) >= 3
    assert found == wanted
