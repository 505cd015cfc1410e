"""That nothing is lost and nothing comes twice: kills, brokers that restart, full disks, sinks that are down, clocks.

Each function disturbs one monitor while telemetry keeps coming, and compares what it stored and told at the end with a
run over the same data that nobody disturbed (see `aez.bench.monitor.outcome` for the rule).
"""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from aez.bench.load.brokers import Broker, mosquitto, nats_server
from aez.bench.load.feeders import Feeder, FileFeeder, MqttFeeder, NatsFeeder
from aez.bench.load.process import until
from aez.bench.monitor.outcome import Outcome
from aez.bench.monitor.process import MonitorProcess, sum_of
from aez.bench.monitor.report import Figure, Measured
from aez.bench.monitor.site import FOLLOWED, MQTT, NATS, SIMULATION, Site, reference
from aez.codec.errors import AezError

__all__ = ["broker_restarts", "clock_back", "disk_full", "kills", "measure", "sink_down"]

Kind = Literal["file", "mqtt", "nats"]
_RATE = 2000.0


def measure(folder: Path, *, kill_count: int = 50, seed: int = 0, seconds: float = 120.0) -> Measured:
    """All disturbances; sinks are down, and disks full, for so many `seconds`."""
    restarts = max(3, kill_count // 5)
    cases: dict[str, Callable[[Path], Outcome]] = {
        f"{kill_count} kills, followed file": lambda place: kills(place, "file", kill_count, seed),
        f"{kill_count} kills, MQTT": lambda place: kills(place, "mqtt", kill_count, seed),
        f"{kill_count} kills, NATS": lambda place: kills(place, "nats", kill_count, seed),
        f"{restarts} restarts of Mosquitto": lambda place: broker_restarts(place, "mqtt", restarts, seed),
        f"{restarts} restarts of nats-server": lambda place: broker_restarts(place, "nats", restarts, seed),
        f"sink down for {seconds:.0f} s": lambda place: sink_down(place, seconds),
        f"no room for the state for {seconds / 4:.0f} s": lambda place: disk_full(place, seconds / 4),
        "clock an hour back and forth": clock_back,
    }
    if os.getuid() == 0:
        full = f"file system full for {seconds / 4:.0f} s"
        cases[full] = lambda place: disk_full(place, seconds / 4, tmpfs=True)
    figures: list[Figure] = []
    failures = []
    for number, (name, case) in enumerate(cases.items()):
        try:
            found = case(folder / f"loss-{number}")
        except AezError as error:
            failures.append(f"{name}: {error}")
            continue
        figures += [
            Figure(f"{name}: events lost or further", found.missing + found.further, "", 0, "at most"),
            Figure(f"{name}: events that differ", found.differing, "", 0, "at most"),
            Figure(f"{name}: steps lost or wrong at a sink", found.untold + found.wrong, "", 0, "at most"),
            Figure(f"{name}: steps that a sink got again", found.repeated),
            Figure(f"{name}: events", found.events),
            Figure(f"{name}: rows", found.rows),
        ]
    conditions = f"{_RATE:,.0f} rows/s from {SIMULATION.streams} satellites; a run that nobody disturbs for comparison"
    return Measured("loss", conditions, figures, failures=failures)


def kills(folder: Path, kind: Kind, count: int, seed: int = 0, pause: float = 1.5) -> Outcome:
    """SIGKILL so often, up to `pause` seconds after it was ready or, one time in five, while it starts; start again."""
    luck = random.Random(seed)
    with _fed(folder, kind) as (site, feeder, _):
        for _ in range(count):
            monitor = site.start()
            if luck.random() < 0.2:
                time.sleep(luck.uniform(0.0, 1.0))
            else:
                monitor.ready()
                time.sleep(luck.uniform(0.0, pause))
            monitor.kill()
        site.start()
        site.finish(feeder)
        return site.outcome(feeder, count, reference)


def broker_restarts(folder: Path, kind: Literal["mqtt", "nats"], count: int, seed: int = 0) -> Outcome:
    """Stop the broker so often, for up to a second, while messages come in and go out."""
    luck = random.Random(seed)
    with _fed(folder, kind) as (site, feeder, broker):
        assert broker is not None
        monitor = site.start()
        monitor.ready()
        for _ in range(count):
            before = _samples(monitor)
            until(lambda before=before: _samples(monitor) > before + 500, 120, "rows come in", monitor)  # type: ignore[misc]
            time.sleep(luck.uniform(0.0, 0.2))
            broker.stop()
            time.sleep(luck.uniform(0.0, 1.0))
            broker.start()
        before = _samples(monitor)
        until(lambda: _samples(monitor) > before + 500, 120, "rows come in again", monitor)
        site.finish(feeder)
        return site.outcome(feeder, count, reference)


def sink_down(folder: Path, seconds: float) -> Outcome:
    """A webhook's receiver that refuses connections for so long, while events come."""
    with _fed(folder, "file") as (site, feeder, _):
        monitor = site.start()
        monitor.ready()
        until(lambda: site.receiver.steps, 120, "the receiver gets steps", monitor)
        site.receiver.down()
        until(lambda: monitor.metrics().get('aez_sink_up{sink="webhook"}') == 0.0, 120, "the sink is down", monitor)
        time.sleep(seconds)
        site.receiver.up()
        site.finish(feeder)
        return site.outcome(feeder, 1, reference)


def disk_full(folder: Path, seconds: float, *, tmpfs: bool = False) -> Outcome:
    """The state cannot be written for so long.

    By a limit on the size of the process's files, or, with `tmpfs` and as root, by a small file system that another
    file fills.
    """
    with ExitStack() as stack:
        if tmpfs:
            stack.enter_context(_mounted(folder / "state"))
        site, feeder, _ = stack.enter_context(_fed(folder, "file", "state/monitor.db" if tmpfs else "monitor.db"))
        monitor = site.start()
        monitor.ready()
        until(lambda: site.receiver.steps, 120, "events are stored", monitor)
        limits = resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE)
        if tmpfs:
            _fill(folder / "state" / "filler")
        else:
            resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
        until(lambda: _store_errors(monitor) > 0, 120, "the state cannot be written", monitor)
        time.sleep(seconds)
        if tmpfs:
            (folder / "state" / "filler").unlink()
        else:
            resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE, limits)
        site.finish(feeder)
        return site.outcome(feeder, 1, reference)


