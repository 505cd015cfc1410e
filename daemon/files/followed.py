"""Files that grow and are rotated.

Delivery: at least once. The position says for each file up to which byte it was read, and how to know that file
again: device, inode and hashes of its first bytes and of those before the place, so that an inode that was given to
another file is noticed, and a file that was emptied and written anew, however long it is by then. After a restart
reading goes on at that byte. A line is handed on once it is whole. What the monitor writes itself is never read.

Rotation: a file that was renamed is read to its end before its successor is begun, and what somebody still writes to
it is read for a minute behind its last change; one that was copied and truncated is read on in its copy. Both also when
it happened, several times even, while the process was away, as long as the old files stand beside the new one under
names like `data.csv.1` or `data.csv-20260131`. One packed with gzip is read where a pattern that ends in .gz names it:
once, from where it was read before it was packed; else what of it was not read is lost, and logged. Truncation leaves a
gap by nature: lines that were written between copy and truncation are in neither file; and lines read while the copy
was being made may come twice.

CSV: a line of column names in the middle of a file holds for what follows, as that of a writer that began anew.

Memory: one chunk and one unfinished line per file. While the queue is full nothing is read.
"""

from __future__ import annotations

import contextlib
import errno
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
from aez.daemon.files.packed import PackedFiles
from aez.daemon.files.rotation import Past, begins_as, inode_of, is_rotated, lineage, matches
from aez.daemon.files.tail import KNOWN_BYTES, Tail
from aez.daemon.sources.base import Put, Source, SourceOptions
from aez.daemon.sources.folders import folder_faults, no_file
from aez.daemon.sources.lines import LineCutter, tell_columns

_STILL = 500_000_000  # ns without a change after which a last line without its end is taken for whole
_OLD_SECONDS = 60.0  # that a rotated file is watched behind its last change, for writers that still have it open
_PAST = 64  # files that were read, by which packed ones are known again
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


