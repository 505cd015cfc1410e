"""Takes another configuration while the monitor runs: all of it, or nothing.

Guarantee: what can refuse is opened, and what has to be written is tried, before the first change. Should a later step
fail, what was opened anew is closed, sources that had left begin again behind what is durable, and the old
configuration goes on; the error says so.

The order: models, parsers, sources and sinks are opened anew, the state and dead letters are tried. Sources that leave
end, and what they gave becomes durable. Those that come begin and get at what they read, a port or a broker, but what
they bring is held back. Models and parsers are exchanged between two batches:
the last step that can fail, and the only one that could not be taken back. What remains refuses nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from aez.codec.errors import AezError
from aez.daemon.build import models
from aez.daemon.build import parts as build
from aez.daemon.build.models import LoadedModel
from aez.daemon.build.parsers import parsers
from aez.daemon.common.records import Chunk
from aez.daemon.common.tls import load as renew_certificate
from aez.daemon.config.own_files import own_files
from aez.daemon.config.reader import ConfigError, Configuration, load
from aez.daemon.delivery import Deliveries
from aez.daemon.observe import logs
from aez.daemon.service import shadowing
from aez.daemon.service.plan import (
    Change,
    ExchangeSinks,
    ExchangeSources,
    RenewCertificates,
    SetLogs,
    Setup,
    plan,
    told,
)
from aez.daemon.service.running import Running, source, worker_settings
from aez.daemon.sources.base import Put, Source

__all__ = ["Exchange", "ReloadFailed", "reload"]

_log = logging.getLogger("aez.daemon.service")
#: So long the worker may take in all to come to what is asked of it, before the old configuration goes on.
_WORKER_SECONDS = 60.0
#: So long a source that comes may take to get at what it reads.
_BEGIN_SECONDS = 10.0
_DRAIN_SECONDS = 1.0  # for sinks that end; what they had still to take stays for those of the same name


class ReloadFailed(AezError):
    """A configuration that can be used could not be taken; the old one goes on."""


def reload(running: Running) -> str:
    """Take the configuration's file as it is now; says what changed. Raises AezError, and then nothing changed."""
    new = load(running.config.path)
    if past := new.past_mutes(time.time_ns()):
        raise ConfigError(past)
    loaded = models.models(new)
    changes = plan(_setup(running.config, running.models), _setup(new, loaded), running.begun)
    Exchange(running, new, loaded, changes).run()
    return told(changes)


def _setup(config: Configuration, loaded: Sequence[LoadedModel]) -> Setup:
    return Setup(config, tuple((one.entry, one.id) for one in loaded))


class _Gate:
    """What begins anew waits here until it is known whether the exchange is done."""

    def __init__(self) -> None:
        self._decided = threading.Event()
        self._open = False

    def open(self) -> None:
        """Let all that waits go on."""
        self._open = True
        self._decided.set()

    def shut(self) -> None:
        """Let nothing go on; once it is open this does nothing."""
        self._decided.set()

    def passes(self) -> bool:
        """Wait; whether to go on."""
        self._decided.wait()
        return self._open

    def held(self, put: Put) -> Put:
        """Puts chunks once the gate is open, and none where it was shut: their source is at its end."""

        def put_behind(chunk: Chunk) -> None:
            if self.passes():
                put(chunk)

        return put_behind


