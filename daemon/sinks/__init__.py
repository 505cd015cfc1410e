"""Where events go: one kind of sink per file, each saying what it guarantees."""

from aez.daemon.sinks.alertmanager import AlertmanagerSink
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.console import ConsoleSink
from aez.daemon.sinks.json_lines import JsonLinesSink
from aez.daemon.sinks.mqtt import MqttSink
from aez.daemon.sinks.nats import NatsSink
from aez.daemon.sinks.postgres import PostgresSink
from aez.daemon.sinks.webhook import WebhookSink

__all__ = [
    "SINKS",
    "AlertmanagerSink",
    "ConsoleSink",
    "JsonLinesSink",
    "MqttSink",
    "NatsSink",
    "PostgresSink",
    "Rejected",
    "Sink",
    "SinkError",
    "WebhookSink",
]

#: The kinds by their names in a configuration.
SINKS: dict[str, type[Sink]] = {
    "console": ConsoleSink,
    "json_lines": JsonLinesSink,
    "webhook": WebhookSink,
    "alertmanager": AlertmanagerSink,
    "mqtt": MqttSink,
    "nats": NatsSink,
    "postgres": PostgresSink,
}
