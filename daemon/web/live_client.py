"""What one open page is told, as server-sent events.

Guarantees: nothing is queued for a page; each time it can take more it gets how things stand then, and of that only
what changed. A page that stays too long behind is dropped and connects anew.

Events: `summary`; `streams` (`names` of the page of the table, `changed` entries, `total`, `counts`); `chosen` (the
chosen stream's entry, or null); `history` (its rows so far) and `rows` (what came since); `events` (those that
changed), or `missed` where the list has to be asked for anew.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aez.daemon.web.live import History, Live, ShownModel, Watch, blame

__all__ = ["CHANNELS", "LiveClient", "LiveView", "Wanted", "history_data"]

#: Channels of a stream that a page gets: those that are most to blame.
CHANNELS = 32
_TABLE_SECONDS, _SUMMARY_SECONDS, _RETRY_SECONDS = 0.5, 1.0, 2.0
_EVENTS = 100


@dataclass(frozen=True)
class Wanted:
    """What a page shows: the chosen stream, and a page of the table of streams."""

    stream: str | None = None
    search: str = ""
    state: str | None = None
    offset: int = 0
    limit: int = 50


class LiveView(Protocol):
    """What it asks of the monitor; from other threads than the worker's."""

    live: Live

    def summary(self) -> Mapping[str, Any]:
        """How the whole stands."""

    def streams(
        self, *, search: str = "", state: str | None = None, offset: int = 0, limit: int = 100
    ) -> Mapping[str, Any]:
        """See `StreamPages.page`."""

    def stream(self, name: str) -> Mapping[str, Any] | None:
        """One stream's entry."""

    def event(self, event_id: str) -> Mapping[str, Any] | None:
        """One event with its comments."""

    def watch(self, stream: str) -> Watch | None:
        """Begin to watch; None where that stream is not known."""


class LiveClient:
    """One page. `news` is called by one thread at a time; `close` at the end."""

    def __init__(self, view: LiveView, wanted: Wanted) -> None:
        self._view, self._wanted = view, wanted
        self._names: list[str] | None = None
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._told: dict[str, Any] = {}
        self._due: dict[str, float] = {}
        self._changes = view.live.changes
        self._watch: Watch | None = None
        self._row: int | None = None
        self._generation = 0
        self._event: str | None = None
        self._channels: NDArray[np.int64] = np.empty(0, np.int64)
        view.live.enter()

    def close(self) -> None:
        self._view.live.leave()
        if self._watch is not None:
            self._view.live.unwatch(self._watch)
            self._watch = None

    def news(self) -> str:
        """The events since the last call, "" for none. Raises AezError where the monitor does not answer."""
        said = self._events()
        if said:
            self._due.clear()  # counts and states shall not lag behind what is listed
        self._at_times("summary", _SUMMARY_SECONDS, lambda: said.extend(self._changed("summary", self._view.summary())))
        self._at_times("streams", _TABLE_SECONDS, lambda: said.extend(self._streams()))
        if self._wanted.stream is not None:
            said += self._rows(self._wanted.stream)
        return "".join(said)

    def _at_times(self, name: str, seconds: float, do: Callable[[], None]) -> None:
        now = time.monotonic()
        if now >= self._due.get(name, 0.0):
            self._due[name] = now + seconds
            with contextlib.suppress(TimeoutError):  # the worker is busy; the next time will do
                do()

    def _changed(self, name: str, data: Any) -> list[str]:
        if name in self._told and self._told[name] == data:
            return []
        self._told[name] = data
        return [_message(name, data)]

    def _streams(self) -> list[str]:
        wanted = self._wanted
        page = self._view.streams(search=wanted.search, state=wanted.state, offset=wanted.offset, limit=wanted.limit)
        entries = {entry["stream"]: entry for entry in page["streams"]}
        names = list(entries)
        found: dict[str, Any] = {"total": page["total"], "counts": page["counts"]}
        changed = [entry for name, entry in entries.items() if self._entries.get(name) != entry]
        same = self._told.get("streams") == found and names == self._names and not changed
        self._told["streams"] = found
        self._entries = entries
        said = [] if same else [_message("streams", {**found, "names": names, "changed": changed})]
        self._names = names
        if wanted.stream is not None:
            chosen = self._view.stream(wanted.stream)
            self._event = None if chosen is None else chosen["event"]
            said += self._changed("chosen", chosen)
        return said

    def _events(self) -> list[str]:
        before = self._changes
        self._changes, changed = self._view.live.changed_events(before)
        if changed is None or len(changed) > _EVENTS:
            return [_message("missed", {})]
        found = [event for one in changed if (event := self._view.event(one)) is not None]
        return [_message("events", {"events": found})] if found else []

    def _rows(self, stream: str) -> list[str]:
        if self._watch is None:
            if self._told.get("chosen") is not None:
                self._at_times("watch", _RETRY_SECONDS, lambda: self._begin(stream))
            if self._watch is None:
                return []
        if self._row is None or self._told.get("event") != self._event:
            return self._history()
        _, rows = self._watch.rows(self._row)
        if self._watch.generation != self._generation:
            return self._history()
        if not len(rows.row):
            return []
        self._row = int(rows.row[-1])
        return [_message("rows", _columns(rows, self._channels) | {"blame": self._blame(self._watch)})]

    def _begin(self, stream: str) -> None:
        self._watch = self._view.watch(stream)

    def _history(self) -> list[str]:
        """All rows anew: at first, and where the model, or what is to blame, became another."""
        assert self._watch is not None
        model, rows = self._watch.rows()
        self._generation = self._watch.generation
        self._told["event"] = self._event
        self._row = int(rows.row[-1]) if len(rows.row) else -1
        shares = blame(rows)
        self._channels = np.argsort(-shares, kind="stable")[:CHANNELS]
        data = history_data(model, rows, self._channels)
        return [_message("history", {"stream": self._watch.stream} | data)]

    def _blame(self, watch: Watch) -> list[float | None]:
        _, rows = watch.rows()
        return _numbers(blame(rows)[self._channels])


def history_data(model: ShownModel, rows: History, channels: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Rows and what they are of, as plain data; of all channels where `channels` does not choose and order some."""
    shares = blame(rows)
    chosen = np.arange(len(model.channels)) if channels is None else channels
    return {
        "model": model.name,
        "frames": model.frames,
        "reconstructs": model.reconstruct is not None,
        "window": model.window,
        "period": model.period,
        "channels": [{"name": model.channels[one], "unit": model.units[one]} for one in chosen.tolist()],
        "left_out": len(model.channels) - len(chosen),
        "blame": _numbers(shares[chosen]),
        **_columns(rows, chosen),
    }


def _columns(rows: History, channels: NDArray[np.int64]) -> dict[str, Any]:
    """Rows as lists, a list for each channel; times in ms since 1970 UTC; null is a missing number."""
    return {
        "row": rows.row.tolist(),
        "time": (rows.time / 1e6).tolist(),
        "score": _numbers(rows.score),
        "limit": _numbers(rows.limit),
        "values": [_numbers(rows.values[:, one]) for one in channels.tolist()],
        "reconstruction": [_numbers(rows.reconstruction[:, one]) for one in channels.tolist()],
    }


def _numbers(values: NDArray[np.float32]) -> list[float | None]:
    """With six digits, which is what a picture can show and a float32 holds."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


def _message(name: str, data: Mapping[str, Any] | Sequence[Any] | None) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'), default=str)}\n\n"
