"""What a monitor has open while it runs, and how its sources begin and end."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aez.codec.errors import UnsupportedInput
from aez.daemon.build import parts as build
from aez.daemon.build.models import LoadedModel
from aez.daemon.common.intake import Intake
from aez.daemon.common.records import Position
from aez.daemon.config.reader import ConfigError, Configuration, Fault, SourceConfig
from aez.daemon.delivery import Deliveries
from aez.daemon.engine.engine import Engine
from aez.daemon.incidents.desk import AlarmDesk
from aez.daemon.observe.metrics import Metrics
from aez.daemon.observe.traces import Traces
from aez.daemon.pipeline import Worker
from aez.daemon.shadow.shadows import Shadows
from aez.daemon.sources.base import Put, Source
from aez.daemon.state.dead_letters import DeadLetters
from aez.daemon.state.slow_clock import SlowClock
from aez.daemon.state.store import Store
from aez.daemon.web.live import Live

__all__ = ["Running", "RunningSources", "source", "unread", "worker_settings"]

_log = logging.getLogger("aez.daemon.service")


def source(config: Configuration, entry: SourceConfig, *, once: bool) -> Source:
    """A source that is not started yet. Raises ConfigError, with `once` also for one that has no end."""
    if once and entry.kind not in ("file", "frames", "stdin"):
        text = f"{entry.kind} has no end, so that --once would wait for ever"
        raise ConfigError([Fault(config.label, entry.line, f"source {entry.name}", text)])
    return build.source(config, entry, once=once)


def worker_settings(config: Configuration) -> dict[str, Any]:
    """What `Worker.adjust` takes."""
    service = config.service
    return {
        "dead_letters": DeadLetters(Path(service.dead_letters), service.dead_letters_bytes),
        "batch_seconds": service.batch_seconds,
        "commit_seconds": service.commit_seconds,
    }


class RunningSources:
    """The sources that were started, by name. put: makes what a source puts its chunks with."""

    def __init__(self, put: Callable[[], Put], metrics: Metrics) -> None:
        self._put, self._metrics = put, metrics
        self._open: dict[str, Source] = {}

    def start(self, source: Source, position: Position | None, held: Callable[[Put], Put] = lambda put: put) -> None:
        """Let a source begin behind a position; `held` may hold its chunks back."""
        self._open[source.name] = source
        source.start(held(self._put()), position)

    def all(self) -> dict[str, Source]:
        """A copy, for other threads than the one that lets sources begin and end."""
        return dict(self._open)

    def pop(self, name: str) -> Source | None:
        """Know it no more; None where it is not known."""
        return self._open.pop(name, None)

    def statuses(self) -> dict[str, str]:
        """Why nothing can come in from each just now; empty where all is well."""
        return {name: one.status() for name, one in self.all().items()}

    def acknowledge(self, name: str, position: Position) -> None:
        """Tell a source that its data are durable up to a position."""
        found = self._open.get(name)
        if found is None:
            return
        try:
            found.acknowledge(position)
        except Exception:  # noqa: BLE001 - what was not acknowledged comes again, and changes nothing then
            self._metrics.errors.labels("acknowledge").inc()
            _log.exception("source %s could not be told that its data are stored", name)

    def stop(self, seconds: Callable[[], float]) -> None:
        """Let all read no more; `seconds` tells how long each may take."""
        for one in self.all().values():
            one.stop(seconds())

    def close(self) -> None:
        """Close all, also where one of them cannot be."""
        for one in self.all().values():
            try:
                one.close()
            except Exception:  # noqa: BLE001 - the others shall be closed as well
                _log.exception("source %s could not be closed", one.name)

    def __len__(self) -> int:
        return len(self._open)


@dataclass(frozen=True)
class RetentionClocks:
    """What is kept for a time goes by these: the time of the data, and this machine's clock."""

    data: SlowClock
    wall: SlowClock

    @classmethod
    def of(cls, store: Store) -> RetentionClocks:
        """As they were when the store was last written, so that a clock that is wrong at a start deletes nothing."""
        return cls(
            SlowClock(store.events.latest_end()), SlowClock(max(store.last_heard().values(), default=time.time_ns()))
        )


@dataclass
class Running:
    """The parts of a monitor that runs; a reload exchanges `config`, `models`, `deliveries` and the sources.

    begun: the configuration of the start, whose store, page and queue stay. page: whether pages are shown, and page_tls
    what they show as certificate. measuring: is called before a frame is measured. ready: whether all is open and
    nothing ends yet.
    """

    begun: Configuration
    config: Configuration
    models: list[LoadedModel]
    store: Store
    engine: Engine
    intake: Intake
    worker: Worker
    sources: RunningSources
    deliveries: Deliveries
    metrics: Metrics
    live: Live
    desk: AlarmDesk
    clocks: RetentionClocks
    shadows: Shadows
    traces: Traces | None
    measuring: Callable[[], None]
    once: bool
    page: bool
    page_tls: ssl.SSLContext | None
    ready: bool = False

    def show_models(self) -> None:
        """Bring the gauge of models up to date; CUDA may fail at any time."""
        self.metrics.model.clear()
        for one in self.models:
            self.metrics.model.labels(one.name, one.id[:16], one.device).set(1)


def unread(running: Running) -> int:
    """The exit code of a run whose data have ended: 0, or another where not all could be read, which the log says."""
    config, statuses = running.config, running.sources.statuses()
    for entry in config.sources:
        if trouble := statuses.get(entry.name):
            said = Fault(config.label, entry.line, f"source {entry.name}, paths", trouble)
            _log.error("not all was read: %s", str(said).rstrip("."))
    return UnsupportedInput.exit_code if any(statuses.values()) else 0
