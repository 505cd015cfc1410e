"""A monitor on a simulated year: trained on the first eight weeks, run on the rest, and judged by its labels."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from aez.bench.monitor.outcome import file_steps
from aez.bench.monitor.process import MonitorProcess
from aez.bench.monitor.report import Figure, Measured
from aez.bench.year.judge import Judged, judge, told
from aez.codec.bundle.library import find_bundle
from aez.codec.errors import AezError
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.year import DAYS, QUIET_DAYS, Label, Year

__all__ = ["measure"]

CONFIG = """\
[service]
log_level = "warning"
[web]
enabled = false
[state]
retention_days = 36500
[[models]]
path = "year.aezm"
[[sources]]
kind = "file"
paths = ["rest.jsonl"]
follow = false
format = "json"
stream = "stream"
time = "time"
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
fsync = false
"""
_WEEK = 7 * 86_400
WITHIN = 10
#: Its faults lie in one channel of eight, or in two.
RULE = "largest"


def measure(
    folder: Path, *, weeks: int = 52, seed: int = 1, period: float = 60.0, rule: str = RULE, rhythm: bool = False
) -> Measured:
    """Train and run on the year's first `weeks` weeks, of which eight train. Raises AezError.

    rule: that of `aez train series --rule`. rhythm: see `Year`.
    """
    year = Year(seed=seed, period=period, rhythm=rhythm)
    rows = min(year.rows, round(weeks * _WEEK / period)) if weeks < 52 else year.rows
    if rows <= year.quiet:
        raise AezError(f"a year is learned from its first {QUIET_DAYS // 7} weeks; {weeks} leave nothing to watch")
    began = time.monotonic()
    window, trained = _train(year, folder, rule)
    _write(year, folder / "rest.jsonl", "json", rows - year.quiet, year.quiet)
    (folder / "monitor.toml").write_text(CONFIG)
    with MonitorProcess(folder / "monitor.toml", "--once") as monitor:
        monitor.wait(7200)
        if monitor.code:
            raise AezError(f"the monitor ended with {monitor.code}: {monitor.words()}")
    labels = [label for label in year.labels() if label.end < rows]
    judged = judge(told(file_steps(folder / "events.jsonl")), labels, period, 2 * window)
    (folder / "false.jsonl").write_text("".join(f"{json.dumps(vars(one))}\n" for one in judged.false))
    how = ", days and weeks in the signals," if rhythm else ""
    conditions = (
        f"{year.streams} machines, a row every {period:g} s; trained with --rule {rule}{how} on "
        f"{year.quiet:,} rows of each ({trained:.0f} s), "
        f"then {rows - year.quiet:,} of each; {time.monotonic() - began:.0f} s in all; {len(labels)} labels"
    )
    machine_years = year.streams * (rows - year.quiet) * period / (DAYS * 86_400)
    return Measured("year", conditions, figures(judged, machine_years, labels))


def _train(year: Year, folder: Path, rule: str) -> tuple[int, float]:
    """(Window of the model, seconds that it took) of a training as a user would."""
    _write(year, folder / "normal.csv", "csv", year.quiet, 0)
    command = [sys.executable, "-m", "aez", "train", "series", "normal.csv", "-o", "year.aezm", "--stream", "stream"]
    command += ["--rule", rule]
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise AezError(f"the training ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return int(find_bundle(folder / "year.aezm").coding["window"]), time.monotonic() - began


def _write(year: Year, path: Path, kind: str, rows: int, first: int) -> None:
    with path.open("wb") as file:
        for number, block in enumerate(year.blocks(rows, first)):
            file.write(encode(block, kind, header=number == 0))


def figures(judged: Judged, machine_years: float, labels: list[Label]) -> list[Figure]:
    """What is claimed, with its targets, and what stands behind it."""
    found = [
        Figure("false events, per machine and year", len(judged.false) / machine_years, "", 12, "at most"),
        Figure("faults found", 100 * judged.share, "%", 95),
        Figure(f"events of one cause in a day, most: {judged.most[1]}", judged.most[0], "", 3, "at most"),
    ]
    for kind, delays in judged.delays.items():
        known = [delay for delay in delays if delay is not None]
        if delays:
            soon = sum(delay <= WITHIN for delay in known) / len(delays)
            found.append(Figure(f"{kind}: told as such within {WITHIN} periods", 100 * soon, "%", 100))
        if known:
            found.append(Figure(f"{kind}: longest delay", max(known), "periods"))
    for kind, (there, count) in judged.found.items():
        group = judged.groups[kind]
        found.append(Figure(f"{group}: {kind}, of {count} met by an event", 100 * there / count, "%"))
    again, beside = judged.again
    found += [
        Figure("events", judged.events),
        Figure("times that events were told to go on", again),
        Figure("of these outside of all labels, per machine and year", beside / machine_years),
    ]
    return [*found, Figure("labels", len(labels))]
