"""What `aez monitor check` tries beyond the configuration's text. A monitor that runs takes no notice."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import ssl
import time
from collections.abc import Callable
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from aez.codec.errors import AezError
from aez.daemon.build import models
from aez.daemon.build import parts as build
from aez.daemon.build.parsers import parsers
from aez.daemon.common import tls
from aez.daemon.common.files import try_file, try_folder
from aez.daemon.common.options import options_of
from aez.daemon.config.reader import ConfigError, Configuration, Fault, ModelConfig, SourceConfig
from aez.daemon.files.followed import FileOptions
from aez.daemon.sources.frames import FrameOptions
from aez.daemon.sources.http_push import HttpOptions
from aez.daemon.sources.mqtt import MqttOptions
from aez.daemon.sources.nats import NatsOptions
from aez.daemon.state.database import StoreOlder
from aez.daemon.state.held import holder, is_held
from aez.daemon.state.store import Store
from aez.daemon.tools.client import MonitorClient
from aez.daemon.tools.tap import PortTaken, require_port, source_beside

__all__ = ["deep_check", "shallow_check"]

_SECONDS = 10.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def shallow_check(config: Configuration) -> None:
    """Make parsers, sources and sinks without starting any, and read what models say of themselves.

    Raises ConfigError with everything that refuses.
    """
    faults: list[Fault] = []
    parts: list[Callable[[], object]] = [partial(parsers, config), partial(build.sinks, config)]
    parts += [partial(build.source, config, entry) for entry in config.sources]
    for make in parts + [partial(models.check_channels, config, entry) for entry in config.models]:
        try:
            make()
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)


def deep_check(config: Configuration) -> list[str]:
    """Open models, try brokers, ports, sinks and what is to be written; a line for each.

    Raises ConfigError with all that failed.
    """
    lines: list[str] = []
    faults: list[Fault] = []
    state = config.resolve(config.state.path)
    runs = is_held(state)

    def attempt(line: int, what: str, trial: Callable[[], str]) -> None:
        try:
            lines.append(f"{what}: {trial()}")
        except ConfigError as error:
            faults.extend(error.faults)
        except AezError as error:
            faults.append(Fault(config.label, line, what, str(error)))

    for model in config.models:
        attempt(model.line, f"model {model.name}", partial(_open_model, config, model))
    if config.web.enabled and config.web.port:
        attempt(1, "web", partial(_try_page, config, runs))
    for entry in config.sources:
        attempt(entry.line, f"source {entry.name}", partial(_try_source, config, entry, runs))
    for sink in config.sinks:
        attempt(sink.line, f"sink {sink.name}", partial(_try_sink, config, sink.name))
    attempt(1, "state.path", partial(_try_state, state, runs))
    letters = Path(config.service.dead_letters)
    attempt(1, "service.dead_letters", partial(_try_file, letters, "dead letters", config.service.dead_letters_bytes))
    if config.scores.path is not None:
        attempt(1, "scores.path", partial(_try_scores, Path(config.scores.path)))
    if faults:
        raise ConfigError(faults)
    return lines


def _open_model(config: Configuration, model: ModelConfig) -> str:
    (opened,) = models.models(config, only=model)
    models.watched(config, [opened])
    return f"{opened.takes}, on {opened.detector.device}"


def _try_state(path: Path, runs: bool) -> str:
    """Whether a monitor could run with this state. Raises AezError."""
    if runs:
        return f"{path} is that of the monitor that runs"
    if not path.exists():
        try_folder(path.parent, "the state")
        return f"{path} can be made"
    try_file(path, "the state")
    try:
        Store(path, check=False).close()
    except StoreOlder as error:
        return str(error)
    return f"{path} can be used"


def _try_file(path: Path, what: str, most: int) -> str:
    if not most:
        return "none are kept"
    try_file(path, what)
    return f"{path} can be written"


def _try_scores(folder: Path) -> str:
    """Whether the folder, or the nearest one above it that there is, takes files. Raises OutputError."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try_folder(there, "scores")
    return f"{folder} can be written"


def _try_page(config: Configuration, runs: bool) -> str:
    host, port = config.web.host, config.web.port
    try:
        require_port(host, port)
    except PortTaken:
        if not runs or holder(config.resolve(config.state.path)).get("port", port) != port:
            raise
        MonitorClient(config, timeout=_SECONDS).problems()
        return f"port {port} is that of the monitor that runs"
    return f"port {port} is free"


def _try_source(config: Configuration, entry: SourceConfig, runs: bool) -> str:
    """Whether a source's counterpart can be reached, or its port be had. Raises AezError."""
    match entry.options:
        case HttpOptions() as options:
            try:
                require_port(options.host, options.port)
            except PortTaken:
                if not runs or not _takes_pushes(options):
                    raise
                return f"port {options.port} is that of the monitor that runs"
            return f"port {options.port} is free"
        case MqttOptions() | NatsOptions():
            return _connect(config, entry)
        case FileOptions(paths=paths) | FrameOptions(paths=paths):
            found = [path for pattern in paths for path in glob(pattern, recursive=True)]  # noqa: PTH207
            return f"{len(found)} files now"
        case _:
            return "nothing to try"


def _connect(config: Configuration, entry: SourceConfig) -> str:
    """Connect, sign in and subscribe as a second reader."""
    source = source_beside(config, entry)
    source.start(lambda chunk: None)  # noqa: ARG005 - what comes meanwhile is not looked at
    try:
        deadline = time.monotonic() + _SECONDS
        while (trouble := source.status()) and time.monotonic() < deadline:
            if not trouble.startswith("not connected yet"):
                break
            time.sleep(0.02)
    finally:
        source.close()
    if trouble:
        raise AezError(trouble.rstrip("."))
    return "connected and subscribed"


def _try_sink(config: Configuration, name: str) -> str:
    """By a sink under another client id: a broker would end the session of the monitor that runs."""
    (entry,) = (one for one in config.sinks if one.name == name)
    if "client_id" in options_of(type(entry.options)):
        other: dict[str, Any] = {"client_id": None}
        entry = dataclasses.replace(entry, options=dataclasses.replace(entry.options, **other))
    sink = build.sinks(dataclasses.replace(config, sinks=(entry,)))[name]
    try:
        sink.check()
    finally:
        sink.close()
    return "answers"


def _takes_pushes(options: HttpOptions) -> bool:
    """Whether what listens at the source's port says that it is one of ours."""
    host, port = _EVERYWHERE.get(options.host, options.host), options.port
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    if options.tls_certificate:
        context: ssl.SSLContext = tls.pinned_context(options.tls_certificate)
        connection = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/ping")
        return connection.getresponse().headers.get("X-Influxdb-Version") == "aez"
    return False
