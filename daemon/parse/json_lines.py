"""JSON Lines: one object, or a list of objects, a line. Of a list what cannot be used is left out, and nothing else.

An object with such a list and no value beside it, as `{"metrics": [...]}`, is an envelope: each object of the list is a
message, and what stands beside the list (a time, a stream's name) holds for those that do not have it themselves.
Members of objects within the object are columns by their path, as in `motor.temperature`; lists within are passed
over. null is a missing value, and so are `NaN` and `Infinity`, which are not JSON, and 9.9e37.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from aez.daemon.parse.lines import Layout, LineParser, no_text, text_of
from aez.daemon.parse.names import Origin, fill
from aez.daemon.parse.numbers import value_of
from aez.daemon.parse.results import BadPart, Message, MessageFault

__all__ = ["JsonLines"]

_TOKEN = re.compile(rb'"[^"]*"|[-+.0-9a-zA-Z]+|[{}\[\],:]')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_DELIMITERS = b","
_FORBIDDEN = r'["\x00-\x1f]'
#: Segments of a skeleton; a line of more goes the careful way.
_SEGMENTS = 4096


_decoder = json.JSONDecoder(parse_constant=lambda word: math.nan)  # noqa: ARG005 - all of them are no readings


class JsonLines(LineParser):
    """A parser of JSON Lines."""

    delimiters = _DELIMITERS
    short = 24
    words = {  # noqa: RUF012
        **dict.fromkeys(("null", "NaN", "Infinity", "-Infinity"), math.nan),
        "true": 1.0,
        "false": 0.0,
    }

    def read(self, line: bytes, origin: Origin) -> Iterable[Message | BadPart]:
        if line.isspace() or not line:
            return []
        value = self._loaded(line)
        if isinstance(value, dict):
            if len(value) == 1 and [] in value.values():
                return []  # an envelope of nothing, as an empty list is
            inside = self._inside(value)
            return [self._message(value)] if inside is None else [self._part(item) for item in inside]
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            return [self._part(item) for item in value]
        if self.options.value and isinstance(value, int | float) and not isinstance(value, bool):
            name = fill(self.options.value, origin, {})
            self.mapper.check_name(name, self.limits.name_bytes)
            number = self.mapper.converted(name, value)
            if number is None:
                number = value_of(value, name, self.limits.magnitude)
            return [Message(None, {}, {self.mapper.renamed(name): number})]
        raise MessageFault("not_an_object", "the message is JSON, but no object")

    def _inside(self, item: dict[str, Any]) -> list[Any] | None:
        """What the list of an envelope holds, with what stands beside it; None where the object is no envelope."""
        lists = [name for name, value in item.items() if type(value) is list and _has_objects(value)]
        if len(lists) != 1:
            return None
        mapper = self.mapper
        rest = {name: value for name, value in item.items() if name != lists[0]}
        beside = dict(_flat(rest, ""))
        time_name = mapper.time_name(beside)
        for name, value in beside.items():
            if name == time_name or name in mapper.beside or not mapper.takes(name):
                continue
            if not isinstance(value, str | list) or mapper.transforms.of(name):
                return None
        timeless = {name: value for name, value in rest.items() if name != time_name}
        return [
            {**(rest if mapper.time_name(one) is None else timeless), **one} if isinstance(one, dict) else one
            for one in item[lists[0]]
        ]

    def _part(self, item: Any) -> Message | BadPart:
        """A message of a list."""
        try:
            if not isinstance(item, dict):
                raise MessageFault("not_an_object", "the list holds something that is no object")
            message = self._message(item)
        except MessageFault as fault:
            return BadPart(fault, item)
        message.raw = item
        return message

    def _loaded(self, line: bytes) -> Any:
        # Before it is built: what nests deep, or has very many members, costs much more than its bytes.
        if line.count(b"{") + line.count(b"[") > self.limits.depth and _depth(line) > self.limits.depth:
            raise MessageFault("too_deep", f"the message nests deeper than {self.limits.depth}")
        text = text_of(line)
        try:
            return _decoder.decode(text)
        except json.JSONDecodeError as error:
            if said := no_text(line):
                raise MessageFault("encoding", said) from None
            raise MessageFault("syntax", f"not JSON: {error.msg} at character {error.pos}") from None
        except RecursionError:
            raise MessageFault("too_deep", "the message nests too deep") from None
        except ValueError:  # an integer of thousands of digits
            raise MessageFault("too_large", "the message holds an integer of thousands of digits") from None

    def _message(self, item: dict[str, Any]) -> Message:
        mapper = self.mapper
        if any(isinstance(value, dict) for value in item.values()):
            item = dict(_flat(item, ""))
        if len(item) > self.limits.columns:
            raise MessageFault(
                "too_many_columns", f"the message has {len(item):,} columns; {self.limits.columns:,} may be"
            )
        keys = {name: _key(item[name], name) for name in sorted(mapper.tags) if item.get(name) is not None}
        try:
            return self._read(item, keys)
        except MessageFault as fault:
            raise fault.of(keys) from None

    def _read(self, item: dict[str, Any], keys: dict[str, str]) -> Message:
        mapper, magnitude = self.mapper, self.limits.magnitude
        time_name = mapper.time_name(item)
        moment = None if time_name is None else item[time_name]
        if time_name is None and not self.options.time:
            self.unread_time.look(item)
        if mapper.time_parts:
            moment = mapper.joined_time(item)
        if self.options.time and moment is None:
            raise MessageFault("no_time", f"the message has no {self.options.time!r}")
        if isinstance(moment, bool) or not isinstance(moment, int | float | str | None):
            raise MessageFault("bad_time", f"{time_name!r} is neither a number nor a text")
        values = {}
        plain, beside = mapper.plain_names, mapper.beside
        for name, value in item.items():
            if (
                type(value) is float  # as nearly all are
                and name in plain
                and name != time_name
                and name not in beside
                and -magnitude <= value <= magnitude
            ):
                values[name] = value
                continue
            if name == time_name or name in mapper.beside or not mapper.takes(name):
                continue
            transformed = bool(mapper.transforms.of(name)) and not isinstance(value, list)
            if isinstance(value, str | list) and not mapper.wanted and not transformed:
                continue
            self.mapper.check_name(name, self.limits.name_bytes)
            if transformed and (number := mapper.converted(name, value)) is not None:
                values[mapper.renamed(name)] = number
            elif type(value) is float and -magnitude <= value <= magnitude:
                values[mapper.renamed(name)] = value
            else:
                values[mapper.renamed(name)] = value_of(value, name, magnitude)
        mapper.check_complete(values)
        return Message(moment, keys, values)

    def learn(self, line: bytes) -> Layout | None:
        # Of a list, or a bare number, the places of the values are no names.
        if not line.lstrip().startswith(b"{") or line.count(b",") > _SEGMENTS or self.mapper.time_parts:
            return None
        scalars = list(_scalars(line))
        names = [name for name, _, _, _ in scalars if name is not None]
        if len(set(names)) < len(names):
            return None
        mapper = self.mapper
        time_name = mapper.time_name(names)
        numbers: list[tuple[int, str | None]] = []
        texts, keys, moment = [], [], None
        for slot, (name, _, _, is_text) in enumerate(scalars):
            if name is not None and name == time_name:
                moment = (slot, "text" if is_text else "number")
            elif name in mapper.tags and name is not None:
                keys.append((name, slot, is_text))
            elif is_text:
                if name is not None and mapper.takes(name) and mapper.transforms.of(name):
                    return None
                texts.append(slot)
            else:
                taken = name is not None and mapper.takes(name)
                numbers.append((slot, mapper.renamed(name) if taken and name is not None else None))
        if all(name is None for _, name in numbers):  # an envelope, of which the values are in its list
            return None
        spans = [(start, end) for _, start, end, _ in scalars]
        skeleton = self.skeleton(line, spans, (name for _, name in numbers))
        if skeleton is None:
            return None
        return Layout(
            skeleton,
            tuple(numbers),
            texts=tuple(texts),
            time=moment,
            keys=tuple(sorted(keys)),
            forbidden=_FORBIDDEN,
            forbidden_key=_FORBIDDEN,
            converts=mapper.conversions(name for name in names if mapper.takes(name)),
        )


def _depth(line: bytes) -> int:
    """How deep brackets nest."""
    depth = deepest = 0
    for bracket in re.findall(rb"[\[{}\]]", _STRING.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _flat(item: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield path + name, value


def _key(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise MessageFault("wrong_type", f"{name!r}, which tells the stream, is neither a text nor a whole number")


def _scalars(line: bytes) -> Iterator[tuple[str | None, int, int, bool]]:
    """The path (None within a list), span, and whether it is a text, of each scalar of a line without a backslash."""
    names: list[str | None] = []  # of each open object its current member, of a list None
    expects_member: list[bool] = []
    for token in _TOKEN.finditer(line):
        start, end = token.span()
        byte = line[start]
        if byte == ord("{"):
            names.append("")
            expects_member.append(True)
        elif byte == ord("["):
            names.append(None)
            expects_member.append(False)
        elif byte in b"}]":
            names.pop()
            expects_member.pop()
        elif byte == ord(","):
            expects_member[-1] = names[-1] is not None
        elif byte == ord(":"):
            expects_member[-1] = False
        elif expects_member[-1]:
            names[-1] = line[start + 1 : end - 1].decode()
        else:
            parts = [name for name in names if name is not None]
            path = None if len(parts) < len(names) else ".".join(parts)
            is_text = byte == ord('"')
            yield path, start + is_text, end - is_text, is_text
