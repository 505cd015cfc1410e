"""A monitor under a steady load, looked at once a second: for `scale` and `soak`."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aez.bench.load.process import Process, free_port
from aez.bench.monitor.latency import SATELLITES
from aez.bench.monitor.outcome import stored_events
from aez.bench.monitor.process import MonitorProcess, sum_of
from aez.bench.monitor.report import Figure, Measured
from aez.codec.detect.detector import load_detector
from aez.codec.errors import AezError

__all__ = ["scale", "soak"]

_CONNECTIONS = 4

CONFIG = """\
[service]
log_level = "warning"
[limits]
streams = 200000
[web]
port = {page}
[[models]]
path = "{model}"
period_seconds = {period}
[[sources]]
kind = "http"
format = "line"
stream = "stream"
port = {port}
[[sinks]]
kind = "json_lines"
path = "events.jsonl"
"""


@dataclass(frozen=True)
class _Look:
    """The monitor at a moment. at: seconds since the load began; memory in bytes, lag in s, queue in chunks."""

    at: float
    memory: int
    cpu: float
    lag: float
    queue: float


@dataclass(frozen=True)
class _Steady:
    """What came of a load. rows: sent; lost: of them that did not come in; unscored: that came in without a score.

    took, behind: see the load generator. cpu: the monitor's seconds while it lasted.
    """

    looks: Sequence[_Look]
    rows: int
    seconds: float
    put_off: int
    took: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    behind: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    load_cpu: float
    cpu: float
    peak: int
    lost: float
    unscored: float
    events: int


def scale(folder: Path, *, seconds: float, streams: int = 10_000) -> Measured:
    """So many streams of 8 channels, each a row a second."""
    found = _run(folder / "scale", streams, float(streams), seconds)
    figures = [
        *_common(found),
        Figure("peak memory", found.peak / 1e6, "MB", 1500.0, "at most"),
    ]
    conditions = f"{streams:,} streams of 8 channels at 1 Hz for {seconds:.0f} s, line protocol over HTTP"
    return Measured("scale", conditions, figures, _curves(found))


def soak(folder: Path, *, minutes: float, rate: float = 5000.0, streams: int = 100) -> Measured:
    """So many minutes at a rate; the first sixth, at most 5 minutes, is warm-up."""
    found = _run(folder / "soak", streams, rate, minutes * 60)
    warm = min(300.0, minutes * 10)
    looks = [look for look in found.looks if look.at >= warm]
    durable = [took for at, took in found.took.tolist() if at >= warm]
    memory = np.array([look.memory for look in looks], float)
    figures = [
        *_common(found),
        Figure(
            "memory after warm-up, highest over lowest",
            float(memory.max() / memory.min() - 1) * 100,
            "%",
            5.0,
            "at most",
        ),
        Figure("memory after warm-up, last third over first", _growth(memory, relative=True) * 100, "%"),
        Figure("lag after warm-up, growth", _growth([look.lag for look in looks]) * 1000, "ms", 50.0, "at most"),
        Figure("row to durable after warm-up, growth", _growth(durable) * 1000, "ms", 50.0, "at most"),
        Figure("queue after warm-up, growth", _growth([look.queue for look in looks]), "chunks", 1.0, "at most"),
        Figure("peak memory", found.peak / 1e6, "MB"),
    ]
    conditions = (
        f"{rate:,.0f} rows/s of {streams} streams of 8 channels for {minutes:g} minutes, line protocol over HTTP; "
        f"warm-up {warm:.0f} s; growth is the mean of the last third less that of the first"
    )
    return Measured("soak", conditions, figures, _curves(found))


def _common(found: _Steady) -> list[Figure]:
    seconds = max(found.seconds, 1e-9)
    return [
        Figure("rows", found.rows),
        Figure("rows that did not come in", found.lost, "", 0, "at most"),
        Figure("rows that were not scored", found.unscored, "", 0, "at most"),
        Figure("load behind its clock at the end", float(np.median(found.behind[-20:, 1])), "s", 1.0, "at most"),
        Figure("row to durable, p50", float(np.percentile(found.took[:, 1], 50)) * 1000, "ms"),
        Figure("row to durable, p99", float(np.percentile(found.took[:, 1], 99)) * 1000, "ms"),
        Figure("bodies that were put off", found.put_off),
        Figure("queue at most", max(look.queue for look in found.looks), "chunks"),
        Figure("processor of the monitor", found.cpu / seconds * 100, "% of a core"),
        Figure("processor of the load", found.load_cpu / seconds * 100, "% of a core"),
        Figure("events", found.events),
    ]


def _curves(found: _Steady) -> dict[str, list[tuple[float, float]]]:
    return {
        "memory, MB": [(look.at, look.memory / 1e6) for look in found.looks],
        "lag, s": [(look.at, look.lag) for look in found.looks],
        "to durable, s": _slowest(found),
        "queue, chunks": [(look.at, look.queue) for look in found.looks],
    }


def _slowest(found: _Steady) -> list[tuple[float, float]]:
    """The longest time to be durable of each second."""
    slowest: dict[int, float] = {}
    for at, took in found.took.tolist():
        slowest[int(at)] = max(slowest.get(int(at), 0.0), took)
    return [(float(at), took) for at, took in slowest.items()]


def _growth(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]], relative: bool = False) -> float:
    third = max(1, len(values) // 3)
    first, last = float(np.mean(values[:third])), float(np.mean(values[-third:]))
    return last / first - 1 if relative else last - first


def _run(place: Path, streams: int, rate: float, seconds: float) -> _Steady:
    place.mkdir()
    page, port, out = free_port(), free_port(), place / "load.json"
    config = place / "monitor.toml"
    config.write_text(CONFIG.format(page=page, model=SATELLITES, period=streams / rate, port=port))
    command = [sys.executable, "-m", "aez.bench.load.steady", str(port), str(out)]
    command += [str(streams), str(rate), str(seconds), str(_CONNECTIONS)]
    with MonitorProcess(config, port=page) as monitor:
        monitor.ready()
        with Process(command, log=place / "load.log", folder=place) as load:
            looks, cpu = _watch(monitor, load)
            if load.code:
                raise AezError(f"the load generator failed: {load.words()}")
        cpu = monitor.cpu_now() - cpu
        metrics = monitor.metrics()
        monitor.signal(signal.SIGTERM)
        monitor.wait(120)
    sent = json.loads(out.read_text())
    came = sum_of(metrics, "aez_samples_total")
    return _Steady(
        looks,
        sent["rows"],
        sent["seconds"],
        sent["put_off"],
        np.array(sent["took"]),
        np.array(sent["behind"]),
        sent["cpu_seconds"],
        cpu,
        monitor.peak,
        sent["rows"] - came,
        came - streams * (load_detector(SATELLITES, "cpu", 1).window - 1) - sum_of(metrics, "aez_scored_total"),
        len(stored_events(place / "monitor.db")),
    )


def _watch(monitor: MonitorProcess, load: Process) -> tuple[list[_Look], float]:
    """Look at the monitor each second until the load ends; and its seconds of processor when the load began."""
    looks: list[_Look] = []
    cpu = monitor.cpu_now()
    begun = time.monotonic()
    while not load.ended:
        time.sleep(max(0.0, begun + len(looks) + 1 - time.monotonic()))
        if monitor.ended:
            raise AezError(f"the monitor ended with {monitor.code}: {monitor.words()}")
        metrics = monitor.metrics()
        look = _Look(
            time.monotonic() - begun,
            monitor.memory(),
            monitor.cpu_now(),
            metrics["aez_lag_seconds"],
            metrics["aez_queue_chunks"],
        )
        looks.append(look)
    return looks, cpu
