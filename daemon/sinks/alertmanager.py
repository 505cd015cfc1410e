"""Prometheus Alertmanager, API version 2: an alert for each open event.

Guarantee: a record is delivered once Alertmanager answered 2xx. The labels `alertname`, `stream`, `event` (its id),
`severity` and those of the configuration are the alert's identity, so that a record that comes twice is the same alert
again. Alertmanager forgets alerts that are not renewed: open ones are posted again every `resend_seconds`, and end by
themselves `resend_seconds` x 4 after the last post, should the monitor die.

An event that closes ends its alert `hold_seconds` later, so that one which opened and closed while Alertmanager was
away is still told to people (its group_wait is 30 s by default). A severity that rises makes a new alert and ends the
lower one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from aez.codec.common.plain import plain
from aez.daemon.common.addresses import url_fault
from aez.daemon.common.options import about
from aez.daemon.common.records import CLOSING, EventRecord, kind_of
from aez.daemon.common.shared_options import Login
from aez.daemon.sinks.base import Sink
from aez.daemon.sinks.http import Endpoint, EndpointOptions
from aez.daemon.sinks.wire import about as about_step
from aez.daemon.sinks.wire import blamed, how_many, iso_time
from aez.daemon.state.event_sql import SEVERITIES

__all__ = ["AlertmanagerOptions", "AlertmanagerSink"]

_OWN_LABELS = ("alertname", "stream", "event", "severity", "model")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SECOND = 1_000_000_000
_MOST = 500  # alerts in one post
_SUMMARIES = {
    "anomaly": "{stream} behaves unusually",
    "silence": "{stream} fell silent",
    "missing": "{stream} misses {channels}",
    "stuck": "{stream} stands still: {channels}",
}


def _labels_fault(labels: Mapping[str, str]) -> str:
    bad = next((name for name in labels if not _LABEL.fullmatch(name) or name in _OWN_LABELS), None)
    if bad is None:
        return ""
    own = ", ".join(_OWN_LABELS)
    return f"{bad!r} is no label for an Alertmanager sink: letters, digits and _, and none of {own}"


@dataclass(frozen=True, kw_only=True)
class AlertmanagerOptions(EndpointOptions, Login):
    """`kind = "alertmanager"`."""

    url: str = field(metadata=about("Alertmanager's root, such as http://localhost:9093", check=url_fault))
    labels: Mapping[str, str] = field(
        default_factory=dict, metadata=about("further labels of each alert", check=_labels_fault)
    )
    page_url: str | None = field(default=None, metadata=about("of this monitor's page, for the links in alerts"))
    resend_seconds: float = field(
        default=60.0, metadata=about("open alerts are sent again so often", low=1, high=86_400)
    )
    hold_seconds: float = field(
        default=60.0, metadata=about("an alert stays so long after its event closed", low=0, high=86_400)
    )


class AlertmanagerSink(Sink):
    """Posts to `url`/api/v2/alerts."""

    Options = AlertmanagerOptions

    def __init__(self, options: AlertmanagerOptions) -> None:
        self.timeout_seconds = options.timeout_seconds
        self._endpoint = Endpoint(options, options.username, options.password)
        self.refresh_seconds = options.resend_seconds
        self._hold = int(options.hold_seconds * _SECOND)
        self._page = options.page_url
        self._labels = dict(options.labels)

    def __repr__(self) -> str:
        return f"AlertmanagerSink({self._endpoint.name!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        last = {record.id: record for record in records}  # Alertmanager holds one state for each
        self._post([alert for record in last.values() for alert in self._alerts(record)])

    def refresh(self, records: Sequence[EventRecord]) -> None:
        self._post([self._alert(record, _severity(record), self._expiry()) for record in records])

    def check(self) -> None:
        self._endpoint.connect()

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        for start in range(0, len(alerts), _MOST):
            body = json.dumps(alerts[start : start + _MOST], allow_nan=False).encode()
            self._endpoint.post(body, {}, "/api/v2/alerts")

    def _expiry(self) -> int:
        assert self.refresh_seconds is not None
        return time.time_ns() + int(4 * self.refresh_seconds * _SECOND)

    def _alerts(self, record: EventRecord) -> list[dict[str, Any]]:
        severity = _severity(record)
        closed = record.action in CLOSING
        end = time.time_ns() + self._hold if closed else self._expiry()
        lower = SEVERITIES[: SEVERITIES.index(severity)] if record.sequence else ()
        return [
            *(self._alert(record, one, time.time_ns()) for one in lower),
            self._alert(record, severity, end),
        ]

    def _alert(self, record: EventRecord, severity: str, end: int) -> dict[str, Any]:
        event = plain(record.event)
        start = event.get("start_time")
        start = start if isinstance(start, int) else record.time
        many = event.get("kind") == "incident"
        stream = _utf8(record.stream)
        annotations = {
            "summary": _summary(record, stream),
            "channels": blamed(event, len(event.get("channels") or ())),
            "note": about_step(record),
            "link": self._link(record),
            "peak": "" if event.get("peak") is None else f"{event['peak']:.3g}",
            "model": record.model,
            "action": record.action,
            "reason": str(event.get("reason") or ""),
            "sequence": str(record.sequence),
            "started": iso_time(start),
            "ended": iso_time(event["end_time"] if isinstance(event.get("end_time"), int) else record.time)
            if record.action in CLOSING
            else "",
        }
        alert = {
            "labels": self._labels
            | {
                "alertname": "AezIncident" if many else f"Aez{kind_of(record.action).capitalize()}",
                "stream": stream,
                "event": record.id,
                "severity": severity,
            },
            "annotations": {name: _utf8(text) for name, text in annotations.items() if text},
            # Alertmanager refuses an alert that ends before it starts, as one of a clock that runs ahead would.
            "startsAt": iso_time(min(start, end - _SECOND)),
            "endsAt": iso_time(end),
        }
        return alert | ({"generatorURL": self._link(record)} if self._page else {})

    def _link(self, record: EventRecord) -> str:
        """Where the page shows the event; empty where nobody said where the page is."""
        return f"{self._page.rstrip('/')}/#event={quote(record.id)}" if self._page else ""


def _summary(record: EventRecord, stream: str) -> str:
    kind: str = kind_of(record.action)
    if record.event.get("kind") == "incident":
        kind = str(record.event.get("cause"))
    if record.event.get("kind") == "incident" and (stream == "*" or kind not in _SUMMARIES):
        return f"{how_many(record.event)} of one cause: {record.event.get('cause')}"
    channels = ", ".join(str(one.get("name")) for one in record.event.get("channels") or () if isinstance(one, dict))
    return _SUMMARIES[kind].format(stream=stream, channels=channels)


def _severity(record: EventRecord) -> str:
    found = record.event.get("severity")
    return found if found in SEVERITIES else SEVERITIES[0]


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
