"""What sources of single messages share: payloads made into lines, and many small messages in one chunk."""

from __future__ import annotations

import json
from collections.abc import Iterable


def as_lines(payload: bytes, format: str) -> bytes:
    """One message's payload as lines, each ended by a newline; empty when there is nothing in it.

    A JSON array becomes one line per element, and a JSON object that spans several lines becomes one. What is no
    valid JSON stays as it is, for the parser to report. Arrow data and images are never touched.
    """
    if format in ("arrow", "image"):
        return payload
    payload = payload.strip(b" \t\r\n")
    if not payload:
        return b""
    if format == "json" and (payload[:1] == b"[" or b"\n" in payload):
        payload = _json_lines(payload)
    return payload + b"\n"


def _json_lines(payload: bytes) -> bytes:
    if payload[:1] == b"{":
        first = payload[: payload.find(b"\n")].rstrip()
        if first[-1:] == b"}":  # JSON Lines, most likely, and then nothing need be read twice
            return payload
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    if isinstance(value, list):
        # A line in place of an empty array would be a message that nobody sent.
        return b"\n".join(json.dumps(element, separators=(",", ":")).encode() for element in value)
    return json.dumps(value, separators=(",", ":")).encode()


def gather(messages: Iterable[tuple[str, bytes]], format: str) -> list[tuple[str, bytes]]:
    """Messages of each topic back to back, topics in the order of their first message.

    messages: pairs of topic and payload as `as_lines` gives them. Images stay apart; so do Arrow and CSV messages, as
    each may bring a schema or header of its own.
    """
    if format in ("arrow", "csv", "image"):
        return [(topic, payload) for topic, payload in messages if payload]
    groups: dict[str, list[bytes]] = {}
    for topic, payload in messages:
        if payload:
            groups.setdefault(topic, []).append(payload)
    return [(topic, b"".join(parts)) for topic, parts in groups.items()]
