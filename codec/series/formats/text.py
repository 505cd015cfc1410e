"""Series from text: CSV in any dialect and JSON Lines, compressed or not, read in pieces."""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import io
import json
import re
import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from aez.codec.common.table_head import RESULT_NAMES, is_long_result, is_preamble, unnamed
from aez.codec.errors import UnsupportedInput
from aez.codec.series.columns import MISSING, Column, arrow, excerpt, from_arrow
from aez.codec.series.score_files import STREAM, values_of_line
from aez.codec.series.table import Table, TableBlock, explained, refuse_repeated

#: Bytes of text that are handled at a time; one line may be so long.
TEXT_BLOCK, LINE_MAX = 2**21, 2**26
_SAMPLE_LINES = 100
#: In the order of preference: whoever separates by `;` may write commas in numbers, and blanks in times.
_SEPARATORS = ("\t", ";", "|", ",", " ")
_BOM, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
#: Lines without content: blank ones and comments.
_IDLE = re.compile(rb"(?m)^(?:[ \t]*#[^\n]*|[ \r]*)(?:\n|\Z)")
#: A number with a decimal comma perhaps: what may be a number in a file that separates by something else.
_COMMA_NUMBER = r"^\s*[+-]?(\d+|\d*,\d+)([eE][+-]?\d+)?\s*$"
_WITH_COMMA = re.compile(r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$", re.ASCII)
_TIME_LIKE = re.compile(r"\d{4}[-/]?\d\d[-/]?\d\d([T ].*)?|\d\d:\d\d(:\d\d([.,]\d+)?)?")


@dataclass(frozen=True)
class Lines:
    """Whole lines of a file; `number` is the first one's, from 1."""

    text: bytes
    number: int
    heads: frozenset[bytes] = frozenset()  #: lines that are no rows wherever they stand, without their ends

    @functools.cached_property
    def rows(self) -> bytes:
        """The lines that are rows: without blank ones and comments."""
        text = self.text
        # The regular expression is slow beside these searches, and most files need it nowhere.
        if text[:1] in b" \r\n" or any(mark in text for mark in (b"#", b"\n\n", b"\n\r", b"\n ")):
            text = _IDLE.sub(b"", text)
        if any(head in text for head in self.heads):
            text = b"".join(line for line in text.splitlines(keepends=True) if line.rstrip(b"\r\n") not in self.heads)
        return text

    def place(self, row: int) -> str:
        return f"line {self.line_of(row)}"

    def line_of(self, row: int) -> int:
        """The number in the file of a line that is a row."""
        left = row
        for number, line in enumerate(self.text.split(b"\n"), self.number):
            if not _IDLE.fullmatch(line) and line.rstrip(b"\r") not in self.heads:
                if not left:
                    return number
                left -= 1
        return self.number


def line_blocks(path: Path) -> Iterator[Lines]:
    """Blocks of whole lines that have content, checked to be UTF-8 text."""
    number, rest = 1, b""
    with explained(path), _open_text(path) as stream:
        piece = stream.read(TEXT_BLOCK)
        if piece.startswith(_UTF16):
            raise UnsupportedInput(f"{path} is text in UTF-16; save it as UTF-8")
        piece = piece.removeprefix(_BOM)
        mac = b"\n" not in piece and b"\r" in piece
        while piece:
            following = stream.read(TEXT_BLOCK)
            if mac:
                piece = piece.replace(b"\r", b"\n")
            cut = piece.rfind(b"\n") + 1 if following else len(piece)
            text, rest = (rest + piece[:cut], piece[cut:]) if cut else (b"", rest + piece)
            if len(rest) > LINE_MAX:
                raise UnsupportedInput(f"{path} has a line of more than {LINE_MAX >> 20} MiB; is it a table?")
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


def _checked(path: Path, text: bytes, number: int) -> Iterator[Lines]:
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
    lines = Lines(text, number)
    if lines.rows:
        yield lines


def chain(first: Lines, rest: Iterator[Lines]) -> Iterator[Lines]:
    """The pieces one after another."""
    yield first
    yield from rest


@dataclass(frozen=True)
class _Dialect:
    separator: str
    names: tuple[str, ...]
    unnamed: frozenset[str]
    heads: frozenset[bytes]  #: lines of names and units, and what stands above them


def open_csv(path: Path, first: Lines, rest: Iterator[Lines], separator: str | None) -> Table:
    """Columns and blocks of rows of a CSV file of any dialect."""
    pa = arrow("pyarrow.csv")
    dialect = _dialect(path, first, separator)
    lines = (Lines(part.text, part.number, dialect.heads) for part in chain(first, rest))
    given = tuple("" if name in dialect.unnamed else name for name in dialect.names[: len(RESULT_NAMES)])
    of_result = dialect.names[: len(RESULT_NAMES)] if given == RESULT_NAMES else ()
    dropped = dict.fromkeys(of_result, "of InfluxDB's result")
    return Table(_csv_blocks(pa, path, lines, dialect), unnamed=dialect.unnamed, dropped=dropped)


def _dialect(path: Path, first: Lines, separator: str | None) -> _Dialect:
    lines = [line.rstrip(b"\r") for line in first.rows.split(b"\n", _SAMPLE_LINES)[:_SAMPLE_LINES] if line]
    above = next((place for place, line in enumerate(lines) if not is_preamble(line.decode("utf-8"))), 0)
    sample = [line.decode("utf-8") for line in lines[above:]]
    if separator is None:
        separator = _sniffed(sample)
    rows = [_fields(line, separator) for line in sample]
    comment = _names_in_comment(first.text, separator, rows[0])
    header = comment is None and _is_header(rows)
    given = comment if comment is not None else [field.strip() for field in rows[0]] if header else []
    width = len(given) or statistics.mode(len(row) for row in rows)
    given += [""] * (width - len(given))
    names = unnamed(given)
    if is_long_result(names):
        raise UnsupportedInput(
            f"{path} is a result of InfluxDB with the value of one field a row; pivot it before it is exported: "
            '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        )
    refuse_repeated(path, names)
    nameless = frozenset(name for name, said in zip(names, given, strict=True) if not said)
    heads = lines[: above + (1 + _units_below(rows) if header else 0)]
    return _Dialect(separator, tuple(names), nameless, frozenset(heads))


def _units_below(rows: Sequence[Sequence[str]]) -> int:
    """How many of the rows below the names, two at most, hold texts alone where the others hold values."""
    for count in (2, 1):
        texts = rows[1 : 1 + count]
        others = [row for row in rows[1 + count :] if row not in (rows[0], *texts)]  # files that were put together
        values = [sum(i < len(row) and _is_value(row[i]) for row in others) for i in range(len(rows[0]))]
        full = {i for i, number in enumerate(values) if 2 * number > len(others)}
        if len(others) > 1 and all(_holds_texts(row, full) for row in texts):
            return count
    return 0


def _holds_texts(row: Sequence[str], columns: Collection[int]) -> bool:
    said = [(place in columns, cell) for place, cell in enumerate(row) if cell.strip()]
    return any(among for among, _ in said) and not any(_is_value(cell) for _, cell in said)


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
    if text.lower() in MISSING or _TIME_LIKE.fullmatch(text) or _WITH_COMMA.fullmatch(text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv_blocks(pa: Any, path: Path, lines: Iterator[Lines], dialect: _Dialect) -> Iterator[TableBlock]:
    commas: set[str] = set()
    for part in lines:
        text = part.rows
        if dialect.separator == " ":
            text = re.sub(rb"(?m)^ | (?=\r?$)", b"", re.sub(rb"[ \t]+", b" ", text))
        if text:
            block = _csv_block(pa, path, part, text, dialect)
            yield block if dialect.separator == "," else _with_points(path, block, commas)


def _with_points(path: Path, block: TableBlock, commas: set[str]) -> TableBlock:
    """The block with points for decimal commas, in the columns of `commas` and those that are found to belong there.

    Such a column holds numbers with a comma, and no more texts of another kind than numbers. A point in it may mean
    anything, and is refused.
    """
    compute = arrow("pyarrow.compute")
    columns = dict(block.columns)
    for name, column in columns.items():
        if column is None or isinstance(column, np.ndarray):
            continue
        if not compute.any(compute.match_substring_regex(column, _WITH_COMMA.pattern)).as_py():
            continue
        if name not in commas:
            number = compute.sum(compute.match_substring_regex(column, _COMMA_NUMBER)).as_py()
            if 2 * number < len(column) - column.null_count:
                continue
            commas.add(name)
        columns[name] = compute.replace_substring_regex(column, _WITH_COMMA.pattern, r"\1.\2")
    for name in commas:
        pointed = compute.match_substring_regex(block.columns[name], r"^\s*[+-]?[\d,]*\.[\d.,]+\s*$")
        if row := compute.index(pointed, value=True).as_py() + 1:
            raise UnsupportedInput(
                f"{path}, {block.place(row - 1)}: {excerpt(block.columns[name], row - 1)} in column {name!r}, whose "
                "numbers have decimal commas; write all of them in one way, without marks between thousands"
            )
    return replace(block, columns=columns)


def _csv_block(pa: Any, path: Path, part: Lines, text: bytes, dialect: _Dialect) -> TableBlock:
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
    return TableBlock(columns, table.num_rows, part.place)


def open_json(path: Path, first: Lines, rest: Iterator[Lines]) -> Table:
    """Columns and blocks of rows of JSON Lines; of a monitor's scores the rows alone."""
    stream: str | None = None
    with contextlib.suppress(ValueError, RecursionError):  # told when the row is read
        parsed = json.loads(first.rows.partition(b"\n")[0])
        if isinstance(parsed, dict) and values_of_line(path, parsed) is not None:
            stream = STREAM
    return Table(_json_blocks(path, chain(first, rest)), stream=stream)


def _json_blocks(path: Path, lines: Iterator[Lines]) -> Iterator[TableBlock]:
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
            objects.append(parsed if (values := values_of_line(path, parsed)) is None else values)
        names = dict.fromkeys(name for parsed in objects for name in parsed)
        columns = {name: _json_column([parsed.get(name) for parsed in objects]) for name in names}
        yield TableBlock(columns, len(objects), part.place)


def _json_column(values: list[Any]) -> Column:
    pa = arrow()
    if not any(isinstance(value, (list, dict)) for value in values):
        # Values of several types, or integers beyond 64 bits, go on as texts.
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return from_arrow(pa.array(values))
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return from_arrow(pa.array(texts, pa.string()))
