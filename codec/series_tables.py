"""Files of series as blocks of stored columns: CSV, JSON Lines, Parquet, NPZ and NPY, told apart by their content.

Every opener reads from the beginning to the end in blocks of bounded size, so that a file may be larger than memory.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import io
import json
import math
import re
import statistics
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series_columns import MISSING, Column, arrow, from_arrow, from_numpy

__all__ = ["Block", "Table", "open_table"]

#: Bytes of text, or values of an array, that are handled at a time; one line may be so long.
_TEXT_BLOCK, _VALUES_BLOCK, _LINE_MAX = 2**21, 2**18, 2**26
_SAMPLE_LINES = 100
#: In the order of preference: whoever separates by `;` may write commas in numbers, and blanks in times.
_SEPARATORS = ("\t", ";", "|", ",", " ")
_BOM, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
#: Lines without content: blank ones and comments.
_IDLE = re.compile(rb"(?m)^(?:[ \t]*#[^\n]*|[ \r]*)(?:\n|\Z)")
_TIME_LIKE = re.compile(r"\d{4}[-/]?\d\d[-/]?\d\d([T ].*)?|\d\d:\d\d(:\d\d([.,]\d+)?)?")


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a table; `place` says where in the file one of them stands, for a message."""

    columns: dict[str, Column]
    rows: int
    place: Callable[[int], str]


@dataclass(frozen=True)
class Table:
    """A file that is being read."""

    blocks: Iterator[Block]
    unnamed: frozenset[str] = frozenset()  #: columns of a text file that got their names here
    clock: str | None = None  #: an array of times that stands beside the values
    timezones: Mapping[str, str] = field(default_factory=dict)  #: of columns that hold times by type
    dropped: Mapping[str, str] = field(default_factory=dict)  #: columns of types that are never read


def open_table(
    path: Path,
    *,
    separator: str | None = None,
    array: str | None = None,
    time_column: str | None = None,
    ignore: Collection[str] = (),
) -> Table:
    """Open a file, whatever its name; text may be compressed by gzip.

    Raises UnsupportedInput for a file that is missing, empty, damaged, or of no such format; the blocks raise it where
    damage or a row of another length shows later. InvalidArgument for a separator or an array that does not fit.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise InvalidArgument(f"a separator is one character, not {separator!r}")
    with _explained(path):
        with path.open("rb") as file:
            start = file.read(8)
        found = _kind(path, start)
        if array is not None and found != "npz":
            raise InvalidArgument(f"{path} is no npz, of which one array could be chosen ({array!r})")
        if found == "parquet":
            return _open_parquet(path)
        if found == "npz":
            return _open_npz(path, array, time_column, ignore)
        if found == "npy":
            return Table(_npy_blocks(path))
        lines = _content(path)
        first = next(lines, None)
        if first is None:
            raise UnsupportedInput(f"{path} is empty, or holds comments alone")
        if first.text.lstrip()[:1] == b"{":
            return Table(_json_blocks(path, _chain(first, lines)))
        if first.text.lstrip()[:1] == b"[":
            raise UnsupportedInput(f"{path} holds a JSON list; write one object a line (JSON Lines)")
        return _open_csv(path, first, lines, separator)


def _kind(path: Path, start: bytes) -> str:
    """The format by the first bytes; raises UnsupportedInput where the name promises another."""
    magics = {b"PAR1": "parquet", b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"PK\x05\x06": "npz"}
    found = next((kind for magic, kind in magics.items() if start.startswith(magic)), "text")
    if not start:
        raise UnsupportedInput(f"{path} is empty")
    promised = {".parquet": "parquet", ".pq": "parquet", ".npz": "npz", ".npy": "npy"}.get(path.suffix.lower())
    if promised is not None and found != promised:
        raise UnsupportedInput(f"{path} is no {promised} file, or a damaged one")
    return found


#: What the readers of gzip and zip raise for damage, besides errors of the system.
_DAMAGE = (
    *(gzip.BadGzipFile, zlib.error, EOFError, zipfile.BadZipFile),
    *(NotImplementedError, struct.error, UnicodeDecodeError),
)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the libraries raise for a bad file, as one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise UnsupportedInput(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UnsupportedInput(f"{path} is a folder; give a file in it") from None
    except csv.Error as error:
        raise UnsupportedInput(f"{path} is no table of separated values: {error}") from error
    except _DAMAGE as error:
        raise UnsupportedInput(f"{path} is damaged or cut off: {error}") from error
    except OSError as error:
        raise UnsupportedInput(f"{path} cannot be read: {error.strerror or error}") from error


# Text, line by line.


@dataclass(frozen=True)
class _Lines:
    """Whole lines of a file; `number` is the first one's, from 1."""

    text: bytes
    number: int
    skip: int = 0  #: lines with content at the beginning that are not rows

    @functools.cached_property
    def rows(self) -> bytes:
        """The lines that are rows: without blank ones and comments."""
        text = self.text
        # The regular expression is slow beside these searches, and most files need it nowhere.
        if text[:1] in b" \r\n" or any(mark in text for mark in (b"#", b"\n\n", b"\n\r", b"\n ")):
            text = _IDLE.sub(b"", text)
        for _ in range(self.skip):
            text = text.partition(b"\n")[2]
        return text

    def place(self, row: int) -> str:
        return f"line {self.line_of(row)}"

    def line_of(self, row: int) -> int:
        """The number in the file of a line that is a row."""
        left = row + self.skip
        for number, line in enumerate(self.text.split(b"\n"), self.number):
            if not _IDLE.fullmatch(line):
                if not left:
                    return number
                left -= 1
        return self.number


