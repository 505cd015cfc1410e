"""What a monitor that runs is doing, put together from what it shows: streams, rates, and what is wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from aez.daemon.tools.client import MonitorClient

__all__ = ["SORTS", "MonitorOverview", "Watcher"]

#: Orders of streams: the worst, the first by name, the one that was heard of last first.
SORTS = ("score", "stream", "age")
_PAGE = 1000
_MOST = 100_000
_RATES = {"rows": "aez_samples_total", "scored": "aez_scored_total", "dropped": "aez_dropped_total"}
_GAUGES = {
    "lag_seconds": "aez_lag_seconds",
    "queue_chunks": "aez_queue_chunks",
    "open_events": "aez_open_events",
    "memory_bytes": "process_resident_memory_bytes",
}


@dataclass(frozen=True)
class MonitorOverview:
    """One look. time: ns since 1970 UTC.

    streams: entries as /api/streams has them, with `ratio`, the score in limits, or None, and `age`, seconds since the
        newest sample, or None.
    rates: rows, scored and dropped a second since the look before; of the first one, since the monitor's start.
    gauges: lag_seconds, queue_chunks, open_events and memory_bytes, where the monitor shows them.
    problems: why it is not ready.
    losing: streams that lose samples just now, a sentence each; stopped: those with channels that are missing or stuck;
    clocks: those whose clocks are apart, and what to do.
    unwatched: streams that no model is for, in a sentence.
    held: open events that are recorded and not sent, how many by why: muted, incident, capped.
    mutes: those that hold, a line each, with end and reason.
    sinks: those that take no events, a sentence each.
    """

    time: int
    streams: list[dict[str, Any]]
    rates: Mapping[str, float]
    gauges: Mapping[str, float]
    problems: list[str]
    losing: list[str] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)
    held: Mapping[str, int] = field(default_factory=dict)
    mutes: list[str] = field(default_factory=list)
    sinks: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    clocks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class Watcher:
    """Looks at one monitor again and again; `look` raises as `MonitorClient` does."""

    def __init__(self, client: MonitorClient) -> None:
        self._client = client
        self._before: tuple[float, dict[str, float]] | None = None

    def look(self, sort: str = "score") -> MonitorOverview:
        now = time.time_ns()
        streams = [_aged(one, now) for one in self._streams()]
        streams.sort(key=_KEYS[sort])
        figures = _figures(self._client.get("/metrics"))
        gauges = {name: figures[metric] for name, metric in _GAUGES.items() if metric in figures}
        known = {one["stream"] for one in streams}
        never_came = [
            one for one in self._client.get_json("/api/attention")["losing"]["streams"] if one["stream"] not in known
        ]
        losing = [
            f"{one['stream']} loses samples ({one['losing']}): {one['advice']}"
            for one in [*streams, *never_came]
            if one.get("losing")
        ]
        summary = self._client.get_json("/api/summary")
        return MonitorOverview(
            now,
            streams,
            self._rates(figures),
            gauges,
            self._client.problems(),
            losing,
            stopped=_stopped(streams),
            clocks=[f"{one['stream']}: {one['clocks']}" for one in streams if one.get("clocks")],
            unwatched=[_unwatched(one) for one in summary.get("losing", []) if one["reason"] == "no_model"],
            held={why: count for why, count in summary.get("held", {}).items() if count},
            mutes=_mutes(self._client.get_json("/api/mutes")),
            sinks=[_failing(one) for one in summary.get("sinks", []) if one["trouble"]],
        )

    def _streams(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        offset = 0
        while offset < _MOST:  # the order may change between pages, so that a stream may come twice
            answer = self._client.get_json(f"/api/streams?offset={offset}&limit={_PAGE}")
            found |= {one["stream"]: one for one in answer["streams"]}
            offset += _PAGE
            if offset >= answer.get("total", 0):
                break
        return list(found.values())

    def _rates(self, figures: Mapping[str, float]) -> dict[str, float]:
        at = time.monotonic()
        counts = {name: figures.get(metric, 0.0) for name, metric in _RATES.items()}
        if self._before is None:
            seconds, before = time.time() - figures.get("process_start_time_seconds", time.time() - 1), {}
        else:
            seconds, before = at - self._before[0], self._before[1]
        self._before = (at, counts)
        return {name: max(0.0, value - before.get(name, 0.0)) / max(seconds, 1e-3) for name, value in counts.items()}


def _figures(text: str) -> dict[str, float]:
    """Sums over labels, by the sample's name."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.type in ("counter", "gauge"):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _aged(entry: dict[str, Any], now: int) -> dict[str, Any]:
    score, limit, newest = entry.get("score"), entry.get("limit"), entry.get("newest")
    ratio = None if score is None or not limit else score / limit
    return {**entry, "ratio": ratio, "age": None if not newest else (now - newest) / 1e9}


def _unwatched(one: Mapping[str, Any]) -> str:
    more = ", ..." if one["count"] > len(one["streams"]) else ""
    streams = "stream is" if one["count"] == 1 else "streams are"
    return f"{one['count']:,} {streams} not scored, for no model's patterns fit: {', '.join(one['streams'])}{more}"


def _failing(sink: Mapping[str, Any]) -> str:
    return f"sink {sink['name']} takes no events, {sink['pending']:,} wait: {sink['trouble']}"


def _mutes(found: Mapping[str, Any]) -> list[str]:
    """A line for each mute that holds, the one that ends first above the others."""
    holding = [(one["until"], one["pattern"], one["reason"]) for one in found.get("by_hand", [])]
    windows = [one for one in found.get("windows", []) if one["until"] is not None]
    holding += [(one["until"], ", ".join(one["patterns"]), one["reason"]) for one in windows]
    return [
        f"{streams} muted until {time.strftime('%Y-%m-%d %H:%MZ', time.gmtime(until / 1e9))}: {reason}"
        for until, streams, reason in sorted(holding)
    ]


def _stopped(streams: list[dict[str, Any]]) -> list[str]:
    """A line for each stream with channels that are missing or stuck."""
    found = []
    for one in streams:
        said = [f"{', '.join(one[kind])} {kind}" for kind in ("missing", "stuck") if one.get(kind)]
        if said:
            found.append(f"{one['stream']}: {'; '.join(said)}")
    return found


def _number(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


_KEYS = {
    "score": lambda one: (one["event"] is None, -_number(one["ratio"], -1.0), one["stream"]),
    "stream": lambda one: one["stream"],
    "age": lambda one: (-_number(one["age"], float("inf")), one["stream"]),
}
