"""Parsers that a configuration asks for, one for each source, chosen by a chunk's source and format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aez.codec.errors import AezError
from aez.daemon.build.models import LoadedModel, refused
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.config.reader import Configuration
from aez.daemon.engine.routing import Router
from aez.daemon.frames.models import FrameModel
from aez.daemon.parse.formats import Parser, parser


class Parsers:
    """Parses the chunks of all sources, each by its own options; the format is the chunk's.

    admit: whether a stream of that name may come in, asked once for each new one. models: those that watch frames
    measure them here; progress: is called before each frame. Raises ConfigError.
    """

    def __init__(
        self,
        config: Configuration,
        admit: Callable[[str], bool] | None = None,
        models: Sequence[LoadedModel] = (),
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._progress = progress
        self._limits, self._admit = config.limits, admit
        self._models, self._router = models, Router([one.entry.options.streams for one in models])
        self._entries = {entry.name: entry for entry in config.sources}
        self._made: dict[tuple[str, str], Parser] = {}
        for entry in config.sources:
            try:
                self._parser(entry.name, entry.format)
            except AezError as error:
                raise refused(config, entry.line, f"source {entry.name}", error) from error

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        """Samples and malformed messages of chunks of one source and format; none of a source that was taken out."""
        if chunks[0].source not in self._entries:
            return [], []
        return self._parser(chunks[0].source, chunks[0].format).parse_many(chunks)

    def _parser(self, source: str, kind: str) -> Parser:
        made = self._made.get((source, kind))
        if made is None:
            options = self._entries[source].parse
            made = self._made[source, kind] = parser(kind, options, self._limits, self._admit, self._frames)
        return made

    def _frames(self, stream: str) -> FrameModel | None:
        """The model that watches a stream's frames: the first that takes the stream, if it is one of pictures."""
        self._progress()
        place = self._router.model(stream)
        model = None if place is None else self._models[place].detector
        if not isinstance(model, FrameModel):
            return None
        model.progress = self._progress
        return model