def _content(path: Path) -> Iterator[_Lines]:
    """Blocks of whole lines that have content, checked to be UTF-8 text."""
    number, rest = 1, b""
    with _explained(path), _open_text(path) as stream:
        piece = stream.read(_TEXT_BLOCK)
        if piece.startswith(_UTF16):
            raise UnsupportedInput(f"{path} is text in UTF-16; save it as UTF-8")
        piece = piece.removeprefix(_BOM)
        mac = b"\n" not in piece and b"\r" in piece
        while piece:
            following = stream.read(_TEXT_BLOCK)
            if mac:
                piece = piece.replace(b"\r", b"\n")
            cut = piece.rfind(b"\n") + 1 if following else len(piece)
            text, rest = (rest + piece[:cut], piece[cut:]) if cut else (b"", rest + piece)
            if len(rest) > _LINE_MAX:
                raise UnsupportedInput(f"{path} has a line of more than {_LINE_MAX >> 20} MiB; is it a table?")
            yield from _checked(path, text, number)
            number += text.count(b"\n")
            piece = following


def _open_text(path: Path) -> IO[bytes]:
    file = path.open("rb")
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not compressed:
        return file
    file.close()
    return cast("IO[bytes]", gzip.open(path, "rb"))


def _checked(path: Path, text: bytes, number: int) -> Iterator[_Lines]:
    if b"\0" in text:
        line = number + text.count(b"\n", 0, text.index(b"\0"))
        raise UnsupportedInput(f"{path} is no text (it holds a zero byte in line {line})")
    try:
        if not text.isascii():
            text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + text.count(b"\n", 0, error.start)
        raise UnsupportedInput(
            f"{path} is no UTF-8 text (byte 0x{text[error.start]:02x} in line {line}); save it as UTF-8"
        ) from error
    lines = _Lines(text, number)
    if lines.rows:
        yield lines


def _chain(first: _Lines, rest: Iterator[_Lines]) -> Iterator[_Lines]:
    yield first
    yield from rest


# CSV


@dataclass(frozen=True)
class _Dialect:
    separator: str
    names: tuple[str, ...]
    unnamed: frozenset[str]
    header: bool  #: the first row holds the names


def _open_csv(path: Path, first: _Lines, rest: Iterator[_Lines], separator: str | None) -> Table:
    pa = arrow("pyarrow.csv")
    dialect = _dialect(path, first, separator)
    lines = _chain(_Lines(first.text, first.number, skip=int(dialect.header)), rest)
    return Table(_csv_blocks(pa, path, lines, dialect), unnamed=dialect.unnamed)


