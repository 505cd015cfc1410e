"""The queue between the sources and the worker, bounded in chunks and bytes: a full one holds the sources back."""

from __future__ import annotations

import threading
from collections import deque

from aez.daemon.common.records import Chunk

__all__ = ["BATCH_BYTES", "QUEUE_BYTES", "Intake"]

#: A batch is cut at so many bytes, and the queue holds so many at most. Larger ones parse slower: they leave the cache.
BATCH_BYTES = 1 << 20
QUEUE_BYTES = 64 << 20


class Intake:
    """The bounded queue of chunks. `put` waits while it is full, and drops the chunk once it is closed."""

    def __init__(self, chunks: int = 4096, size: int = QUEUE_BYTES) -> None:
        self._limit, self._size_limit = chunks, size
        self._waiting: deque[Chunk] = deque()
        self._bytes = 0
        self._closed = self._woken = False
        self._changed = threading.Condition()

    def put(self, chunk: Chunk) -> None:
        """Take a chunk; one that was not taken is never acknowledged, so that its source gives it again."""
        with self._changed:
            while not self._closed and self._full(len(chunk.data)):
                self._changed.wait()
            if self._closed:
                return
            self._waiting.append(chunk)
            self._bytes += len(chunk.data)
            self._changed.notify_all()

    def _full(self, more: int) -> bool:
        return bool(self._waiting) and (len(self._waiting) >= self._limit or self._bytes + more > self._size_limit)

    def take(self, timeout: float, linger: float = 0.0) -> list[Chunk]:
        """The chunks of a batch, in order: waits `timeout` seconds for the first and up to `linger` for a full one."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed or self._woken, timeout)
            self._woken = False
            if linger > 0 and self._waiting and not self._closed:
                self._changed.wait_for(lambda: self._bytes >= BATCH_BYTES or self._closed, linger)
            taken: list[Chunk] = []
            size = 0
            while self._waiting and (not taken or size + _weight(self._waiting[0]) <= BATCH_BYTES):
                taken.append(self._waiting.popleft())
                size += _weight(taken[-1])
                self._bytes -= len(taken[-1].data)
            self._changed.notify_all()
        return taken

    def wake(self) -> None:
        """Let `take` return at once; for work that does not come by a chunk."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def oldest(self) -> float | None:
        """When the chunk that waits longest came (`time.monotonic()`); None where none waits."""
        with self._changed:
            return self._waiting[0].received if self._waiting else None

    @property
    def room(self) -> tuple[int, int]:
        """Chunks and bytes that may wait."""
        return self._limit, self._size_limit

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._waiting)


def _weight(chunk: Chunk) -> int:
    """What it counts for in a batch: its bytes; of images, which take long, a batch holds 16 at most."""
    return max(len(chunk.data), BATCH_BYTES // 16) if chunk.format == "image" else len(chunk.data)
