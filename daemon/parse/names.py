"""The name of a message's stream, made from its columns, its topic and its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from aez.daemon.common.limits import Limits
from aez.daemon.parse.faults import Fault
from aez.daemon.parse.options import Options

__all__ = ["Admit", "Origin", "StreamNames", "fill"]

#: Topic (or None) and source of a chunk.
Origin = tuple[str | None, str]
#: Whether a stream of this name may be taken in.
Admit = Callable[[str], bool]

_HOLE = re.compile(r"\{([^{}]*)\}")
_LEVEL = re.compile(r"topic\[(-?\d+)\]", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def _is_column(name: str) -> bool:
    return name not in ("topic", "source", "measurement") and not _LEVEL.fullmatch(name)


def fill(template: str, origin: Origin, keys: Mapping[str, str]) -> str:
    """The template with its holes filled; raises Fault when something for them is missing."""

    def value(hole: re.Match[str]) -> str:
        name, (topic, source) = hole[1], origin
        level = _LEVEL.fullmatch(name)
        if name == "source":
            return source
        if name == "topic" or level:
            if topic is None:
                raise Fault("no_stream", "the message has no topic")
            levels = topic.split("/" if "/" in topic else ".")
            if level and not -len(levels) <= int(level[1]) < len(levels):
                raise Fault("no_stream", f"topic {topic!r} has no level {level[1]}")
            return levels[int(level[1])] if level else topic
        if name not in keys:
            raise Fault("no_stream", f"the message has no {name!r}")
        return keys[name]

    return _HOLE.sub(value, template)


class StreamNames:
    """Names and admission of streams. `series`: without a template, the name is made from all keys (line protocol)."""

    def __init__(self, options: Options, limits: Limits, admit: Admit | None, series: bool = False) -> None:
        template = options.stream
        if template is not None and not _HOLE.search(template):
            template = "{" + template + "}"
        self._template = template
        self._series = series and template is None
        self._patterns = tuple(options.streams)
        self._limits = limits
        self._admit = admit or self._admit_so_many
        self._admitted: set[str] = set()
        self._cache: dict[tuple[Origin, tuple[tuple[str, str], ...]], str] = {}
        holes = _HOLE.findall(template or "")
        #: Columns that make the name.
        self.columns = tuple(dict.fromkeys(name for name in holes if _is_column(name)))

    def __call__(self, origin: Origin, keys: Mapping[str, str]) -> str:
        """The name; raises Fault where there is none, or the stream is not taken in."""
        cached = (origin, tuple(keys.items()))
        name = self._cache.get(cached)
        if name is None:
            name = self._check(self._make(origin, keys))
            if len(self._cache) >= 2 * self._limits.streams:
                self._cache.clear()
            self._cache[cached] = name
        if not self._admit(name):
            raise Fault("too_many_streams", f"stream {name!r} is one more than there may be")
        return name

    def _make(self, origin: Origin, keys: Mapping[str, str]) -> str:
        if self._template is not None:
            return fill(self._template, origin, keys)
        if self._series:
            tags = sorted((name, value) for name, value in keys.items() if name != "measurement")
            return ",".join([keys.get("measurement", ""), *(f"{name}={value}" for name, value in tags)])
        topic, source = origin
        return topic if topic is not None else source

    def _check(self, name: str) -> str:
        if not name or _CONTROL.search(name):
            raise Fault("bad_stream", f"{name[:100]!r} cannot name a stream")
        if len(name.encode()) > self._limits.name_bytes:
            raise Fault("bad_stream", f"the stream's name is longer than {self._limits.name_bytes} bytes")
        if self._patterns and not any(fnmatchcase(name, pattern) for pattern in self._patterns):
            raise Fault("unknown_stream", f"no pattern takes stream {name!r}")
        return name

    def _admit_so_many(self, name: str) -> bool:
        if name not in self._admitted and len(self._admitted) < self._limits.streams:
            self._admitted.add(name)
        return name in self._admitted
