"""A look at what comes in, parsed as the monitor would, beside a monitor that may run.

Guarantee: no state, position, session or consumer of the monitor is touched, and no data is taken from it. Files are
read on their own; MQTT has a session of its own that ends with the connection; NATS an own consumer without a name.
What is pushed over HTTP needs the port, so that no monitor can run; pushes are answered with 503, as nothing is
stored, and a good sender keeps them. Standard input is read, and gone.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence

from aez.codec.errors import AezError
from aez.daemon.build import models
from aez.daemon.build import parts as build
from aez.daemon.build.opening import open_nats_tap
from aez.daemon.build.parsers import parsers
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.config.reader import Configuration, SourceConfig
from aez.daemon.files.followed import FileOptions
from aez.daemon.sources.base import Source
from aez.daemon.sources.frames import FrameOptions
from aez.daemon.sources.http_push import HttpOptions
from aez.daemon.sources.mqtt import MqttOptions
from aez.daemon.sources.nats import NatsOptions

__all__ = ["PortTaken", "Tap", "require_port", "source_beside"]

_CHUNKS = 8  # that wait; a full queue holds the sources back
_ANSWER_SECONDS = 0.5
_SHARED = "$share/"


class PortTaken(AezError):
    """A port cannot be listened at."""


def source_beside(config: Configuration, entry: SourceConfig, *, from_start: bool = False) -> Source:
    """The source as a second reader that leaves no trace; not started. Raises ConfigError, PortTaken.

    from_start: begin with what is there already, where the source keeps anything.
    """
    options = entry.options
    match options:
        case NatsOptions():
            return _nats_beside(config, entry, options, from_start)
        case MqttOptions():
            options = dataclasses.replace(
                options,
                client_id=f"aez-tap-{secrets.token_hex(4)}",
                session_seconds=0,
                topics=[_unshared(topic) for topic in options.topics],
            )
        case FileOptions() | FrameOptions():
            options = dataclasses.replace(options, from_beginning=from_start)
        case HttpOptions():
            options = dataclasses.replace(options, answer_seconds=_ANSWER_SECONDS)
            try:
                require_port(options.host, options.port)
            except PortTaken as error:
                text = f"source {entry.name}: {error}; what is pushed can be looked at while no monitor listens there"
                raise PortTaken(text) from error
    return build.source(config, dataclasses.replace(entry, options=options))


def _nats_beside(config: Configuration, entry: SourceConfig, options: NatsOptions, from_start: bool) -> Source:
    try:
        return open_nats_tap(entry.name, options, config.limits, from_start=from_start)
    except AezError as error:
        raise models.refused(config, entry.line, f"source {entry.name}", error) from error


def _unshared(topic: str) -> str:
    """A shared subscription would take messages away from the others that share it."""
    return topic.split("/", 2)[2] if topic.startswith(_SHARED) and topic.count("/") > 1 else topic


def require_port(host: str, port: int) -> None:
    """Raise PortTaken where it cannot be listened at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            return
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise PortTaken(f"port {port} of {host} cannot be had: {reason}") from error


class Tap:
    """Several sources, looked at together. Raises ConfigError and PortTaken before anything is read.

    Use it as a context; `looks` then gives what comes, in the order of arrival, and ends when all sources have.
    """

    def __init__(self, config: Configuration, entries: Sequence[SourceConfig], *, from_start: bool = False) -> None:
        pictures = any(one.format == "image" for one in config.sources)
        # Pictures become rows by the model that watches them.
        self._parsers = parsers(config, models=models.models(config) if pictures else ())
        self._kinds = {entry.name: entry.kind for entry in entries}
        self._sources = {entry.name: source_beside(config, entry, from_start=from_start) for entry in entries}
        self._queue: queue.Queue[Chunk] = queue.Queue(_CHUNKS)
        self._ended = threading.Event()

    def __enter__(self) -> Tap:
        for source in self._sources.values():
            source.start(self._put)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for source in self._sources.values():
            source.stop(1.0)
        for source in self._sources.values():
            source.close()

    def looks(self) -> Iterator[tuple[str, list[Samples], list[Malformed]]]:
        """The source's name, what of it can be used, and what cannot."""
        while True:
            try:
                chunk = self._queue.get(timeout=0.1)
            except queue.Empty:
                if all(source.done.is_set() for source in self._sources.values()) and self._queue.empty():
                    return
                continue
            samples, malformed = self._parsers.parse_many([chunk])
            yield chunk.source, samples, malformed
            if self._kinds[chunk.source] != "http":  # whose senders are to keep what they sent
                self._sources[chunk.source].acknowledge(chunk.position)

    def _put(self, chunk: Chunk) -> None:
        while not self._ended.is_set():
            try:
                self._queue.put(chunk, timeout=0.2)
            except queue.Full:
                continue
            return
