"""Parsers that a configuration asks for, one for each source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aez.codec.errors import AezError
from aez.daemon.build.models import LoadedModel, limits, refused
from aez.daemon.config.reader import Configuration, SourceConfig
from aez.daemon.config.schema import PARSE_KEYS
from aez.daemon.engine.routing import Router
from aez.daemon.frames.models import FrameModel
from aez.daemon.parse.by_source import SourceParsers
from aez.daemon.parse.options import Options

__all__ = ["parsers"]


def parsers(
    config: Configuration, admit: Callable[[str], bool] | None = None, models: Sequence[LoadedModel] = ()
) -> SourceParsers:
    """Parsers of all sources; those `models` that watch frames measure them there. Raises ConfigError."""
    options = {entry.name: _options(config, entry) for entry in config.sources}
    watching = [one.detector if isinstance(one.detector, FrameModel) else None for one in models]
    made = SourceParsers(options, limits(config), admit, Router([one.entry.streams for one in models]).model, watching)
    for entry in config.sources:
        try:
            made.prepare(entry.name, entry.options["format"])
        except AezError as error:
            raise refused(config, entry.line, f"source {entry.name}", error) from error
    return made


def _options(config: Configuration, entry: SourceConfig) -> Options:
    given: dict[str, Any] = {name: entry.options[name] for name in PARSE_KEYS if entry.options.get(name) is not None}
    try:
        return Options.from_mapping(given)
    except AezError as error:
        raise refused(config, entry.line, f"source {entry.name}", error) from error
