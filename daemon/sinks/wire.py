"""How event records look outside: one JSON object, the same for every sink."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aez.codec.common.plain import plain
from aez.daemon.common.records import EventRecord

__all__ = ["about", "as_dict", "as_json", "blamed", "how_many", "iso_time"]

#: Channels that stop, of which an incident names so many.
_STOPS, _STOPPED = ("missing", "stuck"), 10
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_dict(record: EventRecord) -> dict[str, Any]:
    """Plain data for JSON: the record's fields, and `time_utc`, the time for people and for readers without int64."""
    curve = {} if record.curve is None else {"curve": plain(record.curve)}
    return _fields(record) | {"event": plain(record.event)} | curve


def _fields(record: EventRecord) -> dict[str, Any]:
    """As `as_dict`, with the event, which may not be plain, and without the curve."""
    return {
        "id": record.id,
        "sequence": record.sequence,
        "action": record.action,
        "stream": record.stream,
        "model": record.model,
        "time": record.time,
        "time_utc": iso_time(record.time),
        "event": record.event,
    }


def blamed(event: Mapping[str, Any], most: int = 3) -> str:
    """The channels to blame in words: how much, and what was measured where something else was expected."""
    within = event.get("kind") == "incident" and event.get("cause") in _STOPS
    most = max(most, _STOPPED) if within else most
    entries = [one for one in (event.get("channels") or ())[:most] if isinstance(one, dict)]
    if within or event.get("kind") in _STOPS:  # they have no share in a score
        return ", ".join(str(one.get("name")) for one in entries)
    return ", ".join(map(_channel, entries))


def _channel(entry: Mapping[str, Any]) -> str:
    said = f"{entry.get('name')} {entry.get('share') or 0:.0%}"
    measured, expected = entry.get("measured"), entry.get("expected")
    if measured is None and expected is None:
        return said
    unit = f" {entry['unit']}" if entry.get("unit") else ""
    wanted = "" if expected is None else f", expected {_short(expected)}{unit}"
    return f"{said} ({'missing' if measured is None else _short(measured) + unit}{wanted})"


def _short(value: float) -> str:
    return f"{value:.4g}"


def about(record: EventRecord) -> str:
    """What else is to be said of a step, in a few words; empty where nothing is."""
    event = record.event
    if event.get("kind") == "incident":
        examples = [str(one) for one in event.get("examples") or ()][:3]
        if record.stream != "*":  # of one stream, and its channels stand with it
            return f"{how_many(event)} ({event.get('cause')})"
        more = ", ..." if (event.get("count") or 0) > len(examples) else ""
        return f"{how_many(event)} ({event.get('cause')}): {', '.join(examples)}{more}"
    said = []
    if record.action == "changed":
        said.append("it stays at this level; `aez monitor streams adopt` takes it")
    if event.get("reason"):
        said.append(f"because: {event['reason']}")
    if event.get("reopened"):
        said.append(f"reopened {event['reopened']} times")
    if cap := event.get("cap"):
        said.append(
            f"event {cap['events_per_day']} of the day, the last one that is sent before {iso_time(cap['until'])}"
        )
    return "; ".join(said)


def how_many(event: Mapping[str, Any]) -> str:
    """The events that an incident stands for, as a number and a word."""
    count = event.get("count")
    return f"{count} event{'' if count == 1 else 's'}"


def as_json(record: EventRecord) -> str:
    """`as_dict` as one line of ASCII, without a newline; what is not finite becomes null."""
    try:
        if record.curve is None:
            return _JSON.encode(_fields(record))  # what comes from the store is plain
    except (TypeError, ValueError):
        pass
    return _JSON.encode(as_dict(record))


def iso_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC, to the microsecond (rounded down); times outside the years 1 to 9999 become the nearest."""
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        moment = (datetime.max if nanoseconds > 0 else datetime.min).replace(tzinfo=UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
