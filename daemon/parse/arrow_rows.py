"""Arrow IPC: streams back to back, each with its schema, as `pyarrow.ipc.new_stream` writes them.

Columns of numbers are values, of texts keys; times are timestamps or numbers. A null, NaN, an infinity and 9.9e37 are
missing values; another number beyond the limit makes its row malformed. What is compressed may be larger than its
bytes: a source that does not trust its senders bounds them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.arrow import from_numpy, to_numpy
from aez.codec.common.extras import library
from aez.codec.series.zones import LocalTimes, from_local
from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.parse import times
from aez.daemon.parse.names import Admit, ChannelNames, Mapper, Origin, StreamNames
from aez.daemon.parse.options import Options
from aez.daemon.parse.results import ChunkRows, MessageFault, MessageFaults, RowPart
from aez.daemon.parse.times import ArrivalClock, UnreadTime
from aez.daemon.transform.conversion import is_no_reading

__all__ = ["ArrowRows"]

_BLOCK = 2048
#: A value as large as this share of the limit may lie beyond it before it is rounded to float32.
_NEARLY = 1 - 1e-6


class ArrowRows:
    """A parser of Arrow IPC streams."""

    def __init__(self, options: Options, limits: Limits, admit: Admit | None = None) -> None:
        self.options = options
        self.limits = limits
        self.names = StreamNames(options, limits, admit)
        self.mapper = Mapper(options, self.names, "auto", limits.magnitude)
        self.channels = ChannelNames.of(options, self.mapper, limits)
        self.clock, self.unread_time = ArrivalClock(), UnreadTime()
        self.local = LocalTimes()

    def parse(self, chunk: Chunk) -> tuple[list[Samples], list[Malformed]]:
        return self.parse_many([chunk])

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]:
        rows, faults = ChunkRows(self.limits, self.local), MessageFaults(self.limits.malformed)
        place = 0
        for chunk in chunks:
            begun = place
            for batch in self._batches(chunk.data, faults):
                try:
                    self._add(batch, chunk, place, rows, faults)
                except MessageFault as fault:
                    self._refuse_all(batch, chunk, fault, faults)
                place += batch.num_rows
                if not chunk.body:
                    rows.sent(place - batch.num_rows, place)
            if chunk.body:
                rows.sent(begun, place)
        return rows.samples(), faults.result()

    def _refuse_all(self, batch: Any, chunk: Chunk, fault: MessageFault, faults: MessageFaults) -> None:
        """Count the rows of a batch that cannot be used, each for its stream where that is known."""
        origin, count = (chunk.stream, chunk.source), max(1, batch.num_rows)
        try:
            streams = _StreamCodes(self.mapper.tags, batch)
        except (MessageFault, KeyError):  # columns of no use, or several of one name
            faults.add(fault.reason, fault.detail, b"", count, self.names.of_refused(origin, fault))
            return
        rest = count
        for code, number in streams.occurring(np.ones(batch.num_rows, bool)):
            name = self.names.of_refused(origin, MessageFault("", "").of(streams.keys(code)))
            faults.add(fault.reason, fault.detail, b"", number, name)
            rest -= number
        if rest:  # a batch without rows
            faults.add(fault.reason, fault.detail, b"", rest)

    def _batches(self, data: bytes, faults: MessageFaults) -> list[Any]:
        """Batches up to the first fault: behind it nothing tells where the next stream begins."""
        pa, ipc = library("pyarrow", "monitor"), library("pyarrow.ipc", "monitor")
        source = pa.BufferReader(data)
        batches: list[Any] = []
        start = 0
        try:
            while (start := source.tell()) < len(data):
                for batch in ipc.open_stream(source):
                    batch.validate(full=True)
                    batches.append(batch)
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            message = str(error).partition("\n")[0]
            faults.add("syntax", f"the Arrow stream at byte {start:,} is damaged: {message[:200]}", data[start:])
        return batches

    def _add(self, batch: Any, chunk: Chunk, place: int, rows: ChunkRows, faults: MessageFaults) -> None:
        count = batch.num_rows
        if batch.num_columns > self.limits.columns:
            raise MessageFault("too_many_columns", f"the batch has {batch.num_columns:,} columns")
        names = list(batch.schema.names)
        if len(set(names)) < len(names):
            raise MessageFault("syntax", "the batch names a column twice")
        if not count:
            return
        left = _Good(count)
        moments, later = self._times(batch, names, chunk, left)
        values, columns = self._values(batch, names, left)
        stream, good = self._streams(batch, (chunk.stream, chunk.source), rows, left, faults)
        order = np.arange(place, place + count)
        if self.channels is None and good.all():
            rows.add(columns, RowPart(order, moments, stream, values, later))
            return
        named = [(columns, np.flatnonzero(good))]
        if self.channels is not None:
            named = self._named(batch, (chunk.stream, chunk.source), columns, values, good, faults)
        for names_of_part, at in named:
            late = None if later is None else later[at]
            rows.add(names_of_part, RowPart(order[at], moments[at], stream[at], values[at], late))

    def _named(
        self,
        batch: Any,
        origin: Origin,
        columns: tuple[str, ...],
        values: NDArray[np.float32],
        good: NDArray[np.bool_],
        faults: MessageFaults,
    ) -> list[tuple[tuple[str, ...], NDArray[np.int64]]]:
        """Of long format: the names of the values, which are converted, and the rows that have these."""
        assert self.channels is not None
        keys = _StreamCodes(self.mapper.tags, batch)
        rows = np.flatnonzero(good)
        rows = rows[np.argsort(keys.codes[rows], kind="stable")]
        found: dict[tuple[str, ...], list[NDArray[np.int64]]] = {}
        for part in np.split(rows, np.flatnonzero(np.diff(keys.codes[rows])) + 1) if len(rows) else []:
            pairs = keys.keys(int(keys.codes[part[0]]))
            try:
                names = self.channels.values(origin, pairs, dict.fromkeys(columns, math.nan))
            except MessageFault as fault:
                stream = self.names.of_refused(origin, fault.of(pairs))
                faults.add(fault.reason, fault.detail, b"", len(part), stream)
            else:
                for index, conversion in enumerate(self.channels.conversions(origin, pairs, columns)):
                    if conversion is not None:
                        values[part, index] = conversion.many(values[part, index].astype(np.float64))
                found.setdefault(tuple(names), []).append(part)
        return [(names, np.sort(np.concatenate(parts))) for names, parts in found.items()]

    def _times(
        self, batch: Any, names: Sequence[str], chunk: Chunk, good: _Good
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Times, and of local ones that come twice how much later they may be."""
        pa = library("pyarrow", "monitor")
        name, later = self.mapper.time_name(names), None
        if name is None:
            if self.options.time:
                raise MessageFault("no_time", f"the batch has no {self.options.time!r}")
            for message in _first_messages(batch):
                self.unread_time.look(message)
            return self.clock.arrivals(len(good), chunk.received) + np.arange(len(good)), None
        column = _plain(batch.column(name))
        kind, missing = column.type, np.zeros(len(good), bool)
        if column.null_count:
            missing = to_numpy(column.is_null())
        if pa.types.is_null(kind):
            moments, wrong = np.zeros(len(good), np.int64), missing
        elif pa.types.is_timestamp(kind):
            try:
                moments = _whole_numbers(column.cast(pa.timestamp("ns", kind.tz)))
            except pa.ArrowInvalid:
                raise MessageFault("bad_time", f"{name!r} holds times beyond the year 2262") from None
            wrong = missing
            if kind.tz is None and self.options.timezone is not None:
                moments, later = from_local(moments, self.options.timezone)
        elif pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
            moments, wrong, later = times.from_integers(_whole_numbers(column), self.mapper.unit, self.options.timezone)
        elif pa.types.is_floating(kind) or pa.types.is_uint64(kind):
            floats = to_numpy(column.cast(pa.float64(), safe=False), math.nan)
            moments, wrong, later = times.from_floats(floats, self.mapper.unit, self.options.timezone)
        elif pa.types.is_string(kind):
            moments, wrong, later = times.from_texts(column, self.mapper.unit, self.options.timezone)
        else:
            raise MessageFault("bad_time", f"{name!r} is of type {kind}, which is no time")
        if missing.any():
            wrong = wrong & ~missing
            if self.options.time:
                good.refuse(missing, "no_time", f"{name!r} is missing")
            else:
                arrival = self.clock.arrivals(len(good), chunk.received)
                moments = np.where(missing, arrival + np.arange(len(good)), moments)
        if wrong.any():
            example = column[int(np.argmax(wrong))].as_py()
            good.refuse(wrong, "bad_time", f"{name!r}: {times.why_none(example, self.mapper.unit)}")
        return np.asarray(moments, np.int64), later

    def _values(self, batch: Any, names: Sequence[str], good: _Good) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        pa = library("pyarrow", "monitor")
        time_name, mapper = self.mapper.time_name(names), self.mapper
        taken = {}
        for name in names:
            if name == time_name or name in mapper.tags or not mapper.takes(name):
                continue
            column = _plain(batch.column(name))
            kind, types = column.type, pa.types
            if mapper.transforms.of(name) and types.is_string(kind):
                column = self._read(name, column)
                kind = column.type
            elif (conversion := mapper.transforms.conversion(name)) is not None and not types.is_null(kind):
                column = from_numpy(conversion.many(_numbers(column).astype(np.float64)))
                kind = column.type
            if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)):
                if mapper.wanted:
                    raise MessageFault("wrong_type", f"{name!r} is of type {kind} where a number belongs")
                continue
            mapper.check_name(name, self.limits.name_bytes)
            taken[mapper.renamed(name)] = column
        mapper.check_complete(dict.fromkeys(taken, 0.0))
        columns = mapper.sorted(taken)
        found = [_numbers(taken[name]) for name in columns]
        values = np.empty((len(good), len(columns)), np.float32)
        with np.errstate(over="ignore"):
            for start in range(0, len(good), _BLOCK):  # a block of rows stays in the cache while columns go into it
                block = slice(start, start + _BLOCK)
                for index, column in enumerate(found):
                    values[block, index] = column[block]
            near = np.abs(values) >= self.limits.magnitude * _NEARLY
        if near.any():
            beyond = np.zeros(len(good), bool)
            for index, column in enumerate(found):
                outside = np.abs(column) > self.limits.magnitude
                unread = outside & (np.isinf(column) | is_no_reading(column))
                values[unread, index] = np.nan
                beyond |= outside & ~unread
            good.refuse(beyond, "too_large", f"beyond {self.limits.magnitude:g}")
        return values, columns

    def _read(self, name: str, column: Any) -> Any:
        """Texts of a column that a transform is for, as numbers."""
        encoded = column.dictionary_encode()
        words = [
            math.nan if word is None else self.mapper.transforms.number(name, word)
            for word in encoded.dictionary.to_pylist()
        ]
        codes = to_numpy(encoded.indices, len(words))
        return from_numpy(np.array([*words, math.nan])[codes])

    def _streams(
        self, batch: Any, origin: Origin, rows: ChunkRows, good: _Good, faults: MessageFaults
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The stream of each row, and whether it is taken; those that are not are counted."""
        found = _StreamCodes(self.mapper.tags, batch)
        for rows_of_it, reason, detail in good.refused:
            for code, count in found.occurring(rows_of_it):
                name = self.names.of_refused(origin, MessageFault(reason, detail).of(found.keys(code)))
                faults.add(reason, detail, b"", count, name)
        numbers = np.full(len(found), -1, np.int32)
        for code, count in found.occurring(good.flags):
            pairs = found.keys(code)
            try:
                tags = pairs if self.channels is None else self.channels.others(pairs)
                numbers[code] = rows.stream(self.names(origin, pairs), tags)
            except MessageFault as fault:
                faults.add(fault.reason, fault.detail, b"", count, self.names.of_refused(origin, fault.of(pairs)))
        stream = numbers[found.codes]
        return stream, good.flags & (stream >= 0)


class _Good:
    """Which rows of a batch can be used, and why others cannot.

    flags: bool [rows]. refused: of each reason the rows, and what is wrong with them.
    """

    def __init__(self, count: int) -> None:
        self.flags = np.ones(count, bool)
        self.refused: list[tuple[NDArray[np.bool_], str, str]] = []

    def __len__(self) -> int:
        return len(self.flags)

    def refuse(self, wrong: NDArray[np.bool_], reason: str, detail: str) -> None:
        """Leave rows out; those that were left out before keep their reason."""
        fresh = wrong & self.flags
        if fresh.any():
            self.refused.append((fresh, reason, detail))
            self.flags &= ~wrong


class _StreamCodes:
    """A number for each combination of what tells the streams of a batch. Raises MessageFault for other types.

    codes: int64 [rows].
    """

    def __init__(self, tags: frozenset[str], batch: Any) -> None:
        combined = np.zeros(batch.num_rows, np.int64)
        self._keys: list[tuple[str, list[str | None], NDArray[np.int64]]] = []
        for name in sorted(tags & set(batch.schema.names)):
            words, codes = _words(batch.column(name), name)
            self._keys.append((name, words, codes))
            combined = combined * len(words) + codes
            if len(self._keys) > 1 or len(words) > len(combined):  # no more numbers than there are rows
                combined = to_numpy(from_numpy(combined).dictionary_encode().indices).astype(np.int64)
        self.codes = combined
        self._first = np.zeros(int(combined.max()) + 1 if len(combined) else 0, np.int64)
        self._first[combined[::-1]] = np.arange(len(combined))[::-1]

    def __len__(self) -> int:
        return len(self._first)

    def keys(self, code: int) -> dict[str, str]:
        """What tells the stream."""
        row = int(self._first[code])
        return {name: value for name, words, codes in self._keys if (value := words[codes[row]]) is not None}

    def occurring(self, rows: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Codes of these rows, each with how many have it."""
        counts = np.bincount(self.codes[rows], minlength=len(self))
        return [(code, int(counts[code])) for code in np.flatnonzero(counts).tolist()]


def _first_messages(batch: Any) -> list[dict[str, Any]]:
    """The first two rows as names and what they hold, of columns that may hold a time."""
    types, few = library("pyarrow", "monitor").types, batch.slice(0, 2)
    found: list[dict[str, Any]] = [{} for _ in range(few.num_rows)]
    for name, column in zip(few.schema.names, few.columns, strict=True):
        values: Sequence[Any] = ()
        if types.is_timestamp(column.type):  # which Python's own times cannot hold to the nanosecond
            values = list(_whole_numbers(column))
        elif types.is_integer(column.type) or types.is_floating(column.type) or types.is_string(column.type):
            values = column.to_pylist()
        for message, value in zip(found, values, strict=False):
            message[name] = value
    return found


def _numbers(column: Any) -> NDArray[Any]:
    """The column as floats, NaN where a value is missing."""
    pa = library("pyarrow", "monitor")
    if column.null_count or not (pa.types.is_float32(column.type) or pa.types.is_float64(column.type)):
        column = column.cast(pa.float64(), safe=False)
    return to_numpy(column, math.nan)


def _whole_numbers(column: Any) -> NDArray[np.int64]:
    """The column as int64, 0 where a value is missing."""
    pa = library("pyarrow", "monitor")
    column = column.cast(pa.int64())
    return to_numpy(column)


def _words(column: Any, name: str) -> tuple[list[str | None], NDArray[np.int64]]:
    """The texts that occur in a column, and the place of each row's among them. Raises MessageFault for other types."""
    pa = library("pyarrow", "monitor")
    if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type) and not column.null_count:
        return column.dictionary.to_pylist(), to_numpy(column.indices).astype(np.int64)
    column = _plain(column)
    if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
        raise MessageFault("wrong_type", f"{name!r}, which tells the stream, is of type {column.type}")
    encoded = column.cast(pa.string()).dictionary_encode(null_encoding="encode")
    return encoded.dictionary.to_pylist(), to_numpy(encoded.indices).astype(np.int64)


def _plain(column: Any) -> Any:
    """Without a dictionary, and texts of one kind."""
    pa = library("pyarrow", "monitor")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column
