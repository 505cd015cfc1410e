"""MQTT with quality of service 1.

Delivery: at least once, for messages that were published with quality 1 or 2. The session is persistent: a message is
acknowledged to the broker when all that follows from it is durable, and the broker keeps it until then, also while
this process is away (for `session_seconds`). In order per topic; after a broken connection the broker sends again what
was not acknowledged, so that a stream may go back by some messages. Messages of quality 0 come at most once.

What the broker itself drops cannot be put right here: give Mosquitto `persistence true`, and `max_queued_messages` and
`max_queued_bytes` for the longest absence that you want to bridge (its own limit is 1,000 messages);
`set_tcp_nodelay true` spares up to 40 ms.

Memory: `receive_maximum` unacknowledged messages, which the broker keeps to (MQTT 5), and `buffer_bytes` not yet handed
on; beyond that the connection is not read. Messages over `limits.body_bytes` are not sent by the broker at all, with
MQTT 5.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aez.daemon.common import tls as certificates
from aez.daemon.common.addresses import mqtt_filter_fault
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import about
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.shared_options import ClientTls, MessageFormat, MqttBroker
from aez.daemon.sources.base import Put, Source, SourceOptions
from aez.daemon.sources.messages import as_lines, gather

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

_log = logging.getLogger(__name__)

_TAKEN_OVER = 142  # the reason with which a broker of MQTT 5 ends a session that another client takes
_QUICK_SECONDS, _QUICK_LOSSES = 5.0, 3  # connections that last no longer, in a row: not every broker gives a reason
_RIVAL_SECONDS = 60.0  # without the like of it, after which nobody else is there any more


@dataclass(frozen=True, kw_only=True)
class MqttOptions(SourceOptions, MqttBroker, ClientTls):
    """`kind = "mqtt"`."""

    format: MessageFormat = field(default="json", metadata=about("what messages are"))
    topics: Sequence[str] = field(metadata=about("topics, with the wildcards + and #", check=mqtt_filter_fault))
    client_id: str = field(metadata=about("names the session at the broker; each monitor needs its own"))
    version: Literal["5", "3.1.1"] = field(default="5", metadata=about("of MQTT"))
    session_seconds: int = field(
        default=7 * 86_400, metadata=about("the broker keeps messages for us so long", low=0, high=2**32 - 1)
    )
    gather_seconds: float = field(default=0.005, metadata=about("messages wait so long for others", low=0, high=60))
    receive_maximum: int = field(
        default=10_000, metadata=about("messages under way at once, with version 5", low=1, high=65_535)
    )
    buffer_bytes: int = field(
        default=32 << 20, metadata=about("messages that wait here; beyond it nothing is read", low=1024, high=2**40)
    )
    keepalive_seconds: int = field(
        default=60, metadata=about("a connection without a word is tested so often", low=1, high=65_535)
    )


@dataclass(frozen=True)
class _Flush:
    """Messages handed on together. last: number of their last chunk. mids: of quality 1, in the order of arrival."""

    last: int
    mids: tuple[int, ...]


class Mqtt(Source):
    """Messages of topics on an MQTT broker.

    Their topic becomes `Chunk.stream`. One process per `client_id`. With `session_seconds = 0` the session ends with
    the connection, and what was not delivered is gone.
    """

    Options = MqttOptions

    def __init__(self, name: str, options: MqttOptions, limits: Limits | None = None) -> None:
        super().__init__(name, options, limits)
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        self._topics = list(options.topics)
        self._address = options.address
        self._keepalive_seconds = options.keepalive_seconds
        self._gather_seconds = options.gather_seconds
        self._gather_bytes = self.limits.chunk_bytes
        self._buffer_bytes = options.buffer_bytes
        self._v5 = options.version == "5"
        self._properties = self._connect_properties(options) if self._v5 else None
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if self._v5 else options.session_seconds == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        if options.username is not None:
            self._client.username_pw_set(options.username, options.password)
        if options.encrypted:
            context = certificates.client_context(options.tls_ca, options.tls_certificate, options.tls_key)
            self._client.tls_set_context(context)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_socket_open = _without_delay
        self._client.on_pre_connect = self._begins
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._connect_failed
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received
        # One lock for all below. Acknowledgements are queued under it, so that none crosses a reconnection: by then
        # its number may belong to another message.
        self._changed = threading.Condition()
        self._buffer: deque[MQTTMessage] = deque()
        self._buffered = 0
        self._generation = 0  # of the connection
        self._flushes: deque[_Flush] = deque()
        self._chunks = 0
        self._had_session = False
        self._refused = False
        self._client_id = options.client_id
        self._network: threading.Thread | None = None  # paho's, once it has begun to connect
        self._connected_at = 0.0
        self._quick_losses = 0
        self._rival, self._rival_seen = "", 0.0  # what is said of another client with our id, and when it showed

    def _connect_properties(self, options: MqttOptions) -> Properties:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        made = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        made.SessionExpiryInterval = options.session_seconds
        made.ReceiveMaximum = options.receive_maximum
        made.MaximumPacketSize = self.limits.body_bytes
        return made

    def start(self, put: Put, position: Position | None = None) -> None:  # noqa: ARG002 - the broker knows
        self._put = put
        self._trouble = "not connected yet."
        self._connect()
        self._spawn(self._hand_on)

    def _connect(self) -> None:
        host, port = self._address
        options: dict[str, Any] = {"clean_start": False, "properties": self._properties} if self._v5 else {}
        self._client.connect_async(host, port, self._keepalive_seconds, **options)
        self._client.loop_start()

    def _begins(self, client: Client, userdata: Any) -> None:
        del client, userdata
        self._network = threading.current_thread()

    def _tend(self) -> None:
        """See to it that paho's thread is there, which a defect would end, and that an old rival is forgotten."""
        network = self._network
        if network is not None and not network.is_alive() and not self._stopping.is_set():
            self._network = None
            self._set_trouble("the thread of its connection ended by a defect, and is started again.")
            self._connect()
        if self._rival and time.monotonic() - self._rival_seen > _RIVAL_SECONDS and self._client.is_connected():
            said, self._rival = self._rival, ""
            if self._trouble == said:
                self._set_trouble("")

    def acknowledge(self, position: Position) -> None:
        number = position["chunk"]
        with self._changed:
            while self._flushes and self._flushes[0].last <= number:
                for mid in self._flushes.popleft().mids:
                    self._client.ack(mid, 1)

    def stop(self, timeout: float = 5.0) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        super().stop(timeout)

    def close(self) -> None:
        self.stop()
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(
        self, client: Client, userdata: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        del userdata, properties
        self._refused = reason.is_failure
        if self._refused:
            self._set_trouble(f"the broker refuses the connection: {reason}.")
            return
        if self._had_session and not flags.session_present and not self._rival:
            _log.warning("source %s: the broker has lost the session; what it had not delivered is gone", self.name)
        self._had_session = True
        self._connected_at = time.monotonic()
        try:
            self._subscribe(client)
        except ValueError as error:  # it would end paho's thread
            self._set_trouble(f"cannot subscribe to {', '.join(self._topics)}: {error}.")

    def _subscribe(self, client: Client) -> None:
        # Again at every connection, as the broker may have forgotten. Retained messages come with the first alone.
        if self._v5:
            from paho.mqtt.subscribeoptions import SubscribeOptions

            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(topic, options) for topic in self._topics])
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _subscribed(
        self, client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, mid, properties
        refused = [topic for topic, reason in zip(self._topics, reasons, strict=False) if reason.is_failure]
        self._set_trouble(f"the broker refuses a subscription to {', '.join(refused)}." if refused else self._rival)

    def _connect_failed(self, client: Client, userdata: Any) -> None:
        del client, userdata
        reason = certificates.failure(sys.exception())  # paho calls this where it caught it
        self._set_trouble(f"cannot reach the broker at {self._address[0]}:{self._address[1]}: {reason}.")

    def _disconnected(
        self, client: Client, userdata: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        del client, userdata, flags, properties
        self._look_for_rivals(reason)
        with self._changed:
            self._generation += 1
            self._flushes.clear()
            # The broker sends these again.
            kept = [message for message in self._buffer if message.qos == 0]
            self._buffer = deque(kept)
            self._buffered = sum(len(message.payload) for message in kept)
        if not self._stopping.is_set() and not self._refused:  # a refusal says more than the end that follows it
            self._set_trouble(self._rival or f"lost the broker at {self._address[0]}:{self._address[1]}: {reason}.")

    def _look_for_rivals(self, reason: ReasonCode) -> None:
        """Two clients with one id end each other's sessions for ever, and each of them misses messages."""
        now = time.monotonic()
        quick = self._connected_at and now - self._connected_at < _QUICK_SECONDS
        self._quick_losses = self._quick_losses + 1 if quick else 0
        if self._v5 and reason.value == _TAKEN_OVER:
            said = f"another client took the session of client_id {self._client_id!r}; give each monitor its own."
        elif self._quick_losses >= _QUICK_LOSSES:
            said = (
                "the broker ends the connection again and again; does another client have the client_id "
                f"{self._client_id!r}? Give each monitor its own."
            )
        else:
            return
        self._rival, self._rival_seen = said, now

    def _received(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        del client, userdata
        with self._changed:
            while self._buffered > self._buffer_bytes and not self._stopping.is_set():
                self._changed.wait(0.5)
            if self._stopping.is_set():
                return  # not acknowledged, so that it comes again
            self._buffer.append(message)
            self._buffered += len(message.payload)
            if len(self._buffer) == 1 or self._buffered >= self._gather_bytes:
                self._changed.notify_all()

    def _hand_on(self) -> None:
        while not self._stopping.is_set():
            messages, generation = self._gathered()
            self._flush(messages, generation)

    def _gathered(self) -> tuple[list[MQTTMessage], int]:
        """Wait for messages, and a little longer for more."""
        with self._changed:
            while not self._buffer and not self._stopping.is_set():
                self._changed.wait(0.5)
                self._tend()
            until = time.monotonic() + self._gather_seconds
            while self._buffered < self._gather_bytes and not self._stopping.is_set():
                remaining = until - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            messages = []
            size = 0
            while self._buffer and size < self._gather_bytes and not self._stopping.is_set():
                message = self._buffer.popleft()
                messages.append(message)
                size += len(message.payload)
            self._buffered -= size
            self._changed.notify_all()
            return messages, self._generation

    def _flush(self, messages: list[MQTTMessage], generation: int) -> None:
        if not messages:
            return
        received = time.monotonic()
        named = ((_topic(message), as_lines(bytes(message.payload), self.format)) for message in messages)
        groups = gather(named, self.format)
        first = self._chunks + 1
        self._chunks += len(groups)
        mids = tuple(message.mid for message in messages if message.qos == 1)
        with self._changed:
            if generation == self._generation:
                # A flush of nothing but empty messages has no chunk to wait for but those before it.
                self._flushes.append(_Flush(self._chunks, mids))
        for number, (topic, data) in enumerate(groups, first):
            self._put(Chunk(self.name, data, self.format, {"chunk": number}, received, topic))
        if not groups:
            self._acknowledge_empty()

    def _acknowledge_empty(self) -> None:
        with self._changed:
            if len(self._flushes) == 1:
                for mid in self._flushes.popleft().mids:
                    self._client.ack(mid, 1)


def _without_delay(client: Client, userdata: Any, connection: Any) -> None:
    """Send acknowledgements at once: held back by TCP they cost 40 ms for every few messages."""
    del client, userdata
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:  # the broker should have refused it
        return ""
