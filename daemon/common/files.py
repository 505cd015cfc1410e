"""Files of the monitor: what a stream says is nobody else's business, and a line is whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from aez.codec.errors import OutputError

__all__ = ["drop_partial_line", "private", "try_file", "try_folder"]

_TRIAL_BYTES = 4096


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


def try_folder(folder: Path, what: str) -> None:
    """Find out whether files can be made in a folder, and leave none behind. Raises OutputError that names `what`."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{what} cannot be written to {folder}: {error.strerror or error}") from error


def try_file(path: Path, what: str) -> None:
    """Find out whether a file can be written, which need not be there, and leave it as it is. Raises OutputError."""
    try:
        if path.exists():
            with path.open("ab"):
                pass
    except OSError as error:
        raise OutputError(f"{what} cannot be written to {path}: {error.strerror or error}") from error
    try_folder(path.parent, what)
