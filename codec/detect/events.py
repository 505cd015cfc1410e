"""Events: what a row of scores becomes for people, with hysteresis, merging and a minimum length.

A score of 1.0 is the threshold, and a score above it is *loud*. An event opens once `open_after` loud rows came in a
row and closes once `close_after` quiet ones did; a missing score (NaN) is neither and changes nothing. `EventTracker`
takes rows as they come and keeps plain data that can be saved as JSON and restored at any row; `find_events` is the
same tracker over a whole series, so that a monitor and a report never disagree.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument

__all__ = [
    *("DEFAULT_RULE", "Event", "EventRule", "EventTracker", "EventUpdate", "Severity", "Shares"),
    *("CRITICAL", "SERIOUS", "find_events", "severity_of"),
]

Severity = Literal["warning", "serious", "critical"]
Scores = npt.NDArray[np.floating[Any]]
Shares = npt.NDArray[np.float64]

_STATE_FORMAT = 1
#: Stands for an infinite channel score, so that sums stay finite.
_LARGEST_SHARE = 1e30


@dataclass(frozen=True)
class EventRule:
    """When events open, close and merge; all in rows. Raises InvalidArgument for counts that make no sense.

    open_after: consecutive loud rows that open an event, 1 or more.
    close_after: consecutive quiet rows that close it, 1 or more.
    merge_within: an event that starts at most so many rows after the end of the last one continues that one. It
        matters from `close_after` on, because fewer quiet rows do not close an event.
    min_length: events shorter than this, from the first to the last loud row, are dropped.
    """

    open_after: int = 3
    close_after: int = 10
    merge_within: int = 0
    min_length: int = 1

    def __post_init__(self) -> None:
        for name, least in (("open_after", 1), ("close_after", 1), ("merge_within", 0), ("min_length", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InvalidArgument(f"{name} of an event rule is a whole number of rows from {least}, not {value!r}")


DEFAULT_RULE = EventRule()


#: In thresholds: the lowest score of these severities.
SERIOUS, CRITICAL = 2.0, 5.0


def severity_of(score: float) -> Severity:
    """In words: `warning` below 2, `serious` below 5, `critical` from there; `score` is in thresholds."""
    if score < SERIOUS:
        return "warning"
    return "serious" if score < CRITICAL else "critical"


@dataclass(frozen=True)
class Event:
    """One event.

    id: the same whenever the same data is scored by the same model: 32 hexadecimal digits of the sha256 over model id,
        stream and start (the time where there is a clock, else the row).
    start, end: rows; the first loud row, and the one after the last (the quiet tail is left out).
    opened: the row at which the rule opened it, which is when a monitor can first know.
    start_time, end_time: ns since 1970 UTC of the first and of the last loud row; None without a clock.
    peak, peak_row: the highest score and the first row that had it.
    channels: (name, share 0..1) by falling share of the channel scores, summed over the loud rows; shares sum to 1,
        channels without a share are left out, equal ones stand in the model's order.
    ongoing: whether the data ended, or was seen so far, without closing it.
    """

    id: str
    stream: str
    start: int
    end: int
    opened: int
    start_time: int | None
    end_time: int | None
    peak: float
    peak_row: int
    channels: tuple[tuple[str, float], ...]
    ongoing: bool = False

    @property
    def severity(self) -> Severity:
        """That of the peak, see `severity_of`."""
        return severity_of(self.peak)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, severity included; channels as a list of {"name", "share"}."""
        channels = [{"name": name, "share": share} for name, share in self.channels]
        return {**vars(self), "channels": channels, "severity": self.severity}


@dataclass(frozen=True)
class EventUpdate:
    """News of one event: it `opened` (then `event.ongoing`), or it `closed` and will not change any more."""

    kind: Literal["opened", "closed"]
    event: Event


