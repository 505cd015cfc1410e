"""Topics of an MQTT broker, QoS 1.

Guarantee: a record is delivered once the broker acknowledged it (PUBACK). A connection that breaks before means that it
is published again, so that subscribers may get it twice; `id` and `sequence` tell. Records of a stream keep their
order. What the broker does with it, retention and subscribers that are away, is the broker's to keep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aez.daemon.common import tls as certificates
from aez.daemon.common.addresses import mqtt_topic_fault
from aez.daemon.common.options import about
from aez.daemon.common.records import EventRecord
from aez.daemon.common.shared_options import MqttBroker, Timeout
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.whole import shut, within
from aez.daemon.sinks.wire import as_json

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["MqttSink", "MqttSinkOptions"]

_LONGEST_TOPIC = 65_535  # bytes


@dataclass(frozen=True, kw_only=True)
class MqttSinkOptions(MqttBroker, Timeout):
    """`kind = "mqtt"`."""

    topic: str = field(
        default="aez/events/{stream}",
        metadata=about("the topic; {stream} and {action} in it are replaced", check=mqtt_topic_fault),
    )
    client_id: str | None = field(
        default=None, metadata=about("names the session at the broker, which gives one by default")
    )
    retain: bool = field(default=False, metadata=about("whether the broker keeps the last message of each topic"))


class MqttSink(Sink):
    """Publishes each record as JSON.

    In a stream's name +, #, / and what is not printable (brokers end the connection over it) become _ in the topic.
    """

    Options = MqttSinkOptions

    def __init__(self, options: MqttSinkOptions) -> None:
        self.timeout_seconds = options.timeout_seconds
        import paho.mqtt.client  # noqa: F401 - so that it is missing here, where somebody hears of it

        self._host, self._port = options.address
        self._topic, self._client_id, self._retain = options.topic, options.client_id or "", options.retain
        self._username, self._password = options.username, options.password
        self._tls = certificates.client_context(options.tls_ca) if options.encrypted else None
        self._timeout = options.timeout_seconds
        self._client: Client | None = None

    def __repr__(self) -> str:
        return f"MqttSink({self._name!r})"

    @property
    def _name(self) -> str:
        return f"mqtt://{self._host}:{self._port}"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        messages = [(self._topic_of(record), as_json(record).encode()) for record in records]
        deadline = time.monotonic() + self._timeout
        client = self._connected()
        try:
            sent = [client.publish(topic, payload, qos=1, retain=self._retain) for topic, payload in messages]
            for one in sent:
                one.wait_for_publish(max(0.001, deadline - time.monotonic()))
                if not one.is_published():
                    raise SinkError(f"{self._name} did not acknowledge within {self._timeout:g} s")
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise SinkError(f"{self._name} took no message: {error}") from error
        except SinkError:
            self.close()  # the client would publish what it still holds once more
            raise

    def check(self) -> None:
        self._connected()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _topic_of(self, record: EventRecord) -> str:
        stream = "".join("_" if sign in "+#/" or not sign.isprintable() else sign for sign in record.stream)
        stream = stream.encode("utf-8", "backslashreplace").decode()
        topic = self._topic.replace("{action}", record.action).replace("{stream}", stream)
        if len(topic.encode()) > _LONGEST_TOPIC:
            raise Rejected(f"the topic for stream {record.stream[:40]!r}... is longer than MQTT allows")
        return topic

    def _connected(self) -> Client:
        if self._client is not None:
            if self._client.is_connected():
                return self._client
            self.close()
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        begun = time.monotonic()
        client = Client(CallbackAPIVersion.VERSION2, self._client_id, reconnect_on_failure=False)
        answered = threading.Event()
        refusal: list[str] = []

        def on_connect(_client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                refusal.append(str(reason))
            answered.set()

        client.on_connect = on_connect
        client.connect_timeout = self._timeout
        if self._username is not None:
            client.username_pw_set(self._username, self._password)
        try:
            if self._tls is not None:
                client.tls_set_context(self._tls)
            within(self._timeout, lambda: client.connect(self._host, self._port, keepalive=30), lambda: _cut(client))
        except (OSError, ValueError) as error:
            raise SinkError(f"{self._name} cannot be reached: {certificates.failure(error)}") from error
        client.loop_start()
        self._client = client
        if not answered.wait(max(0.001, begun + self._timeout - time.monotonic())):
            self.close()
            raise SinkError(f"{self._name} did not answer within {self._timeout:g} s")
        if refusal:
            self.close()
            raise SinkError(f"{self._name} refuses the connection: {refusal[0]}")
        return client


def _cut(client: Client) -> None:
    if (connection := client.socket()) is not None:
        shut(connection)
