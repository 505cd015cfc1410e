"""Addresses of others that a configuration names: what is wrong with one, in words."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["endpoint_fault", "nats_fault"]


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