class Exchange:
    """One exchange of what runs for `loaded` and whatever else `new` names, as the changes say."""

    def __init__(
        self, running: Running, new: Configuration, loaded: list[LoadedModel], changes: Sequence[Change]
    ) -> None:
        self._running, self._old, self._new, self._loaded = running, running.config, new, loaded
        self._changes = changes
        self._leaving: tuple[str, ...] = ()
        self._coming: list[Source] = []
        self._deliveries: Deliveries | None = None
        self._sources_gate, self._sinks_gate = _Gate(), _Gate()
        self._lost: list[str] = []
        self._deadline = time.monotonic() + _WORKER_SECONDS

    def run(self) -> None:
        """Do it. Raises ConfigError where something that the configuration names refuses, else ReloadFailed."""
        try:
            with ExitStack() as undo:
                self._open(undo)
                self._end_leaving(undo)
                self._begin_coming(undo)
                self._running.worker.exchange(self._swap, self._left())
                undo.pop_all()
        except ConfigError:
            raise
        except Exception as error:
            raise ReloadFailed(self._why(error)) from error
        self._finish()

    def _why(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            waiting = len(self._running.intake)
            text = f"the worker did not come to it within {_WORKER_SECONDS:g} s ({waiting} chunks wait)"
        elif not isinstance(error, AezError | OSError):
            _log.exception("a reload failed")
        lost = "".join(f"; {one} could not be brought back" for one in self._lost)
        return f"{text}; the old configuration goes on{lost}"

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _open(self, undo: ExitStack) -> None:
        """All that the new configuration needs, beside what runs."""
        running, new = self._running, self._new
        self._settings = worker_settings(new)
        self._try_to_write()
        for change in self._changes:
            match change:
                case ExchangeSources(leaving, coming):
                    self._leaving = leaving
                    entries = {one.name: one for one in new.sources}
                    for name in coming:
                        made = source(new, entries[name], once=running.once)
                        undo.callback(self._quietly, f"new source {name}", made.close)
                        self._coming.append(made)
                case ExchangeSinks():
                    self._open_sinks(undo)
                case _:
                    pass
        self._parser = parsers(new, running.engine.admit, self._loaded, running.engine.newest)
        self._watched = models.watched(new, self._loaded)
        models.report_progress(self._loaded, running.measuring)
        running.worker.call(running.worker.settle, self._left())  # one that cannot is found out before anything changed

    def _try_to_write(self) -> None:
        """What has to be written soon. Raises StoreError, OutputError, and ReloadFailed while the worker waits."""
        running, service = self._running, self._new.service
        if running.worker.stuck:
            raise ReloadFailed(running.worker.stuck)
        running.store.try_to_write()
        if service.dead_letters != self._old.service.dead_letters:
            self._settings["dead_letters"].try_to_write()

    def _open_sinks(self, undo: ExitStack) -> None:
        """Sinks with their threads, which wait; the store knows the old and the new ones."""
        running = self._running
        before = [one.name for one in self._old.sinks]
        made = build.sinks(self._new)
        for name, sink in made.items():
            undo.callback(self._quietly, f"new sink {name}", sink.close)
        undo.callback(self._quietly, "the list of sinks", running.store.register_sinks, before)
        self._deliveries = Deliveries(running.store, made, traces=running.traces, beside=before)
        undo.callback(self._quietly, "new sinks", self._deliveries.stop)
        undo.callback(self._sinks_gate.shut)
        self._deliveries.start(self._sinks_gate.passes)

    def _end_leaving(self, undo: ExitStack) -> None:
        """Sources stop, what they gave becomes durable and is acknowledged, and then they let go of ports and names."""
        running = self._running
        for name in self._leaving:
            undo.callback(self._quietly, f"source {name}", self._bring_back, name)
            running.sources.all()[name].stop()
        if self._leaving:
            running.worker.call(running.worker.settle, self._left())
        for name in self._leaving:
            running.sources.all()[name].close()
            running.sources.pop(name)

    def _bring_back(self, name: str) -> None:
        """A source is started once, so that another one like it begins behind what is durable."""
        running = self._running
        left = running.sources.pop(name)
        if left is not None:
            left.close()
        (entry,) = (one for one in self._old.sources if one.name == name)
        running.sources.start(source(self._old, entry, once=running.once), running.store.positions().get(name))

    def _begin_coming(self, undo: ExitStack) -> None:
        running = self._running
        positions = running.store.positions()
        for one in self._coming:
            undo.callback(self._quietly, f"new source {one.name}", self._drop, one)
            running.sources.start(one, positions.get(one.name), self._sources_gate.held)
        end = time.monotonic() + _BEGIN_SECONDS
        for one in self._coming:
            while one.beginning and time.monotonic() < end:
                time.sleep(0.02)
            if not one.may_come_later and (trouble := one.status()):
                raise ReloadFailed(f"source {one.name}: {trouble.rstrip('.')}")

    def _drop(self, one: Source) -> None:
        self._sources_gate.shut()
        self._running.sources.pop(one.name)
        one.close()

    def _swap(self) -> None:
        """In the worker's thread, between two batches."""
        running = self._running
        running.engine.replace_models(self._watched)  # all, or it raises
        if running.page:
            shown = {model.name: model.detector for model in self._watched}
            self._quietly("the page", running.live.use, shown)
        running.desk.adjust(self._new.alarms, [one.window for one in self._new.mutes])
        running.worker.parser = self._parser
        running.worker.adjust(**self._settings)
        running.config, running.models = self._new, self._loaded

    def _finish(self) -> None:
        """What remains; a part that fails says so in the log and keeps the others from nothing."""
        running, begun = self._running, self._running.begun
        self._sources_gate.open()
        self._quietly("candidates", shadowing.begin, running)
        for change in self._changes:
            match change:
                case SetLogs(kind, level):
                    self._quietly("logs", logs.set_up, kind, level)
                case ExchangeSinks():
                    self._quietly("sinks", self._exchange_sinks)
                case RenewCertificates(names, page):
                    open_now = running.sources.all()
                    for name in names:
                        self._quietly(f"the certificate of source {name}", open_now[name].renew)
                        open_now[name].leave_out(own_files(self._new))
                    if page and running.page_tls is not None:
                        certificate, key = begun.web.tls_certificate, begun.web.tls_key
                        self._quietly("the page's certificate", renew_certificate, running.page_tls, certificate, key)
                case _:
                    pass

    def _exchange_sinks(self) -> None:
        assert self._deliveries is not None
        before, self._running.deliveries = self._running.deliveries, self._deliveries
        before.stop(_DRAIN_SECONDS)
        self._sinks_gate.open()
        self._deliveries.strike_out()

    def _quietly(self, what: str, function: Callable[..., object], *arguments: Any) -> None:
        """Do one of several things of which each has to be tried; what fails is noted."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - the others are to be done as well
            _log.error("reload: %s: %s", what, error, exc_info=not isinstance(error, AezError | OSError))
            self._lost.append(what)