@dataclass
class _Stretch:
    """Loud rows that belong together."""

    start: int
    start_time: int | None
    shares: Shares
    last: int = 0
    last_time: int | None = None
    loud: int = 0
    peak: float = -math.inf
    peak_row: int = 0

    @property
    def length(self) -> int:
        return self.last + 1 - self.start

    def state(self) -> dict[str, Any]:
        return {**vars(self), "shares": self.shares.tolist()}

    def add(self, row: int, score: float, shares: Shares, time: int | None) -> None:
        self.last, self.last_time = row, time
        self.loud += 1
        self._raise_peak(score, row)
        self.shares += shares

    def add_all(self, rows: Sequence[int], scores: Sequence[float], shares: Shares, time: int | None) -> None:
        self.last, self.last_time = rows[-1], time
        self.loud += len(rows)
        highest = max(scores)
        self._raise_peak(highest, rows[scores.index(highest)])
        for one in shares:  # one by one, so that the sums are those of rows that come apart
            self.shares += one

    def absorb(self, later: _Stretch) -> None:
        self.last, self.last_time = later.last, later.last_time
        self.loud += later.loud
        self._raise_peak(later.peak, later.peak_row)
        self.shares += later.shares

    def _raise_peak(self, score: float, row: int) -> None:
        if score > self.peak:
            self.peak, self.peak_row = score, row


