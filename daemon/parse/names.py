"""What a message's names mean: its stream's, made from columns, topic and source, and those of its columns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import Any

from aez.codec.common.extras import library
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import TIME_COLUMNS
from aez.daemon.parse.numbers import checked, value_of
from aez.daemon.parse.options import Options
from aez.daemon.parse.results import BadPart, Message, MessageFault
from aez.daemon.transform.columns import Transforms
from aez.daemon.transform.conversion import Conversion

__all__ = ["Admit", "ChannelNames", "Mapper", "Origin", "StreamNames", "fill", "time_columns"]

#: Topic (or None) and source of a chunk.
Origin = tuple[str | None, str]
#: Whether a stream of this name may be taken in.
Admit = Callable[[str], bool]

_HOLE = re.compile(r"\{([^{}]*)\}")
_LEVEL = re.compile(r"topic\[(-?\d+)\]", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: Names of columns that are remembered as sound.
_NAMES = 10_000


def _is_column(name: str) -> bool:
    return name not in ("topic", "source", "measurement") and not _LEVEL.fullmatch(name)


def fill(template: str, origin: Origin, keys: Mapping[str, str]) -> str:
    """The template with its holes filled; raises MessageFault when something for them is missing."""

    def value(hole: re.Match[str]) -> str:
        name, (topic, source) = hole[1], origin
        level = _LEVEL.fullmatch(name)
        if name == "source":
            return source
        if name == "topic" or level:
            if topic is None:
                raise MessageFault("no_stream", "the message has no topic")
            levels = topic.split("/" if "/" in topic else ".")
            if level and not -len(levels) <= int(level[1]) < len(levels):
                raise MessageFault("no_stream", f"topic {topic!r} has no level {level[1]}")
            return levels[int(level[1])] if level else topic
        if name not in keys:
            raise MessageFault("no_stream", f"the message has no {name!r}")
        return keys[name]

    return _HOLE.sub(value, template)


def _holed(template: str) -> str:
    """A template; one without a hole is the name of a column."""
    return template if _HOLE.search(template) else "{" + template + "}"


def _columns(template: str) -> tuple[str, ...]:
    """The columns that a template is filled from."""
    return tuple(dict.fromkeys(name for name in _HOLE.findall(template) if _is_column(name)))


def time_columns(time: str | None) -> tuple[str, ...]:
    """The columns that the option `time` names: one, or the holes of a template."""
    return () if time is None else tuple(dict.fromkeys(_HOLE.findall(time))) or (time,)


class StreamNames:
    """Names and admission of streams. `series`: without a template, the name is made from all keys (line protocol)."""

    def __init__(self, options: Options, limits: Limits, admit: Admit | None, series: bool = False) -> None:
        template = None if options.stream is None else _holed(options.stream)
        self._template = template
        self._series = series and template is None
        self._patterns = tuple(options.streams)
        self._limits = limits
        self._admit = admit or self._admit_so_many
        self._admitted: set[str] = set()
        self._cache: dict[tuple[Origin, tuple[tuple[str, str], ...]], str] = {}
        #: Columns that make the name.
        self.columns = _columns(template or "")

    def __call__(self, origin: Origin, keys: Mapping[str, str]) -> str:
        """The name; raises MessageFault where there is none, or the stream is not taken in."""
        cached = (origin, tuple(keys.items()))
        name = self._cache.get(cached)
        if name is None:
            name = self._check(self._make(origin, keys))
            if len(self._cache) >= 2 * self._limits.streams:
                self._cache.clear()
            self._cache[cached] = name
        if not self._admit(name):
            raise MessageFault("too_many_streams", f"stream {name!r} is one more than there may be", name)
        return name

    def of_refused(self, origin: Origin, fault: MessageFault) -> str:
        """The stream of a message that is refused, as far as that is known; it takes nobody's place."""
        if fault.stream:
            return fault.stream
        if fault.keys is None and (self.columns or self._series):
            return ""
        try:
            return self._check(self._make(origin, fault.keys or {}))
        except MessageFault:
            return ""

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
            raise MessageFault("bad_stream", f"{name[:100]!r} cannot name a stream")
        if len(name.encode()) > self._limits.name_bytes:
            raise MessageFault("bad_stream", f"the stream's name is longer than {self._limits.name_bytes} bytes")
        if self._patterns and not any(fnmatchcase(name, pattern) for pattern in self._patterns):
            raise MessageFault("unknown_stream", f"no pattern takes stream {name!r}", name)
        return name

    def _admit_so_many(self, name: str) -> bool:
        if name not in self._admitted and len(self._admitted) < self._limits.streams:
            self._admitted.add(name)
        return name in self._admitted


