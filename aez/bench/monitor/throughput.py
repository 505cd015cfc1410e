"""Rows per second through the whole monitor, from recorded files of every format and pushed over HTTP.

From a file it is `aez monitor run --once`: parsing, aligning, windows, scores, state, events and a sink that keeps
them. The clock runs from the moment that the process says it is ready, which is when it begins to read, until it has
ended with everything stored; the start before that, models and all, is given apart.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aez.bench.load.process import Process, free_port, until
from aez.bench.load.rows import FEATURES, FORMATS, Rows, write
from aez.bench.monitor.outcome import stored_events
from aez.bench.monitor.process import MonitorProcess, sum_of
from aez.bench.monitor.report import Figure, Measured
from aez.codec.detect.detector import load_detector
from aez.codec.errors import InvalidArgument

__all__ = ["MODEL", "Run", "file_run", "measure", "push_run"]

MODEL = Path(__file__).with_name("models") / "flows.aezm"
_TARGETS = {"json": 170_000.0, "line": 170_000.0, "arrow": 1_000_000.0, "parquet": 1_000_000.0}
_SENDERS, _CONNECTIONS = 2, 4
_SMALL = 1000  # rows

CONFIG = """\
[service]
log_level = "warning"
[web]
port = {port}
[[models]]
path = "{model}"
[[sources]]
name = "flows"
{source}
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""
_FILE = """\
kind = "file"
paths = ["{path}"]
follow = false
format = "{format}"
stream = "stream"
time = "time"
time_unit = "ns"
"""
_PUSH = """\
kind = "http"
format = "line"
stream = "stream"
port = {port}
"""


@dataclass(frozen=True)
class Run:
    """One run.

    seconds: of work. start_seconds: until it began. cpu_seconds: of the monitor, its start included. load_cpu_seconds:
    of the load generators. memory: peak resident, bytes. events: that it stored.
    """

    rows: int
    seconds: float
    start_seconds: float
    cpu_seconds: float
    load_cpu_seconds: float
    memory: int
    events: int

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def measure(folder: Path, *, rows: int, seed: int = 0, model: Path | None = None) -> Measured:
    """All formats and the push; `rows` of the text formats, four times as many of Arrow and Parquet.

    Raises InvalidArgument for a model of other channels.
    """
    model = checked(model or MODEL)
    small = file_run(folder / "small", Rows(_SMALL, seed=seed), "json", model)
    figures = [Figure(f"json file of {_SMALL:,} rows: what every run takes", small.seconds, "s")]
    for kind in FORMATS:
        count = rows * 4 if kind in ("arrow", "parquet") else rows
        found = file_run(folder, Rows(count, seed=seed), kind, model)
        figures += _figures(f"{kind} file", found, _TARGETS.get(kind))
    found = push_run(folder, Rows(rows, seed=seed), model)
    figures += _figures("line protocol over HTTP", found, None)
    figures.append(Figure("line protocol over HTTP, processor of the senders", found.load_cpu_seconds, "s"))
    conditions = (
        f"{rows:,} rows ({4 * rows:,} of Arrow and Parquet) of 20 features from 100 streams, model {model.name}; files "
        f"read with `run --once`; pushed by {_SENDERS} processes with {_CONNECTIONS} connections each"
    )
    return Measured("throughput", conditions, figures)


def checked(model: Path) -> Path:
    """The model's path, absolute. Raises InvalidArgument unless it takes the rows' features."""
    detector = load_detector(model, "cpu", 1)
    if set(detector.channels) - set(FEATURES):
        raise InvalidArgument(
            f"model {model} takes {', '.join(detector.channels[:3])} and others; the rows here have the features of "
            "aez.bench.load.rows, so train one on what its `write` gives"
        )
    return model.absolute()


def _figures(what: str, run: Run, target: float | None) -> list[Figure]:
    return [
        Figure(what, run.rate, "rows/s", target),
        Figure(f"{what}, processor of the monitor", run.cpu_seconds, "s"),
        Figure(f"{what}, peak memory", run.memory / 1e6, "MB"),
        Figure(f"{what}, start-up", run.start_seconds, "s"),
        Figure(f"{what}, events", run.events),
    ]


def file_run(folder: Path, rows: Rows, kind: str, model: Path = MODEL) -> Run:
    """Score a file of the rows, written here before, and deleted behind."""
    place = folder / f"file-{kind}"
    place.mkdir(parents=True)
    path = place / f"rows.{FORMATS[kind]}"
    write(rows, path, kind)
    named = "arrow" if kind == "parquet" else kind
    config = place / "monitor.toml"
    config.write_text(CONFIG.format(port=0, model=model, source=_FILE.format(path=path.name, format=named)))
    with MonitorProcess(config, "--once") as monitor:
        begun = monitor.ready()
        ended = monitor.wait(3600)
        _check(monitor)
        events = len(stored_events(place / "monitor.db"))
        started = begun - monitor.started
        run = Run(rows.count, ended - begun, started, monitor.cpu_seconds, 0.0, monitor.peak, events)
    path.unlink()
    return run


def push_run(folder: Path, rows: Rows, model: Path = MODEL) -> Run:
    """Push line protocol, from the first body's first byte until the last one is durable."""
    place = folder / "push"
    place.mkdir()
    count = _SENDERS * _CONNECTIONS
    paths = [place / f"part-{part}.lp" for part in range(count)]
    for part, path in enumerate(paths):
        write(rows, path, "line", lambda stream, part=part: stream % count == part)  # type: ignore[misc]
    page, port = free_port(), free_port()
    config = place / "monitor.toml"
    config.write_text(CONFIG.format(port=page, model=model, source=_PUSH.format(port=port)))
    with MonitorProcess(config, port=page) as monitor:
        begun = monitor.ready()
        started = begun - monitor.started
        times, load_cpu = _push(place, port, paths, monitor)
        found = sum_of(monitor.metrics(), "aez_samples_total")
        if found < rows.count:
            raise InvalidArgument(f"only {found:,.0f} of {rows.count:,} rows came in; see {monitor.log}")
        monitor.signal(signal.SIGTERM)
        monitor.wait(60)
        events = len(stored_events(place / "monitor.db"))
        run = Run(rows.count, times[1] - times[0], started, monitor.cpu_seconds, load_cpu, monitor.peak, events)
    for path in paths:
        path.unlink()
    return run


def _push(place: Path, port: int, paths: Sequence[Path], monitor: MonitorProcess) -> tuple[tuple[float, float], float]:
    """Run the senders; when they began and ended, and the seconds of processor that they took to send."""
    senders = []
    for number in range(_SENDERS):
        mine = [str(path) for path in paths[number::_SENDERS]]
        command = [sys.executable, "-m", "aez.bench.load.push", str(place / "go"), str(port), *mine]
        senders.append(Process(command, log=place / f"sender-{number}.log", folder=place))
    until(lambda: all((place / f"sender-{n}.log").read_text() for n in range(_SENDERS)), 120, "senders are ready")
    (place / "go").touch()
    for one in senders:
        until(lambda one=one: one.ended, 3600, "all is sent", monitor)  # type: ignore[misc]
        if one.code:
            raise InvalidArgument(f"a sender failed: {one.words()}")
    told = [[float(word) for word in one.words().split()] for one in senders]
    return (min(found[0] for found in told), max(found[1] for found in told)), sum(found[2] for found in told)


def _check(monitor: MonitorProcess) -> None:
    if monitor.code:
        raise InvalidArgument(f"the monitor ended with {monitor.code}: {monitor.words()}")
