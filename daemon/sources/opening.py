"""A source by its kind."""

from __future__ import annotations

from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.daemon.common.kinds import SOURCES
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import Options
from aez.daemon.sources.base import Source
from aez.daemon.sources.files import FileOptions

__all__ = ["open_source"]

_MODULES = ("aiohttp", "nats", "paho", "pyarrow")


def open_source(kind: str, name: str, options: Options, limits: Limits | None = None) -> Source:
    """The source of that kind, not started. Files of format "arrow" have a class of their own.

    Raises InvalidArgument for options of another kind or that do not go together, AezError where a library is missing.
    """
    source_class: type[Source] = SOURCES.load(kind)
    if not isinstance(options, source_class.Options):
        raise InvalidArgument(f"a source of kind {kind} does not take {type(options).__name__}")
    if isinstance(options, FileOptions) and options.format == "arrow":
        from aez.daemon.sources.arrow_files import ArrowFiles

        source_class = ArrowFiles
    with needs("aez[monitor]", _MODULES):
        return source_class(name, options, limits)
