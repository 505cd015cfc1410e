"""Cutting a stream of bytes into whole lines, with a bound on the length of one; lines of column names in CSV."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from aez.codec.common.table_head import RESULT_NAMES, are_units, is_preamble
from aez.daemon.common.records import TIME_COLUMNS, first

__all__ = ["CsvLines", "LineCutter", "Part", "tell_columns"]

_log = logging.getLogger(__name__)
_BOM = b"\xef\xbb\xbf"
#: Cells that may stand in place of a number or a time, beside what Python reads as a float; no names of columns.
_WORDS = frozenset(("null", "none", "na", "n/a", "true", "false"))


class Part(NamedTuple):
    """Lines that follow one line of column names, which is not among them; there may be none.

    gone: columns that the input named before, and this line does not.
    """

    header: str | None
    gone: tuple[str, ...]
    lines: bytes


class CsvLines:
    """Cuts lines of CSV where names of columns stand in their middle, as from a writer that began anew.

    A line is one of names that begins as the one before does, or with a name that is gone, and has no number in it:
    the same names, or others, and any number of them. So is a line of as many cells, all of them different texts, also
    where the time belongs: of names that are all new, and no units. Names decide what columns are, and places never do.

    separator: of cells, one character. times: what the column of the time may be called.
    """

    def __init__(self, separator: str = ",", times: Sequence[str] = TIME_COLUMNS) -> None:
        self._separator, self._times = separator, times

    def cut(self, lines: bytes, header: str | None, gone: tuple[str, ...] = ()) -> list[Part]:
        """Parts, the first of them behind `header`; what follows on the last one follows its names."""
        found: list[Part] = []
        start = 0
        while header:
            at, end = self._next(lines, start, header, gone)
            if at < 0:
                break
            found.append(Part(header, gone, lines[start:at]))
            before, header = header, _text(lines[at:end])
            named = self._names(header)
            gone = tuple(name for name in dict.fromkeys((*self._names(before), *gone)) if name not in named)
            start = end
        return [*found, Part(header, gone, lines[start:])]

    def changes(self, before: str, after: str) -> tuple[list[str], list[str]]:
        """Names that are new in another line of names, and those that are gone."""
        old, new = self._names(before), self._names(after)
        return [name for name in new if name not in old], [name for name in old if name not in new]

    def _names(self, header: str) -> list[str]:
        return [cell.strip() for cell in self._cells(header.removeprefix("\ufeff"))]

    def _cells(self, line: str) -> list[str]:
        if '"' not in line:
            return line.split(self._separator)
        return next(csv.reader([line], delimiter=self._separator, skipinitialspace=True), [])

    def _next(self, lines: bytes, start: int, header: str, gone: tuple[str, ...]) -> tuple[int, int]:
        """Where the next line of names begins and ends; -1 where there is none."""
        names = self._names(header)
        if _is_result(names):
            return self._beginning(lines, start, (self._separator.join(RESULT_NAMES) + self._separator).encode())
        if len(names) < 2 or not names[0] or _is_number(names[0]):
            return -1, -1
        raw = header.removeprefix("\ufeff").partition(self._separator)[0]  # as it stands, with blanks and quotes
        beginnings = [(one + self._separator).encode() for one in dict.fromkeys((raw, *gone))]
        found = [self._beginning(lines, start, beginning) for beginning in beginnings]
        found.append(self._all_new(lines, start, names))
        return min((one for one in found if one[0] >= 0), default=(-1, -1))

    def _beginning(self, lines: bytes, start: int, beginning: bytes) -> tuple[int, int]:
        at = start - 1
        while True:
            at = lines.find(beginning, at + 1)
            if at < 0:
                return -1, -1
            line = at - len(_BOM) if lines[max(start, at - len(_BOM)) : at] == _BOM else at
            if line != start and lines[line - 1 : line] != b"\n":
                continue
            end = lines.find(b"\n", at) + 1 or len(lines)
            cells = lines[at:end].decode("utf-8", "replace").strip("\r\n").split(self._separator)
            named = cells[1:] if beginning.startswith(self._separator.encode()) else cells
            if not any(map(_is_number, named)) and all(cell.strip() for cell in named):
                return line, end

    def _all_new(self, lines: bytes, start: int, names: Sequence[str]) -> tuple[int, int]:
        """The next line of as many cells that are all texts, also that of the time."""
        place = next((names.index(name) for name in self._times if name in names), None)
        if place is None or start >= len(lines):
            return -1, -1
        for at in self._without_time(lines, start, place):
            end = lines.find(b"\n", at) + 1 or len(lines)
            cells = self._names(_text(lines[at:end]))
            if len(cells) == len(names) == len(set(cells)) and all(map(_may_be_name, cells)) and not are_units(cells):
                return at, end
        return -1, -1

    def _without_time(self, lines: bytes, start: int, place: int) -> Iterator[int]:
        """Where lines begin whose cell of that place does not begin as a time or a number does."""
        data = np.frombuffer(lines, np.uint8)[start:]
        begins = np.append(0, np.flatnonzero(data == ord("\n")) + 1)
        begins = begins[begins < len(data)]
        cells = begins
        if place:
            separators = np.flatnonzero(data == ord(self._separator))
            which = np.searchsorted(separators, begins) + place - 1
            begins, which = begins[which < len(separators)], which[which < len(separators)]
            cells = separators[which] + 1
        for skipped in b' "':
            cells = cells + (data[np.minimum(cells, len(data) - 1)] == skipped)
        leads = data[np.minimum(cells, len(data) - 1)]
        texts = ((leads | 0x20 >= ord("a")) & (leads | 0x20 <= ord("z"))) | (leads >= 128) | (leads == ord("_"))
        yield from (begins[texts] + start).tolist()


def tell_columns(source: str, where: str, reader: CsvLines, parts: Sequence[Part]) -> None:
    """Say in the log where names of columns changed within an input."""
    for before, part in pairwise(parts):
        if _is_result((part.header or "").split(",")):  # one table after another is what such files are
            continue
        new, gone = reader.changes(before.header or "", part.header or "")
        said = [f"{len(new)} new ({first(new)})"] if new else []
        said += [f"{len(gone)} gone, which are missing from there on ({first(gone)})"] if gone else []
        if said:
            log = _log.warning if gone else _log.info
            log("source %s: another line of column names within %s: %s", source, where, ", ".join(said))


def _text(line: bytes) -> str:
    return line.removeprefix(_BOM).decode("utf-8", "replace").rstrip("\r\n")


def _is_result(names: Sequence[str]) -> bool:
    return tuple(names[: len(RESULT_NAMES)]) == RESULT_NAMES


def _may_be_name(cell: str) -> bool:
    return bool(cell) and not (cell[0].isdigit() or cell[0] in "+-." or _is_number(cell) or cell.lower() in _WORDS)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return True


class LineCutter:
    """Turns blocks of bytes into blocks of whole lines; holds at most `line_bytes` of an unfinished one.

    A line longer than that is handed on cut, as its first `line_bytes` + 1 bytes and a newline, so that the parser
    sees that it is too long and counts it; the rest of it is skipped.

    with_header: the first line is kept in `header` and not handed on, nor is what stands above the names of columns.
    skipping: the input starts, or stands, inside a line of which the rest is to be skipped.
    header: the first line without its end, where there is one; given for input that starts behind it.
    """

    def __init__(
        self,
        line_bytes: int,
        with_header: bool = False,
        skipping: bool = False,
        header: str | None = None,
    ) -> None:
        self.line_bytes = line_bytes
        self.with_header = with_header
        self.skipping = skipping
        self.header = header
        self.rest = b""

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Whole lines (each ended by a newline), and how many bytes of the input are settled with them.

        What is not settled stays in `rest`. The count covers the header and skipped bytes as well.
        """
        block = self.rest + data if self.rest else data
        start = 0
        if self.skipping:
            start = block.find(b"\n") + 1
            if start == 0:
                self.rest = b""
                return b"", len(block)
            self.skipping = False
        while self.with_header and self.header is None and (end := block.find(b"\n", start)) >= 0:
            line = block[start:end].decode("utf-8", "replace").rstrip("\r")
            self.header = None if is_preamble(line) else line
            start = end + 1
        header_open = self.with_header and self.header is None
        end = start if header_open else block.rfind(b"\n", start) + 1 or start
        lines, self.rest = block[start:end], block[end:]
        if len(self.rest) > self.line_bytes:
            lines += self.rest[: self.line_bytes + 1] + b"\n"
            if header_open:
                self.header = ""
            self.rest = b""
            self.skipping = True
            end = len(block)
        return lines, end

    def finish(self) -> tuple[bytes, int]:
        """The last line of an input that ended without a newline, and its length."""
        lines, self.rest = self.rest, b""
        if self.with_header and self.header is None and lines:
            self.header = lines.decode("utf-8", "replace").rstrip("\r")
            return b"", len(lines)
        return lines, len(lines)
