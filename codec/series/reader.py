"""Series from files: `read_series` takes all of one, `read_batches` a bounded part at a time; both tell what they saw.

CSV (any separator, header or none, comments), JSON Lines, both also compressed by gzip, Parquet, NPZ and NPY are told
apart by their content. Parquet and text need pyarrow (`pip install 'aez[monitor]'`); NumPy's files do not.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.clock import TIME_UNITS, TableClock, find_clock, names_time
from aez.codec.series.columns import Column, Wordbook, Words, excerpt, is_category, is_nested, numbers
from aez.codec.series.core import Series, joined, nearest_names, part_of
from aez.codec.series.open_table import open_table
from aez.codec.series.streams import NAMES_STREAMS, Labels, MixedStreams, parted, summary_of
from aez.codec.series.summary import SeriesSummarizer, SeriesSummary
from aez.codec.series.table import Table, TableBlock

__all__ = ["SeriesReader", "joined", "read_batches", "read_series", "read_streams"]

#: Windows are float32: what lies beyond counts as infinite.
_LARGEST = float(np.finfo(np.float32).max)
_DECIMAL_COMMA = re.compile(r"'[+-]?\d+,\d+'")
_INDEX_NAMES = ("Unnamed: 0", "__index_level_0__")
_SUFFIXES = re.compile(r"(\.(csv|tsv|txt|dat|jsonl|ndjson|json|parquet|pq|npz|npy))?(\.gz)?$", re.IGNORECASE)


def read_series(
    path: str | Path,
    *,
    time_column: str | None = None,
    time_unit: str | None = None,
    channels: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    separator: str | None = None,
    name: str | None = None,
    array: str | None = None,
    categories: bool = False,
    words: Words | None = None,
) -> tuple[Series, SeriesSummary]:
    """The whole series in a file and what is to be known about it. The arguments and errors of `read_batches`."""
    reader = read_batches(
        path,
        time_column=time_column,
        time_unit=time_unit,
        channels=channels,
        ignore=ignore,
        separator=separator,
        name=name,
        array=array,
        categories=categories,
        words=words,
    )
    return replace(joined(list(reader)), words=reader.words), reader.summary()


def read_streams(
    path: str | Path,
    stream: str,
    *,
    time_column: str | None = None,
    time_unit: str | None = None,
    channels: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    separator: str | None = None,
    array: str | None = None,
    categories: bool = False,
    words: Words | None = None,
) -> tuple[list[Series], SeriesSummary]:
    """The series of each stream in a file, as the column `stream` names them, in the order in which they come.

    Each has its stream's name; the summary is of all of them, with clocks as they are within the streams. All of it is
    held in memory. The other arguments and the errors are those of `read_batches`; besides, UnsupportedInput for a row
    that names no stream.
    """
    reader = read_batches(
        path,
        time_column=time_column,
        time_unit=time_unit,
        channels=channels,
        ignore=ignore,
        separator=separator,
        array=array,
        categories=categories,
        words=words,
        stream=stream,
    )
    whole = replace(joined(list(reader)), words=reader.words)
    assert reader.labels is not None
    streams = [
        replace(one, unknown=reader.unknown_of(number))
        for number, one in enumerate(parted(whole, reader.labels.codes(), reader.labels.names))
    ]
    return streams, summary_of(streams, reader.summary())


def read_batches(
    path: str | Path,
    *,
    rows: int = 65_536,
    time_column: str | None = None,
    time_unit: str | None = None,
    channels: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    separator: str | None = None,
    name: str | None = None,
    array: str | None = None,
    stream: str | None = None,
    categories: bool = False,
    words: Words | None = None,
) -> SeriesReader:
    """The series in a file, `rows` rows at a time, in memory that does not grow with the file.

    What the columns are is decided from the first two MiB. A channel is a column that holds at least
    as many numbers as other texts there, or nothing; one of other texts is dropped, and so are row numbers in a first
    column without a name among others with names, and an empty last one without a name. Missing are empty fields, NaN,
    null, NA, `-` and the like, and values beyond float32, which the summary counts as infinite. Columns without a name
    are called c0, c1, ...

    Args:
        path: the file.
        rows: in every batch but the last.
        time_column: the column with the times; by default it is found (`aez.codec.series.clock`). Of an NPZ, an array.
        time_unit: of times that are numbers, `s`, `ms`, `us` or `ns` since 1970, or `days` as spreadsheets count them,
            which are local times; by default told by their size, and by the column's name.
        channels: the columns to read, in this order; by default all that hold numbers.
        ignore: columns to leave out, labels for instance; they may be absent, unless another's name is nearly the same.
        separator: of a text file; by default found among `,` `;` tab `|` and blanks.
        name: of the stream; by default the file's without its suffix.
        array: the one of an NPZ that holds the values [time, channels]; not needed for `values` or an only one. Arrays
            `time` (or `<array>_time`) and `channels` (names) may stand beside it.
        stream: the column that names each row's stream, texts or whole numbers; it is no channel, and `labels` of the
            reader has what it held.
        categories: take columns of few words as channels too, each sample the place of its word in `words` of the
            reader, in the order in which they come.
        words: of channels of text, by name, the rarest last, for which a word that is not there is taken.

    Raises:
        UnsupportedInput: the file is missing, damaged or of no such format; it has fewer than two rows, no numeric
            column, not the channels asked for, two columns of one name, a row of another length, a text among the
            numbers, a row whose time cannot be read, or (at the end) no value at all.
        InvalidArgument: an option names a column or array that is not there, or has an impossible value.
    """
    _check_arguments(rows, time_unit, channels, ignore)
    path = Path(path)
    if stream is not None and stream in {*(channels or ()), time_column}:
        raise InvalidArgument(f"{stream!r} cannot name the streams and be something else, too")
    ignore = [column for column in ignore if column != stream]
    table = open_table(path, separator=separator, array=array, time_column=time_column, ignore=ignore)
    name = _SUFFIXES.sub("", path.name) if name is None else name
    book = Wordbook(words)
    clock = (time_column, time_unit)
    return SeriesReader(path, table, rows, name, clock, channels, ignore, stream, book, categories)


def _check_arguments(rows: int, time_unit: str | None, channels: Sequence[str] | None, ignore: Sequence[str]) -> None:
    """Raise InvalidArgument for what no file could fit."""
    if time_unit not in (None, *TIME_UNITS):
        raise InvalidArgument(f"time_unit is one of {', '.join(TIME_UNITS)}, not {time_unit!r}")
    if rows < 1:
        raise InvalidArgument(f"a batch has at least 1 row, not {rows}")
    if isinstance(channels, str) or isinstance(ignore, str):
        raise InvalidArgument("channels and ignore are lists of names, not one text")
    both = sorted(set(channels or ()) & set(ignore))
    if both:
        raise InvalidArgument(f"{both[0]!r} is both asked for and to be ignored")


class SeriesReader(Iterator[Series]):
    """Batches of one file; made by `read_batches`. `summary()` tells about the rows that have been given out."""

    def __init__(
        self,
        path: Path,
        table: Table,
        rows: int,
        name: str,
        clock: tuple[str | None, str | None],
        channels: Sequence[str] | None,
        ignore: Sequence[str],
        stream: str | None = None,
        book: Wordbook | None = None,
        categories: bool = False,
    ) -> None:
        self._path, self.name = path, name
        self._book = book or Wordbook()
        self._stream = stream
        #: Whose row is whose, where a column names the streams.
        self.labels = None if stream is None else Labels()
        self._unknown: dict[str, list[NDArray[np.int32]]] = {}  # of rows with such a word, by channel: their streams
        blocks = [block for block in itertools.islice(table.blocks, 2) if block.rows]
        if sum(block.rows for block in blocks) < 2:
            count = "one row" if blocks else "no rows"
            hint = ""
            if blocks and any(is_nested(column) for column in blocks[0].columns.values()):
                hint = "; what is nested in it is not read: write an object a row, each on a line of its own"
            raise UnsupportedInput(f"{path} has {count}, and a series has at least two{hint}")
        columns = blocks[0].columns
        self.dropped: dict[str, str] = dict(table.dropped)
        if table.stream is not None:
            self.dropped[table.stream] = "names the stream"
        self._ignore(columns, ignore)
        if stream is not None:
            if stream not in columns:
                raise InvalidArgument(f"{path} has no column of streams {nearest_names([stream], list(columns))}")
            self.dropped[stream] = NAMES_STREAMS
        self._clock = self._find_clock(table, columns, *clock, channels)
        if categories:
            self._find_categories(blocks, channels)
        self.channels = self._find_channels(table, columns, channels)
        self._infinite: NDArray[np.int64] = np.zeros(len(self.channels), np.int64)
        self._summarizer = SeriesSummarizer()
        self._some_value = False
        self._asked, self._seen = channels is not None, set(columns)
        clocks = self._clock.columns if self._clock is not None else ()
        self._mixed = None if stream is not None or not clocks else MixedStreams(list(columns), clocks)
        parts = (self._series(block) for block in itertools.chain(blocks, table.blocks) if block.rows)
        self._batches = _evenly(parts, rows)

    @property
    def timezone(self) -> str | None:
        """As in the file; None for times without a zone, and without times."""
        return None if self._clock is None else self._clock.timezone

    def __next__(self) -> Series:
        batch = next(self._batches, None)
        if batch is None:
            if not self._some_value:
                raise UnsupportedInput(f"{self._path} has no value: every sample of every channel is missing")
            raise StopIteration
        self._summarizer.add(batch)
        self._some_value = self._some_value or not np.isnan(batch.values).all()
        return batch

    def summary(self) -> SeriesSummary:
        """What the rows given out so far are like; raises InvalidArgument before the first batch."""
        summary = self._summarizer.summary(
            time_column=None if self._clock is None else " and ".join(self._clock.columns),
            infinite={name: int(n) for name, n in zip(self.channels, self._infinite, strict=True)},
            dropped=self.dropped,
        )
        return summary if self._mixed is None else replace(summary, mixed=self._mixed.found())

    def _ignore(self, columns: dict[str, Column], ignore: Sequence[str]) -> None:
        names = [*columns, *self.dropped]
        for name in ignore:
            near = difflib.get_close_matches(name, [n for n in names if n not in ignore], n=1, cutoff=0.8)
            if name not in names and near:
                raise InvalidArgument(f"{self._path} has no column {name!r} to ignore; is it {near[0]!r}?")
            if name in names:
                self.dropped[name] = "ignored"

    def _find_clock(
        self,
        table: Table,
        columns: dict[str, Column],
        named: str | None,
        unit: str | None,
        channels: Sequence[str] | None,
    ) -> TableClock | None:
        if named is not None and (named not in columns or named in self.dropped):
            raise InvalidArgument(f"{self._path} has no time column {nearest_names([named], list(columns))}")
        named = named or table.clock
        left_out = {*self.dropped, *(channels or ())} - {named}
        candidates = {name: column for name, column in columns.items() if name not in left_out}
        with self._explained():
            clock = find_clock(candidates, named=named, unnamed=table.unnamed, timezones=table.timezones, unit=unit)
        if clock is None and named is not None:
            example = excerpt(columns[named], 0)
            raise UnsupportedInput(
                f"{self._path}: column {named!r} holds no times, but {example}; write them as 2024-01-31 23:59:59 "
                "(ISO 8601) or as seconds since 1970"
            )
        if clock is None and unit is not None:
            raise UnsupportedInput(f"{self._path} has no column of times, of which {unit} is the unit; name it")
        return clock

    def _find_channels(self, table: Table, columns: dict[str, Column], asked: Sequence[str] | None) -> tuple[str, ...]:
        if asked is not None:
            missing = [name for name in asked if name not in columns]
            if missing:
                raise UnsupportedInput(f"{self._path} has no channel {nearest_names(missing, list(columns))}")
            if not asked or len(set(asked)) < len(asked):
                raise InvalidArgument(f"channels are one or more different names, not {', '.join(asked) or 'none'}")
            # Columns that nobody asked for need no reason.
            kept = ("ignored", NAMES_STREAMS)
            self.dropped = {name: reason for name, reason in self.dropped.items() if reason in kept}
            return tuple(asked)
        used = self._clock.columns if self._clock is not None else ()
        found = []
        for place, (name, column) in enumerate(columns.items()):
            if name in used or name in self.dropped:
                continue
            bare = name in table.unnamed or name in _INDEX_NAMES
            numbered = bare and place == 0 and len(table.unnamed) < len(columns)
            if name in self._book:
                found.append(name)
                continue
            reason = _no_channel(column, numbered, bare and place == len(columns) - 1)
            if reason is not None and self._clock is None and names_time(name):
                reason += "; times are read as 2024-01-31 23:59:59 (ISO 8601) or seconds since 1970"
            if reason is None:
                found.append(name)
            else:
                self.dropped[name] = reason
        if not found:
            comma = next((text for text in self.dropped.values() if _DECIMAL_COMMA.search(text)), None)
            hint = "; write its numbers with a decimal point" if comma else ""
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(self.dropped.items())[:3])
            raise UnsupportedInput(f"{self._path} has no numeric column{f' ({reasons})' if reasons else ''}{hint}")
        return tuple(found)

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """Of channels that hold text, those of the rows given out so far."""
        return {name: words for name, words in self._book.words.items() if name in self.channels}

    @property
    def unknown(self) -> dict[str, int]:
        """Rows given out so far that held a word that was not asked for, by channel."""
        return dict(self._book.unknown)

    def _find_categories(self, blocks: Sequence[TableBlock], asked: Sequence[str] | None) -> None:
        used = self._clock.columns if self._clock is not None else ()
        for name, column in blocks[0].columns.items():
            if name in used or name in self.dropped or (asked is not None and name not in asked):
                continue
            reason = _no_channel(column, False, False) or ""
            # "21,5" between commas is no word, and a thousand or a part of one: who wrote it has to say.
            text = reason.startswith("text") and not _DECIMAL_COMMA.search(reason)
            parts = [block.columns[name] for block in blocks if name in block.columns]
            if text and not isinstance(column, np.ndarray) and is_category(parts):
                self._book.gather(name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except UnsupportedInput as error:
            raise UnsupportedInput(f"{self._path}: {error}") from error

    def _series(self, block: TableBlock) -> Series:
        values = np.full((block.rows, len(self.channels)), np.nan)
        for place, name in enumerate(self.channels):
            if name not in block.columns:
                continue  # JSON objects without it
            if name in self._book:
                with self._explained():
                    values[:, place] = self._book.numbers(name, block.columns[name])
                continue
            column, wrong = numbers(block.columns[name])
            if wrong.any():
                row = int(np.argmax(wrong))
                text = excerpt(block.columns[name], row)
                raise UnsupportedInput(
                    f"{self._path}, {block.place(row)}: column {name!r} holds {text} among its numbers; "
                    "write a missing sample as an empty field, NaN, null, NA or -, or ignore the column"
                )
            infinite = np.abs(column) > _LARGEST
            if infinite.any():
                self._infinite[place] += int(infinite.sum())
                column = np.where(infinite, np.nan, column)
            values[:, place] = column
        if not self._asked:
            for name in block.columns.keys() - self._seen:
                self.dropped[name] = f"not in the first rows; first met behind {block.place(0)}"
            self._seen |= block.columns.keys()
        time = self._times(block)
        if self._mixed is not None:
            self._mixed.add(block, time)
        if self.labels is not None:
            self._label(self.labels, block)
        return Series(values, self.channels, time, self.timezone, self.name)

    def _label(self, labels: Labels, block: TableBlock) -> None:
        column = block.columns.get(self._stream or "", np.full(block.rows, np.nan))
        codes = labels.add(column)
        nameless = codes < 0
        if nameless.any():
            place = block.place(int(np.argmax(nameless)))
            raise UnsupportedInput(f"{self._path}, {place}: column {self._stream!r} names no stream there")
        for name, strange in self._book.strange.items():
            if name in block.columns:
                self._unknown.setdefault(name, []).append(codes[strange])

    def unknown_of(self, stream: int) -> dict[str, int]:
        """As `unknown`, of the stream of this number in `labels`; channels without such a word are left out."""
        counts = {
            name: sum(int(np.count_nonzero(part == stream)) for part in parts) for name, parts in self._unknown.items()
        }
        return {name: count for name, count in counts.items() if count}

    def _times(self, block: TableBlock) -> NDArray[np.int64] | None:
        if self._clock is None:
            return None
        nothing = np.full(block.rows, np.nan)
        time, wrong, column = self._clock.read({n: block.columns.get(n, nothing) for n in self._clock.columns})
        if wrong.any():
            row = int(np.argmax(wrong))
            zone = ", with a zone as in the rows before" if self._clock.zoned else ""
            names = " and ".join(map(repr, self._clock.columns))
            raise UnsupportedInput(
                f"{self._path}, {block.place(row)}: column {names} holds {excerpt(column, row)}, which is no time like "
                f"the others{zone}; mend the row, or ignore the column and go without times"
            )
        return time


def _no_channel(column: Column, index: bool, last: bool) -> str | None:
    """Why a column is no channel; None when it is one. `index`, `last`: it has no name, and stands where these do."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        return "times beside the clock"
    values, wrong = numbers(column)
    if 2 * wrong.sum() > len(values) - np.isnan(values[~wrong]).sum():
        row = int(np.argmax(wrong))
        return f"text, such as {excerpt(column, row)}"
    if last and np.isnan(values).all():
        return "empty, without a name"
    if index and len(values) > 1 and np.all(np.diff(values) == 1):
        return "row numbers"
    return None


def _evenly(parts: Iterator[Series], rows: int) -> Iterator[Series]:
    """The same rows, `rows` in each series but the last."""
    held, count = [], 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count < rows:
            continue
        whole = joined(held)
        for start in range(0, count - rows + 1, rows):
            yield part_of(whole, start, start + rows)
        held, count = [part_of(whole, count - count % rows, count)], count % rows
    if count:
        yield joined(held)