def clock_back(folder: Path) -> Outcome:
    """The wall clock goes back by an hour and forth again, with a kill while it is back."""
    off = folder / "clock"
    with _fed(folder, "file") as (site, feeder, _):
        off.write_text("0\n")
        module = ("aez.bench.monitor.stepped_clock", str(off))
        monitor = site.start(module)
        monitor.ready()
        for step in (-3600, -7200, 0):
            before = len(site.receiver.steps)
            until(lambda before=before: len(site.receiver.steps) > before, 120, "steps come", monitor)  # type: ignore[misc]
            off.write_text(f"{step}\n")
            if step == -7200:
                site.kill()
                monitor = site.start(module)
                monitor.ready()
        site.finish(feeder)
        return site.outcome(feeder, 3, reference)


@contextmanager
def _fed(folder: Path, kind: Kind, state: str = "monitor.db") -> Iterator[tuple[Site, Feeder, Broker | None]]:
    """A site, a feeder that has begun, and the broker between them."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data.jsonl"
    data.touch()
    with ExitStack() as stack:
        broker: Broker | None = None
        feeder: Feeder
        if kind == "file":
            source, feeder = FOLLOWED.format(path=data.name, follow="true"), FileFeeder(data, SIMULATION, _RATE)
        else:
            place = folder / "broker"
            place.mkdir()
            broker = stack.enter_context((mosquitto if kind == "mqtt" else nats_server)(place))
            source = (MQTT if kind == "mqtt" else NATS).format(port=broker.port)
            made = MqttFeeder if kind == "mqtt" else NatsFeeder
            feeder = made(data, SIMULATION, _RATE, broker.port)
        site = stack.enter_context(Site(folder, source, state))
        if kind == "mqtt":  # before anything is published, the broker must know for whom to keep it
            monitor = site.start()
            monitor.ready()
            until(monitor.is_ready, 60, "the monitor has subscribed", monitor)
            monitor.kill()
        feeder.start()
        if kind == "nats":
            feeder.wait_for(1)
        yield site, feeder, broker


def _samples(monitor: MonitorProcess) -> float:
    try:
        return sum_of(monitor.metrics(), "aez_samples_total")
    except OSError:
        return 0.0


def _store_errors(monitor: MonitorProcess) -> float:
    return monitor.metrics().get('aez_errors_total{part="store"}', 0.0)


@contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    """A file system of 64 MB in memory. Raises AezError where it may not be mounted."""
    folder.mkdir(parents=True)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "aez-bench", str(folder)], capture_output=True, text=True
        )
    except OSError as error:
        raise AezError(f"no file system can be mounted at {folder}: {error}") from error
    if done.returncode:
        raise AezError(f"no file system can be mounted at {folder}: {done.stderr.strip()}; leave it out")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def _fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
