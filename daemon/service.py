"""The process: opens what the configuration names, runs it, and ends it in order.

Order of a start: configuration, models, store, sinks, worker, page, sources. Order of an end: sources stop reading, the
worker works off the queue and commits, sources get their last acknowledgements, sinks get what time is left, all is
closed. Killed at any moment instead, the next start goes on from the last commit.

Signals: SIGTERM and SIGINT drain within `service.drain_seconds`, a second one gives up what is under way; SIGHUP
reloads the configuration and the models, and keeps the old ones where the new cannot be used.
"""

from __future__ import annotations

import logging
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from aez.codec.errors import AezError
from aez.daemon.build import models, parsers
from aez.daemon.build import parts as build
from aez.daemon.common.records import Chunk, EventRecord, Position
from aez.daemon.common.tls import load as renew_certificate
from aez.daemon.common.tls import server_context
from aez.daemon.config.certificates import certificate_warnings
from aez.daemon.config.reader import ConfigError, Configuration, Fault, SourceConfig, load
from aez.daemon.config.sections import Web as WebOptions
from aez.daemon.delivery import Deliveries
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.engine.stream_table import StreamPages, StreamTable
from aez.daemon.frames.pictures import folder_beside, read_picture
from aez.daemon.observe import logs
from aez.daemon.observe.metrics import Metrics
from aez.daemon.observe.notify import Notifier
from aez.daemon.observe.traces import Traces
from aez.daemon.pipeline import Intake, Worker
from aez.daemon.scores.log import ScoreLog
from aez.daemon.sources.base import Put, Source
from aez.daemon.sources.pace import paced
from aez.daemon.state.dead_letters import DeadLetters
from aez.daemon.state.event_store import Retention
from aez.daemon.state.store import Store
from aez.daemon.web.live import Live, Watch
from aez.daemon.web.live_client import history_data
from aez.daemon.web.server import Web

__all__ = ["EXIT_DEFECT", "EXIT_FORCED", "Monitor"]

_log = logging.getLogger(__name__)
#: Exit codes of a run that ended by a defect, and of one whose end was forced.
EXIT_DEFECT = 70
EXIT_FORCED = 1
_STUCK_SECONDS = 30.0
_FORGET_SECONDS = 60.0
_POLL_SECONDS = 0.1

#: Tables of the configuration whose keys are the process's own, and those of them that a reload takes.
_TABLES = ("service", "limits", "state", "web", "scores")
_LIVE = {
    "service": (
        "log",
        "log_level",
        "batch_seconds",
        "commit_seconds",
        "drain_seconds",
        "device",
        "dead_letters",
        "dead_letters_bytes",
    ),
    "limits": ("depth", "columns", "name_bytes", "magnitude", "malformed"),
    "state": ("retention_days", "retention_events"),
}