def _dialect(path: Path, first: _Lines, separator: str | None) -> _Dialect:
    lines = first.rows.split(b"\n", _SAMPLE_LINES)[:_SAMPLE_LINES]
    sample = [line.decode("utf-8").rstrip("\r") for line in lines if line]
    if separator is None:
        separator = _sniffed(sample)
    rows = [_fields(line, separator) for line in sample]
    comment = _names_in_comment(first.text, separator, rows[0])
    header = comment is None and _is_header(rows)
    given = comment if comment is not None else [field.strip() for field in rows[0]] if header else []
    width = len(given) or statistics.mode(len(row) for row in rows)
    names = [given[i] if i < len(given) and given[i] else f"c{i}" for i in range(width)]
    _refuse_repeated(path, names)
    unnamed = frozenset(name for i, name in enumerate(names) if i >= len(given) or not given[i])
    return _Dialect(separator, tuple(names), unnamed, header)


def _sniffed(sample: Sequence[str]) -> str:
    """The first separator that cuts most lines into one number of fields, two or more; a comma without any."""
    for separator in _SEPARATORS:
        widths = [len(_fields(line, separator)) for line in sample]
        usual = statistics.mode(widths)
        if usual > 1 and 2 * widths.count(usual) > len(widths):
            return separator
    return ","


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        line = re.sub(r"[ \t]+", " ", line.strip())
    return next(csv.reader([line], delimiter=separator, skipinitialspace=separator != "\t"), [])


