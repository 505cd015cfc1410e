"""A file of JSON Lines that rotates by size.

Guarantee: each step of an event stands in the file once, even after `kill -9`: the file's end tells what it has, so
that a step whose cursor was lost is not written again, and a line cut short is taken away and written anew. With
`fsync=True` lines are on the disk before they count as delivered; without, a power cut may take the last seconds.
Rotation deletes the oldest file; what it held is gone from there.
"""

from __future__ import annotations

import json
import os
import stat
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aez.daemon.common.files import drop_partial_line, private
from aez.daemon.common.options import Options, about
from aez.daemon.common.records import EventRecord
from aez.daemon.sinks.base import Sink, SinkError
from aez.daemon.sinks.wire import as_json

__all__ = ["JsonLinesOptions", "JsonLinesSink"]

_REMEMBERED = 4096  # steps; more than one delivery holds
_TAIL_BYTES = 16 << 20  # of which the last steps are read at the start


@dataclass(frozen=True, kw_only=True)
class JsonLinesOptions(Options):
    """`kind = "json_lines"`."""

    path: str = field(metadata=about("the file, in a folder that exists", path=True))
    rotate_bytes: int = field(
        default=100 << 20,
        metadata=about(
            "a file is full when the next line would take it beyond this; 0 for never",
            low=0,
            high=2**40,
            was="max_bytes",
        ),
    )
    max_files: int = field(
        default=10, metadata=about("full files kept besides the newest", low=0, high=10_000, was="count")
    )
    fsync: bool = field(default=True, metadata=about("whether lines outlive a power cut"))


class JsonLinesSink(Sink):
    """Appends to `path`; others may read it, or move it away, while it is written.

    The newest file is made with mode 0600, or that of the file before it. Full ones are `path`.1 (the latest) to
    `path`.`max_files`.
    """

    Options = JsonLinesOptions

    def __init__(self, options: JsonLinesOptions) -> None:
        self.path = Path(options.path)
        self._rotate_bytes, self._max_files, self._fsync = options.rotate_bytes, options.max_files, options.fsync
        self._mode: int | None = None  # that the next file gets
        self._written: deque[tuple[str, int]] | None = None  # None until the file's end was read

    def __repr__(self) -> str:
        return f"JsonLinesSink(path={str(self.path)!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        try:
            if self._written is None:
                if self.path.exists():
                    drop_partial_line(self.path)
                self._written = deque(self._read_tail(), maxlen=_REMEMBERED)
            known = set(self._written)
            self._append([record for record in records if (record.id, record.sequence) not in known])
        except OSError as error:
            self._written = None  # part of it may stand there
            raise SinkError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def check(self) -> None:
        folder = self.path.parent
        if self.path.is_dir():
            raise SinkError(f"{self.path} is a folder; name a file in it")
        if not folder.is_dir():
            raise SinkError(f"the folder {folder} does not exist; make it")
        if not os.access(self.path if self.path.exists() else folder, os.W_OK):
            raise SinkError(f"{self.path} may not be written by this user")

    def _append(self, records: Sequence[EventRecord]) -> None:
        """Write, a file at a time."""
        lines = [(record, (as_json(record) + "\n").encode()) for record in records]
        at = 0
        while at < len(lines):
            with open(self.path, "ab", opener=private) as file:
                size = start = file.tell()
                taken = at
                while at < len(lines) and (
                    not size or not self._rotate_bytes or size + len(lines[at][1]) <= self._rotate_bytes
                ):
                    size += len(lines[at][1])
                    at += 1
                if at > taken:
                    self._write(file.fileno(), b"".join(line for _, line in lines[taken:at]), start)
            if start == 0:
                if self._mode is not None:
                    self.path.chmod(self._mode)
                self._sync_folder()
            if self._written is not None:
                self._written.extend((record.id, record.sequence) for record, _ in lines[taken:at])
            if at < len(lines):
                self._rotate()

    def _write(self, file: int, data: bytes, start: int) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            if self._fsync:
                os.fsync(file)
        except OSError:
            os.ftruncate(file, start)  # no half line for readers meanwhile
            raise

    def _rotate(self) -> None:
        self._mode = stat.S_IMODE(self.path.stat().st_mode)
        if self._max_files == 0:
            self.path.unlink()
        else:
            free = 1  # the first number without a file; at the last, that one goes
            while free < self._max_files and self._numbered(free).exists():
                free += 1
            for number in range(free - 1, 0, -1):
                self._numbered(number).replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        self._sync_folder()

    def _numbered(self, number: int) -> Path:
        return Path(f"{self.path}.{number}")

    def _read_tail(self) -> list[tuple[str, int]]:
        """The last steps of the newest files, in their order."""
        steps: list[tuple[str, int]] = []
        missing = 0
        for path in (self.path, *(self._numbered(number) for number in range(1, self._max_files + 1))):
            if not path.exists():
                missing += 1  # one gap may be left by a process that was killed while it rotated
                if missing > 1:
                    break
                continue
            if len(steps) >= _REMEMBERED:
                break
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                lines = file.read().splitlines()[-_REMEMBERED:]
            steps = [step for line in lines if (step := _step(line)) is not None] + steps
        return steps

    def _sync_folder(self) -> None:
        if not self._fsync or not hasattr(os, "O_DIRECTORY"):
            return
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _step(line: bytes) -> tuple[str, int] | None:
    try:
        data = json.loads(line)
        return str(data["id"]), int(data["sequence"])
    except (ValueError, KeyError, TypeError):  # a line of somebody else, or the first of a tail
        return None
