"""Subjects of a NATS JetStream.

Guarantee: a record is delivered once the stream acknowledged that it is stored. One that is published again, because
the acknowledgement was lost, carries the same `Nats-Msg-Id` (event id and sequence): within the stream's duplicate
window (two minutes by default) the server drops it, and later the receiver tells by `id` and `sequence`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls as certificates
from aez.daemon.common.records import EventRecord
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.wire import as_json

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["NatsSink"]

T = TypeVar("T")

_CLOSE_SECONDS = 1.0


class NatsSink(Sink):
    """Publishes each record as JSON.

    url: nats://host:port, or tls://host:port, without a user in it.
    subject: "{stream}" and "{action}" in it are replaced; in a stream's name dots, wildcards and blanks become _.
    create_stream: the name of a JetStream stream to make for these subjects where it does not exist; None: it exists.
    token, or username and password: where the server wants them. ca_file: PEM certificates to trust in place of the
        system's. timeout: seconds for connecting, and for one delivery.
    """

    def __init__(
        self,
        *,
        url: str = "nats://localhost:4222",
        subject: str = "aez.events.{stream}",
        create_stream: str | None = None,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ca_file: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 4222
        except ValueError:
            raise InvalidArgument("the url of a NATS sink cannot be read; it looks like nats://host:4222") from None
        if parts.scheme not in ("nats", "tls") or not host:
            raise InvalidArgument("the url of a NATS sink begins with nats:// or tls:// and names a host")
        if parts.username is not None or parts.password is not None:
            raise InvalidArgument(f"the url of the NATS sink at {host} holds a user; give it as username or token")
        tokens = subject.replace("{stream}", "s").replace("{action}", "a").split(".")
        if not all(tokens) or any(sign in subject for sign in "*> \t\r\n\0"):
            raise InvalidArgument(f"a NATS sink cannot publish to the subject {subject!r}")
        if create_stream is not None and (not create_stream or any(sign in create_stream for sign in ".*> \t/\\")):
            raise InvalidArgument(f"a JetStream stream cannot be named {create_stream!r}")
        if token is not None and username is not None:
            raise InvalidArgument(f"the NATS sink at {host} takes a token or a username, not both")
        if (username is None) != (password is None):
            raise InvalidArgument(f"the NATS sink at {host} needs username and password together")
        if not timeout > 0:
            raise InvalidArgument(f"the timeout of a NATS sink is more than 0 seconds, not {timeout!r}")
        self._name = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        self._subject, self._create, self._timeout = subject, create_stream, timeout
        self._token, self._username, self._password = token, username, password
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "tls" or ca_file is not None:
            self._tls = certificates.client_context(ca_file)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None

    def __repr__(self) -> str:
        return f"NatsSink({self._name!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        messages = [(self._subject_of(record), as_json(record).encode(), _message_id(record)) for record in records]
        self._run(self._publish(messages))

    def check(self) -> None:
        self._run(self._connected())

    def close(self) -> None:
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is None:
            return
        asyncio.run_coroutine_threadsafe(_wind_up(client), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join()
        loop.close()

    def _subject_of(self, record: EventRecord) -> str:
        stream = "".join(
            "_" if sign in ".*>" or sign.isspace() or not sign.isprintable() else sign for sign in record.stream
        )
        stream = stream.encode("utf-8", "replace").decode() or "_"
        if len(stream.encode()) > 1000:
            raise Rejected(f"the subject for stream {record.stream[:40]!r}... is longer than a NATS server takes")
        return self._subject.replace("{action}", record.action).replace("{stream}", stream)

    async def _publish(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        from nats.errors import MaxPayloadError
        from nats.js.errors import NoStreamResponseError

        jetstream = (await self._connected()).jetstream()
        for subject, payload, message in messages:
            try:
                await jetstream.publish(subject, payload, timeout=self._timeout, headers={"Nats-Msg-Id": message})
            except MaxPayloadError as error:
                raise Rejected(f"{self._name} takes no message of {len(payload)} bytes") from error
            except NoStreamResponseError as error:
                raise SinkError(
                    f"no JetStream stream of {self._name} takes the subject {subject}; make one, or name it in "
                    "create_stream"
                ) from error

    async def _connected(self) -> Client:
        if self._client is not None:
            if self._client.is_connected:
                return self._client
            await _close(self._client)
            self._client = None
        from nats.js.errors import NotFoundError

        from aez.daemon.common.nats_connection import NatsClient

        client = NatsClient()
        try:
            await client.connect(
                self._name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, round(self._timeout)),
                error_cb=_ignore,
                name="aez",
                tls=self._tls,
                token=self._token,
                user=self._username,
                password=self._password,
            )
            if self._create is not None:
                jetstream = client.jetstream()
                try:
                    await jetstream.stream_info(self._create)
                except NotFoundError:
                    pattern = ".".join("*" if "{" in one else one for one in self._subject.split("."))
                    await jetstream.add_stream(name=self._create, subjects=[pattern])
        except BaseException:
            await _close(client)
            raise
        self._client = client
        return client

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """In the loop that also answers the server's pings between deliveries."""
        from nats.errors import Error

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="nats-sink", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(2 * self._timeout)
        except SinkError:
            raise
        except (FutureTimeout, TimeoutError) as error:
            future.cancel()
            self.close()
            raise SinkError(f"{self._name} did not answer within {self._timeout:g} s") from error
        except (Error, OSError, EOFError) as error:
            self.close()
            raise SinkError(f"{self._name} took no message: {certificates.failure(error)}") from error


def _message_id(record: EventRecord) -> str:
    return f"{record.id}.{record.sequence}".encode("ascii", "backslashreplace").decode()


async def _ignore(error: Exception) -> None:
    """Errors reach the caller of `deliver`; the client's own log of them says no more."""
    del error


async def _wind_up(client: Client | None) -> None:
    """Close, and end whatever else goes on in the loop."""
    if client is not None:
        await _close(client)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=2 * _CLOSE_SECONDS)


async def _close(client: Client) -> None:
    """Close, whatever state it is in."""
    with contextlib.suppress(Exception):  # the connection is given up anyway
        await asyncio.wait_for(client.close(), _CLOSE_SECONDS)  # after a failed handshake it never returns
    for _ in range(3):
        await asyncio.sleep(0)  # the socket is closed in a later turn of the loop