class EventTracker:
    """Turns scores that come row by row into events; the same rows give the same events whatever the chunks.

    channels: the names behind the columns of the channel scores; leave them out when events need no causes.
    stream, model_id: become part of the events' ids.

    `state()` is plain data for JSON; `EventTracker.from_state` goes on from it as if nothing had happened.
    """

    def __init__(
        self,
        rule: EventRule = DEFAULT_RULE,
        channels: Sequence[str] = (),
        stream: str = "",
        model_id: str = "",
    ) -> None:
        self.rule, self.channels = rule, tuple(channels)
        self.stream, self.model_id = stream, model_id
        self._next_row = 0
        # `_run` is a stretch of loud rows that has not opened an event yet; `_event` is open, or has had its quiet
        # rows (`_quiet_enough`) and waits until nothing can merge into it any more.
        self._run: _Stretch | None = None
        self._event: _Stretch | None = None
        self._opened: int | None = None
        self._quiet = 0
        self._quiet_enough = False

    @property
    def next_row(self) -> int:
        """The lowest row that `update` still takes."""
        return self._next_row

    @property
    def idle(self) -> bool:
        """Whether no event is open and none may be about to: quiet rows change nothing then."""
        return self._event is None and self._run is None

    @property
    def current(self) -> Event | None:
        """The event that has opened and not closed, as it stands."""
        if self._event is None or self._opened is None:
            return None
        return self._describe(self._event, self._opened, ongoing=True)

    def update(
        self,
        row: int,
        score: float,
        channel_score: npt.ArrayLike | None = None,
        time: int | None = None,
    ) -> list[EventUpdate]:
        """Take one row; returns what opened and closed with it, in that order of rows.

        Args:
            row: its number; rows rise, and may leave some out, which then count as rows without a score.
            score: 1.0 is the threshold; NaN is a missing score.
            channel_score: [channels], larger is more to blame; NaN and negative values count as 0. None adds nothing.
            time: ns since 1970 UTC.

        Raises InvalidArgument for a row before `next_row` and for another number of channels.
        """
        row, time = int(row), None if time is None else int(time)  # NumPy's numbers would not go into JSON
        blame = None if channel_score is None else self.shares(np.asarray(channel_score)[None])[0]
        return self.take(row, float(score), blame, time)

    def take(self, row: int, score: float, shares: Shares | None, time: int | None) -> list[EventUpdate]:
        """As `update`, of Python's own numbers and a row of `shares`, for callers that find those of many rows at once.

        Raises InvalidArgument for a row before `next_row`.
        """
        self._require(row)
        updates = self._release(row) if self._quiet_enough else []
        if score > 1:
            updates += self._loud(row, score, shares, time)
        elif not math.isnan(score):
            self._hush()
        self._next_row = row + 1
        return updates + self._release(row + 1) if self._quiet_enough else updates

    @property
    def steady(self) -> bool:
        """Whether an event has opened and had no quiet rows enough: what is loud adds to it, and nothing follows."""
        return self._opened is not None and not self._quiet_enough

    @property
    def room(self) -> int:
        """Of a `steady` tracker: rows that may be quiet from now on without more than that."""
        return self.rule.close_after - self._quiet - 1

    def take_loud(self, rows: Sequence[int], scores: Sequence[float], shares: Shares, time: int | None) -> None:
        """As `take` of each of some rows, 1 or more, all of them loud, while it is `steady`; time: of the last one.

        Raises InvalidArgument as that does.
        """
        assert self._event is not None
        self._require(rows[0])
        self._quiet, self._next_row = 0, rows[-1] + 1
        self._event.add_all(rows, scores, shares, time)

    def take_quiet(self, rows: Sequence[int]) -> None:
        """As `take` of each of some rows, 1 or more, which are all quiet, while it is `steady` and has `room` for them.

        Raises InvalidArgument as that does.
        """
        self._require(rows[0])
        self._quiet, self._next_row = self._quiet + len(rows), rows[-1] + 1

    def _require(self, row: int) -> None:
        if row < self._next_row:
            raise InvalidArgument(f"row {row} comes after row {self._next_row - 1}; rows of a stream must rise")

    def update_batch(
        self,
        first_row: int,
        scores: npt.ArrayLike,
        channel_scores: npt.ArrayLike | None = None,
        time: npt.ArrayLike | None = None,
    ) -> list[EventUpdate]:
        """Take consecutive rows from `first_row` on: scores [time], channel_scores [time, channels], time [time] ns.

        The same as `update` row by row, without the cost of the quiet ones. Raises InvalidArgument as `update` does,
        and when the arrays' lengths differ.
        """
        values = np.asarray(scores, np.float64)
        blame = None if channel_scores is None else np.asarray(channel_scores)
        clock = None if time is None else np.asarray(time, np.int64)
        if values.ndim != 1 or any(other is not None and len(other) != values.size for other in (blame, clock)):
            raise InvalidArgument("scores are one row of numbers, and channel scores and times are as many")
        self._require(first_row)
        updates: list[EventUpdate] = []
        loud = np.flatnonzero(values > 1)
        shares = None if blame is None else dict(zip(loud.tolist(), self.shares(blame[loud]), strict=True))
        at = 0
        while at < values.size:
            if self.idle:  # quiet rows change nothing now
                next_loud = np.searchsorted(loud, at)
                if next_loud == loud.size:
                    break
                at = int(loud[next_loud])
            updates += self.take(
                first_row + at,
                float(values[at]),
                None if shares is None else shares.get(at),
                None if clock is None else int(clock[at]),
            )
            at += 1
        self._next_row = max(self._next_row, first_row + values.size)
        return updates

    def finish(self) -> list[EventUpdate]:
        """The data ends here: the last event is closed, as `ongoing` unless it had its quiet rows."""
        updates = self._close(ongoing=not self._quiet_enough)
        self._run = None
        return updates

    def state(self) -> dict[str, Any]:
        """Everything the tracker knows, as plain data for JSON."""
        return {
            "format": _STATE_FORMAT,
            "model_id": self.model_id,
            "stream": self.stream,
            "channels": list(self.channels),
            "rule": dict(vars(self.rule)),
            "next_row": self._next_row,
            "run": None if self._run is None else self._run.state(),
            "event": None if self._event is None else self._event.state(),
            "opened": self._opened,
            "quiet": self._quiet,
            "quiet_enough": self._quiet_enough,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EventTracker:
        """The tracker that `state()` described; raises InvalidArgument when it is not such a description."""
        try:
            if state["format"] != _STATE_FORMAT:
                raise InvalidArgument(
                    f"the saved event state has format {state['format']!r}, and this aez reads {_STATE_FORMAT}"
                )
            rule = EventRule(**state["rule"])
            tracker = cls(rule, state["channels"], state["stream"], state["model_id"])
            tracker._next_row, tracker._quiet = int(state["next_row"]), int(state["quiet"])
            tracker._run, tracker._event = _stretch(state["run"]), _stretch(state["event"])
            tracker._opened = None if state["opened"] is None else int(state["opened"])
            tracker._quiet_enough = bool(state["quiet_enough"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InvalidArgument):
                raise
            raise InvalidArgument(f"the saved event state cannot be read: {error!r}") from error
        return tracker

    def shares(self, channel_scores: npt.NDArray[Any]) -> Shares:
        """What rows of channel scores [n, channels] add to the channels' shares, float64 of the same shape.

        Without channels [n, 0]. Raises InvalidArgument for another number of channels.
        """
        if not self.channels:
            return np.zeros((len(channel_scores), 0))
        if channel_scores.shape[1:] != (len(self.channels),):
            raise InvalidArgument(
                f"{len(self.channels)} channels need as many scores, not an array {channel_scores.shape[1:]}"
            )
        found: Shares = np.fmax(channel_scores, 0.0).astype(np.float64)  # NaN counts as 0
        return np.minimum(found, _LARGEST_SHARE, out=found)

    def _loud(self, row: int, score: float, shares: Shares | None, time: int | None) -> list[EventUpdate]:
        self._quiet = 0
        if shares is None:
            shares = np.zeros(len(self.channels))
        if self._event is not None and not self._quiet_enough:
            self._event.add(row, score, shares, time)
            return self._announce(row)
        if self._run is None:
            self._run = _Stretch(row, time, np.zeros(len(self.channels)))
        self._run.add(row, score, shares, time)
        if self._run.loud < self.rule.open_after:
            return []
        if self._event is None:
            self._event = self._run
        else:  # near enough, or it would have been released before
            self._event.absorb(self._run)
        self._run, self._quiet_enough = None, False
        return self._announce(row)

    def _hush(self) -> None:
        self._run = None
        if self._event is not None and not self._quiet_enough:
            self._quiet += 1
            self._quiet_enough = self._quiet >= self.rule.close_after

    def _announce(self, row: int) -> list[EventUpdate]:
        if self._event is None or self._opened is not None or self._event.length < self.rule.min_length:
            return []
        self._opened = row
        return [EventUpdate("opened", self._describe(self._event, row, ongoing=True))]

    def _release(self, next_row: int) -> list[EventUpdate]:
        """Close the event that has had its quiet rows once no event from `next_row` on could merge into it."""
        if self._event is None or not self._quiet_enough or self._run is not None:
            return []
        if next_row - (self._event.last + 1) <= self.rule.merge_within:
            return []
        return self._close(ongoing=False)

    def _close(self, ongoing: bool) -> list[EventUpdate]:
        event, opened = self._event, self._opened
        self._event, self._opened, self._quiet, self._quiet_enough = None, None, 0, False
        if event is None or opened is None:  # none, or too short
            return []
        return [EventUpdate("closed", self._describe(event, opened, ongoing=ongoing))]

    def _describe(self, event: _Stretch, opened: int, ongoing: bool) -> Event:
        shares = event.shares.tolist()
        total = math.fsum(shares)
        ranked = sorted(zip(self.channels, shares, strict=True), key=lambda pair: -pair[1])
        return Event(
            id=event_id(self.model_id, self.stream, event.start, event.start_time),
            stream=self.stream,
            start=event.start,
            end=event.last + 1,
            opened=opened,
            start_time=event.start_time,
            end_time=event.last_time,
            peak=event.peak,
            peak_row=event.peak_row,
            channels=tuple((name, share / total) for name, share in ranked if share > 0),
            ongoing=ongoing,
        )


def event_id(model_id: str, stream: str, start: int, start_time: int | None) -> str:
    """The id of the event that starts at a row, and at a time where there is a clock."""
    named = json.dumps([model_id, stream, ["row", start] if start_time is None else ["ns", start_time]])
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def find_events(
    scores: npt.ArrayLike,
    channel_scores: npt.ArrayLike | None = None,
    rule: EventRule = DEFAULT_RULE,
    channels: Sequence[str] = (),
    time: npt.ArrayLike | None = None,
    stream: str = "",
    model_id: str = "",
) -> list[Event]:
    """The events of a whole series, by start; the last one is `ongoing` when the data ended before it closed.

    Args:
        scores: [time], 1.0 is the threshold; NaN where there is none.
        channel_scores: [time, channels], or None.
        rule: when events open and close.
        channels: the channels' names.
        time: [time], ns since 1970 UTC, or None.
        stream: the series' name, for the ids.
        model_id: the model's id, for the ids.

    Raises InvalidArgument when the arrays do not belong together.
    """
    tracker = EventTracker(rule, channels, stream, model_id)
    updates = tracker.update_batch(0, scores, channel_scores, time) + tracker.finish()
    return [update.event for update in updates if update.kind == "closed"]


def _stretch(data: Mapping[str, Any] | None) -> _Stretch | None:
    if data is None:
        return None
    known = {field.name: data[field.name] for field in fields(_Stretch)}
    return _Stretch(**{**known, "shares": np.array([float(share) for share in known["shares"]])})
