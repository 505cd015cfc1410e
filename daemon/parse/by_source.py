"""The parsers of all sources, chosen by a chunk's source and format."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.frames.models import FrameModel
from aez.daemon.parse.formats import Parser, parser
from aez.daemon.parse.names import Admit
from aez.daemon.parse.options import Options
from aez.daemon.transform.words import ModelWords, WordTables

__all__ = ["SourceParsers"]

_log = logging.getLogger("aez.daemon.pipeline")


def _nowhere(stream: str) -> int | None:  # noqa: ARG001 - the shape of a place
    return None


class SourceParsers:
    """Parses the chunks of all sources, each by its own options; the format is the chunk's. One thread uses it.

    options: by the source's name. admit: whether a stream of that name may come in, asked once for each new one.
    place: the number of the model that takes a stream; models: by that number, None for those that watch no frames.
    newest: the newest time that a stream had before, or None, for local times that come twice. words: of those models
    the columns of text and their words.
    """

    def __init__(
        self,
        options: Mapping[str, Options],
        limits: Limits,
        admit: Admit | None = None,
        place: Callable[[str], int | None] = _nowhere,
        models: Sequence[FrameModel | None] = (),
        newest: Callable[[str], int | None] = _nowhere,
        words: Sequence[ModelWords] = (),
    ) -> None:
        self._words = WordTables(words, place)
        self._options, self._limits, self._admit = options, limits, admit
        self._place, self._models, self._newest = place, models, newest
        self._made: dict[tuple[str, str], Parser] = {}
        self._told: set[str] = set()  # sources of which the log has that no time is read

    def prepare(self, source: str, format: str) -> Parser:
        """The parser of a source's chunks of that format. Raises InvalidArgument for options that it does not take."""
        made = self._made.get((source, format))
        if made is None:
            options = self._options[source]
            options = replace(options, transforms=(*options.transforms, *self._words.transforms))
            made = self._made[source, format] = parser(format, options, self._limits, self._admit, self._frames)
            made.local.newest = self._newest
        return made

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        """Samples and malformed messages of chunks of one source and format; none of a source that was taken out."""
        if chunks[0].source not in self._options:
            return [], []
        made = self.prepare(chunks[0].source, chunks[0].format)
        samples, malformed = made.parse_many(chunks)
        if made.unread_time.column:
            self._tell(chunks[0].source, made.unread_time.column)
        return [self._words.placed(one) for one in samples] if self._words else samples, malformed

    def _tell(self, source: str, column: str) -> None:
        """Say once that messages get the time of their arrival, although one seems to stand in them."""
        if source not in self._told:
            self._told.add(source)
            text = "source %s: its messages get the time of their arrival, and %r seems to hold it; set time = %r"
            _log.warning(text, source, column, column)

    def _frames(self, stream: str) -> FrameModel | None:
        """The model that watches a stream's frames: the first that takes the stream, if it is one of pictures."""
        place = self._place(stream)
        return None if place is None else self._models[place]
