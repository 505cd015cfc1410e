"""The kinds of sources and sinks: each name with where its class is, imported when somebody asks for it.

A place is written as packages write their entry points, `module:Class`, so that those of other packages could be read
from a group of that name. The class has an attribute `Options`, a subclass of `aez.daemon.common.options.Options`. Its
module imports without the libraries that the kind needs to run; its constructor says which is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.options import Option, Options, nearest, options_of
from aez.daemon.parse.options import Options as ParseOptions

__all__ = ["SINKS", "SOURCES", "Kinds", "parse_options"]


@dataclass(frozen=True)
class Kinds:
    """The kinds of one part: what one is called, the group of its entry points, and place by name."""

    what: str
    group: str
    places: Mapping[str, str]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def load(self, kind: str) -> Any:
        """The class of a kind. Raises InvalidArgument where there is no such kind."""
        if kind not in self.places:
            raise InvalidArgument(
                f"{kind!r} is no kind of {self.what}; choose one of {', '.join(self)}{nearest(kind, self)}"
            )
        return EntryPoint(kind, self.places[kind], self.group).load()

    def options(self, kind: str) -> type[Options]:
        """What a kind can be told. Raises InvalidArgument where there is no such kind."""
        found: type[Options] = self.load(kind).Options
        return found


SOURCES = Kinds(
    "source",
    "aez.monitor.sources",
    {
        "stdin": "aez.daemon.sources.stdin:Stdin",
        "file": "aez.daemon.files.followed:Files",
        "frames": "aez.daemon.sources.frames:Frames",
        "http": "aez.daemon.sources.http_push:HttpPush",
        "mqtt": "aez.daemon.sources.mqtt:Mqtt",
        "nats": "aez.daemon.sources.nats:Nats",
    },
)
SINKS = Kinds(
    "sink",
    "aez.monitor.sinks",
    {
        "console": "aez.daemon.sinks.console:ConsoleSink",
        "json_lines": "aez.daemon.sinks.json_lines:JsonLinesSink",
        "webhook": "aez.daemon.sinks.webhook:WebhookSink",
        "email": "aez.daemon.sinks.email:EmailSink",
        "chat": "aez.daemon.sinks.chat:ChatSink",
        "alertmanager": "aez.daemon.sinks.alertmanager:AlertmanagerSink",
        "mqtt": "aez.daemon.sinks.mqtt:MqttSink",
        "nats": "aez.daemon.sinks.nats:NatsSink",
        "postgres": "aez.daemon.sinks.postgres:PostgresSink",
    },
)


def parse_options(kind: str) -> Mapping[str, Option]:
    """The options of parsing that apply to sources of a kind. Raises InvalidArgument where there is no such kind."""
    wanted: Sequence[str] | None = SOURCES.load(kind).parsing
    return {name: one for name, one in options_of(ParseOptions).items() if wanted is None or name in wanted}