class Monitor:
    """One monitor. `run` is all of its life; `start` and `end` are its halves for whoever waits otherwise.

    once: end when every source has come to its end; sources without one are refused. page: whether to listen.
    speed: hold recorded data back to so many seconds of their own time in a second; None takes them as they come.
    """

    def __init__(
        self, config: Configuration, *, once: bool = False, page: bool = True, speed: float | None = None
    ) -> None:
        self.config = self._begun = config
        self.once = once
        self.metrics = Metrics()
        self._page = page and bool(config.web.enabled) and not once
        self._speed = speed
        self._notifier = Notifier()
        self._stop = threading.Event()
        self._force = threading.Event()
        self._reload_wanted = threading.Event()
        self._reload_lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._ready = False
        self._last_word = 0.0
        self._web: Web | None = None
        self._page_tls: ssl.SSLContext | None = None
        self.live = Live()
        self._listing = StreamPages()
        #: Get all rows that are scored, in the worker's thread.
        self._listeners: list[Callable[[ScoredRows], None]] = []
        self._score_log: ScoreLog | None = None
        self._traces: Traces | None = None
        self._exit_code = 0

    # Its life

    def run(self) -> int:
        """Run until a signal, or with `once` until the data end; the exit code. Raises AezError at a start."""
        with self._signals():
            try:
                self.start()
                self._watch()
            finally:
                self.end()
        return self._exit_code

    def start(self) -> None:
        """Open everything and begin. Raises AezError; `end` then closes what was opened."""
        config = self.config
        sources = {one.name: self._source(config, one) for one in config.sources}
        sinks = build.sinks(config)
        parsers.Parsers(config)
        self._models = models.models(config)
        models.watched(config, self._models)
        self._traces = build.traces(config)
        # Nothing has been touched so far, and what is wrong with the configuration has been said.
        self.store = Store(
            config.resolve(config.state.path),
            exclusive=True,
            outbox_limit=config.state.outbox,
            synchronous=config.state.synchronous,
        )
        self.engine = build.engine(config, self._models, self.store)
        self._deliveries = Deliveries(self.store, sinks, traces=self._traces)
        self.intake = Intake(config.service.queue)
        self.metrics.queue_room.set(self.intake.room[0])
        self.metrics.queue_bytes_room.set(self.intake.room[1])
        self.worker = Worker(
            self.intake,
            parsers.Parsers(config, self.engine.admit, self._models, self._measuring),
            self.engine,
            self.store,
            acknowledge=self._acknowledge,
            committed=self._committed,
            progress=self._progress,
            metrics=self.metrics,
            traces=self._traces,
            **_settings(config),
        )
        self._deliveries.start()
        if self._page:
            self.live.use({model.name: model.detector for model in self.engine.models})
            self._listeners.append(self.live.scored)
        self._score_log = build.score_log(config, self.metrics.count_scores)
        if self._score_log is not None:
            self._score_log.start()
            self._listeners.append(self._score_log.take)
        self.engine.listener = self._scored if self._listeners else None
        self.worker.start()
        if self._page:
            self._web = self._open_page(config.web)
        positions = self.store.positions()
        for name, source in sources.items():
            self._start_source(name, source, positions.get(name))
        self._show_versions()
        self.metrics.config_good.set(1)
        self._ready = True
        self._notifier.ready(f"{len(sources)} sources, {len(self._models)} models")
        _log.info(
            "watching: %s; models: %s",
            ", ".join(sources),
            ", ".join(f"{one.name} ({one.id[:8]})" for one in self._models),
        )

    def _open_page(self, options: WebOptions) -> Web:
        certificate = options.tls_certificate
        self._page_tls = server_context(certificate, options.tls_key) if certificate else None
        web = Web(
            self,
            options.host,
            options.port,
            options.token,
            tls=self._page_tls,
            connections=options.connections,
        )
        web.start()
        _log.info("the page is at %s", web.address)
        return web

    def _source(self, config: Configuration, entry: SourceConfig) -> Source:
        if self.once and entry.kind not in ("file", "frames", "stdin"):
            text = f"{entry.kind} has no end, so that --once would wait for ever"
            raise ConfigError([Fault(config.label, entry.line, f"source {entry.name}", text)])
        return build.source(config, entry, once=self.once)

    def _start_source(self, name: str, source: Source, position: Position | None) -> None:
        self._sources[name] = source
        put: Put = self.intake.put
        if self._speed is not None:
            put = paced(put, self._times, self._speed, self._stop)
        source.start(put, position)

    def _times(self, chunk: Chunk) -> Sequence[int]:
        if chunk.time is not None:
            return [chunk.time]
        samples, _ = parsers.Parsers(self.config, models=self._models).parse_many([chunk])
        return [int(time) for batch in samples for time in batch.time]

    def _watch(self) -> None:
        """Wait for an end, and do on the way what is due."""
        forgotten = time.monotonic()
        pause = _POLL_SECONDS / 10 if self.once else _POLL_SECONDS  # nobody shall wait for an end that has come
        while not self._stop.wait(pause):
            if not self.worker.alive:
                return
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                try:
                    self.reload()
                except AezError as error:
                    _log.error("the configuration was not reloaded, the old one stays: %s", error)
            if self.once and self._ended():
                self.worker.flush()
                return
            if time.monotonic() - forgotten > _FORGET_SECONDS:
                forgotten = time.monotonic()
                self._forget()

    def _ended(self) -> bool:
        """Whether all sources came to their end and what they gave is durable."""
        return all(source.done.is_set() for source in self._sources.values()) and self.worker.idle

    def _forget(self) -> None:
        state = self.config.state
        days = state.forget_days
        try:
            # States of streams that no model is made for go by their age alone.
            self.store.forget(Retention(state.retention_days, state.retention_events, 2 * days))
            self.worker.forget(days * 86_400)
        except (AezError, TimeoutError) as error:
            self.metrics.errors.labels("retention").inc()
            _log.warning("old events and streams could not be deleted: %s", error)

    def end(self) -> None:
        """Drain and close; may be called whatever was opened."""
        self._ready = False
        self._notifier.stopping()
        deadline = time.monotonic() + self.config.service.drain_seconds
        for source in self._sources.values():
            source.stop(0.0 if self._force.is_set() else max(0.0, min(2.0, deadline - time.monotonic())))
        if hasattr(self, "worker"):
            self._end_worker(deadline)
        if self._score_log is not None and not self._score_log.close(max(1.0, deadline - time.monotonic())):
            _log.warning("some scores were not written; their files did not take them in time")
        if hasattr(self, "_deliveries"):
            self._deliveries.stop(0.0 if self._force.is_set() else max(0.0, deadline - time.monotonic()))
        for source in self._sources.values():
            try:
                source.close()
            except Exception:  # noqa: BLE001 - the others shall be closed as well
                _log.exception("source %s could not be closed", source.name)
        if self._web is not None:
            self._web.stop()
        if self._traces is not None:
            self._traces.stop()
        if hasattr(self, "store"):
            self.store.close()
        if self._exit_code == 0 and self._sources:
            _log.info("ended; all that came is stored")

    def _end_worker(self, deadline: float) -> None:
        self.worker.stop()
        while not self.worker.join(_POLL_SECONDS):
            if self._force.is_set() or time.monotonic() > deadline:
                _log.warning("%d chunks were not worked off; they come again where their source can", len(self.intake))
                self._exit_code = EXIT_FORCED
                self.worker.give_up()
                self.worker.join(2.0)
                break
        if self.worker.failure is not None:
            failure = self.worker.failure
            self._exit_code = failure.exit_code if isinstance(failure, AezError) else EXIT_DEFECT

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handlers for the time of a run; in another thread than the main one there are none."""

        def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
            if self._stop.is_set():
                self._force.set()
            self._stop.set()

        def reload(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self._reload_wanted.set()

        handlers = {signal.SIGTERM: end, signal.SIGINT: end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = reload
        previous: dict[signal.Signals, Any] = {}
        try:
            for number, handler in handlers.items():
                previous[number] = signal.signal(number, handler)
        except ValueError:  # not the main thread
            previous.clear()
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def counts(self) -> dict[str, int]:
        """How many `rows` came in and how many messages were `refused`, since the start."""
        return {"rows": self.worker.rows, "refused": self.worker.refused}

    def stop(self) -> None:
        """As SIGTERM."""
        self._stop.set()

    # What the worker calls

    def _acknowledge(self, source: str, position: Position) -> None:
        found = self._sources.get(source)
        if found is None:
            return
        try:
            found.acknowledge(position)
        except Exception:  # noqa: BLE001 - what was not acknowledged comes again, and changes nothing then
            self.metrics.errors.labels("acknowledge").inc()
            _log.exception("source %s could not be told that its data are stored", source)

    def _scored(self, scored: ScoredRows) -> None:
        for listener in self._listeners:
            listener(scored)

    def _committed(self, records: Sequence[EventRecord]) -> None:
        self.live.committed(records)
        for record in records:
            _log.debug("event %s of %s: %s", record.id[:12], record.stream, record.action)

    def _measuring(self) -> None:
        """A frame is measured: slow models of pictures make progress within a batch, too."""
        self.worker.last_progress = time.monotonic()
        self._progress()

    def _progress(self) -> None:
        self.live.look(self.engine)
        wanted = self._notifier.watchdog_seconds
        now = time.monotonic()
        if wanted is not None and now - self._last_word >= wanted / 4:
            self._last_word = now
            self._notifier.progress()

    # Reloading

    def reload(self) -> str:
        """Take the configuration file as it is now; says what changed. Raises AezError, and then nothing changed."""
        with self._reload_lock:
            self._notifier.reloading()
            try:
                done = self._reload()
            except AezError:
                self.metrics.reloads.labels("failure").inc()
                self.metrics.config_good.set(0)
                raise
            finally:
                self._notifier.ready()
            self.metrics.reloads.labels("success").inc()
            self.metrics.config_good.set(1)
            self._show_versions()
            _log.info("reloaded: %s", done)
            return done

    def _reload(self) -> str:
        new = load(self.config.path)
        old = self.config
        opened = models.models(new)
        fixed = _fixed(self._begun, new)
        old_sources = {one.name: one for one in old.sources}
        new_sources = {one.name: one for one in new.sources}
        leaving = [name for name, one in old_sources.items() if new_sources.get(name) != one]
        coming = [name for name, one in new_sources.items() if old_sources.get(name) != one]
        made = {name: self._source(new, new_sources[name]) for name in coming}  # refuses bad options
        sinks = build.sinks(new) if new.sinks != old.sinks else None
        parser = parsers.Parsers(new, self.engine.admit, opened, self._measuring)
        watched = models.watched(new, opened)
        # From here on nothing refuses but the engine, which then changes nothing.

        changes = []
        for name in leaving:
            self._sources[name].stop()

        def swap() -> None:
            self.worker.settle()
            self.engine.replace_models(watched)
            if self._page:
                self.live.use({model.name: model.detector for model in watched})
            self.worker.parser = parser
            self.worker.adjust(**_settings(new))

        self.worker.call(swap)
        if (new.service.log, new.service.log_level) != (old.service.log, old.service.log_level):
            logs.set_up(new.service.log, new.service.log_level)
        if [(one.entry, one.id) for one in opened] != [(one.entry, one.id) for one in self._models]:
            changes.append("models")
        for name in leaving:
            self._sources.pop(name).close()
        for source in self._sources.values():
            source.renew()  # certificates end, and their files are written anew under the same name
        positions = self.store.positions()
        for name, source in made.items():
            self._start_source(name, source, positions.get(name))
        if leaving or coming:
            changes.append(f"sources {', '.join(sorted({*leaving, *coming}))}")
        if sinks is not None:
            self._deliveries.stop(1.0)  # what they had still to take stays for those of the same name
            self._deliveries = Deliveries(self.store, sinks, traces=self._traces)
            self._deliveries.start()
            changes.append("sinks")
        if self._page_tls is not None and (certificate := self._begun.web.tls_certificate):
            renew_certificate(self._page_tls, certificate, self._begun.web.tls_key)
        self.config, self._models = new, opened
        if taken := [name for name in _differing(old, new) if name not in fixed]:
            changes.append(", ".join(taken))
        if fixed:
            changes.append(f"{', '.join(fixed)} only with a restart")
        return "; ".join(changes) or "nothing changed"

    def _show_versions(self) -> None:
        for warning in certificate_warnings(self.config):
            _log.warning("%s", warning)
        self._show_models()
        self.metrics.config.clear()
        self.metrics.config.labels(self.config.version).set(1)
        self.metrics.config_time.set(time.time())

    def _show_models(self) -> None:
        self.metrics.model.clear()
        for one in self._models:
            self.metrics.model.labels(one.name, one.id[:16], one.device).set(1)

    # What the page asks for

    def health(self) -> Sequence[str]:
        """What is wrong with the process itself."""
        if not self.worker.alive:
            return ["the worker has ended"]
        silent = time.monotonic() - self.worker.last_progress
        return [f"the worker made no progress for {silent:.0f} s"] if silent > _STUCK_SECONDS else []

    def readiness(self) -> Sequence[str]:
        """What is missing for the job."""
        found = [*self.health()]
        if not self._ready:
            found.append("it is starting or ending")
        if self.worker.stuck:
            found.append(self.worker.stuck)
        return found + [f"source {name}: {text}" for name, one in list(self._sources.items()) if (text := one.status())]

    def refresh(self) -> None:
        """Bring gauges up to date."""
        self._show_models()  # CUDA may have failed since
        metrics = self.metrics
        metrics.queue.set(len(self.intake))
        metrics.queue_bytes.set(self.intake.size)
        metrics.lag.set(self.worker.lag)
        metrics.ready.set(not self.readiness())
        metrics.state_writable.set(not self.worker.stuck)
        metrics.state_bytes.set(self.store.size)
        metrics.set_sources({name: not source.status() for name, source in list(self._sources.items())})
        metrics.set_sinks(self._deliveries.statuses())
        if self._traces is not None:
            metrics.set_counts({"errors.traces": self._traces.failures})

    def summary(self) -> Mapping[str, Any]:
        """How the whole stands: figures, sources, sinks, models, and what is wrong."""
        return {
            "rows": self.worker.rows,
            "refused": self.worker.refused,
            "open_events": self.store.events.count("open"),
            "lag": round(self.worker.lag, 2),
            "queue": len(self.intake),
            "sources": [
                {"name": name, "kind": one.kind, "trouble": self._sources[name].status()}
                for name, one in ((entry.name, entry) for entry in self.config.sources)
                if name in self._sources
            ],
            "sinks": [
                {"name": one.name, "pending": one.pending, "trouble": one.last_error}
                for one in self._deliveries.statuses()
            ],
            "models": [{"name": one.name, "id": one.id, "device": one.device} for one in self._models],
            "problems": list(self.readiness()),
        }

    def _tables(self) -> Sequence[StreamTable]:
        """How the streams stand, at most a second ago."""
        found: Sequence[StreamTable] = self.live.fresh_tables() or self.worker.call(self.engine.tables, 5.0)
        return found

    def streams(
        self, *, search: str = "", state: str | None = None, offset: int = 0, limit: int = 1000
    ) -> Mapping[str, Any]:
        """A page of streams, by state and name."""
        return self._listing.page(self._tables(), search=search, state=state, offset=offset, limit=limit)

    def stream(self, name: str) -> Mapping[str, Any] | None:
        """One stream's entry."""
        return self._listing.one(self._tables(), name)

    def watch(self, stream: str) -> Watch | None:
        """Begin to watch a stream; None where it is not known, or too many are watched."""

        def begin() -> Watch | None:
            recent = self.engine.recent(stream)
            return None if recent is None else self.live.watch(stream, recent)

        found: Watch | None = self.live.watched(stream) or self.worker.call(begin, 5.0)
        return found

    def rows(self, stream: str, count: int) -> Mapping[str, Any] | None:
        """The last rows of a stream with scores and reconstruction."""
        watch = self.watch(stream)
        entry = self.stream(stream)
        if watch is None or entry is None:
            return None
        try:
            model, rows = watch.rows()
        finally:
            self.live.unwatch(watch)
        return {**entry, **history_data(model, rows.part(slice(max(0, len(rows.row) - count), None)))}

    def events(
        self, *, stream: str | None, limit: int, open_only: bool, after: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The latest events first. Raises InvalidArgument where `after` is no event's id."""
        state: Literal["open"] | None = "open" if open_only else None
        found = self.store.events.list(stream=stream, limit=limit, state=state, after=after)
        return [one.as_dict() for one in found]

    def acknowledge(self, event_id: str, by: str, comment: str) -> bool:
        """Note that a person has seen an event."""
        if self.store.events.get(event_id) is None:
            return False
        self.store.events.acknowledge(event_id, by)
        if comment.strip():
            self.store.events.comment(event_id, by, comment)
        self.live.touched(event_id)
        return True

    def comment(self, event_id: str, by: str, text: str) -> bool:
        """Add a comment to an event."""
        if self.store.events.get(event_id) is None:
            return False
        self.store.events.comment(event_id, by, text)
        self.live.touched(event_id)
        return True

    def event(self, event_id: str) -> Mapping[str, Any] | None:
        """One event with its comments."""
        found = self.store.events.get(event_id)
        return None if found is None else found.as_dict()

    def picture(self, event_id: str) -> bytes | None:
        """The worst frame of an event as WebP."""
        found = self.store.events.get(event_id)
        if found is None or found.record.event.get("picture") != f"{found.id}.webp":
            return None
        return read_picture(folder_beside(self._begun.resolve(self._begun.state.path)), found.id)


def _settings(config: Configuration) -> dict[str, Any]:
    """What `Worker.adjust` takes."""
    service = config.service
    return {
        "dead_letters": DeadLetters(Path(service.dead_letters), service.dead_letters_bytes),
        "batch_seconds": service.batch_seconds,
        "commit_seconds": service.commit_seconds,
    }


def _differing(old: Configuration, new: Configuration) -> list[str]:
    """Keys of the process's own tables that are not the same in both."""
    tables = [(name, vars(getattr(old, name)), vars(getattr(new, name))) for name in _TABLES]
    return [f"{name}.{key}" for name, before, after in tables for key in after if before[key] != after[key]]


def _fixed(begun: Configuration, new: Configuration) -> list[str]:
    """Keys that stay as they were at the start of the process."""
    live = {f"{name}.{key}" for name, keys in _LIVE.items() for key in keys}
    return [name for name in _differing(begun, new) if name not in live]
