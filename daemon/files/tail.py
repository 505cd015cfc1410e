"""One file that is being read: where in it, and by which of its bytes it is known again."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import Any

from aez.daemon.sources.lines import LineCutter

__all__ = ["KNOWN_BYTES", "Tail"]

#: Bytes that a file is known by, at its beginning and again before the place where reading stands.
KNOWN_BYTES = 1024


@dataclass
class Tail:
    """A file being read: offset is behind the last line handed on, head its first bytes up to there.

    mark: the last bytes before the offset. copied: it is a copy, made before the file under the name was truncated.
    previous: the file read before this one. gone: columns of CSV that it named before, and does not any more.
    quiet_since: when it was last seen to change (`time.monotonic()`).
    """

    base: str
    file: int
    device: int
    inode: int
    offset: int
    head: bytes
    mark: bytes
    cutter: LineCutter
    modified: int
    stream: str
    copied: bool
    previous: tuple[int, int] | None = None
    gone: tuple[str, ...] = ()
    quiet_since: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> tuple[int, int]:
        return self.device, self.inode

    @property
    def at(self) -> int:
        """Where the next byte is read."""
        return self.offset + len(self.cutter.rest)

    def state(self) -> dict[str, Any]:
        """What finds this place again after a restart; plain data for JSON."""
        return {
            "device": self.device,
            "inode": self.inode,
            "offset": self.offset,
            "head": hashlib.sha256(self.head).hexdigest(),
            "head_bytes": len(self.head),
            "mark": hashlib.sha256(self.mark).hexdigest(),
            "mark_bytes": len(self.mark),
            "skipping": self.cutter.skipping,
            "modified": self.modified,
            "copied": self.copied,
            "header": self.cutter.header,
            "gone": list(self.gone),
        }

    def is_as_it_was(self) -> bool:
        """Whether the file still holds, at its beginning and before the place to read next, what was read there."""
        known = (self.mark + self.cutter.rest[-KNOWN_BYTES:])[-KNOWN_BYTES:]
        return (
            os.pread(self.file, len(self.head), 0) == self.head
            and os.pread(self.file, len(known), self.at - len(known)) == known
        )

    def move(self, rest: bytes, data: bytes, settled: int) -> None:
        """Move on by `settled` bytes of `rest`, which waited, and `data`, which came behind it."""
        if not settled:
            return
        before, end = self.offset, settled - len(rest)
        if end >= KNOWN_BYTES:
            self.mark = data[end - KNOWN_BYTES : end]
        else:
            self.mark = (self.mark + rest[:settled] + data[: max(0, end)])[-KNOWN_BYTES:]
        self.offset += settled
        if len(self.head) < KNOWN_BYTES:
            if len(self.head) == before == 0 and settled <= len(data):
                self.head = data[: min(KNOWN_BYTES, settled)]
            else:
                self.head = os.pread(self.file, min(KNOWN_BYTES, self.offset), 0)

    def begin_again(self, cutter: LineCutter) -> None:
        """The file holds something else by now."""
        self.offset, self.head, self.mark, self.cutter, self.gone = 0, b"", b"", cutter, ()
        self.modified = os.fstat(self.file).st_mtime_ns
