"""Files of lines that a killed process may have left in the middle of one."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["drop_partial_line"]


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
