"""NATS JetStream, by a durable pull consumer.

Delivery: at least once and in the order of the JetStream stream. A message is acknowledged to the server when all that
follows from it is durable. What is put twice by the server (an acknowledgement that came late, a reconnection) is put
once here. After a restart, and after a broken connection, the durable consumer is made anew behind the last
acknowledged message, so that nothing has to wait for the server's acknowledgement time and nothing overtakes; a stream
that was deleted and made again is noticed by its time of creation, and read from its beginning. One process per durable
name. On a stream with interest retention, where removing a consumer removes messages, the consumer is kept as it is,
and after a restart messages may come out of order.

Memory: `pull_messages` messages asked for and not yet handed on, which the server keeps to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aez.daemon.common import tls as certificates
from aez.daemon.common.addresses import subject_fault
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import about
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.retry import Backoff
from aez.daemon.common.shared_options import ClientTls, MessageFormat, NatsServers
from aez.daemon.sources.base import Put, Source, SourceOptions
from aez.daemon.sources.messages import as_lines, gather

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

_log = logging.getLogger(__name__)

_PULL_SECONDS = 30.0  # a request for messages stands that long at the server
_NO_TROUBLE = ("404", "408")  # no message for now; the request has run out


class _Again(Exception):
    """The consumer has to be made anew, because messages may be missing or out of order."""


def _durable_fault(durable: str) -> str:
    bad = any(character in durable for character in ".*> \t\r\n/\\")
    return f"{durable!r} is no name of a consumer; use letters, digits, - and _" if bad else ""


@dataclass(frozen=True, kw_only=True)
class NatsOptions(SourceOptions, NatsServers, ClientTls):
    """`kind = "nats"`."""

    format: MessageFormat = field(default="json", metadata=about("what messages are"))
    subject: str = field(metadata=about("the subject, with the wildcards * and >", check=subject_fault))
    jetstream: str | None = field(
        default=None, metadata=about("the JetStream stream that holds it; found by the subject by default")
    )
    durable: str = field(
        default="aez", metadata=about("the consumer's name; each monitor needs its own", check=_durable_fault)
    )
    gather_seconds: float = field(default=0.005, metadata=about("messages wait so long for others", low=0, high=60))
    pull_messages: int = field(default=5_000, metadata=about("messages asked for at a time", low=1, high=1_000_000))
    acknowledge_seconds: float = field(
        default=60.0, metadata=about("the server sends again what was not acknowledged by then", low=0.1, high=86_400)
    )


class Nats(Source):
    """Messages of a subject that a JetStream stream holds.

    Their subject becomes `Chunk.stream`. One process per `durable`, which has no dots, wildcards, slashes and blanks.
    """

    Options = NatsOptions

    def __init__(self, name: str, options: NatsOptions, limits: Limits | None = None) -> None:
        super().__init__(name, options, limits)
        import nats.aio.client  # noqa: F401 - so that it is missing here, where somebody hears of it

        self._subject = options.subject
        self._durable = options.durable
        self._stream = options.jetstream
        self._servers = list(options.servers)
        self._gather_seconds = options.gather_seconds
        self._gather_bytes = self.limits.chunk_bytes
        self._pull_messages = options.pull_messages
        self._acknowledge_seconds = options.acknowledge_seconds
        self._login: dict[str, Any] = {
            "user": options.username,
            "password": options.password,
            "token": options.token,
        }
        if options.encrypted:
            self._login["tls"] = certificates.client_context(options.tls_ca, options.tls_certificate, options.tls_key)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        # All below is touched in the loop alone.
        self._client: Client | None = None
        self._created = ""  # when the JetStream stream was made
        self._put_up_to = 0  # sequence of the last message put, in the stream
        self._durable_up_to = 0
        self._unacknowledged: deque[tuple[int, Msg]] = deque()  # of the present consumer
        self._buffer: deque[Msg] = deque()
        self._arrived: asyncio.Event | None = None
        self._asked = 0  # messages that the server may still send
        self._next_delivery = 1  # of the consumer's own count
        self._again = ""
        self._reading = False
        self._tasks: set[asyncio.Future[None]] = set()

    def start(self, put: Put, position: Position | None = None) -> None:
        self._put = put
        self._trouble = "not connected yet."
        if position is not None:
            self._created = position["created"]
            self._put_up_to = self._durable_up_to = position["sequence"]
        self._spawn(self._thread)

    def acknowledge(self, position: Position) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the message comes again, and is known
                loop.call_soon_threadsafe(self._acknowledge, position["created"], position["sequence"])

    def stop(self, timeout: float = 5.0) -> None:
        """Read no more; the connection stays for acknowledgements until `close`."""
        self._stopping.set()
        self._wake()
        deadline = time.monotonic() + timeout
        while not self._reading_ended() and time.monotonic() < deadline:
            time.sleep(0.005)

    def close(self) -> None:
        self._stopping.set()
        loop, closing = self._loop, self._closing
        if loop is not None and closing is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(closing.set)
        self._wake()
        super().stop()

    def _reading_ended(self) -> bool:
        return not self._reading or not any(thread.is_alive() for thread in self._threads)

    def _wake(self) -> None:
        loop, arrived = self._loop, self._arrived
        if loop is not None and arrived is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(arrived.set)

    def _thread(self) -> None:
        self._reading = True
        try:
            asyncio.run(self._main())
        finally:
            self._reading = False
            self._loop = None

    async def _main(self) -> None:
        from nats.errors import Error as NatsError

        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        backoff = Backoff(well_seconds=60)
        while not self._stopping.is_set():
            try:
                await self._session()
                backoff.well()
            except _Again as reason:
                _log.info("source %s: the consumer is made anew: %s", self.name, reason)
                backoff.well()
            except (NatsError, OSError, TimeoutError) as error:
                from aez.daemon.common.nats_connection import nats_failure

                self._set_trouble(f"NATS at {', '.join(self._servers)}: {nats_failure(error)}.")
                await self._disconnect()
                await backoff.wait_async(self._arrived)
        self._reading = False
        if self._client is not None:
            await self._closing.wait()
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await self._client.flush(2)
        await self._disconnect()

    async def _disconnect(self) -> None:
        from nats.errors import Error as NatsError

        client, self._client = self._client, None
        self._unacknowledged.clear()
        if client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await client.close()

    async def _session(self) -> None:
        """Make the consumer and read from it until something is amiss."""
        from nats.errors import Error as NatsError

        if self._client is None:
            self._client = await self._connect()
        client = self._client
        context = client.jetstream(timeout=5)
        self._unacknowledged.clear()
        self._buffer.clear()
        self._asked = 0
        self._again = ""
        stream = self._stream or await self._found_stream(context)
        await self._make_consumer(context, stream)
        inbox = client.new_inbox()
        subscription = await client.subscribe(
            inbox, cb=self._received, pending_msgs_limit=-1, pending_bytes_limit=-1
        )  # bounded by what is asked for
        self._set_trouble("")
        try:
            await self._read(client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{self._durable}", inbox)
        finally:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def _found_stream(self, context: JetStreamContext) -> str:
        from nats.errors import Error as NatsError
        from nats.js.errors import NotFoundError

        try:
            found: str = await context.find_stream_name_by_subject(self._subject)
        except NotFoundError as error:
            raise NatsError(
                f"no stream matches the subject {self._subject}; make one, or name it in jetstream"
            ) from error
        return found

    async def _connect(self) -> Client:
        from aez.daemon.common.nats_connection import NatsClient

        async def lost() -> None:
            self._fail("the connection broke")
            if self._client is not None and not self._stopping.is_set():  # else it was ended here, for a reason
                self._set_trouble(f"lost NATS at {', '.join(self._servers)}.")

        async def silent(error: Exception) -> None:
            _log.debug("source %s: %s", self.name, error)

        client = NatsClient()
        await client.connect(
            self._servers,
            name=f"aez-{self.name}",
            disconnected_cb=lost,
            error_cb=silent,
            allow_reconnect=False,  # this class connects again itself, as the consumer has to be made anew too
            max_reconnect_attempts=1,  # or it would try for minutes, and say nothing meanwhile
            reconnect_time_wait=0,
            connect_timeout=5,
            **{key: value for key, value in self._login.items() if value is not None},
        )
        return client

    async def _make_consumer(self, context: JetStreamContext, stream: str) -> None:
        """A durable consumer that begins behind the last message that is known to be durable."""
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy
        from nats.js.errors import NotFoundError

        information = await context.stream_info(stream)
        created = information.created.isoformat() if information.created else ""
        if created != self._created:
            if self._created:
                _log.warning("source %s: stream %s was made anew; reading it from its beginning", self.name, stream)
            self._put_up_to = self._durable_up_to = 0
            self._created = created
        self._next_delivery = 1
        try:
            existing = await context.consumer_info(stream, self._durable)
        except NotFoundError:
            existing = None
        if existing is not None:
            floor = existing.ack_floor.stream_seq if existing.ack_floor else 0
            self._durable_up_to = max(self._durable_up_to, floor)
            if information.config.retention == RetentionPolicy.INTEREST:
                self._next_delivery = (existing.delivered.consumer_seq if existing.delivered else 0) + 1
                return
            await _delete_consumer(context, stream, self._durable)
        start = self._durable_up_to + 1
        await context.add_consumer(
            stream,
            ConsumerConfig(
                durable_name=self._durable,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._acknowledge_seconds,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start > 1 else DeliverPolicy.ALL,
                opt_start_seq=start if start > 1 else None,
                filter_subject=self._subject,
                max_ack_pending=4 * self._pull_messages,
            ),
        )

    def _fail(self, reason: str) -> None:
        self._again = self._again or reason
        if self._arrived is not None:
            self._arrived.set()

    async def _received(self, message: Msg) -> None:
        if not message.reply:
            self._status(message)
            return
        self._asked -= 1
        self._buffer.append(message)
        assert self._arrived is not None
        self._arrived.set()

    def _status(self, message: Msg) -> None:
        """A word from the server: a request has run out, or something is wrong with the consumer."""
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status in _NO_TROUBLE:
            self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages", self._asked)))
            if self._arrived is not None:
                self._arrived.set()
        elif status and status != "100":
            self._fail(f"the server says {status} {headers.get('Description', '')}")

    async def _read(self, client: Client, requests: str, inbox: str) -> None:
        from nats.errors import Error as NatsError

        assert self._arrived is not None
        asked_at = 0.0
        while not self._stopping.is_set():
            self._arrived.clear()
            waiting = len(self._buffer) + self._asked
            stale = time.monotonic() - asked_at > _PULL_SECONDS + 5
            if self._asked and stale:  # its end was not told; nothing of it comes any more
                self._asked = 0
            if self._asked <= 0 or waiting <= self._pull_messages // 2:
                count = self._pull_messages - len(self._buffer) - max(0, self._asked)
                if count > 0:
                    request = {"batch": count, "expires": int(_PULL_SECONDS * 1e9)}
                    await client.publish(requests, json.dumps(request).encode(), reply=inbox)
                    self._asked = max(0, self._asked) + count
                    asked_at = time.monotonic()
            if not self._buffer:
                if self._again:
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), 1.0)
            if self._buffer:
                await self._hand_on(await self._gathered())
            if self._again:
                break
        if self._again and not self._stopping.is_set():
            if client.is_closed or not client.is_connected:
                raise NatsError(self._again)
            raise _Again(self._again)

    async def _gathered(self) -> list[Msg]:
        """What has come, and what comes within a moment."""
        size = sum(len(message.data) for message in self._buffer)
        until = time.monotonic() + self._gather_seconds
        while size < self._gather_bytes and not self._stopping.is_set() and not self._again:
            remaining = until - time.monotonic()
            if remaining <= 0:
                break
            await asyncio.sleep(min(remaining, 0.005))
            size = sum(len(message.data) for message in self._buffer)
        messages = []
        size = 0
        while self._buffer and size < self._gather_bytes:
            messages.append(self._buffer.popleft())
            size += len(messages[-1].data)
        return messages

    async def _hand_on(self, messages: list[Msg]) -> None:
        received = time.monotonic()
        fresh = []
        before = self._put_up_to
        for message in messages:
            sequence = message.metadata.sequence
            if sequence.consumer != self._next_delivery:
                self._fail(f"delivery {sequence.consumer} came where {self._next_delivery} was due")
                break
            self._next_delivery += 1
            self._unacknowledged.append((sequence.stream, message))
            if sequence.stream > self._put_up_to:
                self._put_up_to = sequence.stream
                fresh.append(message)
        named = ((message.subject, as_lines(message.data, self.format)) for message in fresh)
        groups = gather(named, self.format)
        last = len(groups) - 1
        for number, (subject, data) in enumerate(groups):
            if self._stopping.is_set():
                return
            # Only the last one settles the messages of all.
            sequence_up_to = self._put_up_to if number == last else before
            position = {"created": self._created, "sequence": sequence_up_to}
            chunk = Chunk(self.name, data, self.format, position, received, subject)
            assert self._loop is not None
            await self._loop.run_in_executor(None, self._put, chunk)
        if not groups and self._durable_up_to >= before:
            self._durable_up_to = self._put_up_to  # empty messages have no chunk to wait for
        self._acknowledge(self._created, self._durable_up_to)

    def _acknowledge(self, created: str, sequence: int) -> None:
        """Tell the server of all messages up to there, in the loop."""
        if created != self._created:
            return
        self._durable_up_to = max(self._durable_up_to, sequence)
        done = []
        while self._unacknowledged and self._unacknowledged[0][0] <= self._durable_up_to:
            done.append(self._unacknowledged.popleft()[1])
        if done and self._client is not None:
            task = asyncio.ensure_future(_send_acknowledgements(done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _delete_consumer(context: JetStreamContext, stream: str, durable: str) -> None:
    """Delete it; nats-server 2.9 may say that it could not while it still writes the consumer's state."""
    from nats.js.errors import NotFoundError, ServerError

    for _ in range(5):
        try:
            await context.delete_consumer(stream, durable)
        except NotFoundError:
            return
        except ServerError:
            await asyncio.sleep(0.1)
        else:
            return


async def _send_acknowledgements(messages: Sequence[Msg]) -> None:
    from nats.errors import Error as NatsError

    with contextlib.suppress(NatsError, OSError):  # they come again, and are known
        for message in messages:
            await message.ack()
