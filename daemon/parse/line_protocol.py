"""InfluxDB line protocol: `measurement,tag=a,tag=b field=1.5,count=3i 1700000000000000000`.

Floats, integers (`3i`, `3u`), booleans and texts, with all escapes; `#` begins a comment line. A newline within a text
is not supported: messages are lines. Times are in ns unless `time_unit` says otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from aez.daemon.parse.lines import Layout, LineParser, text_of
from aez.daemon.parse.names import Origin
from aez.daemon.parse.numbers import INTEGER, checked, float_of
from aez.daemon.parse.results import Message, MessageFault

__all__ = ["LineProtocol"]

_DELIMITERS = b", "
_NAME = rb"(?:\\.|[^\\,= ])+"
_MEASUREMENT = re.compile(rb"(?:\\.|[^\\, ])+")
_TAG = re.compile(rb",(" + _NAME + rb")=(" + _NAME + rb")")
_BLANKS = re.compile(rb" +")
_FIELD = re.compile(rb"(" + _NAME + rb')=("(?:\\.|[^"\\])*"|[^", ]+)')
_END = re.compile(rb"(?: +(-?[0-9]+))? *\r?$")
_ESCAPE = re.compile(r"\\([,= ])")
_TEXT_ESCAPE = re.compile(r'\\(["\\])')
_TRUTH = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), 1.0),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), 0.0),
}

_Span = tuple[int, int]


@dataclass(frozen=True)
class _Parts:
    measurement: str
    tags: list[tuple[str, _Span]]
    fields: list[tuple[str, _Span]]
    time: _Span | None


class LineProtocol(LineParser):
    """A parser of line protocol."""

    delimiters = _DELIMITERS
    words = _TRUTH
    unit = "ns"
    series = True

    def read(self, line: bytes, origin: Origin) -> Iterable[Message]:  # noqa: ARG002
        if line.startswith(b"#") or not line or line.isspace():
            return []
        text_of(line)
        if line.count(b",") > 2 * self.limits.columns:
            raise MessageFault("too_many_columns", f"the line has {line.count(b','):,} tags and fields")
        parts = _scan(line)
        if len(parts.fields) > self.limits.columns:
            raise MessageFault("too_many_columns", f"the line has {len(parts.fields):,} fields")
        keys = {"measurement": parts.measurement}
        keys.update((name, _unescaped(line[start:end])) for name, (start, end) in parts.tags)
        try:
            return [self._message(line, parts, keys)]
        except MessageFault as fault:
            raise fault.of(keys) from None

    def _message(self, line: bytes, parts: _Parts, keys: dict[str, str]) -> Message:
        if self.options.time and parts.time is None:
            raise MessageFault("no_time", "the line has no time")
        moment = None
        if parts.time is not None:
            digits = line[slice(*parts.time)]
            if len(digits) > 20:
                raise MessageFault("bad_time", f"a time of {len(digits)} digits")
            moment = int(digits)
        values = {}
        for field, (start, end) in parts.fields:
            raw = line[start:end]
            if field in self.mapper.tags:
                keys[field] = _key(raw, field)
                continue
            name = self._column(parts, field)
            transformed, text = bool(self.mapper.transforms.of(name)), raw.startswith(b'"')
            if not self.mapper.takes(name) or (text and not self.mapper.wanted and not transformed):
                continue
            self.mapper.check_name(name, self.limits.name_bytes)
            values[self.mapper.renamed(name)] = self._value(raw.decode(), name)
        self.mapper.check_complete(values)
        return Message(moment, keys, values)

    def _column(self, parts: _Parts, field: str) -> str:
        return f"{parts.measurement}.{field}" if self.options.measurement_prefix else field

    def _value(self, raw: str, name: str) -> float:
        given: str | float
        if self.mapper.transforms.of(name):
            given = _TEXT_ESCAPE.sub(r"\1", raw[1:-1]) if raw.startswith('"') else self._number(raw, name, math.inf)
            return self.mapper.converted(name, given) or 0.0
        return self._number(raw, name, self.limits.magnitude)

    def _number(self, raw: str, name: str, magnitude: float) -> float:
        if raw[-1] in "iu" and INTEGER.fullmatch(raw[:-1]):
            if raw[0] == "+" or (raw[-1] == "u" and raw[0] == "-"):
                raise MessageFault("wrong_type", f"{name!r} is {raw[:50]}, which has a sign that it must not have")
            return checked(float(raw[:-1]), name, magnitude)
        if raw in _TRUTH:
            return _TRUTH[raw]
        return float_of(raw, name, magnitude)

    def learn(self, line: bytes) -> Layout | None:
        if b"\\" in line:
            return None
        parts, mapper = _scan(line), self.mapper
        numbers: list[tuple[int, str | None]] = []
        integers: list[tuple[int, str | None]] = []
        keys, texts, unsigned = [], [], []
        spans: list[_Span] = []
        constants = {}
        if self.options.measurement_prefix:  # it names the columns
            constants["measurement"] = parts.measurement
        else:
            keys.append(("measurement", 0, True))
            spans.append((0, len(parts.measurement.encode())))
        for name, span in parts.tags:
            keys.append((name, len(spans), True))
            spans.append(span)
        for field, (start, end) in parts.fields:
            slot, raw = len(spans), line[start:end]
            whole = raw[-1:] in (b"i", b"u")
            is_text = raw.startswith(b'"')
            spans.append((start + is_text, end - (is_text or whole)))
            column = self._column(parts, field)
            taken = mapper.renamed(column) if mapper.takes(column) else None
            if field in mapper.tags:
                keys.append((field, slot, is_text))
            elif is_text and taken is not None and mapper.transforms.of(column):
                return None
            elif is_text:
                texts.append(slot)
            else:
                (integers if whole else numbers).append((slot, taken))
            if raw.endswith(b"u"):
                unsigned.append(slot)
        if parts.time is not None:
            spans.append(parts.time)
        names = [*constants, *(name for name, _, _ in keys)]
        if len(set(names)) < len(names) or len({field for field, _ in parts.fields}) < len(parts.fields):
            return None
        skeleton = self.skeleton(line, spans, (name for _, name in [*numbers, *integers]))
        if skeleton is None:
            return None
        return Layout(
            skeleton,
            tuple(numbers),
            tuple(integers),
            tuple(unsigned),
            tuple(texts),
            None if parts.time is None else (len(spans) - 1, "integer"),
            tuple(keys),
            constants,
            forbidden='"',
            forbidden_key='^$|^#|["=]',  # a line that begins with # is a comment
            converts=mapper.conversions(
                column for column in (self._column(parts, field) for field, _ in parts.fields) if mapper.takes(column)
            ),
        )


def _scan(line: bytes) -> _Parts:
    """The parts of a line; raises MessageFault when it is not line protocol."""
    measurement = _MEASUREMENT.match(line)
    if measurement is None:
        raise MessageFault("syntax", "the line has no measurement")
    place = measurement.end()
    tags = []
    while tag := _TAG.match(line, place):
        tags.append((_unescaped(tag[1]), tag.span(2)))
        place = tag.end()
    blanks = _BLANKS.match(line, place)
    if blanks is None:
        raise MessageFault("syntax", f"no tag and no field at byte {place}")
    place = blanks.end()
    fields = []
    while field := _FIELD.match(line, place):
        fields.append((_unescaped(field[1]), field.span(2)))
        place = field.end()
        if line[place : place + 1] != b",":
            break
        place += 1
    else:
        raise MessageFault("syntax", f"no field at byte {place}")
    end = _END.match(line, place)
    if end is None:
        raise MessageFault("syntax", f"neither a field nor a time at byte {place}")
    return _Parts(_unescaped(measurement[0]), tags, fields, end.span(1) if end[1] else None)


def _unescaped(raw: bytes) -> str:
    return _ESCAPE.sub(r"\1", raw.decode())


def _key(raw: bytes, field: str) -> str:
    if raw.startswith(b'"'):
        return _TEXT_ESCAPE.sub(r"\1", raw[1:-1].decode())
    if raw[-1:] in (b"i", b"u") and INTEGER.fullmatch(raw[:-1].decode()) and len(raw) < 20:
        return str(int(raw[:-1]))
    raise MessageFault("wrong_type", f"{field!r}, which tells the stream, is neither a text nor a whole number")
