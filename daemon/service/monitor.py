"""The life of the process: opens what the configuration names, runs it, and ends it in order.

Order of a start: configuration, models, store, page, sinks, worker, sources. Order of an end: sources stop reading, the
worker works off the queue and commits, sources get their last acknowledgements, sinks get what time is left, all is
closed. Killed at any moment instead, the next start goes on from the last commit.

Signals: SIGTERM and SIGINT drain within `service.drain_seconds`, a second one gives up what is under way; SIGHUP
reloads the configuration and the models, and keeps the old ones where the new cannot be used.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from aez.codec.errors import AezError
from aez.daemon.build import models
from aez.daemon.build import parts as build
from aez.daemon.build.models import LoadedModel
from aez.daemon.build.parsers import parsers
from aez.daemon.common.hangup import noted
from aez.daemon.common.intake import Intake
from aez.daemon.common.records import Chunk, EventRecord
from aez.daemon.common.tls import server_context
from aez.daemon.config.certificates import certificate_warnings
from aez.daemon.config.reader import Configuration
from aez.daemon.config.unreadable import unreadable
from aez.daemon.delivery import Deliveries
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.observe.metrics import Metrics
from aez.daemon.observe.notify import Notifier
from aez.daemon.observe.traces import Traces
from aez.daemon.pipeline import Worker
from aez.daemon.scores.log import ScoreLog
from aez.daemon.service import shadowing
from aez.daemon.service.exchange import reload
from aez.daemon.service.lost import LostInRun
from aez.daemon.service.retraining import Retraining
from aez.daemon.service.running import RetentionClocks, Running, RunningSources, source, unread, worker_settings
from aez.daemon.service.view import MonitorView
from aez.daemon.shadow.folder import ShadowFolder
from aez.daemon.shadow.shadows import Shadows
from aez.daemon.sinks.base import Sink
from aez.daemon.sources.base import Put, Source
from aez.daemon.sources.pace import paced
from aez.daemon.state.event_store import Retention
from aez.daemon.state.store import Store
from aez.daemon.web.live import Live
from aez.daemon.web.server import Web

__all__ = ["EXIT_DEFECT", "EXIT_FORCED", "Monitor"]

_log = logging.getLogger("aez.daemon.service")
#: Exit codes of a run that ended by a defect, and of one whose end was forced.
EXIT_DEFECT = 70
EXIT_FORCED = 1
_FORGET_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # between looks whether the state is still there
_POLL_SECONDS = 0.1


class Monitor:
    """One monitor. `run` is all of its life; `start` and `end` are its halves for whoever waits otherwise.

    once: end when every source has come to its end; sources without one are refused. page: whether to listen.
    speed: hold recorded data back to so many seconds of their own time in a second; None takes them as they come.
    opened: is called once all parts are open, and when a reload has opened others.
    view: what it tells pages, once it is started.
    """

    view: MonitorView

    def __init__(
        self,
        config: Configuration,
        *,
        once: bool = False,
        page: bool = True,
        speed: float | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self.once = once
        self.metrics = Metrics()
        self.live = Live()
        self._begun = config
        self._desk = build.desk(config)
        self._page = page and bool(config.web.enabled) and not once
        self._speed, self._opened_all = speed, opened
        self._notifier = Notifier()
        self._stop = threading.Event()
        # Set by handlers of signals, which run inside whatever the main thread does: an Event that it waits for has its
        # lock taken, and to set it there would wait for ever.
        self._ends_asked = 0
        self._ending = threading.Event()
        self._reload_asked = False
        self._reload_lock = threading.Lock()
        self._last_word = 0.0
        self._state_trouble = ""
        self._running: Running | None = None
        #: Closes what is open, the last first.
        self._opened = ExitStack()
        self._deadline = 0.0
        self._exit_code = 0

    @property
    def running(self) -> Running:
        """What is open; only once it is started."""
        assert self._running is not None, "the monitor was not started"
        return self._running

    @property
    def config(self) -> Configuration:
        """As it is now."""
        return self._begun if self._running is None else self._running.config

    @property
    def store(self) -> Store:
        return self.running.store

    @property
    def worker(self) -> Worker:
        return self.running.worker

    def run(self) -> int:
        """Run until a signal, or with `once` until the data end; the exit code. Raises AezError at a start."""
        with self._signals():
            try:
                self.start()
                self._watch()
            finally:
                self.end()
        return self._exit_code

    # How it begins

    def start(self) -> None:
        """Open everything and begin. Raises AezError, and then all that was opened is closed."""
        try:
            running, sources = self._open()
            self._begin(running, sources)
        except BaseException:
            self.end()
            raise
        self._show_versions()
        self.metrics.config_good.set(1)
        running.ready = True
        self._opened_all()
        self._notifier.ready(f"{len(sources)} sources, {len(running.models)} models")
        _log.info(
            "watching: %s; models: %s",
            ", ".join(one.name for one in sources),
            ", ".join(f"{one.name} ({one.id[:8]})" for one in running.models),
        )

    def _open(self) -> tuple[Running, list[Source]]:
        """All parts, and the sources that are to start; nothing comes in yet."""
        config = self._begun
        sources = [source(config, one, once=self.once) for one in config.sources]
        sinks = build.sinks(config)
        parsers(config)
        loaded = models.models(config)
        models.watched(config, loaded)
        models.report_progress(loaded, self._measuring)
        traces = build.traces(config)
        if traces is not None:
            self._opened.callback(traces.stop)
        # Nothing has been touched so far, and what is wrong with the configuration has been said.
        store = Store(
            config.resolve(config.state.path),
            exclusive=True,
            outbox_limit=config.state.outbox,
            synchronous=config.state.synchronous,
        )
        self._opened.callback(store.close)
        store.desk = self._desk
        running = self._running = self._parts(loaded, sinks, store, traces)
        self.view, self._lost = MonitorView(running, self.reload), LostInRun(running.engine)
        return running, sources

    def _parts(self, loaded: list[LoadedModel], sinks: dict[str, Sink], store: Store, traces: Traces | None) -> Running:
        config = self._begun
        engine = build.engine(config, loaded, store)
        build.close_lost(engine, store)
        intake = Intake(config.service.queue)
        self.metrics.queue_room.set(intake.room[0])
        self.metrics.queue_bytes_room.set(intake.room[1])
        sources = RunningSources(self._put, self.metrics)
        worker = Worker(
            intake,
            parsers(config, engine.admit, loaded, engine.newest),
            engine,
            store,
            acknowledge=sources.acknowledge,
            committed=self._committed,
            progress=self._progress,
            metrics=self.metrics,
            traces=traces,
            **worker_settings(config),
        )
        certificate = config.web.tls_certificate if self._page else None
        return Running(
            begun=config,
            config=config,
            models=loaded,
            store=store,
            engine=engine,
            intake=intake,
            worker=worker,
            sources=sources,
            deliveries=Deliveries(store, sinks, traces=traces),
            metrics=self.metrics,
            live=self.live,
            desk=self._desk,
            clocks=RetentionClocks.of(store),
            shadows=Shadows(ShadowFolder(config.resolve(config.state.path))),
            traces=traces,
            measuring=self._measuring,
            once=self.once,
            page=self._page,
            page_tls=server_context(certificate, config.web.tls_key) if certificate else None,
        )

    def _begin(self, running: Running, sources: Sequence[Source]) -> None:
        """Let the parts begin, in the order in which they need one another; they end the other way round."""
        opened = self._opened
        if self._page:
            self._open_page(running)
        opened.callback(running.sources.close)
        opened.callback(lambda: running.deliveries.stop(self._left()))  # a reload makes others of them
        running.deliveries.start()
        listeners = [self.live.scored] if self._page else []
        score_log = build.score_log(self._begun, self.metrics.count_scores)
        if score_log is not None:
            score_log.start()
            opened.callback(self._end_scores, score_log)
            listeners.append(score_log.take)
        opened.callback(lambda: running.shadows.close(min(2.0, self._left())))
        shadowing.begin(running)
        if self._page or running.shadows.candidates():
            listeners.append(running.shadows.take)
        if listeners:
            running.engine.listener = _to_all(listeners)
        opened.callback(self._end_worker, running.worker)
        running.worker.start()
        opened.callback(running.sources.stop, lambda: min(2.0, self._left()))
        positions = running.store.positions()
        for one in sources:
            running.sources.start(one, positions.get(one.name))

    def _open_page(self, running: Running) -> None:
        self.live.use({model.name: model.detector for model in running.engine.models})
        options = self._begun.web
        web = Web(
            self.view,
            options.host,
            options.port,
            options.token,
            tls=running.page_tls,
            connections=options.connections,
        )
        self._opened.callback(web.stop)
        web.start()
        running.store.say(host=options.host, port=web.port, tls=running.page_tls is not None)
        _log.info("the page is at %s", web.address)

    def _put(self) -> Put:
        """What a source puts its chunks with."""
        put: Put = self.running.intake.put
        return put if self._speed is None else paced(put, self._times, self._speed, self._stop)

    def _times(self, chunk: Chunk) -> Sequence[int]:
        if chunk.time is not None:
            return [chunk.time]
        samples, _ = parsers(self.config, models=self.running.models).parse_many([chunk])
        return [int(time) for batch in samples for time in batch.time]

    # While it runs

    def _watch(self) -> None:
        """Wait for an end, and do on the way what is due."""
        running = self.running
        forgotten = looked = time.monotonic()
        retraining = Retraining(self._begun.path, running.shadows.folder)
        self._opened.callback(retraining.stop)
        pause = _POLL_SECONDS / 10 if self.once else _POLL_SECONDS  # nobody shall wait for an end that has come
        while not self._ends_asked and not self._stop.wait(pause):
            if not running.worker.alive:
                return
            if self._reload_asked:
                self._reload_asked = False
                self._reload_or_say_why()
            if self.once and _ended(running):
                running.worker.flush()
                self._lost.tell(running.worker)
                self._exit_code = unread(running)
                return
            now = time.monotonic()
            if now - looked > _LOOK_SECONDS:
                looked = now
                self._look_at_state(running)
            if now - forgotten > _FORGET_SECONDS:
                forgotten = now
                self._forget(running)
                retraining.look({one.name: days for one in running.config.models if (days := one.options.retrain_days)})

    def _look_at_state(self, running: Running) -> None:
        """Say once that the state's file is not there any more, and that it is again."""
        trouble = running.store.trouble()
        if trouble and not self._state_trouble:
            _log.error("the state is lost: %s; nothing is stored or acknowledged meanwhile", trouble)
        elif self._state_trouble and not trouble:
            _log.info("the state is there again")
        self._state_trouble = trouble

    def _forget(self, running: Running) -> None:
        state = running.config.state
        days = state.forget_days
        try:
            # Events go by the time of the data; states of streams that no model is made for by their age alone.
            wall, data = running.clocks.wall.follow(time.time_ns()), running.worker.call(running.engine.data_time)
            now = None if data is None else running.clocks.data.follow(data)
            running.store.forget(Retention(state.retention_days, state.retention_events, 2 * days), now, wall)
            running.worker.forget(days * 86_400)
            running.store.forget_curves(state.curves)
            self._end_mutes(running, wall, wall if now is None else now)
            running.deliveries.strike_out(again=False)
        except (AezError, TimeoutError) as error:
            self.metrics.errors.labels("retention").inc()
            _log.warning("old events and streams could not be deleted: %s", error)

    def _end_mutes(self, running: Running, now: int, data_now: int) -> None:
        """Send what is still open of events whose mute is over."""
        if sent := running.store.change(lambda connection: self._desk.sweep(connection, now, data_now)):
            _log.info("%d events that are still open are sent, for their mute is over", sent)

    def reload(self) -> str:
        """Take the configuration file as it is now; says what changed. Raises AezError, and then nothing changed."""
        with self._reload_lock:
            if self._ending.is_set():
                raise AezError("the monitor is ending")
            self._notifier.reloading()
            try:
                done = reload(self.running)
                self._opened_all()
            except Exception:
                self.metrics.reloads.labels("failure").inc()
                self.metrics.config_good.set(0)
                raise
            finally:
                self._notifier.ready()
            self.metrics.reloads.labels("success").inc()
            self.metrics.config_good.set(1)
            self._show_versions()
            done = "; ".join([done, *(f"source {one.name}: {why}" for one, why in unreadable(self.config))])
            _log.info("reloaded: %s", done)
            return done

    def _show_versions(self) -> None:
        for fault in self.config.past_mutes(time.time_ns()):
            _log.warning("%s", fault)
        for warning in certificate_warnings(self.config):
            _log.warning("%s", warning)
        self.running.show_models()
        self.metrics.config.clear()
        self.metrics.config.labels(self.config.version).set(1)
        self.metrics.config_time.set(time.time())

    def counts(self) -> dict[str, int]:
        """How many `rows` came in and how many messages were `refused`, since the start."""
        return {"rows": self.worker.rows, "refused": self.worker.refused}

    @property
    def interrupted(self) -> bool:
        """Whether a signal told it to end."""
        return self._ends_asked > 0

    def stop(self) -> None:
        """As SIGTERM."""
        self._stop.set()

    # What the worker calls

    def _committed(self, records: Sequence[EventRecord]) -> None:
        self.live.committed(records)
        for event in self._desk.take_news():
            self.live.touched(event)
        for record in records:
            _log.debug("event %s of %s: %s", record.id[:12], record.stream, record.action)

    def _measuring(self) -> None:
        """A frame is measured: slow models of pictures make progress within a batch, too."""
        if self._running is not None:
            self._running.worker.last_progress = time.monotonic()
            self._progress()

    def _progress(self) -> None:
        self.live.look(self.running.engine)
        wanted = self._notifier.watchdog_seconds
        now = time.monotonic()
        if wanted is not None and now - self._last_word >= wanted / 4:
            self._last_word = now
            self._notifier.progress()

    # How it ends

    def end(self) -> None:
        """Drain and close whatever is open; a second time does nothing."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._notifier.stopping()
        self._deadline = time.monotonic() + self.config.service.drain_seconds
        running, complete = self._running, self._running is not None and self._running.ready
        if running is not None:
            running.ready = False
        waited = self._reload_lock.acquire(timeout=self._left() / 2)  # a reload under way shall come to its end
        try:
            self._opened.close()
        finally:
            if waited:
                self._reload_lock.release()
        if complete and self._exit_code == 0:
            _log.info("ended; all that came is stored")

    def _reload_or_say_why(self) -> None:
        try:
            self.reload()
        except AezError as error:
            _log.error("the configuration was not reloaded, the old one stays: %s", error)
        except Exception:  # noqa: BLE001 - no configuration may end what runs
            _log.exception("the configuration was not reloaded, the old one stays")

    def _left(self) -> float:
        """Seconds that what drains may still take."""
        return 0.0 if self._ends_asked > 1 else max(0.0, self._deadline - time.monotonic())

    def _end_worker(self, worker: Worker) -> None:
        worker.stop()
        while not worker.join(_POLL_SECONDS):
            if self._ends_asked > 1 or time.monotonic() > self._deadline:
                waiting = len(self.running.intake)
                _log.warning("%d chunks were not worked off; they come again where their source can", waiting)
                self._exit_code = EXIT_FORCED
                worker.give_up()
                worker.join(2.0)
                break
        if worker.failure is not None:
            failure = worker.failure
            self._exit_code = failure.exit_code if isinstance(failure, AezError) else EXIT_DEFECT

    def _end_scores(self, score_log: ScoreLog) -> None:
        if not score_log.close(max(1.0, self._deadline - time.monotonic())):
            _log.warning("some scores were not written; their files did not take them in time")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handlers for the time of a run; in another thread than the main one there are none."""

        def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
            self._ends_asked += 1

        def reload(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self._reload_asked = True

        handlers = {signal.SIGTERM: end, signal.SIGINT: end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = reload
        previous: dict[signal.Signals, Any] = {}
        try:
            for number, handler in handlers.items():
                previous[number] = signal.signal(number, handler)
        except ValueError:  # not the main thread
            previous.clear()
        self._reload_asked |= noted()  # before there was a monitor; it may have come behind the reading of the file
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _ended(running: Running) -> bool:
    """Whether all sources came to their end and what they gave is durable."""
    return all(one.done.is_set() for one in running.sources.all().values()) and running.worker.idle


def _to_all(listeners: Sequence[Callable[[ScoredRows], None]]) -> Callable[[ScoredRows], None]:
    def tell(scored: ScoredRows) -> None:
        for listener in listeners:
            listener(scored)

    return tell
