"""How all streams stand: arrays that are copied between two batches, and pages of them for people."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.columns import Flags, Float, Ints
from aez.daemon.rows.losses import REASONS, advice

__all__ = ["STATES", "Lost", "StreamPages", "StreamTable"]

#: A stream's states, the most urgent first.
STATES = ("event", "silent", "normal")


@dataclass(frozen=True)
class Lost:
    """What streams lose, see `aez.daemon.rows.losses`.

    count: int64 [n, reasons], samples that were not scored. losing: int8 [n], 1 + the place of the reason by which a
    stream loses most just now, 0 for none. interval: float64 [n], s between its samples. since: int64 [n], when it
    began to lose them, ns since 1970 UTC.
    """

    count: Ints
    losing: NDArray[np.int8]
    interval: NDArray[np.float64]
    since: Ints | None = None


@dataclass(frozen=True)
class StreamTable:
    """The streams of one model at one moment; a stream is a number.

    names: may be longer than the arrays, by streams that came later. rows: int64 [n], in all. newest: int64 [n], ns
    since 1970 UTC of the newest sample, negative where there was none. score: float32 [n], that of the last row, NaN
    where this process scored none. limit: float32 [n]. silent: [n]. events: the id of the event that is open.
    lost: what they lose. period: ns between rows, None without a clock. stopped: the channels that are "missing" and
    "stuck", of streams where any is. clocks: of streams whose clocks are apart, which, by how much and what to do.
    """

    model: str
    names: Sequence[str]
    rows: Ints
    newest: Ints
    score: Float
    limit: Float
    silent: Flags
    events: Mapping[int, str]
    lost: Lost | None = None
    period: int | None = None
    stopped: Mapping[int, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    clocks: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def codes(self) -> Ints:
        """The streams' states, int64 [n]: places in `STATES`."""
        found = np.full(len(self), STATES.index("normal"))
        found[list(self.events)] = STATES.index("event")
        found[self.silent] = STATES.index("silent")
        return found

    def entry(self, number: int) -> dict[str, Any]:
        """One stream as plain data: stream, model, rows, newest (ns or None), score, limit, state, event (its id).

        lost: how many samples were not scored, by reason. losing: the reason by which it loses samples just now,
        losing_since: when that began (ns), and advice: what to do about it; None where it loses none. missing, stuck:
        names of channels. clocks: which are apart, and what to do, or None.
        """
        score, newest, event = float(self.score[number]), int(self.newest[number]), self.events.get(number)
        return {
            "stream": self.names[number],
            "model": self.model,
            "rows": int(self.rows[number]),
            "newest": newest if newest > 0 else None,
            "score": None if math.isnan(score) else score,
            "limit": float(self.limit[number]),
            "state": "silent" if self.silent[number] else "event" if event is not None else "normal",
            "event": event,
            **self._losses(number),
            **{kind: list(self.stopped.get(number, {}).get(kind, ())) for kind in ("missing", "stuck")},
            "clocks": self.clocks.get(number),
        }

    def reason(self, number: int) -> str | None:
        """By what a stream loses samples just now; None where it loses none."""
        code = 0 if self.lost is None else int(self.lost.losing[number])
        return REASONS[code - 1] if code else None

    def _losses(self, number: int) -> dict[str, Any]:
        if self.lost is None:
            return {"lost": {}, "losing": None, "losing_since": None, "advice": None}
        counts = zip(REASONS, self.lost.count[number].tolist(), strict=True)
        reason = self.reason(number)
        said = None if reason is None else advice(reason, float(self.lost.interval[number]), self.period)
        since = None if reason is None or self.lost.since is None else int(self.lost.since[number])
        return {
            "lost": {name: count for name, count in counts if count},
            "losing": reason,
            "losing_since": since,
            "advice": said,
        }


class StreamPages:
    """Pages of streams by state, then name. Keeps the order of names between calls; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: list[tuple[Sequence[str], int]] = []
        self._names: list[str] = []
        self._folded: list[str] = []
        self._order = np.empty(0, np.int64)
        self._first: list[int] = []
        self._places: dict[str, int] = {}
        self._search: tuple[str, Flags] = ("", np.empty(0, bool))

    def page(
        self,
        tables: Sequence[StreamTable],
        *,
        search: str = "",
        state: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> dict[str, Any]:
        """`streams` from `offset` on, their `total`, and `counts` by state of all that the search finds.

        search: text within the name, whatever the case. state: one of `STATES`. Raises InvalidArgument for another.
        """
        if state is not None and state not in STATES:
            raise InvalidArgument(f"state is one of {', '.join(STATES)}, not {state[:40]!r}")
        with self._lock:
            self._sort(tables)
            codes = np.concatenate([table.codes() for table in tables]) if tables else np.empty(0, np.int64)
            order = self._order
            if search:
                order = order[self._found(search.casefold())[order]]
            found = codes[order]
            counts = np.bincount(found, minlength=len(STATES)).tolist()
            if state is not None:
                order = order[found == STATES.index(state)]
            else:
                order = order[np.argsort(found, kind="stable")]
            entries = [self._entry(tables, place) for place in order[offset : offset + limit].tolist()]
        return {"streams": entries, "total": len(order), "counts": dict(zip(STATES, counts, strict=True))}

    def one(self, tables: Sequence[StreamTable], stream: str) -> dict[str, Any] | None:
        """The entry of a stream; None where there is none of that name."""
        with self._lock:
            self._sort(tables)
            place = self._places.get(stream)
            return None if place is None else self._entry(tables, place)

    def _entry(self, tables: Sequence[StreamTable], place: int) -> dict[str, Any]:
        table = int(np.searchsorted(self._first, place, "right")) - 1
        return tables[table].entry(place - self._first[table])

    def _sort(self, tables: Sequence[StreamTable]) -> None:
        """Bring the order up to date where streams came or went."""
        same = len(self._of) == len(tables) and all(
            table.names is names and len(table) == count for table, (names, count) in zip(tables, self._of, strict=True)
        )
        if same:
            return
        self._of = [(table.names, len(table)) for table in tables]
        self._first = np.cumsum([0, *map(len, tables)])[:-1].tolist()
        self._names = [name for table in tables for name in table.names[: len(table)]]
        self._folded = [name.casefold() for name in self._names]
        self._order = np.array(sorted(range(len(self._names)), key=self._names.__getitem__), np.int64)
        self._places = {name: place for place, name in enumerate(self._names)}
        self._search = ("", np.empty(0, bool))

    def _found(self, search: str) -> Flags:
        if self._search[0] != search:
            self._search = (search, np.fromiter((search in name for name in self._folded), bool, len(self._folded)))
        return self._search[1]
