"""Addresses of collectors of traces."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["endpoint_fault"]


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
