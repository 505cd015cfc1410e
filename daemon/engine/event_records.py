"""The records of streams that fall silent, and are heard again.

Guarantees: the same rows give the same records, ids and sequence numbers, however they are cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aez.daemon.common.records import EventRecord
from aez.daemon.rows.columns import Ints, StreamColumns, column

__all__ = ["FORGOTTEN", "MODEL_CHANGED", "NOT_WATCHED", "RENAMED", "RESET", "STATE_LOST", "Silence"]

#: Reasons for which an event is closed although its stream did not calm down.
MODEL_CHANGED, NOT_WATCHED, FORGOTTEN = "model changed", "not watched any more", "stream forgotten"
RESET, RENAMED, STATE_LOST = "stream reset", "stream renamed", "state lost"


class Silence(StreamColumns):
    """Which streams of one model are silent, and the records of it: one where silence begins, one where it ends.

    model: the name that records carry. after: ns without a newer sample from which a stream is silent, None for never.
    `names` of a call are the streams', by number; `newest` int64 [streams] the times of their newest samples, ns.
    """

    silent = column(np.bool_)
    since = column(np.int64)  # the time of the last sample before
    heard = column(np.int64)  # when a newer sample came, by the wall clock; 0 where none did
    _away = column(np.int64)  # ns since then in which nobody was here to hear one
    _away_from = column(np.int64)  # when that began

    def __init__(self, model: str, after: int | None) -> None:
        super().__init__()
        self.model, self.after = model, after

    def hear(self, streams: Ints, newer: Ints, now: int) -> None:
        """Samples of these streams came, of `newer` ones among them such that are newer than all before."""
        self.heard[newer] = np.maximum(self.heard[newer], now)
        self.heard[streams[self.heard[streams] == 0]] = now

    def absent(self, streams: Ints, since: int, until: int) -> None:
        """Nobody was here between these times of the wall clock, or what came then for these streams may be lost."""
        first = streams[self._away[streams] == 0]
        self._away_from[first] = since
        self._away[streams] += max(0, until - since)
        known = streams[self.heard[streams] > 0]
        self.heard[known] = np.minimum(self.heard[known] + max(0, until - since), until)

    def _gap(self, number: int, since: int, heard: int) -> int:
        """ns between two samples, without those in which nobody was here."""
        away = min(int(self._away[number]), max(0, heard - max(since, int(self._away_from[number]))))
        return heard - since - away

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
            if self._away[number] and self._gap(number, since, heard) <= self.after:
                continue
            records.append(self._record(names[number], since, None, since + self.after))
            records.append(self._record(names[number], since, heard, heard))
        self._away[newer] = 0
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

    def open_events(self, names: Sequence[str]) -> list[str]:
        """The ids of those that last."""
        silent = np.flatnonzero(self.silent[: len(names)])
        return [self._id(names[number], int(self.since[number])) for number in silent.tolist()]

    def _id(self, stream: str, since: int) -> str:
        named = json.dumps(["silence", self.model, stream, since])
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    def _record(self, stream: str, since: int, heard: int | None, moment: int) -> EventRecord:
        event = {
            "id": self._id(stream, since),
            "stream": stream,
            "start_time": since,
            "end_time": heard,
            "channels": [],
            "ongoing": heard is None,
            "severity": "warning",
        }
        action, sequence = ("silent", 0) if heard is None else ("heard", 1)
        return EventRecord(str(event["id"]), sequence, action, stream, self.model, moment, event)