def _names_in_comment(text: bytes, separator: str, row: Sequence[str]) -> list[str] | None:
    """Names from the last comment before the first row, as numpy.savetxt writes them; None where it holds none."""
    comment = None
    for line in text.splitlines():
        if not line.lstrip().startswith(b"#"):
            if line.strip():
                break
            continue
        comment = line.lstrip(b" \t#").decode("utf-8", "replace")
    if comment is None or not any(_is_value(value) for value in row):
        return None
    names = [name.strip() for name in _fields(comment, separator)]
    fits = len(names) == len(row) and len(row) > 1 and all(names) and not any(_is_value(name) for name in names)
    return names if fits else None


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds names: text alone, or text above a column of values."""
    names = {i for i, value in enumerate(rows[0]) if value.strip() and not _is_value(value)}
    if all(i in names or not value.strip() for i, value in enumerate(rows[0])):
        return bool(names)
    below = {i: [row[i] for row in rows[1:] if i < len(row)] for i in names}
    return any(values and all(map(_is_value, values)) for values in below.values())


def _is_value(text: str) -> bool:
    text = text.strip()
    if text.lower() in MISSING or _TIME_LIKE.fullmatch(text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv_blocks(pa: Any, path: Path, lines: Iterator[_Lines], dialect: _Dialect) -> Iterator[Block]:
    for part in lines:
        text = part.rows
        if dialect.separator == " ":
            text = re.sub(rb"(?m)^ | (?=\r?$)", b"", re.sub(rb"[ \t]+", b" ", text))
        if text:
            yield _csv_block(pa, path, part, text, dialect)


def _csv_block(pa: Any, path: Path, part: _Lines, text: bytes, dialect: _Dialect) -> Block:
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    # One block of Arrow's for one of ours; without threads it knows the number of a bad row.
    read = pa.ReadOptions(use_threads=False, column_names=list(dialect.names), block_size=len(text) + 1)
    parse = pa.ParseOptions(delimiter=dialect.separator, invalid_row_handler=note)
    convert = pa.ConvertOptions(
        column_types=dict.fromkeys(dialect.names, arrow().string()),
        null_values=["", "NaN", "nan", "null", "NULL", "NA", "-"],  # the common ones here, all of them with `numbers`
        strings_can_be_null=True,
    )
    try:
        table = pa.read_csv(io.BytesIO(text), read_options=read, parse_options=parse, convert_options=convert)
    except arrow().ArrowInvalid as error:
        raise UnsupportedInput(f"{path} cannot be read as a table from line {part.number} on: {error}") from error
    if ragged:
        row = ragged[0]
        raise UnsupportedInput(
            f"{path}, {part.place(row.number - 1)} has {row.actual_columns} fields and not {row.expected_columns}, "
            f"as separated by {dialect.separator!r}; mend the line or give the separator"
        )
    columns = {name: from_arrow(table.column(i).combine_chunks()) for i, name in enumerate(dialect.names)}
    return Block(columns, table.num_rows, part.place)


# JSON Lines


def _json_blocks(path: Path, lines: Iterator[_Lines]) -> Iterator[Block]:
    for part in lines:
        texts = part.rows.splitlines()
        objects: list[dict[str, Any]] = []
        for row, text in enumerate(texts):
            try:
                parsed = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UnsupportedInput(f"{path}, {part.place(row)} is no JSON object: {str(error)[:80]}") from error
            if not isinstance(parsed, dict):
                raise UnsupportedInput(f"{path}, {part.place(row)} is no JSON object but a {type(parsed).__name__}")
            objects.append(parsed)
        names = dict.fromkeys(name for parsed in objects for name in parsed)
        columns = {name: _json_column([parsed.get(name) for parsed in objects]) for name in names}
        yield Block(columns, len(objects), part.place)


def _json_column(values: list[Any]) -> Column:
    pa = arrow()
    if not any(isinstance(value, (list, dict)) for value in values):
        # Values of several types, or integers beyond 64 bits, go on as texts.
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return from_arrow(pa.array(values))
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return from_arrow(pa.array(texts, pa.string()))


# Parquet


def _open_parquet(path: Path) -> Table:
    parquet, pa = arrow("pyarrow.parquet"), arrow()
    try:
        # Without pre-buffering a row group is read as its rows are, however large it is.
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnsupportedInput(f"{path} is no Parquet file, or a damaged one: {str(error)[:120]}") from error
    _refuse_repeated(path, schema.names)
    dropped = {f.name: f"of type {f.type}" for f in schema if _foreign(f.type)}
    names = [name for name in schema.names if name not in dropped]
    zones = {f.name: f.type.tz for f in schema if pa.types.is_timestamp(f.type) and f.type.tz}
    return Table(_parquet_blocks(path, file, names), timezones=zones, dropped=dropped)


def _parquet_blocks(path: Path, file: Any, names: Sequence[str]) -> Iterator[Block]:
    pa = arrow()
    row = 0
    with file:
        batches = file.iter_batches(batch_size=max(1, _VALUES_BLOCK // max(1, len(names))), columns=list(names))
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise UnsupportedInput(f"{path} is damaged behind row {row}: {str(error)[:120]}") from error
            if batch is None:
                return
            columns = {name: from_arrow(batch.column(name)) for name in names}
            yield Block(columns, batch.num_rows, functools.partial(_row_place, row))
            row += batch.num_rows


def _foreign(kind: Any) -> bool:
    """Whether a Parquet type is neither number, time nor text."""
    types = arrow().types
    if types.is_dictionary(kind):
        return _foreign(kind.value_type)
    return from_arrow(arrow().nulls(0, kind)) is None and not types.is_null(kind)


def _row_place(first: int, row: int) -> str:
    return f"row {first + row + 1}"


# NumPy


def _npy_blocks(path: Path) -> Iterator[Block]:
    try:
        with _explained(path):
            values = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise UnsupportedInput(f"{path} is damaged, or holds no plain array: {str(error)[:120]}") from error
    width = _width(path, path.name, values.shape, values.dtype)
    step = max(1, _VALUES_BLOCK // max(1, width))
    parts = (values[row : row + step].reshape(-1, width) for row in range(0, len(values), step))
    yield from _array_blocks(parts, [f"c{i}" for i in range(width)])


def _array_blocks(
    parts: Iterator[NDArray[Any]], names: Sequence[str], clock: tuple[str, Iterator[NDArray[Any]]] | None = None
) -> Iterator[Block]:
    row = 0
    for part in parts:
        columns = {name: from_numpy(part[:, i]) for i, name in enumerate(names)}
        if clock is not None:
            columns[clock[0]] = from_numpy(next(clock[1]))
        yield Block(columns, len(part), functools.partial(_row_place, row))
        row += len(part)


def _open_npz(path: Path, array: str | None, time_column: str | None, ignore: Collection[str]) -> Table:
    heads = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with _opened(path, archive, member) as stream:
                    heads[member.removesuffix(".npy")] = _npy_head(path, member, stream)
    if not heads:
        raise UnsupportedInput(f"{path} is a zip file without arrays; save a spreadsheet as CSV")
    name = _chosen(path, array, [member for member in heads if member != time_column])
    shape, _, dtype = heads[name]
    width = _width(path, name, shape, dtype)
    # Labels, one a row, may stand beside values whose channels have names.
    named = "channels" in heads and (len(shape) == 2 or heads["channels"][0] == (1,))
    names = _npz_names(path, heads["channels"][0], width) if named else [f"c{i}" for i in range(width)]
    _refuse_repeated(path, names)
    clocks = (time_column, f"{name}_time", "time") if time_column not in names else ()
    clock = next((n for n in clocks if n in heads and n not in ignore and n not in names), None)
    if clock is not None and heads[clock][0] != shape[:1]:
        raise UnsupportedInput(
            f"{path}: {clock} has shape {heads[clock][0]} beside {shape[0]} rows of {name}; ignore it"
        )
    step = max(1, _VALUES_BLOCK // max(1, width))
    parts = (part.reshape(-1, width) for part in _npz_parts(path, name, step))
    times = None if clock is None else (clock, _npz_parts(path, clock, step))
    return Table(_array_blocks(parts, names, times), clock=clock)


def _chosen(path: Path, array: str | None, members: Sequence[str]) -> str:
    """The array that holds the values."""
    arrays = [name for name in members if name not in ("time", "channels") and not name.endswith("_time")]
    if array is not None:
        if array not in members:
            raise InvalidArgument(f"{path} has no array {array!r}; it has {', '.join(members)}")
        return array
    if len(arrays) == 1:
        return arrays[0]
    if "values" in arrays:
        return "values"
    raise InvalidArgument(f"{path} holds the arrays {', '.join(members)}; choose the one of the values (array)")


def _npz_names(path: Path, shape: tuple[int, ...], width: int) -> list[str]:
    if shape != (width,):
        raise UnsupportedInput(f"{path}: channels has shape {shape} beside {width} columns; save one name for each")
    return [str(name) for part in _npz_parts(path, "channels", width) for name in part]


def _npz_parts(path: Path, name: str, step: int) -> Iterator[NDArray[Any]]:
    """Blocks of `step` rows of an array in the archive, read from it as a stream."""
    with _explained(path), zipfile.ZipFile(path) as archive, _opened(path, archive, f"{name}.npy") as stream:
        shape, fortran, dtype = _npy_head(path, name, stream)
        if dtype.hasobject:
            raise UnsupportedInput(f"{path}: the array {name} holds Python objects; save it as numbers or texts")
        size = math.prod(shape[1:]) * dtype.itemsize
        # Where columns lie one after the other it takes all of them to have one row.
        at_once = shape[0] if fortran else step
        for first in range(0, shape[0], max(1, at_once)):
            rows = min(at_once, shape[0] - first)
            data = _exactly(stream, rows * size)
            if len(data) < rows * size:
                raise UnsupportedInput(f"{path}: the array {name} ends before row {first + rows} of {shape[0]}")
            part = np.frombuffer(data, dtype).reshape((rows, *shape[1:]), order="F" if fortran else "C")
            yield from (part[row : row + step] for row in range(0, rows, step))


def _opened(path: Path, archive: zipfile.ZipFile, member: str) -> IO[bytes]:
    try:
        return archive.open(member)
    except RuntimeError as error:
        raise UnsupportedInput(f"{path}: {member} is encrypted, or compressed in an unknown way") from error


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or what there is: never more memory than the file fills."""
    pieces = []
    while size > 0 and (piece := stream.read(min(size, 2**24))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _npy_head(path: Path, member: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        # NumPy leaves these without types.
        files = cast(Any, np.lib.format)
        first = files.read_magic(stream) == (1, 0)
        shape, fortran, dtype = (files.read_array_header_1_0 if first else files.read_array_header_2_0)(stream)
    except ValueError as error:
        raise UnsupportedInput(f"{path}: {member} is damaged: {str(error)[:80]}") from error
    return shape, fortran, dtype


def _width(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Channels of an array [time, channels] or [time] of numbers."""
    if dtype.kind not in "biuf":
        raise UnsupportedInput(f"{path}: {name} holds {dtype}, and a series holds numbers")
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        raise UnsupportedInput(f"{path}: {name} has shape {shape}, and a series is [time, channels]")
    return 1 if len(shape) == 1 else shape[1]


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise UnsupportedInput(f"{path} has two columns called {repeated!r}; rename one")