class Files(Source):
    """Lines of files, followed as they grow; `Chunk.stream` is the file's name without extension and rotation.

    Without `follow` each file is read to its end, in the order of their names, and that is all. Each CSV file begins
    with a line of column names. A line longer than `limits.line_bytes` is handed on cut.
    """

    Options = FileOptions
    may_come_later = True

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
        self._tails: dict[str, Tail] = {}
        self._stored: dict[str, Mapping[str, Any]] = {}  # of files that an earlier run read and this one has not seen
        self._states: dict[str, Mapping[str, Any]] = {}
        self._old: list[Tail] = []  # rotated, and still watched
        self._past: list[Mapping[str, Any]] = []  # states of files that are closed
        self._first_scan = True

    def without_header(self) -> None:
        self._header = False

    def start(self, put: Put, position: Position | None = None) -> None:
        self._put = put
        reader = self._csv if self._header else None
        self._packed = PackedFiles(self._patterns, self._line_bytes, reader, self._is_own)
        if position is not None:
            self._stored = dict(position["files"])
            self._states = dict(self._stored)
            self._packed.states = dict(position.get("packed", {}))
            self._past = list(position.get("past", ()))
            self._from_beginning = True  # a file that is new now appeared while the process was away
        self._spawn(self._run)

    def close(self) -> None:
        self.stop()
        for tail in (*self._tails.values(), *self._old):
            with contextlib.suppress(OSError):
                os.close(tail.file)
        self._tails.clear()
        self._old.clear()

    def _run(self) -> None:
        if not self._follow:
            self._read_once()
            return
        next_scan = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_scan:
                self._read_packed()  # before what follows on them
                self._scan()
                next_scan = time.monotonic() + self._scan_seconds
            grown = False
            for tail in list(self._tails.values()):
                if self._stopping.is_set():
                    return
                grown |= self._advance(tail)
            for tail in list(self._old):
                grown |= self._advance_old(tail)
            if not grown:
                self._stopping.wait(self._poll_seconds)

    def _read_once(self) -> None:
        self._read_packed()
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
        known = {tail.id for tail in (*self._tails.values(), *self._old)}
        found = sorted({path for pattern in self._patterns for path in matches(pattern)} - self._tails.keys())
        found = [path for path in found if not self._is_own(path)]
        self._move_stored(found)
        names = {*found, *self._tails, *self._stored}
        wanted = [path for path in found if not is_rotated(path, names) and inode_of(path) not in known]
        # Rotated away while nobody looked, and nothing new is there yet.
        wanted += [path for path in self._stored if not Path(path).exists() and lineage(path)]
        trouble = ""
        for path in wanted:
            if len(self._tails) + len(self._old) >= self._open_files and not self._give_up_old():
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
        trouble = trouble or self._packed.trouble or " ".join(folder_faults(self._patterns)[:3])
        if not trouble and not self._follow:
            trouble = no_file(self._patterns, {*self._tails, *self._packed.states})
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
                self._resume_old(base, state.get("old", ()), known)
                return
        later = [past.path for past in known if past.path != base and past.modified > state["modified"]]
        if state["offset"] and not self._packed:
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
        self._tails[base] = self._tail(base, file, state, status.st_size if at_end else 0, copied)
        if state is None:
            # What is not read yet may be copied and truncated before it is, and its copy bears this very time.
            offset = self._tails[base].offset
            self._tails[base].modified = (seen.modified if seen else status.st_mtime_ns) - (offset == 0)
        self._note(self._tails[base])

    def _tail(self, base: str, file: int, state: Mapping[str, Any] | None, offset: int, copied: bool) -> Tail:
        """The open file as one that was read up to its state, or up to `offset`."""
        status = os.fstat(file)
        skipping = offset > 0 and os.pread(file, 1, offset - 1) != b"\n"
        header = None
        if state is not None:
            offset, skipping, header = state["offset"], state["skipping"], state.get("header")
        if self._header and offset and header is None:
            header = os.pread(file, self._line_bytes, 0).partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
        known = min(KNOWN_BYTES, offset)
        return Tail(
            base=base,
            file=file,
            device=status.st_dev,
            inode=status.st_ino,
            offset=offset,
            head=os.pread(file, known, 0),
            mark=os.pread(file, known, offset - known),
            cutter=LineCutter(self._line_bytes, self._header, skipping, header if self._header else None),
            modified=state["modified"] if state else status.st_mtime_ns,
            stream=Path(base).stem,
            copied=copied,
            gone=tuple(state.get("gone", ())) if state is not None else (),
        )

    def _note(self, tail: Tail) -> None:
        """Let positions say how far the files under a name were read."""
        base = tail.base
        now = self._tails.get(base)
        if now is None:
            return
        old = [one.state() for one in self._old if one.base == base]
        self._states = {**self._states, base: {**now.state(), **({"old": old} if old else {})}}

    def _position(self) -> Position:
        more = {"packed": self._packed.states, "past": self._past} if self._packed else {}
        return {"files": self._states, **more}

    def _advance(self, tail: Tail) -> bool:
        try:
            return self._step(tail)
        except FileNotFoundError:  # renamed again since its folder was listed; the next look sees where to
            return True

    def _step(self, tail: Tail) -> bool:
        """Read one block of a file, or see where it went; True when there may be more at once."""
        status = os.fstat(tail.file)
        at = tail.at
        if status.st_size == at and status.st_mtime_ns == tail.modified:
            return self._follow_rotation(tail)
        if status.st_size < at:
            self._truncated(tail)
            return True
        if at == 0 and inode_of(tail.base) == tail.id and self._begin_missed(tail):
            return True
        data = os.pread(tail.file, self.limits.chunk_bytes, at)
        # Looked at after the data: were the bytes before them another file's by now, the data might be too.
        if not tail.is_as_it_was():
            self._truncated(tail)
            return True
        if not data and status.st_size > at:  # truncated since it was looked at, or it would have given something
            return True
        # A file being truncated shows its new size before its new time: believe that of an empty one later.
        if at + len(data) >= status.st_size and (data or at or time.time_ns() - status.st_mtime_ns > _SETTLED):
            tail.modified = status.st_mtime_ns
        if not data:
            return self._follow_rotation(tail)
        self._take(tail, data)
        return True

    def _take(self, tail: Tail, data: bytes) -> None:
        """Hand on what data have in whole lines; without data the last line, which no newline ends."""
        rest = tail.cutter.rest
        lines, settled = tail.cutter.feed(data) if data else tail.cutter.finish()
        before = self._position()
        parts = self._csv.cut(lines, tail.cutter.header if self._header else None, tail.gone)
        tell_columns(self.name, tail.base, self._csv, parts)
        if self._header:
            tail.cutter.header, tail.gone = parts[-1].header, parts[-1].gone
        tail.move(rest, data, settled)
        if settled:
            self._note(tail)
        for number, (header, gone, part) in enumerate(parts, 1):
            if part:  # only the last one settles them all
                position = self._position() if number == len(parts) else before
                self._put(Chunk(self.name, part, self.format, position, time.monotonic(), tail.stream, header, gone))

    def _finish(self, tail: Tail) -> None:
        """Hand on the last line of a file that nobody writes to any more, though no newline ends it."""
        self._take(tail, b"")

    def _truncated(self, tail: Tail) -> None:
        """The file was emptied under its name: read on in the copy made of it, or begin again."""
        for past in reversed(self._predecessors(tail)):
            if tail.head and begins_as(past.path, tail.state(), tail.at):
                self._open(tail.base, past.path, tail.state(), copied=True, seen=past)
                os.close(tail.file)
                return
        if self._begin_missed(tail):
            return
        _log.info("source %s: %s was emptied or written anew; reading it from its beginning", self.name, tail.base)
        tail.begin_again(LineCutter(self._line_bytes, self._header))
        self._note(tail)

    def _begin_missed(self, tail: Tail) -> bool:
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

    def _predecessors(self, tail: Tail) -> list[Past]:
        """Rotated files beside this one, the oldest first."""
        return [past for past in lineage(tail.base) if past.path != tail.base and past.inode != tail.id]

    def _follow_rotation(self, tail: Tail) -> bool:
        """At the end of a file: whether another one has taken its place, which is begun then."""
        if not self._follow and inode_of(tail.base) == tail.id:
            return False
        following = self._successor(tail)
        if following is None:
            if os.fstat(tail.file).st_nlink == 0 and self._follow:
                self._finish(tail)
                self._drop(tail)
            return False
        # A writer has moved on; another one may be in the middle of a line.
        status = os.fstat(tail.file)
        if status.st_size > tail.at:
            return True
        if tail.cutter.rest and self._follow and 0 <= time.time_ns() - status.st_mtime_ns < _STILL:
            return False
        partial = bool(tail.cutter.rest)
        self._finish(tail)
        base, newest = tail.base, following.path == tail.base
        # A copy's original may not have been truncated yet, and is not to be read twice.
        state = tail.state() if tail.copied and newest and tail.head and begins_as(base, tail.state()) else None
        moved = self._still_matched(tail)
        self._open(base, following.path, state, copied=tail.copied and not newest, seen=following)
        self._tails[base].previous = tail.id
        if moved is None:
            self._watch_old(tail, partial)
        else:  # under a pattern the old file goes on as one of its own, at its end
            self._tails[moved] = tail
            tail.base = moved
            self._note(tail)
        return True

    def _watch_old(self, tail: Tail, partial: bool) -> None:
        """Go on with a file that was rotated away, for those that still write to it. partial: within a line."""
        if tail.copied or not self._follow:
            self._close(tail)
            return
        tail.cutter.skipping = partial  # the rest of a line that was handed on as it stood
        tail.quiet_since = time.monotonic()
        self._old.append(tail)
        self._note(tail)

    def _resume_old(self, base: str, states: Sequence[Mapping[str, Any]], known: Sequence[Past]) -> None:
        """Watch those again that were watched before a restart."""
        for state in states:
            for past in known:
                if past.inode == (state["device"], state["inode"]) and begins_as(past.path, state):
                    with contextlib.suppress(OSError):
                        file = os.open(past.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                        self._old.append(self._tail(base, file, state, 0, copied=False))

    def _advance_old(self, tail: Tail) -> bool:
        """Read on in a rotated file; True when there may be more at once."""
        status = os.fstat(tail.file)
        data = os.pread(tail.file, self.limits.chunk_bytes, tail.at) if status.st_size > tail.at else b""
        if data and tail.is_as_it_was():
            tail.quiet_since = time.monotonic()
            self._take(tail, data)
            return True
        if data or status.st_size < tail.at or time.monotonic() - tail.quiet_since > _OLD_SECONDS:
            self._old.remove(tail)
            self._finish(tail)
            self._close(tail)
        return False

    def _give_up_old(self) -> bool:
        """Make room for a new file; whether that could be."""
        if not self._old:
            return False
        self._close(self._old.pop(0))
        return True

    def _close(self, tail: Tail) -> None:
        os.close(tail.file)
        if self._packed:
            known = {name: value for name, value in tail.state().items() if name.startswith(("head", "mark", "offset"))}
            self._past = [*self._past, known][-_PAST:]

    def _read_packed(self) -> None:
        """Read files packed with gzip that were not read yet."""
        if not self._packed:
            return
        for stream, part in self._packed.read(self.limits.chunk_bytes, self._known, young=not self._follow):
            if self._stopping.is_set():
                return
            position, (header, gone, lines) = self._position(), part
            self._put(Chunk(self.name, lines, self.format, position, time.monotonic(), stream, header, gone))

    def _known(self) -> list[Mapping[str, Any]]:
        """States of all that was read, as a packed file may be one of them."""
        now = [tail.state() for tail in (*self._tails.values(), *self._old)]
        return [*self._past, *self._stored.values(), *now]

    def _still_matched(self, tail: Tail) -> str | None:
        """The name that a renamed file now has, if that matches a pattern and is no rotated name."""
        existing = {*self._tails, *self._stored}
        for pattern in self._patterns:
            for path in matches(pattern):
                if path != tail.base and path not in existing and inode_of(path) == tail.id:
                    return None if is_rotated(path, existing) else path
        return None

    def _successor(self, tail: Tail) -> Past | None:
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

    def _drop(self, tail: Tail) -> None:
        self._close(self._tails.pop(tail.base))
        self._states = {base: state for base, state in self._states.items() if base != tail.base}
