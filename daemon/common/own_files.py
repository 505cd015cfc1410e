"""The files that the monitor writes itself, which are never its input: read as telemetry they would feed on themselves.

A file is known by its name once links are followed, and by what it is (device and inode), so that neither a link nor
another spelling hides it. What rotation or SQLite puts beside a file counts as that file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NONE", "OwnFiles"]

#: Behind the name of one of ours: rotated, and what SQLite and the store keep beside the state.
_BESIDE = re.compile(r"\.[0-9]+|-wal|-shm|-journal|\.lock")
_STANDARD = {1: "standard output", 2: "standard error"}


class OwnFiles:
    """Which files are the monitor's own.

    files: path -> what it is, in words such as a key of the configuration. folders: the same, for all that lies in one.
    """

    def __init__(self, files: Mapping[str, str], folders: Mapping[str, str] | None = None) -> None:
        self._files = {os.path.realpath(path): what for path, what in files.items()}
        self._folders = {os.path.realpath(path): what for path, what in (folders or {}).items()}

    def what(self, path: str) -> str:
        """What of the monitor's a file is; empty where it is none of its own."""
        real = os.path.realpath(path)
        for own, what in self._files.items():
            if real.startswith(own) and (real == own or _BESIDE.fullmatch(real, len(own))):
                return what
        for folder, what in self._folders.items():
            if Path(real).is_relative_to(folder):
                return what
        return self._same_inode(real)

    def _same_inode(self, path: str) -> str:
        """The same where the file bears another name: a hard link, or what the process prints into."""
        try:
            status = os.stat(path)  # noqa: PTH116 - Path would only wrap the same call
        except OSError:
            return ""
        if not stat.S_ISREG(status.st_mode):
            return ""
        inode = status.st_dev, status.st_ino
        for number, what in _STANDARD.items():
            if _inode(number) == inode:
                return what
        if status.st_nlink > 1:
            for own, what in self._files.items():
                if _inode(own) == inode:
                    return what
        return ""


def _inode(file: int | str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - of a descriptor, too
    except OSError:
        return None
    return status.st_dev, status.st_ino


#: Of a monitor that writes nothing.
NONE = OwnFiles({})
