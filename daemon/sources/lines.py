"""Cutting a stream of bytes into whole lines, with a bound on the length of one."""

from __future__ import annotations


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
