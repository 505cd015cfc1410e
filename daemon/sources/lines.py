"""Cutting a stream of bytes into whole lines, with a bound on the length of one; lines of column names in CSV."""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


def cut_at_headers(lines: bytes, header: str | None, separator: str = ",") -> list[tuple[str | None, bytes]]:
    """Lines of CSV in parts, each with the header that it follows, for writers that begin anew in the same file.

    A line that begins as the header does, and has no number in it, is a header: the same, or one with other columns.
    It is handed on in no part; a part may be empty, and the last one's header is that of what follows.
    """
    found: list[tuple[str | None, bytes]] = []
    start = 0
    while header:
        at, end = _next_header(lines, start, header, separator)
        if at < 0:
            break
        found.append((header, lines[start:at]))
        header = lines[at:end].removeprefix(_BOM).decode("utf-8", "replace").rstrip("\r\n")
        start = end
    return [*found, (header, lines[start:])]


def _next_header(lines: bytes, start: int, header: str, separator: str) -> tuple[int, int]:
    """Where the next header begins and ends; -1 where there is none."""
    first, found, _ = header.removeprefix("\ufeff").partition(separator)
    if not found or not first.strip() or _is_number(first):
        return -1, -1
    beginning = (first + separator).encode()
    at = start - 1
    while True:
        at = lines.find(beginning, at + 1)
        if at < 0:
            return -1, -1
        line = at - len(_BOM) if lines[max(start, at - len(_BOM)) : at] == _BOM else at
        if line != start and lines[line - 1 : line] != b"\n":
            continue
        end = lines.find(b"\n", at) + 1 or len(lines)
        cells = lines[at:end].decode("utf-8", "replace").strip("\r\n").split(separator)
        if not any(map(_is_number, cells)) and all(cell.strip() for cell in cells):
            return line, end


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

    with_header: the first line is kept in `header` and not handed on.
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
        if self.with_header and self.header is None:
            end = block.find(b"\n", start)
            if end >= 0:
                self.header = block[start:end].decode("utf-8", "replace").rstrip("\r")
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
