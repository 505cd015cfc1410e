"""Files that grow and are rotated.

Delivery: at least once. The position says for each file up to which byte it was read, and how to know that file
again: device, inode and a hash of its first bytes, so that an inode that was given to another file is noticed. After a
restart reading goes on at that byte. A line is handed on once it is whole.

Rotation: a file that was renamed is read to its end before its successor is begun; one that was copied and truncated
is read on in its copy. Both also when it happened, several times even, while the process was away, as long as the
old files stand beside the new one under names like `data.csv.1` or `data.csv-20260131`. A compressed one is not read:
what of it was not read before is lost, and logged. Truncation leaves a gap by nature: lines that were written between
copy and truncation are in neither file; and lines read while the copy was being made may come twice.

Memory: one chunk and one unfinished line per file. While the queue is full nothing is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import about
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.shared_options import FileFormat
from aez.daemon.sources.base import Put, Source, SourceOptions
from aez.daemon.sources.lines import LineCutter
from aez.daemon.sources.rotation import Past, begins_as, inode_of, is_rotated, lineage, matches

_HEAD = 1024  # bytes that a file is known by
_SETTLED = 1_000_000_000  # ns without a change after which a file's time is taken as it stands

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileOptions(SourceOptions):
    """`kind = "file"`."""

    format: FileFormat = field(default="json", metadata=about("what files are; arrow is Parquet, too, and read once"))
    paths: Sequence[str] = field(metadata=about("files, or patterns such as logs/*.jsonl", path=True))
    follow: bool = field(default=True, metadata=about("go on when files grow, rotate or appear"))
    from_beginning: bool = field(default=True, metadata=about("whether the first start reads what is there already"))
    open_files: int = field(default=500, metadata=about("files open at once", low=1, high=100_000, was="max_files"))
    poll_seconds: float = field(
        default=0.05, metadata=about("pause between looks at files that did not grow", low=0.001, high=3600)
    )
    scan_seconds: float = field(default=1.0, metadata=about("pause between looks for new files", low=0.01, high=3600))


@dataclass
class _Tail:
    """A file being read: offset is behind the last line handed on, head its first bytes up to there.

    copied: it is a copy, made before the file under the name was truncated. previous: the file read before this one.
    """

    base: str
    file: int
    device: int
    inode: int
    offset: int
    head: bytes
    cutter: LineCutter
    modified: int
    stream: str
    copied: bool
    previous: tuple[int, int] | None = None

    @property
    def id(self) -> tuple[int, int]:
        return self.device, self.inode

    def state(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "inode": self.inode,
            "offset": self.offset,
            "head": hashlib.sha256(self.head).hexdigest(),
            "head_bytes": len(self.head),
            "skipping": self.cutter.skipping,
            "modified": self.modified,
            "copied": self.copied,
        }


class Files(Source):
    """Lines of files, followed as they grow; `Chunk.stream` is the file's name without extension and rotation.

    Without `follow` each file is read to its end, in the order of their names, and that is all. Each CSV file begins
    with a line of column names. A line longer than `limits.line_bytes` is handed on cut.
    """

    Options = FileOptions

    def __init__(self, name: str, options: FileOptions, limits: Limits | None = None) -> None:
        super().__init__(name, options, limits)
        if self.format == "arrow":
            raise InvalidArgument(f"Source {name!r}: format 'arrow' has no lines to follow; use json, csv or line.")
        self._patterns = [os.path.abspath(path) for path in options.paths]  # noqa: PTH100 - Path would resolve no pattern
        self._follow = options.follow
        self._from_beginning = options.from_beginning
        self._header = self.format == "csv"
        self._poll_seconds = options.poll_seconds
        self._scan_seconds = options.scan_seconds
        self._line_bytes = self.limits.line_bytes
        self._open_files = options.open_files
        self._tails: dict[str, _Tail] = {}
        self._stored: dict[str, Mapping[str, Any]] = {}  # of files that an earlier run read and this one has not seen
        self._states: dict[str, Mapping[str, Any]] = {}
        self._first_scan = True

    def without_header(self) -> None:
        self._header = False

    def start(self, put: Put, position: Position | None = None) -> None:
        self._put = put
        if position is not None:
            self._stored = dict(position["files"])
            self._states = dict(self._stored)
            self._from_beginning = True  # a file that is new now appeared while the process was away
        self._spawn(self._run)

    def close(self) -> None:
        self.stop()
        for tail in self._tails.values():
            with contextlib.suppress(OSError):
                os.close(tail.file)
        self._tails.clear()

    def _run(self) -> None:
        if not self._follow:
            self._read_once()
            return
        next_scan = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_scan:
                self._scan()
                next_scan = time.monotonic() + self._scan_seconds
            grown = False
            for tail in list(self._tails.values()):
                if self._stopping.is_set():
                    return
                grown |= self._advance(tail)
            if not grown:
                self._stopping.wait(self._poll_seconds)

    def _read_once(self) -> None:
        self._scan()
        for base in sorted(self._tails):
            while base in self._tails and not self._stopping.is_set():
                tail = self._tails[base]
                if not self._advance(tail):
                    self._finish(tail)
                    break
        if not self._stopping.is_set():
            self.done.set()

    def _scan(self) -> None:
        """Open the files that are there and not yet open."""
        known = {tail.id for tail in self._tails.values()}
        found = sorted({path for pattern in self._patterns for path in matches(pattern)} - self._tails.keys())
        self._move_stored(found)
        names = {*found, *self._tails, *self._stored}
        wanted = [path for path in found if not is_rotated(path, names) and inode_of(path) not in known]
        # Rotated away while nobody looked, and nothing new is there yet.
        wanted += [path for path in self._stored if not Path(path).exists() and lineage(path)]
        trouble = ""
        for path in wanted:
            if len(self._tails) >= self._open_files:
                trouble = (
                    f"more than {self._open_files} files match; {path} and others are not read (raise open_files)."
                )
                break
            try:
                self._open_found(path)
            except FileNotFoundError:
                continue  # gone since it was listed; the next scan sees what is there
            except OSError as error:
                trouble = f"cannot read {path}: {error.strerror or error}."
        if not self._tails and not trouble and not self._follow:
            trouble = f"no file matches {', '.join(self._patterns)}."
        self._first_scan = False
        self._set_trouble(trouble)

    def _move_stored(self, found: Sequence[str]) -> None:
        """Keep what is known of a file that was renamed to another name of the pattern while nobody looked."""
        if not self._stored:
            return
        inodes = {(state["device"], state["inode"]): base for base, state in self._stored.items()}
        for path in found:
            base = inodes.get(inode_of(path) or (0, 0))
            if base not in (None, path) and path not in self._stored and begins_as(path, self._stored[base]):
                self._stored[path] = self._stored.pop(base)

    def _open_found(self, path: str) -> None:
        state = self._stored.get(path)
        if state is not None:
            self._resume(path, state)
            del self._stored[path]
        elif self._first_scan and not self._from_beginning:
            self._open(path, path, at_end=True)
        else:
            self._open(path, path)

    def _resume(self, base: str, state: Mapping[str, Any]) -> None:
        """Find the file that the state is of, under its own name or a rotated one, and go on in it."""
        known = lineage(base)
        same = [past for past in known if past.inode == (state["device"], state["inode"])]
        copies = [past for past in reversed(known) if past not in same and past.path != base]
        for past in [*same, *(copies if state["head_bytes"] else ())]:
            if begins_as(past.path, state):
                self._open(base, past.path, state, copied=state["copied"] or past not in same, seen=past)
                return
        later = [past.path for past in known if past.path != base and past.modified > state["modified"]]
        if state["offset"]:
            _log.warning(
                "source %s: the file that was %s up to byte %d is not there any more; what followed in it is lost",
                self.name,
                base,
                state["offset"],
            )
        self._open(base, later[0] if later else base)

    def _open(
        self,
        base: str,
        path: str,
        state: Mapping[str, Any] | None = None,
        at_end: bool = False,
        copied: bool = False,
        seen: Past | None = None,
    ) -> None:
        """Open the file at `path` as what `base` holds now, or held before it was rotated.

        Raises:
            FileNotFoundError: none is there, or by now another one than was `seen` there.
        """
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(file)
        if seen is not None and seen.inode != (status.st_dev, status.st_ino):
            os.close(file)
            raise FileNotFoundError(errno.ENOENT, "was renamed since its folder was listed", path)
        if not stat.S_ISREG(status.st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "not a regular file")
        offset = status.st_size if at_end else 0
        skipping = offset > 0 and os.pread(file, 1, offset - 1) != b"\n"
        if state is not None:
            offset, skipping = state["offset"], state["skipping"]
        header = None
        if self._header and offset:
            header = os.pread(file, self._line_bytes, 0).partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
        self._tails[base] = _Tail(
            base,
            file,
            status.st_dev,
            status.st_ino,
            offset,
            os.pread(file, min(_HEAD, offset), 0),
            LineCutter(self._line_bytes, self._header, skipping, header),
            # What is not read yet may be copied and truncated before it is, and its copy bears this very time.
            state["modified"] if state else (seen.modified if seen else status.st_mtime_ns) - (offset == 0),
            Path(base).stem,
            copied,
        )
        self._note(self._tails[base])

    def _note(self, tail: _Tail) -> None:
        self._states = {**self._states, tail.base: tail.state()}

    def _advance(self, tail: _Tail) -> bool:
        try:
            return self._step(tail)
        except FileNotFoundError:  # renamed again since its folder was listed; the next look sees where to
            return True

    def _step(self, tail: _Tail) -> bool:
        """Read one block of a file, or see where it went; True when there may be more at once."""
        status = os.fstat(tail.file)
        at = tail.offset + len(tail.cutter.rest)
        if status.st_size == at and status.st_mtime_ns == tail.modified:
            return self._follow_rotation(tail)
        if status.st_size < at:
            self._truncated(tail)
            return True
        if at == 0 and inode_of(tail.base) == tail.id and self._begin_missed(tail):
            return True
        data = os.pread(tail.file, self.limits.chunk_bytes, at)
        # Looked at after the data: were these first bytes another file's by now, the data might be too.
        if os.pread(tail.file, len(tail.head), 0) != tail.head:
            self._truncated(tail)
            return True
        if not data and status.st_size > at:  # truncated since it was looked at, or it would have given something
            return True
        # A file being truncated shows its new size before its new time: believe that of an empty one later.
        if at + len(data) >= status.st_size and (data or at or time.time_ns() - status.st_mtime_ns > _SETTLED):
            tail.modified = status.st_mtime_ns
        if not data:
            return self._follow_rotation(tail)
        self._settle(tail, data, *tail.cutter.feed(data))
        return True

    def _settle(self, tail: _Tail, data: bytes, lines: bytes, settled: int) -> None:
        """Move on by `settled` bytes, of which `lines` are handed on."""
        before = tail.offset
        tail.offset += settled
        if len(tail.head) < _HEAD and settled:
            if len(tail.head) == before == 0 and settled <= len(data):
                tail.head = data[: min(_HEAD, settled)]
            else:
                tail.head = os.pread(tail.file, min(_HEAD, tail.offset), 0)
        if settled:
            self._note(tail)
        if lines:
            position = {"files": self._states}
            header = tail.cutter.header
            self._put(Chunk(self.name, lines, self.format, position, time.monotonic(), tail.stream, header))

    def _finish(self, tail: _Tail) -> None:
        """Hand on the last line of a file that nobody writes to any more, though no newline ends it."""
        self._settle(tail, b"", *tail.cutter.finish())

    def _truncated(self, tail: _Tail) -> None:
        """The file was emptied under its name: read on in the copy made of it, or begin again."""
        wanted = {**tail.state(), "offset": tail.offset + len(tail.cutter.rest)}
        for past in reversed(self._predecessors(tail)):
            if tail.head and begins_as(past.path, wanted):
                self._open(tail.base, past.path, tail.state(), copied=True, seen=past)
                os.close(tail.file)
                return
        if self._begin_missed(tail):
            return
        _log.info("source %s: %s was truncated; reading it from its beginning", self.name, tail.base)
        tail.offset = 0
        tail.head = b""
        tail.cutter = LineCutter(self._line_bytes, self._header)
        tail.modified = os.fstat(tail.file).st_mtime_ns
        self._note(tail)

    def _begin_missed(self, tail: _Tail) -> bool:
        """Begin the oldest copy of what was written and truncated between two looks at the file, if there is one."""
        predecessors = self._predecessors(tail)
        inodes = [past.inode for past in predecessors]
        read = inodes.index(tail.previous) + 1 if tail.previous in inodes else 0
        for past in predecessors[read:]:
            if past.modified > tail.modified:
                self._open(tail.base, past.path, copied=True, seen=past)
                os.close(tail.file)
                return True
        return False

    def _predecessors(self, tail: _Tail) -> list[Past]:
        """Rotated files beside this one, the oldest first."""
        return [past for past in lineage(tail.base) if past.path != tail.base and past.inode != tail.id]

    def _follow_rotation(self, tail: _Tail) -> bool:
        """At the end of a file: whether another one has taken its place, which is begun then."""
        if not self._follow and inode_of(tail.base) == tail.id:
            return False
        following = self._successor(tail)
        if following is None:
            if os.fstat(tail.file).st_nlink == 0 and self._follow:
                self._finish(tail)
                self._drop(tail)
            return False
        # The writer has moved on, so nothing comes after what the old file holds now.
        status = os.fstat(tail.file)
        if status.st_size > tail.offset + len(tail.cutter.rest):
            return True
        self._finish(tail)
        base, newest = tail.base, following.path == tail.base
        # A copy's original may not have been truncated yet, and is not to be read twice.
        state = tail.state() if tail.copied and newest and tail.head and begins_as(base, tail.state()) else None
        moved = self._still_matched(tail)
        self._open(base, following.path, state, copied=tail.copied and not newest, seen=following)
        self._tails[base].previous = tail.id
        if moved is None:
            os.close(tail.file)
        else:  # under a pattern the old file goes on as one of its own, at its end
            self._tails[moved] = tail
            tail.base = moved
            self._note(tail)
        return True

    def _still_matched(self, tail: _Tail) -> str | None:
        """The name that a renamed file now has, if that matches a pattern and is no rotated name."""
        existing = {*self._tails, *self._stored}
        for pattern in self._patterns:
            for path in matches(pattern):
                if path != tail.base and path not in existing and inode_of(path) == tail.id:
                    return None if is_rotated(path, existing) else path
        return None

    def _successor(self, tail: _Tail) -> Past | None:
        """The file begun after this one: the next rotated one, or what has the name now, once it holds data."""
        if inode_of(tail.base) == tail.id:
            return None
        known = lineage(tail.base)
        mine = [at for at, past in enumerate(known) if past.inode == tail.id]
        if mine:
            later = known[mine[0] + 1 :]
        else:
            later = [past for past in known if past.path == tail.base or past.modified > tail.modified]
        if later and later[0].path == tail.base and later[0].size == 0:
            return None
        return later[0] if later else None

    def _drop(self, tail: _Tail) -> None:
        os.close(self._tails.pop(tail.base).file)
        self._states = {base: state for base, state in self._states.items() if base != tail.base}
