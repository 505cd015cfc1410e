"""Addresses of others that a configuration names: what is wrong with one, in words."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = [
    "endpoint_fault",
    "host_fault",
    "mqtt_filter_fault",
    "mqtt_topic_fault",
    "nats_fault",
    "subject_fault",
    "url_fault",
]

_LONGEST_TOPIC = 65_535  # bytes, of MQTT


def endpoint_fault(url: str) -> str:
    """One clause about what is wrong with a collector's address; empty where nothing is."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        return "it is the address of an OTLP collector over HTTP, such as http://localhost:4318"
    if "@" in parts.netloc:
        return "it holds a user; give what the collector asks for in OTEL_EXPORTER_OTLP_HEADERS"
    return ""


def nats_fault(server: str) -> str:
    """One clause about what is wrong with a server's address, which it does not repeat; empty where nothing is."""
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("nats", "tls") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if "@" in server:  # which would show in logs
        return "an address in servers holds a user; give username and password, or token"
    if not usable:
        return "an address in servers looks like nats://host:4222, or tls://host:4222"
    return ""


def host_fault(host: str) -> str:
    """One clause about what is wrong with a host alone, a name or an address; empty where nothing is."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
        return ""
    except ValueError:
        pass
    try:
        host.encode("idna")  # as the resolver will
    except UnicodeError:
        return f"{_short(host)} is no name of a host"
    if any(sign in host for sign in "/:@[]") or any(sign.isspace() or not sign.isprintable() for sign in host):
        return f"{_short(host)} is no name of a host; the port and all else have keys of their own"
    return ""


def url_fault(url: str) -> str:
    """One clause about what is wrong with an address to post to, which it does not repeat; empty where nothing is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "the url of a sink cannot be read; it looks like https://host/path"
    if parts.scheme not in ("http", "https") or not host:
        return "the url of a sink begins with http:// or https:// and names a host"
    if parts.username is not None or parts.password is not None:
        return f"the url of the sink at {host} holds a user; give username and password instead"
    if port == 0:
        return f"the url of the sink at {host} has no port that can be used"
    if not url.isascii() or not url.isprintable() or " " in url:
        return f"the url of the sink at {host} holds characters that HTTP does not take"
    return host_fault(host)


def mqtt_filter_fault(topic: str) -> str:
    """One clause about what is wrong with a filter of MQTT topics; empty where nothing is."""
    if fault := _mqtt_fault(topic):
        return fault
    shown = _short(topic)
    levels = topic.split("/")
    if levels[0] == "$share":
        if len(levels) < 3 or not levels[1] or any(sign in levels[1] for sign in "+#") or levels[2:] == [""]:
            return f"{shown} is no shared subscription; it looks like $share/GROUP/TOPIC"
        levels = levels[2:]
    if "#" in topic and (levels[-1] != "#" or any("#" in level for level in levels[:-1])):
        return f"{shown} is no topic filter: # stands alone, as the last level"
    if any("+" in level and level != "+" for level in levels):
        return f"{shown} is no topic filter: + stands for one whole level"
    return ""


def mqtt_topic_fault(topic: str) -> str:
    """One clause about what is wrong with a topic to publish to; empty where nothing is."""
    if any(sign in topic for sign in "+#\0"):
        return f"an MQTT sink cannot publish to the topic {topic!r}; leave out + and #"
    return _mqtt_fault(topic)


def subject_fault(subject: str) -> str:
    """One clause about what is wrong with a NATS subject to read from, wildcards allowed; empty where nothing is."""
    tokens = subject.split(".")
    if not all(tokens) or any(sign.isspace() or not sign.isprintable() for sign in subject):
        return f"{_short(subject)} is no NATS subject: words with dots between them, without blanks"
    if any((">" in token and (token != ">" or place < len(tokens) - 1)) for place, token in enumerate(tokens)):
        return f"{_short(subject)} is no NATS subject: > stands alone, as the last word"
    if any("*" in token and token != "*" for token in tokens):
        return f"{_short(subject)} is no NATS subject: * stands for one whole word"
    return ""


def _mqtt_fault(topic: str) -> str:
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return "a topic is text of UTF-8"
    if not topic or size > _LONGEST_TOPIC:
        return f"a topic of MQTT has 1 to {_LONGEST_TOPIC:,} bytes"
    return ""


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
