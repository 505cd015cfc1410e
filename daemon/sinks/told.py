"""Steps of events in words, by templates, for sinks that people read: a chat, an e-mail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aez.codec.common.plain import plain
from aez.daemon.common.options import Options, about
from aez.daemon.common.records import EventRecord, storable
from aez.daemon.sinks.wire import iso_time

__all__ = ["Wording", "filled", "printable", "template_fault", "wanted"]

_PLACE = re.compile(r"\{(\w+)\}")
_NAMES = ("action", "channels", "id", "model", "page", "peak", "sequence", "severity", "stream", "time")
_BLAMED = 3


@dataclass(frozen=True, kw_only=True)
class Wording(Options):
    """What people are told, and of what."""

    updates: bool = field(default=False, metadata=about("whether people hear of each update of an open event, too"))
    page_url: str | None = field(default=None, metadata=about("of this monitor's page, for {page}"))


def template_fault(template: str) -> str:
    """One clause about what is wrong with a template; empty where nothing is."""
    unknown = next((name for name in _PLACE.findall(template) if name not in _NAMES), None)
    return "" if unknown is None else f"there is no {{{unknown}}}; there are {', '.join(_NAMES)}"


def wanted(records: Iterable[EventRecord], updates: bool) -> list[EventRecord]:
    """Those that people are told of."""
    return [record for record in records if updates or record.action != "update"]


def filled(template: str, record: EventRecord, page_url: str | None) -> str:
    """The template with what it names in braces; one line of what can be printed."""
    values = _values(record, page_url or "")
    text = _PLACE.sub(lambda found: values.get(found[1], found[0]), template)
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Text without line breaks and what would steer a terminal, and without halves of surrogate pairs."""
    text = storable(text)
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def _values(record: EventRecord, page_url: str) -> Mapping[str, str]:
    event = plain(record.event)
    peak = event.get("peak")
    blamed = [one for one in event.get("channels") or () if isinstance(one, dict)][:_BLAMED]
    return {
        "action": record.action,
        "channels": ", ".join(f"{one.get('name')} {one.get('share') or 0:.0%}" for one in blamed),
        "id": record.id,
        "model": record.model,
        "page": page_url,
        "peak": f"{peak:.3g}" if isinstance(peak, (int, float)) else "",
        "sequence": str(record.sequence),
        "severity": str(event.get("severity") or ""),
        "stream": record.stream,
        "time": iso_time(record.time)[:19] + "Z",
    }
