"""CSV: a line of column names, then a row a line; a newline within quotes is not supported.

An empty cell, `NaN`, `NA`, `null`, `inf` and the like are missing values, and so is 9.9e37. true and on are 1,
false and off are 0, in any case.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from aez.codec.common.table_head import are_units, is_annotation, is_long_result, is_preamble, unnamed
from aez.codec.errors import InvalidArgument
from aez.codec.series.columns import MISSING
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.parse.lines import Layout, LineParser, no_text, text_of
from aez.daemon.parse.names import Admit, Origin, time_columns
from aez.daemon.parse.numbers import FLOAT, INTEGER, float_of
from aez.daemon.parse.options import Options
from aez.daemon.parse.results import Message, MessageFault, MessageFaults
from aez.daemon.transform.conversion import TRUTH

__all__ = ["CsvRows"]

_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r"
#: What may be between the cells of a header that seems to have one alone.
_SEPARATORS = ";\t,"
#: Headers whose layouts are kept.
_HEADERS = 16
#: What a cell that was passed over as a text must not be, for it might be a number in another row.
_NO_PROSE = (
    r'(?i)"|^\s*[-+.0-9]|^\s*(inf|infinity|true|false|on|off|' + "|".join(map(re.escape, sorted(MISSING))) + r")\s*$"
)
_LONG_RESULT = (
    'a result of InfluxDB with the value of one field a row; set channel = "_field", columns = ["_value"] and '
    'stream, such as "{_measurement}/{host}", or pivot it before it is exported'
)
_FORBIDDEN_KEY = r'"|^$|^\s|\s$'


class CsvRows(LineParser):
    """A parser of CSV. A chunk without a header brings it in its first line, unless the options name the columns."""

    short = 16

    def __init__(self, options: Options, limits: Limits, admit: Admit | None = None) -> None:
        super().__init__(options, limits, admit)
        self.delimiters = options.separator.encode()
        self.words = {
            word: value
            for lower, value in [*((word, math.nan) for word in MISSING), *TRUTH.items()]
            for word in (lower, lower.upper(), lower.title(), "NaN" if lower == "nan" else lower)
        }
        self._columns: tuple[str, ...] = ()
        self._key_columns: frozenset[str | None] = frozenset()
        self._missing: tuple[str, ...] = ()
        self._layouts_by_header: dict[tuple[str, ...], list[Layout]] = {}

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        samples: list[Samples] = []
        malformed: list[Malformed] = []
        parts = ((self._split(chunk), chunk) for chunk in chunks)
        for (header, gone), group in groupby(parts, key=lambda part: (part[0][0], part[1].gone)):
            members = list(group)
            pieces = [body for (_, body), _ in members]
            try:
                self._use(header)
            except MessageFault as fault:
                faults = MessageFaults(self.limits.malformed)
                faults.add(fault.reason, fault.detail, header, 1 + sum(piece.count(b"\n") for piece in pieces))
                malformed += faults.result()
                continue
            self._missing = self._missing_of(gone)
            more_samples, more_malformed = self._parse(pieces, [chunk for _, chunk in members])
            self._layouts_by_header[self._columns] = self.layouts
            samples += [_beside(one, self._missing) for one in more_samples]
            malformed += more_malformed
        return samples, malformed

    def _missing_of(self, gone: Sequence[str]) -> tuple[str, ...]:
        """Of columns that are gone those that would be values, by their new names."""
        mapper = self.mapper
        none = {*self._columns, *mapper.tags, *mapper.times}
        values = [mapper.renamed(name) for name in gone if name not in none and mapper.takes(name)]
        there = {mapper.renamed(name) for name in self._columns}
        return tuple(name for name in dict.fromkeys(values) if name not in there)

    def _split(self, chunk: Chunk) -> tuple[bytes, bytes]:
        """The header and the rows, with a newline after the last."""
        data = chunk.data if chunk.data.endswith(b"\n") else chunk.data + b"\n"
        if self.options.header:
            return b"", data
        first, _, rest = data.partition(b"\n")
        while rest and chunk.header is None and is_preamble(first.decode("utf-8", "replace")):
            first, _, rest = rest.partition(b"\n")
        first = first.removeprefix(_BOM).rstrip(b"\r")
        if chunk.header is None:
            return first, rest
        header = chunk.header.encode().removeprefix(_BOM).rstrip(b"\r\n")
        return header, rest if first == header else data

    def _use(self, header: bytes) -> None:
        names = list(self.options.header)
        if not names:
            if len(header) > self.limits.line_bytes:
                raise MessageFault("too_long", "the line of column names is too long")
            if said := no_text(header):
                raise MessageFault("encoding", f"the line of column names: {said}")
            names = [name.strip() for name in self._cells(text_of(header))]
            if len(names) == 1 and (other := next((one for one in _SEPARATORS if one in names[0]), "")):
                raise MessageFault("syntax", f"the header names one column, with {other!r} in it; set separator")
        if is_long_result(names) and not self.options.channel:
            raise MessageFault("syntax", _LONG_RESULT)
        if len(names) > self.limits.columns:
            raise MessageFault("too_many_columns", f"the header names {len(names):,} columns")
        names = unnamed(names)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise MessageFault("syntax", f"the header names the column {twice[:100]!r} twice")
        for name in names:
            self.mapper.check_name(name, self.limits.name_bytes)
        self._columns = tuple(names)
        self._key_columns = self.mapper.tags - {self.mapper.time_name(names)}
        self.layouts = self._layouts_by_header.pop(self._columns, [])
        if len(self._layouts_by_header) >= _HEADERS:
            self._layouts_by_header.clear()

    def _cells(self, text: str) -> list[str]:
        if '"' not in text:
            return text.split(self.options.separator)
        try:
            (cells,) = csv.reader([text], delimiter=self.options.separator, skipinitialspace=True, strict=True)
        except (csv.Error, ValueError) as error:
            raise MessageFault("syntax", f"not CSV: {error}") from None
        return cells

    def read(self, line: bytes, origin: Origin) -> Iterable[Message]:  # noqa: ARG002
        if not line.strip(_BLANKS):
            return []
        if line[:1] in b'#"' and is_annotation(line.decode("utf-8", "replace")):
            return []
        cells = [cell.strip() for cell in self._cells(text_of(line))]
        if tuple(cells) == self._columns or are_units(cells):  # as files that were put together have it, and loggers
            return []
        if len(cells) != len(self._columns):
            reason = "missing_column" if len(cells) < len(self._columns) else "syntax"
            raise MessageFault(reason, f"the row has {len(cells):,} cells, the header {len(self._columns):,}")
        keys = {
            name: cell for name, cell in zip(self._columns, cells, strict=True) if cell and name in self._key_columns
        }
        try:
            return [self._message(cells, dict(sorted(keys.items())))]
        except MessageFault as fault:
            raise fault.of(keys) from None

    def _message(self, cells: Sequence[str], keys: dict[str, str]) -> Message:
        mapper = self.mapper
        time_name = mapper.time_name(self._columns)
        moment = None if time_name is None else _time(cells[self._columns.index(time_name)])
        if time_name is None and not self.options.time:
            self.unread_time.look(dict(zip(self._columns, cells, strict=True)))
        if mapper.time_parts:
            moment = mapper.joined_time(dict(zip(self._columns, cells, strict=True)))
        if self.options.time and moment is None:
            raise MessageFault("no_time", f"the row has no {self.options.time!r}")
        values = {}
        for name, cell in zip(self._columns, cells, strict=True):
            if name == time_name or name in mapper.beside:
                continue
            if mapper.takes(name):
                value = self._value(cell, name)
                if value is not None:
                    values[mapper.renamed(name)] = value
        if values or not self._missing:
            mapper.check_complete(values)
        return Message(moment, keys, values)

    def _value(self, cell: str, name: str) -> float | None:
        """None for a text that is passed over."""
        lower, mapper = cell.lower(), self.mapper
        if lower in MISSING:
            return math.nan
        if lower in TRUTH:
            return mapper.converted(name, TRUTH[lower]) if mapper.transforms.of(name) else TRUTH[lower]
        if mapper.transforms.of(name):
            if mapper.transforms.plain(name) and FLOAT.fullmatch(cell):
                return mapper.converted(name, float(cell))
            return mapper.converted(name, cell)
        try:
            return float_of(cell, name, self.limits.magnitude)
        except MessageFault as fault:
            if fault.reason == "wrong_type" and not self.mapper.wanted:
                return None
            raise

    def learn(self, line: bytes) -> Layout | None:
        mapper, spans = self.mapper, []
        if mapper.time_parts:
            return None
        place = 0
        for raw in line.split(self.delimiters):
            spans.append(_span(raw, place))
            place += len(raw) + 1
        if len(spans) != len(self._columns):
            return None
        time_name = mapper.time_name(self._columns)
        numbers: list[tuple[int, str | None]] = []
        texts, keys, moment = [], [], None
        for slot, (name, (start, end)) in enumerate(zip(self._columns, spans, strict=True)):
            cell = line[start:end].decode()
            if name == time_name:
                moment = (slot, "number" if FLOAT.fullmatch(cell) else "cell")
            elif name in mapper.tags:
                keys.append((name, slot, True))
            elif not mapper.takes(name):
                texts.append(slot)
            elif not mapper.transforms.plain(name):
                return None
            elif self._value(cell, name) is None:
                texts.append(slot)
            else:
                numbers.append((slot, mapper.renamed(name)))
        if not numbers:
            return None
        skeleton = self.skeleton(line, spans, (name for _, name in numbers))
        if skeleton is None:
            return None
        return Layout(
            skeleton,
            tuple(numbers),
            texts=tuple(texts),
            time=moment,
            keys=tuple(sorted(keys)),
            forbidden='"' if mapper.wanted else _NO_PROSE,
            forbidden_key=_FORBIDDEN_KEY,
            converts=mapper.conversions(name for name in self._columns if mapper.takes(name)),
        )


def _beside(samples: Samples, missing: Sequence[str]) -> Samples:
    """The rows with further columns, of which every value is missing."""
    fresh = [name for name in missing if name not in samples.columns]
    if not fresh:
        return samples
    none = np.full((len(samples), len(fresh)), np.nan)
    return replace(samples, columns=(*samples.columns, *fresh), values=np.concatenate([samples.values, none], axis=1))


def _span(raw: bytes, place: int) -> tuple[int, int]:
    """A cell without blanks around it, and without its quotes."""
    inner = raw.strip(_BLANKS)
    start = place + len(raw) - len(raw.lstrip(_BLANKS)) if inner else place
    if len(inner) > 1 and inner[:1] == inner[-1:] == b'"' and inner.count(b'"') == 2:
        return start + 1, start + len(inner) - 1
    return start, start + len(inner)


def _time(cell: str) -> int | float | str | None:
    if not cell or cell.lower() in MISSING:
        return None
    if INTEGER.fullmatch(cell) and len(cell) <= 20:
        return int(cell)
    return float(cell) if FLOAT.fullmatch(cell) else cell


def check_header(options: Options) -> None:
    """Raise InvalidArgument when columns that the options name are not in the header that they give."""
    named = {*options.columns, *options.tags, *time_columns(options.time)}
    lacking = sorted(named - set(options.header)) if options.header else []
    if lacking:
        raise InvalidArgument(f"option header lacks {lacking[0]!r}, which another option names")
