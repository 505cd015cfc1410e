"""What a stream's scores become: events with their steps for sinks, and a limit that may follow the stream.

Guarantees: the same rows give the same records, ids and sequence numbers, however they are cut; while an event is open
the limit stands still.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.events import CRITICAL, SERIOUS, Event, EventRule, EventTracker, Severity
from aez.codec.detect.thresholds import StreamingPeaksOverThreshold
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord

__all__ = ["Follower", "Limit"]

#: By rising severity; and from which score on a row is of the next one.
_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_NEXT = (SERIOUS, CRITICAL, math.inf)

Float = NDArray[np.float32]
Ints = NDArray[np.int64]


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

    def close(self, time: int) -> list[EventRecord]:
        """End the event that is open, because nothing more will come."""
        updates, self.open = self.tracker.finish(), False
        return [self._record("close", update.event, update.event.end, time) for update in updates]

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


class Limit:
    """A stream's limit that follows it slowly, in thresholds of the model: 1 until enough rows came.

    Scores are taken in blocks of `BLOCK` rows; the limit changes between blocks only, so that it does not matter how
    rows arrive, and blocks in which an event was open teach nothing. After `CALIBRATION` scores a
    `StreamingPeaksOverThreshold` takes over, held to between 1 / reach and reach.
    """

    BLOCK, CALIBRATION = 64, 1024

    def __init__(self, risk: float = 1e-4, reach: float = 2.0) -> None:
        if not 0 < risk < 0.02 or not reach >= 1:
            raise InvalidArgument(f"risk {risk} lies between 0 and 0.02, and reach {reach} is 1 or more")
        self.risk, self.reach = risk, reach
        self.value = 1.0
        self._block: list[float] = []
        self._frozen = False
        self._past: list[float] = []
        self._peaks: StreamingPeaksOverThreshold | None = None

    @property
    def room(self) -> int:
        """Rows until the limit may change."""
        return self.BLOCK - len(self._block)

    def take(self, scores: Sequence[float], frozen: bool) -> None:
        """Take the scores of at most `room` rows; `frozen` where an event was open among them."""
        self._block.extend(scores)
        self._frozen |= frozen
        if len(self._block) < self.BLOCK:
            return
        block, self._block = self._block, []
        frozen, self._frozen = self._frozen, False
        if not frozen:
            self._learn([score for score in block if np.isfinite(score)])

    def _learn(self, scores: list[float]) -> None:
        if self._peaks is None:
            self._past.extend(scores)
            if len(self._past) < self.CALIBRATION:
                return
            try:
                # Its own bound is about its first limit, wherever that lies between 1 / reach and reach.
                self._peaks = StreamingPeaksOverThreshold(self._past, self.risk, reach=self.reach**2)
            except InvalidArgument:  # a stream that stands still has no tail; wait for one that moves
                del self._past[: self.CALIBRATION // 2]
                return
            self._past = []
        else:
            for score in scores:
                self._peaks.update(score)
        self.value = min(max(self._peaks.threshold, 1 / self.reach), self.reach)

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {
            "value": self.value,
            "block": self._block,
            "frozen": self._frozen,
            "past": self._past,
            "peaks": None if self._peaks is None else self._peaks.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], risk: float, reach: float) -> Limit:
        """What `state()` described. Raises InvalidArgument."""
        limit = cls(risk, reach)
        try:
            limit.value = min(max(float(state["value"]), 1 / reach), reach)
            limit._block = [float(score) for score in state["block"]]
            limit._past = [float(score) for score in state["past"]]
            limit._frozen = bool(state["frozen"])
            if state["peaks"] is not None:
                limit._peaks = StreamingPeaksOverThreshold.from_state(state["peaks"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved limit of a stream cannot be read: {error!r}") from error
        if len(limit._block) >= cls.BLOCK:
            raise InvalidArgument("the saved limit of a stream holds more than a block")
        return limit
