"""What `aez monitor check` tries beyond the configuration's text."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aez.codec.errors import AezError
from aez.daemon import build
from aez.daemon.config import ConfigError, Configuration, Fault

__all__ = ["deep_check", "shallow_check"]

_SECONDS = 5.0


def shallow_check(config: Configuration) -> None:
    """Make parsers, sources and sinks without starting any. Raises ConfigError with everything that refuses."""
    faults: list[Fault] = []
    parts: list[Callable[[], object]] = [partial(build.Parsers, config), partial(build.sinks, config)]
    for make in parts + [partial(build.source, config, entry) for entry in config.sources]:
        try:
            make()
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)


def deep_check(config: Configuration) -> list[str]:
    """Open models, knock at brokers and ports, let sinks try; a line for each. Raises ConfigError with what failed."""
    lines: list[str] = []
    faults: list[Fault] = []

    def fault(line: int, what: str, problem: object) -> None:
        faults.append(Fault(config.label, line, what, str(problem)))

    for model in config.models:
        try:
            (opened,) = build.models(config, only=model)
            lines.append(f"model {model.name}: {len(opened.detector.channels)} channels, on {opened.detector.device}")
        except AezError as error:
            fault(model.line, f"model {model.name}", error)
    for entry in config.sources:
        try:
            lines.append(f"source {entry.name}: {_knock(entry.kind, entry.options)}")
        except OSError as error:
            fault(entry.line, f"source {entry.name}", error.strerror or error)
    for sink in config.sinks:
        try:
            build.sinks(config)[sink.name].check()
            lines.append(f"sink {sink.name}: answers")
        except AezError as error:
            fault(sink.line, f"sink {sink.name}", error)
    if faults:
        raise ConfigError(faults)
    return lines


def _knock(kind: str, options: Mapping[str, Any]) -> str:
    """Whether a source's counterpart can be reached, or its port be had. Raises OSError."""
    match kind:
        case "http":
            with socket.create_server((options["host"], options["port"])):
                return f"port {options['port']} is free"
        case "mqtt":
            return _reach(options["host"], options["port"])
        case "nats":
            for server in options["servers"]:
                host, _, port = server.rpartition("://")[2].rpartition("@")[2].partition(":")
                _reach(host, int(port or 4222))
            return f"{', '.join(options['servers'])} can be reached"
        case "file":
            from glob import glob

            found = [path for pattern in options["paths"] for path in glob(pattern, recursive=True)]  # noqa: PTH207
            return f"{len(found)} files now"
        case _:
            return "nothing to try"


def _reach(host: str, port: int) -> str:
    with socket.create_connection((host, port), _SECONDS):
        return f"{host}:{port} can be reached"
