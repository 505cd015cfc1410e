"""A look at a NATS subject: what comes from now on, or all that its JetStream stream holds.

Delivery: at most once, and the server keeps nothing of it: an ordered consumer without a name, which ends with the
connection; where a stream deletes what was read (retention by work queue or interest), a plain subscription that the
stream takes no note of. Other consumers lose nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import DeliverPolicy, RetentionPolicy

from aez.daemon.common.limits import Limits
from aez.daemon.common.records import Chunk, Position
from aez.daemon.sources.messages import as_lines
from aez.daemon.sources.nats import Nats, NatsOptions

_PENDING_MESSAGES, _PENDING_BYTES = 65_536, 32 << 20
_WAIT_SECONDS = 0.5


class NatsTap(Nats):
    """As `Nats`, whose options it takes; `durable` is not used. from_start: begin with what the stream holds."""

    def __init__(
        self, name: str, options: NatsOptions, limits: Limits | None = None, *, from_start: bool = False
    ) -> None:
        super().__init__(name, dataclasses.replace(options, durable="tap"), limits)
        self._from_start = from_start

    def acknowledge(self, position: Position) -> None:
        """Nothing waits for it."""

    async def _session(self) -> None:
        if self._client is None:
            self._client = await self._connect()
        self._again = ""
        subscription = await self._subscribe()
        self._set_trouble("")
        while not self._stopping.is_set():
            try:
                message = await subscription.next_msg(_WAIT_SECONDS)
            except NatsTimeout:
                if self._again:
                    raise NatsError(self._again) from None
                continue
            await self._look(message)

    async def _subscribe(self) -> Subscription:
        assert self._client is not None
        context = self._client.jetstream(timeout=5)
        stream = self._stream or await context.find_stream_name_by_subject(self._subject)
        information = await context.stream_info(stream)
        if information.config.retention in (RetentionPolicy.WORK_QUEUE, RetentionPolicy.INTEREST):
            return await self._client.subscribe(
                self._subject, pending_msgs_limit=_PENDING_MESSAGES, pending_bytes_limit=_PENDING_BYTES
            )
        policy = DeliverPolicy.ALL if self._from_start else DeliverPolicy.NEW
        return await context.subscribe(
            self._subject,
            stream=stream,
            ordered_consumer=True,
            deliver_policy=policy,
            pending_msgs_limit=_PENDING_MESSAGES,
            pending_bytes_limit=_PENDING_BYTES,
        )

    async def _look(self, message: Msg) -> None:
        data = as_lines(message.data, self.format)
        if data:
            chunk = Chunk(self.name, data, self.format, {}, time.monotonic(), message.subject)
            await asyncio.get_running_loop().run_in_executor(None, self._put, chunk)
