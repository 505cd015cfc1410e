"""The records that follow from a stream's scores, and from its silence.

Guarantees: the same rows give the same records, ids and sequence numbers, however they are cut.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from aez.codec.detect.events import CRITICAL, SERIOUS, Event, EventRule, EventTracker, Severity
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.rows.columns import Float, Ints, StreamColumns, column

__all__ = ["FORGOTTEN", "MODEL_CHANGED", "NOT_WATCHED", "RENAMED", "RESET", "Follower", "Silence"]

#: Reasons for which an event is closed although its stream did not calm down.
MODEL_CHANGED, NOT_WATCHED, FORGOTTEN = "model changed", "not watched any more", "stream forgotten"
RESET, RENAMED = "stream reset", "stream renamed"

#: By rising severity; and from which score on a row is of the next one.
_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_NEXT = (SERIOUS, CRITICAL, math.inf)


class Follower:
    """The events of one stream. It need not exist while the stream is quiet.

    model: the name that records carry. every: rows between two updates of an open event, at least, and only where it
    grew; one that becomes more severe is told at once.
    """

    __slots__ = ("_end", "_event_id", "_severity", "_told", "every", "model", "open", "sequence", "tracker")

    def __init__(self, tracker: EventTracker, model: str, every: int) -> None:
        self.tracker, self.model, self.every = tracker, model, every
        self.open = False
        self.sequence = 0
        self._told = self._end = 0  # the row of the last record, and the event's end in it
        self._severity = 0  # in that record, as a place in `_SEVERITIES`
        self._event_id: str | None = None

    @property
    def idle(self) -> bool:
        """Whether it can be dropped until the next row above the limit."""
        return self.tracker.idle

    @property
    def event_id(self) -> str:
        """The id of the event that is open, "" where none is; found once, because it takes a hash."""
        if not self.open:
            return ""
        if self._event_id is None:
            event = self.tracker.current
            self._event_id = "" if event is None else event.id
        return self._event_id

    def update(self, rows: Ints, scores: Float, blame: Float, times: Ints) -> list[EventRecord]:
        """Take rows [n] that rise, their scores (1.0 is the limit), channel scores [n, C] and times in ns."""
        records: list[EventRecord] = []
        loud = np.flatnonzero(scores > 1)
        at, count = 0, len(rows)
        tracker = self.tracker
        shares = dict(zip(loud.tolist(), tracker.shares(blame[loud]), strict=True))
        while at < count:
            if tracker.idle:
                following = int(np.searchsorted(loud, at))
                if following == loud.size:
                    break
                at = int(loud[following])
            row, time, score = int(rows[at]), int(times[at]), float(scores[at])
            for update in tracker.take(row, score, shares.get(at), time):
                if update.kind == "opened":
                    self.open, self.sequence, self._event_id = True, -1, None
                    records.append(self._record("open", update.event, row, time))
                else:
                    self.open = False
                    records.append(self._record("close", update.event, row, time))
            worse = score >= _NEXT[self._severity]
            if self.open and (worse or row - self._told >= self.every):
                event = tracker.current
                if event is not None and event.end > self._end:
                    records.append(self._record("update", event, row, time))
            at += 1
        return records

    def close(self, time: int, reason: str) -> list[EventRecord]:
        """End the event that is open although its stream did not calm down: its record says why, as `reason`."""
        updates, self.open = self.tracker.finish(), False
        records = [self._record("close", update.event, update.event.end, time) for update in updates]
        return [replace(record, event={**record.event, "reason": reason}) for record in records]

    def _record(self, action: str, event: Event, row: int, time: int) -> EventRecord:
        self.sequence += 1
        self._told, self._end, self._severity = row, event.end, _SEVERITIES.index(event.severity)
        return EventRecord(event.id, self.sequence, action, event.stream, self.model, time, event.as_dict())

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {
            "tracker": self.tracker.state(),
            "open": self.open,
            "sequence": self.sequence,
            "told": self._told,
            "end": self._end,
            "severity": self._severity,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], model: str, every: int, rule: EventRule | None) -> Follower:
        """What `state()` described, with the rule in place of its own. Raises InvalidArgument."""
        try:
            follower = cls(EventTracker.from_state(state["tracker"]), model, every)
            follower.open, follower.sequence = bool(state["open"]), int(state["sequence"])
            follower._told, follower._end = int(state["told"]), int(state["end"])
            follower._severity = int(state["severity"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved state of a stream's events cannot be read: {error!r}") from error
        if rule is not None:
            follower.tracker.rule = rule
        return follower


class Silence(StreamColumns):
    """Which streams of one model are silent, and the records of it: one where silence begins, one where it ends.

    model: the name that records carry. after: ns without a newer sample from which a stream is silent, None for never.
    `names` of a call are the streams', by number; `newest` int64 [streams] the times of their newest samples, ns.
    """

    silent = column(np.bool_)
    since = column(np.int64)  # the time of the last sample before
    heard = column(np.int64)  # when a newer sample came, by the wall clock; 0 where none did

    def __init__(self, model: str, after: int | None) -> None:
        super().__init__()
        self.model, self.after = model, after

    def hear(self, streams: Ints, newer: Ints, now: int) -> None:
        """Samples of these streams came, of `newer` ones among them such that are newer than all before."""
        self.heard[newer] = np.maximum(self.heard[newer], now)
        self.heard[streams[self.heard[streams] == 0]] = now

    def ended(
        self, newer: Ints, jumps: Sequence[tuple[int, int, int]], newest: Ints, names: Sequence[str]
    ) -> list[EventRecord]:
        """Streams that are heard again, and gaps that were as long as silence (see `Aligner.jumps`)."""
        records = []
        for number in newer[self.silent[newer]].tolist():
            since = int(self.since[number])
            heard = next((moment for stream, _, moment in jumps if stream == number), int(newest[number]))
            jumps = [jump for jump in jumps if jump[0] != number or jump[1] != since]
            self.silent[number] = False
            records.append(self._record(names[number], since, heard, heard))
        for number, since, heard in jumps:
            assert self.after is not None
            records.append(self._record(names[number], since, None, since + self.after))
            records.append(self._record(names[number], since, heard, heard))
        return records

    def begun(self, now: int, newest: Ints, names: Sequence[str]) -> tuple[Ints, list[EventRecord]]:
        """Numbers and records of the streams that are silent from this time of the wall clock on."""
        if self.after is None:
            return np.empty(0, np.int64), []
        # A clock that was set back must not make everything late, or nothing for ever.
        np.minimum(self.heard, now, out=self.heard)
        heard, silent = self.heard[: len(names)], self.silent[: len(names)]
        fell = np.flatnonzero(~silent & (heard > 0) & (now - heard > self.after))
        self.silent[fell], self.since[fell] = True, newest[fell]
        return fell, [
            self._record(names[number], since, None, since + self.after)
            for number, since in zip(fell.tolist(), newest[fell].tolist(), strict=True)
        ]

    def forgotten(self, number: int, now: int, name: str) -> list[EventRecord]:
        """The end of a stream's silence, because nobody waits for it any more."""
        if not self.silent[number]:
            return []
        record = self._record(name, int(self.since[number]), now, now)
        return [replace(record, event={**record.event, "forgotten": True})]

    @classmethod
    def closed(cls, model: str, stream: str, since: int, now: int, reason: str) -> EventRecord:
        """The end of a silence that a model of this name told, for another reason than that the stream is heard."""
        record = cls(model, None)._record(stream, since, now, now)
        return replace(record, event={**record.event, "reason": reason})

    def _record(self, stream: str, since: int, heard: int | None, moment: int) -> EventRecord:
        named = json.dumps(["silence", self.model, stream, since])
        event = {
            "id": hashlib.sha256(named.encode()).hexdigest()[:32],
            "stream": stream,
            "start_time": since,
            "end_time": heard,
            "channels": [],
            "ongoing": heard is None,
            "severity": "warning",
        }
        action, sequence = ("silent", 0) if heard is None else ("heard", 1)
        return EventRecord(str(event["id"]), sequence, action, stream, self.model, moment, event)
