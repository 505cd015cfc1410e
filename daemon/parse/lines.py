"""What the parsers of all line formats share: regular lines by skeleton, the rest one by one.

A line's result does not depend on the way it was read. The careful way is the definition; the fast one takes only
lines that it proves to mean the same, and leaves the others.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.arrow import from_numpy, to_numpy
from aez.codec.common.extras import library
from aez.codec.series.zones import LocalTimes
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.parse import skeleton, times
from aez.daemon.parse.names import Admit, ChannelNames, Mapper, Origin, StreamNames
from aez.daemon.parse.options import Options
from aez.daemon.parse.results import BadPart, ChunkRows, Message, MessageFault, MessageFaults, RowPart
from aez.daemon.parse.skeleton import Skeleton, Spans, Text
from aez.daemon.transform.conversion import Conversion, is_no_reading

__all__ = ["BadPart", "Layout", "LineParser", "Message", "no_text", "text_of"]

Flags = NDArray[np.bool_]

#: A line holds fewer messages than this; its number times this, and the message's place in it, order the messages.
_MESSAGES = 1 << 26
#: Fewer lines are not worth the fast way; skeletons that are kept; lessons in vain that end the search for new ones.
_FEW, _KEPT, _VAIN = 8, 32, 4
#: Bytes that are read at a time: arrays that fit into the cache, and that the allocator keeps, are twice as fast.
_BLOCK = 524_288
_BOM = b"\xef\xbb\xbf"
_MAGICS = {
    b"\x1f\x8b": "it is packed with gzip, which files are unpacked from whose name ends in .gz",
    b"PAR1": 'it is Parquet; set format = "arrow" and follow = false',
    b"ARROW1": 'it is Arrow; set format = "arrow" and follow = false',
    b"PK\x03\x04": "it is a workbook or a zip archive; save it as CSV",
}
#: A number that names a stream, written as Python writes it.
_WHOLE_KEY = r"^(0|-?[1-9][0-9]{0,17})$"


@dataclass(frozen=True)
class Layout:
    """What the slots of a skeleton mean. Numbers are given as (slot, column), the column None where it is not taken.

    integers: numbers that must be whole. unsigned: slots without a sign. texts: slots that are not taken, but must be
    free of `forbidden`, a regular expression. time: slot, and "integer", "number", "text" or "cell" (a text, but no
    number). keys: (name, slot, whether it is a text, which is free of `forbidden_key`). constants: keys that all lines
    of the skeleton share. converts: what becomes of columns.
    """

    skeleton: Skeleton
    numbers: tuple[tuple[int, str | None], ...]
    integers: tuple[tuple[int, str | None], ...] = ()
    unsigned: tuple[int, ...] = ()
    texts: tuple[int, ...] = ()
    time: tuple[int, str] | None = None
    keys: tuple[tuple[str, int, bool], ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    forbidden: str = ""
    forbidden_key: str = ""
    converts: Mapping[str, Conversion] = field(default_factory=dict)


class LineParser(ABC):
    """A parser of messages of one line each."""

    delimiters: bytes  #: what ends a value, beside a newline
    words: Mapping[str, float]  #: what may stand for a number
    unit = "auto"
    series = False
    short = _FEW  #: fewer lines that came at once are read one by one: the fast way begins with a millisecond

    def __init__(self, options: Options, limits: Limits, admit: Admit | None = None) -> None:
        self.options = options
        self.limits = limits
        self.names = StreamNames(options, limits, admit, self.series)
        self.mapper = Mapper(options, self.names, self.unit, limits.magnitude)
        self.channels = ChannelNames.of(options, self.mapper, limits)
        self.clock = times.ArrivalClock()
        self.unread_time = times.UnreadTime()
        self.local = LocalTimes()
        self.layouts: list[Layout] = []

    @abstractmethod
    def read(self, line: bytes, origin: Origin) -> Iterable[Message | BadPart]:
        """The messages of a line, none of an idle one, the careful way; raises MessageFault for the whole line."""

    @abstractmethod
    def learn(self, line: bytes) -> Layout | None:
        """The layout of a line that was read well as one message; None for one without."""

    def skeleton(self, line: bytes, spans: Sequence[tuple[int, int]], columns: Iterable[str | None]) -> Skeleton | None:
        """The skeleton of a line with these slots; None where it has none, or two of its values are of one column."""
        taken = [name for name in columns if name is not None]
        if len(set(taken)) < len(taken):
            return None
        try:
            return Skeleton(line, spans, self.delimiters)
        except ValueError:
            return None

    def parse(self, chunk: Chunk) -> tuple[list[Samples], list[Malformed]]:
        return self.parse_many([chunk])

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        pieces = [chunk.data if chunk.data.endswith(b"\n") else chunk.data + b"\n" for chunk in chunks]
        return self._parse(pieces, chunks)

    def _parse(self, pieces: Sequence[bytes], chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        """Parse pieces that end with a newline, one of each chunk."""
        work = _Work(self, pieces, [(chunk.stream, chunk.source) for chunk in chunks], chunks[-1].received)
        work.run()
        if work.rows.falls():
            work.note_bodies([chunk.body for chunk in chunks])
        return work.rows.samples(), work.faults.result()


class _Work:
    """The parsing of some chunks."""

    def __init__(self, parser: LineParser, pieces: Sequence[bytes], origins: Sequence[Origin], received: float) -> None:
        self.parser = parser
        self.limits = parser.limits
        self.rows = ChunkRows(parser.limits, parser.local)
        self.faults = MessageFaults(parser.limits.malformed)
        self.pieces = pieces
        self.origins = origins
        self.received = received
        #: (Line, place among the messages of the line, origin, line, message) of those read one by one.
        self._read: list[tuple[int, int, int, bytes, Message]] = []
        self._arrival = 0
        self._before = 0  # lines of the data before those of `text`

    def run(self) -> None:
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        if not _has_lines(data, self.parser.short):
            self._arrival = self.parser.clock.arrivals(self.parser.short, self.received)
            index = 0
            for origin, piece in enumerate(self.pieces):
                for line in piece.split(b"\n")[:-1]:
                    self._carefully(index, line, origin)
                    index += 1
        else:
            start = 0
            while start < len(data):
                end = len(data)
                if end - start > 2 * _BLOCK:
                    end = data.index(b"\n", start + _BLOCK) + 1
                self._many(Text(data[start:end], self.parser.delimiters), start)
                start = end
        self._add_read()

    def note_bodies(self, bodies: Sequence[bool]) -> None:
        """Note which rows were sent at once: all of a body, or the messages of one line."""
        ends = np.cumsum([piece.count(b"\n") for piece in self.pieces]).tolist()
        sent = [(start, end) for start, end, body in zip([0, *ends], ends, bodies, strict=False) if body]
        lines = sorted({index for index, place, *_ in self._read if place})
        inside = np.searchsorted(np.array([edge for span in sent for edge in span]), lines, side="right") % 2
        sent += [(line, line + 1) for line, within in zip(lines, inside.tolist(), strict=True) if not within]
        for start, end in sorted(sent):
            self.rows.sent(start * _MESSAGES, end * _MESSAGES)

    def _many(self, text: Text, place: int) -> None:
        """Read lines that begin at this byte of the data."""
        self.text = text
        arrival = self.parser.clock.arrivals(len(text), self.received)
        if not place:
            self._arrival = arrival
        self.origin = self._origins_of_lines(text, place)
        lengths = text.ends - text.starts
        open_lines = (lengths > 0) & (lengths <= self.limits.line_bytes)
        done = self._regular(open_lines & ~self._hazardous(text))
        for line in np.flatnonzero((lengths > 0) & ~done).tolist():
            self._carefully(line, text.line(line), int(self.origin[line]))
        self._before += len(text)

    def _origins_of_lines(self, text: Text, place: int) -> NDArray[np.int64]:
        """Index of the origin of each line; equal origins have one index."""
        if len(self.pieces) == 1:
            return np.zeros(len(text), np.int64)
        ends = np.cumsum([len(piece) for piece in self.pieces])
        places: dict[Origin, int] = {}
        index = np.array([places.setdefault(origin, i) for i, origin in enumerate(self.origins)])
        return index[np.searchsorted(ends, text.starts + place, side="right")]

    def _hazardous(self, text: Text) -> Flags:
        """Lines that could have a skeleton and yet mean something else."""
        flags = np.zeros(len(text), bool)
        if b"\\" in text.data:
            flags[text.lines_at(np.flatnonzero(text.buffer == ord("\\")))] = True
        # The one number that Arrow reads and `slots` cannot tell from one of JSON: `1.e5`.
        buffer = text.buffer
        point_e = np.flatnonzero((buffer[:-2] == ord(".")) & (buffer[1:-1] | 0x20 == ord("e")))
        if len(point_e):  # in a number, not in the name of a column
            follows = buffer[point_e + 2]
            point_e = point_e[(follows - np.uint8(ord("0")) <= 9) | (follows == ord("+")) | (follows == ord("-"))]
            flags[text.lines_at(point_e)] = True
        if not text.data.isascii() and not _is_utf8(text.data):
            flags[text.lines_at(np.flatnonzero(text.buffer >= 128))] = True
        return flags

    def _regular(self, regular: Flags) -> Flags:
        """Read what is regular; returns flags of lines that need no other way."""
        parser, text = self.parser, self.text
        done = np.zeros(len(text), bool)
        hits = [(self._take(layout, regular, done), layout) for layout in parser.layouts]
        known = {layout.skeleton.key for layout in parser.layouts}
        vain = 0  # lessons in a row that served too few lines
        while vain < _VAIN and self.parser.channels is None:  # for a skeleton has no names of channels
            lines = np.flatnonzero(regular)
            if len(lines) < _FEW:
                break
            first = int(lines[0])
            line = text.line(first)
            regular[first], done[first] = False, True
            well = self._carefully(first, line, int(self.origin[first]))
            layout = parser.learn(line) if well and not line.startswith(_BOM) else None
            vain += 1
            if layout is not None and layout.skeleton.key not in known:
                known.add(layout.skeleton.key)
                hits.append((self._take(layout, regular, done), layout))
                vain = 0 if hits[-1][0] >= _FEW else vain
        # The commonest first, at the next chunk. Those of few lines are forgotten; those of none may come again.
        hits.sort(key=lambda hit: -hit[0])
        parser.layouts = [layout for count, layout in hits if not 0 < count < _FEW][:_KEPT]
        return done

    def _take(self, layout: Layout, regular: Flags, done: Flags) -> int:
        """Read the regular lines that have the layout, which are regular no more; returns their number."""
        lines = np.flatnonzero(regular)
        if not len(lines):
            return 0
        spans = layout.skeleton.find(self.text, lines)
        regular[spans.lines] = False
        if len(spans.lines) >= _FEW:
            good = self._extract(layout, spans)
            done[spans.lines[good]] = True
        return len(spans.lines)

    def _extract(self, layout: Layout, spans: Spans) -> Flags:
        """Take the rows of a layout; returns flags of those that were, or were refused by their stream's name."""
        text, mapper = self.text, self.parser.mapper
        values, columns, good = self._values(layout, spans)
        for slot in layout.texts:
            good &= ~_matches(skeleton.texts(text, *_slot(spans, slot)), layout.forbidden)
        if layout.unsigned:
            good &= (text.buffer[spans.starts[:, list(layout.unsigned)]] != ord("-")).all(axis=1)
        later = None
        if layout.time is None:
            moments = self._arrival + self._before + spans.lines
        else:
            moments, wrong, later = _moments(text, spans, *layout.time, mapper)
            good &= ~wrong
        keys, wrong = self._keys(layout, spans)
        good &= ~wrong
        if not good.all():
            spans, moments, values = spans.rows(good), moments[good], values[good]
            keys, later = keys[good], None if later is None else later[good]
        if len(spans.lines):
            stream = self._streams(layout, spans, keys)
            taken = stream >= 0
            if not taken.all():
                spans, moments, values, stream = spans.rows(taken), moments[taken], values[taken], stream[taken]
                later = None if later is None else later[taken]
            self.rows.add(columns, RowPart((self._before + spans.lines) * _MESSAGES, moments, stream, values, later))
        return good

    def _values(self, layout: Layout, spans: Spans) -> tuple[NDArray[np.float64], tuple[str, ...], Flags]:
        pairs = [*layout.numbers, *layout.integers]
        columns = self.parser.mapper.sorted(name for _, name in pairs if name is not None)
        floats = [slot for slot, _ in layout.numbers]
        every, wrong = skeleton.numbers(self.text, spans.starts[:, floats], spans.ends[:, floats], self.parser.words)
        good: Flags = ~np.any(wrong, axis=1)
        if layout.integers:
            whole = [slot for slot, _ in layout.integers]
            integers, wrong = skeleton.integers(self.text, spans.starts[:, whole], spans.ends[:, whole])
            good &= ~wrong.any(axis=1)
            every = np.concatenate([every, integers.astype(np.float64)], axis=1)
        place = {name: index for index, (_, name) in enumerate(pairs)}
        order = [place[name] for name in columns]
        values = every if order == list(range(len(pairs))) else every[:, order]
        if layout.converts:
            values = values.copy()
        for index, name in enumerate(columns):
            if name in layout.converts:
                values[:, index] = layout.converts[name].many(values[:, index])
        beyond = np.abs(values) > self.limits.magnitude
        if beyond.any():
            unread = beyond & is_no_reading(values)
            values = np.where(unread, np.nan, values)
            good &= ~(beyond & ~unread).any(axis=1)
        return values, columns, good

    def _keys(self, layout: Layout, spans: Spans) -> tuple[NDArray[np.int64], Flags]:
        """A number for each combination of origin and keys, and flags of rows whose keys need care."""
        combined = self.origin[spans.lines] if len(self.pieces) > 1 else np.zeros(len(spans.lines), np.int64)
        wrong = np.zeros(len(spans.lines), bool)
        for number, (_, slot, is_text) in enumerate(layout.keys):
            encoded = skeleton.texts(self.text, *_slot(spans, slot)).dictionary_encode()
            codes = to_numpy(encoded.indices).astype(np.int64)
            if is_text:
                refused = _matches(encoded.dictionary, layout.forbidden_key)
            else:
                refused = ~_matches(encoded.dictionary, _WHOLE_KEY)
            if refused.any():
                wrong |= refused[codes]
            if number or len(self.pieces) > 1:
                # Made small again at each step, for the product of many sets may pass 2**63.
                every = from_numpy(combined * len(refused) + codes).dictionary_encode()
                combined = to_numpy(every.indices).astype(np.int64)
            else:
                combined = codes
        return combined, wrong

    def _streams(self, layout: Layout, spans: Spans, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        """The stream of each row; -1 where it is refused, which is noted."""
        first = np.full(int(keys.max()) + 1, -1)
        first[keys[::-1]] = np.arange(len(keys))[::-1]
        numbers = np.full(len(first), -1, np.int32)
        occurring = np.flatnonzero(first >= 0)
        rows, slots_of_keys = first[occurring], [slot for _, slot, _ in layout.keys]
        names, data = [name for name, _, _ in layout.keys], self.text.data
        each = zip(
            occurring.tolist(),
            spans.lines[rows].tolist(),
            self.origin[spans.lines[rows]].tolist(),
            spans.starts[rows][:, slots_of_keys].tolist(),
            spans.ends[rows][:, slots_of_keys].tolist(),
            strict=True,
        )
        for key, line, origin, starts, ends in each:
            pairs = dict(layout.constants)
            for name, start, end in zip(names, starts, ends, strict=True):
                pairs[name] = data[start:end].decode()
            try:
                numbers[key] = self._stream(pairs, origin)
            except MessageFault as fault:
                count = int(np.count_nonzero(keys == key))
                self._refuse(fault.of(pairs), self.text.line(line), origin, count)
        return numbers[keys]

    def _stream(self, keys: dict[str, str], origin: int) -> int:
        return self.rows.stream(self.parser.names(self.origins[origin], keys), keys)

    def _refuse(self, fault: MessageFault, line: bytes, origin: int, count: int = 1) -> None:
        stream = self.parser.names.of_refused(self.origins[origin], fault)
        self.faults.add(fault.reason, fault.detail, line, count, stream)

    def _carefully(self, index: int, line: bytes, origin: int) -> bool:
        """Read one line; returns whether it gave exactly one message."""
        line = line.removeprefix(_BOM)
        try:
            if len(line) > self.limits.line_bytes:
                raise MessageFault(
                    "too_long", f"a message of {len(line):,} bytes; {self.limits.line_bytes:,} are allowed"
                )
            found = list(self.parser.read(line, self.origins[origin]))
            if self.parser.channels is not None:
                found = [self.parser.channels.named(one, self.origins[origin]) for one in found]
        except MessageFault as fault:
            self._refuse(fault, line, origin)
            return False
        messages = [one for one in found if isinstance(one, Message)]
        if len(messages) < len(found):
            for one in found:
                if isinstance(one, BadPart):
                    self._refuse(one.fault, _raw(one.raw, line), origin)
        self._read += [(self._before + index, place, origin, line, one) for place, one in enumerate(messages)]
        return len(messages) == len(found) == 1

    def _add_read(self) -> None:
        """Add what was read carefully to the rows."""
        if not self._read:
            return
        mapper = self.parser.mapper
        timed = [row for row, (*_, message) in enumerate(self._read) if message.time is not None]
        moments = np.array([self._arrival + index for index, *_ in self._read], np.int64)
        wrong, later = np.zeros(len(moments), bool), np.zeros(len(moments), np.int64)
        if timed:
            given = [self._read[row][4].time for row in timed]
            moments[timed], wrong[timed], twice = times.from_objects(given, mapper.unit, mapper.options.timezone)
            later[timed] = 0 if twice is None else twice
        orders: dict[tuple[str, ...], tuple[str, ...]] = {}
        sets: dict[tuple[str, ...], list[tuple[int, int, int, int, list[float]]]] = {}
        for (index, place, origin, line, message), moment, bad, more in zip(
            self._read, moments.tolist(), wrong.tolist(), later.tolist(), strict=True
        ):
            try:
                if bad:
                    raise MessageFault("bad_time", times.why_none(message.time, mapper.unit))
                stream = self._stream(message.keys, origin)
            except MessageFault as fault:
                self._refuse(fault.of(message.keys), _raw(message.raw, line), origin)
                continue
            names = tuple(message.values)
            columns = orders.get(names) or orders.setdefault(names, mapper.sorted(names))
            row = (index * _MESSAGES + place, moment, more, stream, [message.values[name] for name in columns])
            sets.setdefault(columns, []).append(row)
        for columns, rows in sets.items():
            order, times_of_rows, twice_of_rows, streams, values = zip(*rows, strict=True)
            part = RowPart(
                np.array(order, np.int64),
                np.array(times_of_rows, np.int64),
                np.array(streams, np.int32),
                np.array(values, np.float64).reshape(len(rows), len(columns)),
                np.array(twice_of_rows, np.int64) if later.any() else None,
            )
            self.rows.add(columns, part)


def _raw(part: Any, line: bytes) -> bytes:
    """A part of a line as it is shown to people; the line where there is none."""
    return line if part is None else json.dumps(part, ensure_ascii=False, default=str).encode("utf-8", "replace")


def _has_lines(data: bytes, count: int) -> bool:
    end = -1
    for _ in range(count):
        end = data.find(b"\n", end + 1)
        if end < 0:
            return False
    return True


def _slot(spans: Spans, slot: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return spans.starts[:, slot], spans.ends[:, slot]


def _moments(
    text: Text, spans: Spans, slot: int, kind: str, mapper: Mapper
) -> tuple[NDArray[np.int64], Flags, NDArray[np.int64] | None]:
    """Times of a slot, flags of those that need care, and how much later each may be, see `from_texts`."""
    starts, ends = _slot(spans, slot)
    unit, zone = mapper.unit, mapper.options.timezone
    if kind in ("text", "cell"):
        column = skeleton.texts(text, starts, ends)
        moments, wrong, later = times.from_texts(column, unit, zone)
        return moments, wrong | _matches(column, r"^\s*[-+.0-9eE]*\s*$") if kind == "cell" else wrong, later
    whole, other = skeleton.integers(text, starts, ends)
    moments, wrong, later = times.from_integers(whole, unit, zone)
    wrong |= other
    if kind == "number" and other.any():
        # A whole number that is none of int64 must not come back as a rounded one.
        rows = np.flatnonzero(other)
        rows = rows[~skeleton.is_integer(text, starts[rows], ends[rows])]
        values, bad = skeleton.numbers(text, starts[rows], ends[rows], {})
        moments[rows], late, twice = times.from_floats(values, unit, zone)
        wrong[rows] = bad | late
        if twice is not None:
            later = np.zeros(len(moments), np.int64) if later is None else later
            later[rows] = twice
    return moments, wrong, later


def _matches(column: Any, pattern: str) -> Flags:
    compute = library("pyarrow.compute", "monitor")
    return to_numpy(compute.match_substring_regex(column, pattern))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_of(line: bytes) -> str:
    """The line as text; raises MessageFault when it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise MessageFault("encoding", no_text(line) or f"byte {error.start} is not UTF-8") from None


def no_text(line: bytes) -> str:
    """What a line is the beginning of, or a part, that is no text in UTF-8; nothing where that cannot be told."""
    for magic, said in _MAGICS.items():
        if line.startswith(magic):
            return said
    return "it has bytes of 0, as UTF-16 has; UTF-8 is read" if b"\x00" in line[:64] else ""
