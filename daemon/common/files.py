"""Files of the monitor: what a stream says is nobody else's business, and a line is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["drop_partial_line", "private"]


def private(path: str, flags: int) -> int:
    """An `opener` for `open`: a file that is made gets mode 0600, one that exists keeps its own."""
    return os.open(path, flags, 0o600)


def drop_partial_line(path: Path) -> None:
    """Take away a last line without its end."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        at = end
        while at:
            begin = max(0, at - 65_536)
            file.seek(begin)
            found = file.read(at - begin).rfind(b"\n")
            if found >= 0:
                at = begin + found + 1
                break
            at = begin
        if at < end:
            file.truncate(at)
