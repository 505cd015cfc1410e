"""What listeners share: a bound on open connections, and a log that strangers cannot fill.

TLS handshakes that are under way count as connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

__all__ = ["HANDSHAKE_SECONDS", "Connections", "request_log", "stop_listening"]

#: A TLS handshake that takes longer is given up; for `ssl_handshake_timeout`.
HANDSHAKE_SECONDS = 10.0
#: Turns of the loop in which an accepted connection gets its transport, and one that was cut tells its protocol.
_TURNS_TO_END = 10
#: Connections of one address without a request that are always allowed.
_LEAST_SILENT = 4
_HEAD_END = b"\r\n\r\n"


def request_log() -> logging.Logger:
    """For `AppRunner(logger=...)`: defects, but not requests that are none, which anybody can send without end."""
    log = logging.getLogger(f"{__name__}.requests")
    log.addFilter(_of_ours)  # of which it keeps one, however often it is added
    return log


def _of_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, RequestPayloadError)))


async def stop_listening(listener: asyncio.Server) -> None:
    """Close a listener behind what it accepted.

    Once it is closed asyncio refuses to make the transport of a connection, and leaves the socket open.
    """
    loop = asyncio.get_running_loop()
    for listening in listener.sockets:
        # asyncio's loop of Windows accepts without readers, has none to take away, and says so with this error.
        with contextlib.suppress(NotImplementedError):
            loop.remove_reader(listening)
    for _ in range(_TURNS_TO_END):
        await asyncio.sleep(0)
    listener.close()


class Connections:
    """Makes the protocols of one listener, for `loop.create_server`. Beyond `most`, connections are closed at once.

    So are those of an address that has a quarter of these, or four, on which no whole head of a request came yet: who
    opens connections and says nothing shuts out nobody else.

    make: gives the protocol of a connection. Everything is called in the listener's loop.
    """

    def __init__(self, most: int, make: Callable[[], asyncio.Protocol]) -> None:
        self._most, self._make = most, make
        self._open: set[_Counted] = set()
        self._begun: dict[_Counted, float] = {}  # not made yet; a failed handshake is told to nobody
        self._silent: Counter[str] = Counter()  # without a head of a request yet, by address

    def __call__(self) -> asyncio.Protocol:
        now = time.monotonic()
        for one in [one for one, since in self._begun.items() if now - since > HANDSHAKE_SECONDS + 1]:
            del self._begun[one]
        if len(self._open) + len(self._begun) >= self._most:
            return _OneTooMany()
        counted = _Counted(self._make(), self)
        self._begun[counted] = now
        return counted

    def made(self, one: _Counted, address: str) -> bool:
        """Whether it may go on."""
        self._begun.pop(one, None)
        if self._silent[address] >= max(_LEAST_SILENT, self._most // 4):
            return False
        self._silent[address] += 1
        self._open.add(one)
        return True

    def asked(self, address: str) -> None:
        """A connection of the address has brought the head of a request, or ended without."""
        self._silent[address] -= 1
        if self._silent[address] <= 0:
            del self._silent[address]

    def lost(self, one: _Counted) -> None:
        self._begun.pop(one, None)
        self._open.discard(one)

    async def end(self) -> None:
        """Cut what is still open, such as a connection that came while the listener ended; before the loop ends."""
        for one in list(self._open):
            one.cut()
        for _ in range(_TURNS_TO_END):
            if not self._open:
                return
            await asyncio.sleep(0)


class _OneTooMany(asyncio.Protocol):
    """A connection that is closed as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Counted(asyncio.Protocol):
    """Another protocol, whose beginning and end are noted."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner, self._connections = inner, connections
        self._transport: asyncio.BaseTransport | None = None
        self._address: str | None = None  # until it has asked
        self._last = b""
        self._refused = False

    def cut(self) -> None:
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._refused = not self._connections.made(self, address)
        if self._refused:
            transport.close()
            return
        self._address = address
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.lost(self)
        if not self._refused:
            self._asked()
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._address is not None:
            if _HEAD_END in self._last + data:
                self._asked()
            self._last = (self._last + data)[-len(_HEAD_END) :]
        self._inner.data_received(data)

    def _asked(self) -> None:
        address, self._address = self._address, None
        if address is not None:
            self._connections.asked(address)

    def eof_received(self) -> bool | None:
        return None if self._refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