class Mapper:
    """Which columns are what, after the options; shared by all formats."""

    def __init__(self, options: Options, names: StreamNames, unit: str, magnitude: float) -> None:
        library("pyarrow.compute", "monitor")  # loaded now, so that the first message does not wait for it
        self.options = options
        self._magnitude = magnitude
        self.unit = options.time_unit or unit
        self.times = (options.time,) if options.time else TIME_COLUMNS
        self.wanted = frozenset(options.columns)
        named = () if options.channel is None else _columns(_holed(options.channel))
        self.tags = frozenset([*names.columns, *options.tags, *named])
        #: Columns that the time is put together from, where there is more than one.
        self.time_parts = time_columns(options.time) if _HOLE.search(options.time or "") else ()
        self.beside = self.tags.union(self.time_parts)
        self._names: set[str] = set()
        self.transforms = Transforms(options.transforms)
        #: Names of columns that are sound and mean what they say, as far as is known; empty where they may not.
        self.plain_names: Set[str] = frozenset() if self.transforms or self.wanted else self._names
        self.order = {self.renamed(name): i for i, name in enumerate(options.columns)}

    def takes(self, name: str) -> bool:
        """Whether a column, which is neither the time nor a key, is a value."""
        return name in self.wanted if self.wanted else True

    def time_name(self, names: Iterable[str] | Mapping[str, Any]) -> str | None:
        """The column of the time among these."""
        return next((name for name in self.times if name in names), None)

    def joined_time(self, cells: Mapping[str, Any]) -> str | None:
        """The time of a message that has it in parts; None where it lacks one."""
        found = [cells.get(name) for name in self.time_parts]
        if not all(isinstance(one, str | int | float) and str(one).strip() for one in found):
            return None
        told = {name: str(one).strip() for name, one in zip(self.time_parts, found, strict=True)}
        return _HOLE.sub(lambda hole: told[hole[1]], self.options.time or "")

    def sorted(self, columns: Iterable[str]) -> tuple[str, ...]:
        """New names in the order of Samples: as configured, or by name."""
        if self.order:
            return tuple(sorted(columns, key=lambda name: self.order.get(name, len(self.order))))
        return tuple(sorted(columns))

    def renamed(self, name: str) -> str:
        return self.transforms.renamed(name) if self.transforms else name

    def converted(self, name: str, value: Any) -> float | None:
        """The value of a column that a transform is for, from a text, number or null; None where there is no such.

        Raises MessageFault for a value beyond the limit.
        """
        if not self.transforms.of(name):
            return None
        if isinstance(value, str):
            return checked(self.transforms.number(name, value), name, self._magnitude)
        number, conversion = value_of(value, name, math.inf), self.transforms.conversion(name)
        return checked(number if conversion is None else conversion.one(number), name, self._magnitude)

    def conversions(self, names: Iterable[str]) -> dict[str, Conversion]:
        """What becomes of these columns, by their new names, where anything does."""
        found = {self.renamed(name): self.transforms.conversion(name) for name in names} if self.transforms else {}
        return {name: one for name, one in found.items() if one is not None}

    def check_name(self, name: str, limit: int) -> None:
        """Raise MessageFault when a column may not be called so."""
        if name in self._names:
            return
        if _SURROGATE.search(name) or len(name.encode()) > limit:
            raise MessageFault("bad_name", f"a column's name is no text, or longer than {limit} bytes: {name[:50]!r}")
        if len(self._names) >= _NAMES:
            self._names.clear()
        self._names.add(name)

    def check_complete(self, values: Mapping[str, float]) -> None:
        if self.options.complete and len(values) < len(self.wanted):
            lacks = next(name for name in self.options.columns if self.renamed(name) not in values)
            raise MessageFault("missing_column", f"the message has no {lacks!r}")
        if not values:
            raise MessageFault("no_values", "the message has no value that is taken")


class ChannelNames:
    """What the values of messages in long format are called, where a message has the value of one sensor."""

    def __init__(self, template: str, options: Options, mapper: Mapper, name_bytes: int) -> None:
        self._template, self._mapper, self._name_bytes = _holed(template), mapper, name_bytes
        #: Columns that make the name.
        self.columns = frozenset(_columns(self._template))
        stream = () if options.stream is None else _columns(_holed(options.stream))
        self._alone = self.columns - {*stream, *options.tags}

    @classmethod
    def of(cls, options: Options, mapper: Mapper, limits: Limits) -> ChannelNames | None:
        """None where messages have their values by name."""
        return None if options.channel is None else cls(options.channel, options, mapper, limits.name_bytes)

    def named(self, one: Message | BadPart, origin: Origin) -> Message | BadPart:
        """A message with its values by their names, or why it has none."""
        if isinstance(one, BadPart):
            return one
        try:
            values = self.values(origin, one.keys, one.values)
        except MessageFault as fault:
            return BadPart(fault.of(one.keys), one.raw)
        return Message(one.time, self.others(one.keys), values, one.raw)

    def values(self, origin: Origin, keys: Mapping[str, str], values: Mapping[str, float]) -> dict[str, float]:
        """A message's values by their names, converted. Raises MessageFault where there is no name."""
        found, mapper = {}, self._mapper
        for (column, value), full in zip(values.items(), self._full(origin, keys, tuple(values)), strict=True):
            mapper.check_name(full, self._name_bytes)
            converted = None if mapper.transforms.of(column) else mapper.converted(full, value)
            found[mapper.renamed(full)] = value if converted is None else converted
        return found

    def conversions(self, origin: Origin, keys: Mapping[str, str], columns: Sequence[str]) -> list[Conversion | None]:
        """What becomes of the values of these columns by their names; one that is transformed by its column stays."""
        transforms, full = self._mapper.transforms, self._full(origin, keys, columns)
        return [
            None if transforms.of(column) else transforms.conversion(name)
            for column, name in zip(columns, full, strict=True)
        ]

    def _full(self, origin: Origin, keys: Mapping[str, str], columns: Sequence[str]) -> list[str]:
        """The names before they are changed. Raises MessageFault where there is none."""
        try:
            name = fill(self._template, origin, keys)
        except MessageFault as fault:
            raise MessageFault("missing_column", f"{fault.detail}, which names its value") from None
        return [name] if len(columns) == 1 else [f"{name}.{column}" for column in columns]

    def others(self, keys: Mapping[str, str]) -> dict[str, str]:
        """The keys without those that name the value alone, and tell no stream."""
        return {name: key for name, key in keys.items() if name not in self._alone}
