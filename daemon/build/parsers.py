"""Parsers that a configuration asks for, one for each source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aez.codec.errors import AezError
from aez.daemon.build.models import LoadedModel, refused
from aez.daemon.config.reader import Configuration
from aez.daemon.engine.routing import Router
from aez.daemon.frames.models import FrameModel
from aez.daemon.parse.by_source import SourceParsers

__all__ = ["parsers"]


def parsers(
    config: Configuration,
    admit: Callable[[str], bool] | None = None,
    models: Sequence[LoadedModel] = (),
    newest: Callable[[str], int | None] = lambda stream: None,  # noqa: ARG005
) -> SourceParsers:
    """Parsers of all sources; those `models` that watch frames measure them there. Raises ConfigError.

    admit, newest: see `SourceParsers`.
    """
    options = {entry.name: entry.parse for entry in config.sources}
    watching = [one.detector if isinstance(one.detector, FrameModel) else None for one in models]
    place = Router([one.entry.options.streams for one in models]).model
    made = SourceParsers(options, config.limits, admit, place, watching, newest, [_words(one) for one in models])
    for entry in config.sources:
        try:
            made.prepare(entry.name, entry.format)
        except AezError as error:
            raise refused(config, entry.line, f"source {entry.name}", error) from error
    return made


def _words(model: LoadedModel) -> dict[str, tuple[str, ...]]:
    """The words of a model's channels of text, by the columns that these come in."""
    words = getattr(model.detector, "words", {})  # those of frames have none
    return {model.entry.options.columns.get(channel, channel): tuple(known) for channel, known in words.items()}
