"""Pictures that appear in folders, such as what cameras or scanners write.

Delivery: at least once, in the order in which files were last changed; a file that was moved in or copied counts from
that moment, whatever time it bears. The position is that moment and the name of the last file handed on, so that a
restart goes on with the next one. A file that is written again is a new frame. Read again, too, is a file whose owner,
mode or links were changed while the process was away, and what was changed in the hour before a clock was set back by
one. Files stay where they are: nothing is moved or deleted.

A file is whole when it was not changed for `settle_seconds`. One that takes longer pauses while it is written is read
too early, found damaged, and read again once it is complete; whoever writes under another name and renames is safe.

A frame's time is when its file's contents were last modified, but not after now, and behind that of the frame before.

Memory: one file of at most `limits.body_bytes`, and about 300 bytes for each file that the patterns match. A look at
the folders takes at most a tenth of the time. While the queue is full nothing is read.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from aez.daemon.common.limits import Limits
from aez.daemon.common.options import about
from aez.daemon.common.records import Chunk, Position
from aez.daemon.sources.base import Put, Source, SourceOptions
from aez.daemon.sources.folders import folder_faults, no_file

__all__ = ["FrameOptions", "Frames"]

# Files that were changed in one tick of the file system's clock are handed on together, or a restart might pass some.
_LEAST_SETTLE = 0.05
_IDLE = 10.0  # pauses between looks last so many times as long as a look
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, kw_only=True)
class FrameOptions(SourceOptions):
    """`kind = "frames"`."""

    format: Literal["image"] = field(default="image", metadata=about("what files are"))
    paths: Sequence[str] = field(metadata=about("files, or patterns such as cameras/*/*.jpg", path=True))
    follow: bool = field(default=True, metadata=about("go on when files appear"))
    from_beginning: bool = field(default=True, metadata=about("whether the first start reads what is there already"))
    settle_seconds: float = field(
        default=1.0,
        metadata=about("a file is whole when nothing changed for so long", low=_LEAST_SETTLE, high=3600),
    )
    scan_seconds: float = field(default=0.5, metadata=about("pause between looks for new files", low=0.01, high=3600))


class _File(NamedTuple):
    """A file as it stands. changed, modified: ns; the first is of anything about it, the second of its contents."""

    changed: int
    path: str
    modified: int
    size: int
    inode: int

    @property
    def contents(self) -> tuple[int, int, int]:
        """What differs once its contents do."""
        return self.modified, self.size, self.inode


class Frames(Source):
    """Pictures in files, each a chunk; `Chunk.stream` is the folder, from where the pattern's wildcards begin.

    Of `cameras/*/*.jpg` the stream is the folder below `cameras`, of a pattern without wildcards in its folders their
    last one. Without `follow` what is there is read, and that is all. Of a file beyond `limits.body_bytes` one byte
    more than that is handed on, which its parser refuses.
    """

    Options = FrameOptions
    may_come_later = True
    parsing = ("stream", "streams")

    def __init__(self, name: str, options: FrameOptions, limits: Limits | None = None) -> None:
        super().__init__(name, options, limits)
        self._patterns = [os.path.abspath(path) for path in options.paths]  # noqa: PTH100 - Path would resolve no pattern
        self._follow, self._from_beginning = options.follow, options.from_beginning
        self._settle, self._scan_seconds = options.settle_seconds, options.scan_seconds
        self._frame_bytes = self.limits.body_bytes
        self._behind: tuple[int, str] | None = None  # what an earlier run handed on last
        self._time = 0  # of the last frame
        self._seen: dict[str, _File] = {}  # handed on, or behind a position
        self._unsettled: dict[str, tuple[_File, float]] = {}  # with when they were first seen so
        self._looked = False

    def start(self, put: Put, position: Position | None = None) -> None:
        self._put = put
        if position is not None:
            self._behind = position["changed"], position["path"]
            self._time = position["time"]
            self._from_beginning = True  # a file that is new now appeared while the process was away
        self._spawn(self._run)

    def _run(self) -> None:
        while not self._stopping.is_set():
            begun = time.monotonic()
            found = self._look()
            took = time.monotonic() - begun
            troubles: list[str] = []
            for file, stream in found:
                if self._stopping.is_set():
                    return
                try:
                    self._hand_on(file, stream)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    troubles.append(f"cannot read {file.path}: {error.strerror or error}.")
            unread = len(troubles)
            troubles += folder_faults(self._patterns)
            if not self._follow and not troubles and (lacking := no_file(self._patterns, self._seen)):
                troubles.append(lacking)
            self._set_trouble(" ".join(troubles[:3]))
            if not self._follow:
                break
            if len(found) == unread:
                self._stopping.wait(min(max(self._scan_seconds, _IDLE * took), _LONGEST_PAUSE))
        if not self._stopping.is_set():
            self.done.set()

    def _look(self) -> list[tuple[_File, str]]:
        """Whole files that were not handed on, with their streams, in the order in which they were changed."""
        # Taken before: a listing may lack some of the files that appear while it is made.
        now, clock = time.monotonic(), time.time_ns()
        streams = {path: _stream(path, pattern) for pattern in self._patterns for path in _matches(pattern)}
        streams = {path: stream for path, stream in streams.items() if not self._is_own(path)}
        files = sorted(file for path in streams if (file := _status(path)) is not None)
        first, self._looked = not self._looked, True
        if first:
            known = (
                files if not self._from_beginning else [file for file in files if file[:2] <= (self._behind or (0,))]
            )
            self._seen = {file.path: file for file in known}
        else:
            self._seen = {path: file for path, file in self._seen.items() if path in streams}
        fresh = [file for file in files if not self._is_known(file)]
        whole: list[tuple[_File, str]] = []
        unsettled, self._unsettled = self._unsettled, {}
        for file in fresh:
            before, since = unsettled.get(file.path, (None, now))
            if before != file:
                since = now
            settled = clock - file.changed > self._settle * 1e9 or now - since >= self._settle
            if self._follow and not settled:
                self._unsettled[file.path] = file, since
            elif not self._unsettled:  # none may overtake another, or the position would pass that over
                whole.append((file, streams[file.path]))
        return whole

    def _is_known(self, file: _File) -> bool:
        known = self._seen.get(file.path)
        if known is not None and known.contents == file.contents:
            self._seen[file.path] = file
            return True
        return False

    def _hand_on(self, file: _File, stream: str) -> None:
        """Read a file and put it. Raises OSError."""
        with open(file.path, "rb") as opened:  # noqa: PTH123 - str is what glob gives
            data = opened.read(self._frame_bytes + 1)
        self._seen[file.path] = file
        self._time = max(min(file.modified, time.time_ns()), self._time + 1)
        position = {"changed": file.changed, "path": file.path, "time": self._time}
        self._put(Chunk(self.name, data, self.format, position, time.monotonic(), stream, time=self._time))


def _status(path: str) -> _File | None:
    """A regular file; None for all else, and where it has gone."""
    with contextlib.suppress(OSError):
        status = os.stat(path)  # noqa: PTH116 - Path would only wrap the same call
        if stat.S_ISREG(status.st_mode):
            return _File(status.st_ctime_ns, path, status.st_mtime_ns, status.st_size, status.st_ino)
    return None


def _matches(pattern: str) -> Iterator[str]:
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207 - the pattern is absolute


def _stream(path: str, pattern: str) -> str:
    """The path's folder from where the pattern's wildcards begin; its last folder where they are in the name alone."""
    parts = Path(pattern).parent.parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = Path(path).parent
    named = folder.parts[fixed:] or (folder.name,)
    return "/".join(named).encode(errors="replace").decode()
