"""Sources and sinks by their kinds, opened with their options; a library that is missing is named with its extra."""

from __future__ import annotations

from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import Options
from aez.daemon.config.kinds import SINKS, SOURCES
from aez.daemon.files.followed import FileOptions
from aez.daemon.sinks.base import Sink
from aez.daemon.sources.base import Source
from aez.daemon.sources.nats import NatsOptions

__all__ = ["open_nats_tap", "open_sink", "open_source"]

_EXTRA, _MODULES = "aez[monitor]", ("aiohttp", "nats", "paho", "pyarrow")


def open_source(kind: str, name: str, options: Options, limits: Limits | None = None) -> Source:
    """The source of that kind, not started. Files of format "arrow" have a class of their own.

    Raises InvalidArgument for options of another kind or that do not go together, AezError where a library is missing.
    """
    source_class: type[Source] = SOURCES.load(kind)
    if not isinstance(options, source_class.Options):
        raise InvalidArgument(f"a source of kind {kind} does not take {type(options).__name__}")
    if isinstance(options, FileOptions) and options.format == "arrow":
        from aez.daemon.files.arrow import ArrowFiles

        source_class = ArrowFiles
    with needs(_EXTRA, _MODULES):
        return source_class(name, options, limits)


def open_nats_tap(name: str, options: NatsOptions, limits: Limits, *, from_start: bool) -> Source:
    """A second reader that leaves no trace, not started; from_start: with what the stream holds. Raises as above."""
    with needs(_EXTRA, _MODULES):
        from aez.daemon.sources.nats_tap import NatsTap

        return NatsTap(name, options, limits, from_start=from_start)


def open_sink(kind: str, options: Options) -> Sink:
    """The sink of that kind, which connects to nothing yet. Raises as `open_source`."""
    sink_class: type[Sink] = SINKS.load(kind)
    if not isinstance(options, sink_class.Options):
        raise InvalidArgument(f"a sink of kind {kind} does not take {type(options).__name__}")
    with needs(_EXTRA, _MODULES):
        return sink_class(options)
