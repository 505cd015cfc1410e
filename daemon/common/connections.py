"""What listeners share: a bound on open connections, and a log that strangers cannot fill.

TLS handshakes that are under way count as connections.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

__all__ = ["HANDSHAKE_SECONDS", "Connections", "request_log"]

#: A TLS handshake that takes longer is given up; for `ssl_handshake_timeout`.
HANDSHAKE_SECONDS = 10.0
#: Turns of the loop in which a transport that was cut tells its protocol.
_TURNS_TO_END = 10


def request_log() -> logging.Logger:
    """For `AppRunner(logger=...)`: defects, but not requests that are none, which anybody can send without end."""
    log = logging.getLogger(f"{__name__}.requests")
    log.addFilter(_of_ours)  # of which it keeps one, however often it is added
    return log


def _of_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, RequestPayloadError)))


class Connections:
    """Makes the protocols of one listener, for `loop.create_server`. Beyond `most`, connections are closed at once.

    make: gives the protocol of a connection. Everything is called in the listener's loop.
    """

    def __init__(self, most: int, make: Callable[[], asyncio.Protocol]) -> None:
        self._most, self._make = most, make
        self._open: set[_Counted] = set()
        self._begun: dict[_Counted, float] = {}  # not made yet; a failed handshake is told to nobody

    def __call__(self) -> asyncio.Protocol:
        now = time.monotonic()
        for one in [one for one, since in self._begun.items() if now - since > HANDSHAKE_SECONDS + 1]:
            del self._begun[one]
        if len(self._open) + len(self._begun) >= self._most:
            return _OneTooMany()
        counted = _Counted(self._make(), self)
        self._begun[counted] = now
        return counted

    def made(self, one: _Counted) -> None:
        self._begun.pop(one, None)
        self._open.add(one)

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

    def cut(self) -> None:
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.made(self)
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.lost(self)
        self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
