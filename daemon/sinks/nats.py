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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from aez.daemon.common import tls as certificates
from aez.daemon.common.options import about
from aez.daemon.common.records import EventRecord
from aez.daemon.common.shared_options import NatsServers, Timeout
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.wire import as_json

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["NatsSink", "NatsSinkOptions"]

T = TypeVar("T")

_CLOSE_SECONDS = 1.0


def _subject_fault(subject: str) -> str:
    tokens = subject.replace("{stream}", "s").replace("{action}", "a").split(".")
    bad = not all(tokens) or any(sign in subject for sign in "*> \t\r\n\0")
    return f"a NATS sink cannot publish to the subject {subject!r}" if bad else ""


def _stream_fault(name: str) -> str:
    return f"a JetStream stream cannot be named {name!r}" if any(sign in name for sign in ".*> \t/\\") else ""


@dataclass(frozen=True, kw_only=True)
class NatsSinkOptions(NatsServers, Timeout):
    """`kind = "nats"`."""

    subject: str = field(
        default="aez.events.{stream}",
        metadata=about("the subject; {stream} and {action} in it are replaced", check=_subject_fault),
    )
    create_jetstream: str | None = field(
        default=None,
        metadata=about(
            "a JetStream stream to make for these subjects where it does not exist",
            was="create_stream",
            check=_stream_fault,
        ),
    )


class NatsSink(Sink):
    """Publishes each record as JSON. In a stream's name dots, wildcards and blanks become _ in the subject."""

    Options = NatsSinkOptions

    def __init__(self, options: NatsSinkOptions) -> None:
        self.timeout_seconds = options.timeout_seconds
        import nats.aio.client  # noqa: F401 - so that it is missing here, where somebody hears of it

        subject, create = options.subject, options.create_jetstream
        self._servers = list(options.servers)
        self._name = ", ".join(self._servers)
        self._subject, self._create, self._timeout = subject, create, options.timeout_seconds
        self._token, self._username, self._password = options.token, options.username, options.password
        self._tls: ssl.SSLContext | None = None
        if options.encrypted:
            self._tls = certificates.client_context(options.tls_ca)
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

        async def publish(subject: str, payload: bytes, message: str) -> None:
            try:
                await jetstream.publish(subject, payload, timeout=self._timeout, headers={"Nats-Msg-Id": message})
            except MaxPayloadError as error:
                raise Rejected(f"{self._name} takes no message of {len(payload)} bytes") from error
            except NoStreamResponseError as error:
                raise SinkError(
                    f"no JetStream stream of {self._name} takes the subject {subject}; make one, or name it in "
                    "create_jetstream"
                ) from error

        # Sent in their order, and not one after the answer to the other, which would take a while over a long way.
        tasks = [asyncio.ensure_future(publish(*one)) for one in messages]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

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
                self._servers,
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
            return future.result(self._timeout)
        except SinkError:
            raise
        except (FutureTimeout, TimeoutError) as error:
            future.cancel()
            self.close()
            raise SinkError(f"{self._name} did not answer within {self._timeout:g} s") from error
        except (Error, OSError, EOFError) as error:
            self.close()
            from aez.daemon.common.nats_connection import nats_failure

            raise SinkError(f"{self._name} took no message: {nats_failure(error)}") from error


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
