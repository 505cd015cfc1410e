"""Which file is which: the names that rotation gives to a file's predecessors, and how one is known again."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Past", "begins_as", "inode_of", "is_rotated", "lineage", "matches", "stream_of"]

_ROTATED = re.compile(r"[.-][0-9][0-9T_:.-]*")  # behind the whole name: .1, -20260131, .2026-01-31_10-00
_ROTATED_END = re.compile(r"(?<=[a-z])[.-][0-9][0-9T_:.-]*$")
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip")


class Past(NamedTuple):
    """A file that stands under a name, or under that name rotated. modified: in ns. inode: device and inode."""

    modified: int
    order: int
    path: str
    inode: tuple[int, int]
    size: int


def lineage(base: str) -> list[Past]:
    """The file `base` and its rotated, uncompressed predecessors beside it as they stood at one moment.

    The oldest comes first and `base`, where it is there, last.
    """
    found: list[Past] = []
    before: set[tuple[str, tuple[int, int]]] | None = None
    for _ in range(20):  # until no rotation falls between the listing and the looks at what was listed
        found, whole = _listing(base)
        names = {(past.path, past.inode) for past in found}
        if whole and names == before:  # one listing alone may lack a file that was renamed while it was made
            break
        before = names
    return sorted(found, key=lambda past: (past.path == base, past))


def _listing(base: str) -> tuple[list[Past], bool]:
    """The files as listed, and whether each one still was what the listing says when it was looked at."""
    folder, name = os.path.split(base)
    found, whole = [], True
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in list(entries):
            suffix = entry.name.removeprefix(name)
            if not entry.name.startswith(name) or (suffix and not _ROTATED.fullmatch(suffix)):
                continue
            number = suffix[1:]
            # Of two that were written last in one tick of the clock, .2 is older than .1.
            order = -int(number) if number.isdigit() and len(number) < 5 else 0
            try:
                status = os.stat(entry.path)  # noqa: PTH116 - Path would only wrap the same call
            except OSError:
                whole = False
                continue
            whole &= entry.is_symlink() or status.st_ino == entry.inode()
            if stat.S_ISREG(status.st_mode):
                inode = status.st_dev, status.st_ino
                found.append(Past(status.st_mtime_ns, order, str(Path(folder, entry.name)), inode, status.st_size))
    return found, whole


def stream_of(path: str) -> str:
    """The file's name without rotation, packing and extension."""
    name = Path(path).name.removesuffix(".gz")
    rotated = _ROTATED_END.search(name)
    before = name[: rotated.start()] if rotated else ""
    return Path(before if Path(before).suffix else name).stem


def matches(pattern: str) -> Iterator[str]:
    """The files that a pattern names, without compressed ones."""
    paths = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - the pattern is absolute
    return (path for path in paths if not path.endswith(_COMPRESSED))


def is_rotated(path: str, others: set[str]) -> bool:
    """Whether the name is another file's with a number or date behind it."""
    return any(
        path.startswith(other) and _ROTATED.fullmatch(path, len(other))
        for end in (match.start() for match in re.finditer(r"[.-]", path))
        if (other := path[:end]) in others
    )


def inode_of(path: str) -> tuple[int, int] | None:
    """Device and inode; None where there is no such file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def begins_as(path: str, state: Mapping[str, Any], least: int = 0) -> bool:
    """Whether the file may be the one that the state is of: long enough, and the same bytes where it is known by them.

    least: bytes that it must have, where that is more than the state's offset.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as good as Path.open, and str is what glob gives
            head = file.read(state["head_bytes"])
            size = os.fstat(file.fileno()).st_size
            known = state.get("mark_bytes", 0)  # states of former versions have none
            file.seek(max(0, state["offset"] - known))
            mark = file.read(known)
    except OSError:
        return False
    if size < max(state["offset"], least) or hashlib.sha256(head).hexdigest() != state["head"]:
        return False
    return not known or hashlib.sha256(mark).hexdigest() == state["mark"]
