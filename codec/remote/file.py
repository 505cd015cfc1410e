"""A file that lies elsewhere as one that can seek, with little read ahead and few requests."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import BinaryIO, Protocol, cast

from aez.codec.remote.address import shown
from aez.codec.remote.http import HttpRanges
from aez.codec.remote.stores import StoreRanges

__all__ = ["RemoteFile", "Spans", "open_url"]

#: The first request: an `.aez` file's header, and as a rule all of its metadata.
FIRST_BYTES = 1 << 12
#: What is read beyond a read that nobody announced, more with each in a row.
_AHEAD_MIN, _AHEAD_MAX = 1 << 14, 1 << 22
#: Spans that lie so near are one request.
_GAP_MAX = 1 << 12
#: So much is kept, of what was read last.
_HELD_MAX = 1 << 25

Spans = Sequence[tuple[int, int]]


class Far(Protocol):
    """Where the bytes are. Raises UnsupportedInput where they do not come."""

    def begin(self, count: int) -> tuple[bytes, int]:
        """The first `count` bytes, or all where there are fewer, and the size of the whole."""

    def fetch(self, spans: Spans) -> list[bytes]:
        """The bytes of each (start, stop), which lie within the file."""


def open_url(url: str) -> BinaryIO:
    """A `RemoteFile` of an address; one request is made. Raises UnsupportedInput, AezError without the extra."""
    web = url.lower().startswith(("http://", "https://"))
    return cast(BinaryIO, RemoteFile(HttpRanges(url) if web else StoreRanges(url), shown(url)))


class RemoteFile(io.RawIOBase):
    """A seekable file of bytes elsewhere. `prefetch` says what will be read, so that it comes in few requests.

    What was read last is kept, up to 32 MiB. Reading raises UnsupportedInput. One thread at a time.
    """

    def __init__(self, far: Far, name: str = "") -> None:
        self.name = name
        self._far = far
        first, self._size = far.begin(FIRST_BYTES)
        self._held: OrderedDict[int, bytes] = OrderedDict({0: first})
        self._position = 0
        self._ahead = _AHEAD_MIN

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"byte {base + offset} lies before the file")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or all that follow; fewer only at the end of the file."""
        stop = self._size if size is None or size < 0 else min(self._position + size, self._size)
        data = bytearray()
        while self._position < stop:
            piece = self._piece(self._position, stop)
            data += piece
            self._position += len(piece)
        return bytes(data)

    def prefetch(self, spans: Spans) -> None:
        """Fetch what is not here of each (start, stop), neighbours in one request and all requests at once."""
        self._ahead = _AHEAD_MIN
        within = [(max(start, 0), min(stop, self._size)) for start, stop in spans]
        missing = [self._trimmed(start, stop) for start, stop in _joined(within)]
        wanted = [(start, stop) for start, stop in missing if start < stop]
        if wanted:
            for (start, _), data in zip(wanted, self._far.fetch(wanted), strict=True):
                self._hold(start, data)

    def _piece(self, start: int, stop: int) -> bytes:
        """Bytes from `start` on, at least one and at most up to `stop`."""
        found = self._at(start)
        if found is None:
            ahead = min(max(stop, start + self._ahead), self._size)
            ahead = min([ahead, *(other for other in self._held if other > start)])
            (data,) = self._far.fetch([(start, ahead)])
            self._hold(start, data)
            self._ahead = min(2 * self._ahead, _AHEAD_MAX)
            found = start, data
        first, data = found
        return data[start - first : stop - first]

    def _at(self, position: int) -> tuple[int, bytes] | None:
        """(start, bytes) of what is here and holds a position."""
        for start, data in self._held.items():
            if start <= position < start + len(data):
                self._held.move_to_end(start)
                return start, data
        return None

    def _trimmed(self, start: int, stop: int) -> tuple[int, int]:
        """A span without what is here of its two ends."""
        while start < stop and (found := self._at(start)) is not None:
            start = found[0] + len(found[1])
        while start < stop and (found := self._at(stop - 1)) is not None:
            stop = found[0]
        return start, stop

    def _hold(self, start: int, data: bytes) -> None:
        self._held[start] = data
        while len(self._held) > 1 and sum(len(held) for held in self._held.values()) > _HELD_MAX:
            self._held.popitem(last=False)


def _joined(spans: Spans) -> list[tuple[int, int]]:
    """Spans in order, those that touch or nearly do as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(span for span in spans if span[0] < span[1]):
        if joined and start - joined[-1][1] <= _GAP_MAX:
            start, stop = joined[-1][0], max(joined.pop()[1], stop)
        joined.append((start, stop))
    return joined
