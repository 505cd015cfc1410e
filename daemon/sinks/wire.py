"""How event records look outside: one JSON object, the same for every sink."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aez.codec.common.plain import plain
from aez.daemon.common.records import EventRecord

__all__ = ["as_dict", "as_json", "iso_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_dict(record: EventRecord) -> dict[str, Any]:
    """Plain data for JSON: the record's fields, and `time_utc`, the time for people and for readers without int64."""
    return {
        "id": record.id,
        "sequence": record.sequence,
        "action": record.action,
        "stream": record.stream,
        "model": record.model,
        "time": record.time,
        "time_utc": iso_time(record.time),
        "event": plain(record.event),
    }


def as_json(record: EventRecord) -> str:
    """`as_dict` as one line of ASCII, without a newline; what is not finite becomes null."""
    return json.dumps(as_dict(record), separators=(",", ":"), allow_nan=False)


def iso_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC, to the microsecond (rounded down); times outside the years 1 to 9999 become the nearest."""
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        moment = (datetime.max if nanoseconds > 0 else datetime.min).replace(tzinfo=UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
