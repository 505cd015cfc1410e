"""Where events go: one kind of sink per file, each saying what it guarantees."""

from aez.codec.common.face import lazily

__getattr__ = lazily(
    __name__,
    {
        "aez.daemon.sinks.alertmanager": "AlertmanagerOptions AlertmanagerSink",
        "aez.daemon.sinks.base": "Rejected Sink SinkError",
        "aez.daemon.sinks.console": "ConsoleOptions ConsoleSink",
        "aez.daemon.sinks.json_lines": "JsonLinesOptions JsonLinesSink",
        "aez.daemon.sinks.mqtt": "MqttSink MqttSinkOptions",
        "aez.daemon.sinks.nats": "NatsSink NatsSinkOptions",
        "aez.daemon.sinks.postgres": "PostgresOptions PostgresSink",
        "aez.daemon.sinks.webhook": "WebhookOptions WebhookSink",
    },
)
