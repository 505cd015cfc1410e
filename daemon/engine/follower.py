"""The records that follow from a stream's scores.

Guarantees: the same rows give the same records, ids and sequence numbers, however they are cut.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import numpy as np

from aez.codec.common.plain import JsonText, json_text
from aez.codec.detect.events import CRITICAL, SERIOUS, Event, EventRule, EventTracker, Severity, Shares
from aez.codec.detect.rhythm.seasons import Beside
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.curve import Curve, short, shortened
from aez.daemon.alarms.habits import PLAIN, Habits
from aez.daemon.alarms.lasting import Lasting
from aez.daemon.alarms.repeats import DAY, Repeats
from aez.daemon.alarms.witness import Witness, Worst
from aez.daemon.common.records import EventRecord
from aez.daemon.rows.columns import Float, Ints

__all__ = ["Follower", "Seen"]

#: By rising severity; and from which score on a row is of the next one.
_SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_NEXT = (SERIOUS, CRITICAL, math.inf)
_LONGEST_PAUSE = 1 << 40  # rows
#: Rows that are made ready for a curve at once.
_DRAWN = 32


class Seen(NamedTuple):
    """What the model saw of some rows: the window of row i is joined[starts[i]:][:window], float32 [window, channels].

    shift: what was taken from the sensors' values before, float32 [channels], or None. period: ns, None without a
    clock. scale: of the rows, where the model takes it.
    """

    joined: Float
    starts: Ints
    window: int
    shift: Float | None
    period: int | None
    scale: Beside | None = None

    def of(self, at: int) -> Float:
        """The window of a row."""
        start = int(self.starts[at])
        return self.joined[start : start + self.window]

    def measured_window(self, at: int) -> Float:
        """The same in the sensors' own values."""
        window = self.of(at)
        return window if self.shift is None else window + self.shift

    def measured_row(self, at: int, channels: Sequence[int]) -> list[float]:
        """The same of one row, as plain numbers."""
        chosen: Float = self.joined[int(self.starts[at]) + self.window - 1].take(channels)
        found: list[float] = (chosen if self.shift is None else chosen + self.shift[list(channels)]).tolist()
        return found

    def measured(self, part: slice, channels: Sequence[int]) -> Float:
        """Some of the rows, which are of one stream, in the sensors' own values, of some channels."""
        rows: Float = self.joined[self.starts[part] + self.window - 1]
        chosen = rows.take(channels, axis=1)
        return chosen if self.shift is None else chosen + self.shift[list(channels)]


class _Place(NamedTuple):
    """A row that is being taken, and where it stands among those of the call."""

    row: int
    time: int
    score: float
    at: int
    blame: Float
    seen: Seen | None


class _Rows:
    """The rows of a call, as plain numbers; loud: the places of those above the limit."""

    def __init__(
        self, tracker: EventTracker, rows: Ints, scores: Float, blame: Float, times: Ints, seen: Seen | None
    ) -> None:
        self.rows, self.times, self.heights = rows.tolist(), times.tolist(), scores.tolist()
        self._scores, self._blame, self.seen = scores, blame, seen
        if len(self.rows) == 1:
            self.loud = [0] if self.heights[0] > 1 else []
            self._shares = tracker.shares(blame[: len(self.loud)])
        else:
            loud = np.flatnonzero(scores > 1)
            self.loud, self._shares = loud.tolist(), tracker.shares(blame[loud])
        self._of_loud = {at: place for place, at in enumerate(self.loud)}
        self._drawn: tuple[Curve, int, list[list[float | None]]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def coming(self, at: int) -> int:
        """The first loud row from a place on; beyond all where there is none."""
        following = bisect_left(self.loud, at)
        return self.loud[following] if following < len(self.loud) else len(self)

    def shares(self, at: int, count: int = 1) -> Shares:
        """Of some rows, all of them loud, [count, channels]."""
        place = self._of_loud[at]
        return self._shares[place : place + count]

    def place(self, at: int) -> _Place:
        return _Place(self.rows[at], self.times[at], self.heights[at], at, self._blame, self.seen)

    def draw(self, curve: Curve, seen: Seen, at: int) -> None:
        """Give a row to a curve."""
        if len(self) == 1:
            values = seen.measured_row(at, curve.channels)
            curve.add(self.rows[at], self.times[at], [short(self.heights[at]), *map(short, values)])
            return
        if self._drawn is None or self._drawn[0] is not curve or at - self._drawn[1] >= _DRAWN:
            # For most of what is loud is so for some time.
            part = slice(at, min(len(self), at + _DRAWN))
            measured = seen.measured(part, curve.channels)
            shown = np.empty((len(measured), 1 + len(curve.channels)), np.result_type(self._scores, measured))
            shown[:, 0], shown[:, 1:] = self._scores[part], measured
            self._drawn = curve, at, shortened(shown)
        curve.add(self.rows[at], self.times[at], self._drawn[2][at - self._drawn[1]])


class Follower:
    """The events of one stream. It need not exist while the stream is quiet.

    model: the name that records carry. every: rows between two updates of an open event, at least, and only where it
    grew; one that becomes more severe is told at once. habits: how these pauses grow, and what else is told less often.
    witness: explains what records say; its `settle` completes them. repeats: of the stream, which outlive the follower.
    """

    def __init__(
        self,
        tracker: EventTracker,
        model: str,
        every: int,
        habits: Habits = PLAIN,
        witness: Witness | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        self.tracker, self.model, self.every = tracker, model, every
        self.habits, self.witness = habits, witness
        self.repeats = Repeats() if repeats is None else repeats
        self._often = False  # the event is the last that its cause has on this day
        self.open = False
        self.sequence = 0
        self._told = self._end = 0  # the row of the last record, and the event's end in it
        self._severity = 0  # in that record, as a place in `_SEVERITIES`
        self._pause = every
        self._event_id: str | None = None
        #: The event that ended last, while another may still go on with it; and the part of the one that is open that
        #: came before. How often it went on.
        self._past: Event | None = None
        self._first: Event | None = None
        self._repeats = 0
        self._lasting: Lasting | None = None
        self._changed = False
        #: The worst row so far; `_worse` came in this call and is not looked at yet, for a worse one may follow.
        self._worst: Worst | None = None
        self._worse: _Place | None = None
        self._height = 1.0  # its score, or what is quiet
        self._curve: Curve | None = None

    @property
    def idle(self) -> bool:
        """Whether it can be dropped until the next row above the limit."""
        return self.tracker.idle and self._past is None

    @property
    def changed(self) -> bool:
        """Whether the event that is open is a lasting change."""
        return self.open and self._changed

    @property
    def event_id(self) -> str:
        """The id of the event that is open, "" where none is; found once, because it takes a hash."""
        if not self.open:
            return ""
        if self._event_id is None:
            event = self._current() or self._past
            self._event_id = "" if event is None else event.id
        return self._event_id

    def update(
        self, rows: Ints, scores: Float, blame: Float, times: Ints, seen: Seen | None = None
    ) -> list[EventRecord]:
        """Take rows [n] that rise, their scores (1.0 is the limit), channel scores [n, C] and times in ns."""
        if self.tracker.idle and not (scores > 1).any():  # all that may end waits for whether it goes on
            due = self._due(times)
            return self._let_go(int(rows[due]), int(times[due])) if due < len(rows) else []
        given, at = _Rows(self.tracker, rows, scores, blame, times, seen), 0
        records: list[EventRecord] = []
        while at < len(given):
            if self.tracker.idle:
                coming, due = given.coming(at), self._due(times)
                if due <= coming and due < len(given):
                    records += self._let_go(given.rows[due], given.times[due])
                at = coming
                if at == len(given):
                    break
                if self._past is None:
                    self._put_down()
            stop = self._alike(given, at) if self.tracker.steady else at
            if stop - at > 1:
                self._take_alike(given, at, stop)
                at = stop
                continue
            row, time, score = given.rows[at], given.times[at], given.heights[at]
            if score > self._height:
                self._note_worse(given.place(at))
            if self._curve is not None and seen is not None:
                given.draw(self._curve, seen, at)
            for update in self.tracker.take(row, score, given.shares(at)[0] if score > 1 else None, time):
                if update.kind == "opened":
                    records += self._opened(update.event, given, at)
                else:
                    records += self._closed(update.event, row, time)
            if self.open and self._past is None:
                records += self._grown(row, time, score)
            at += 1
        self._look()
        return records

    def _alike(self, given: _Rows, at: int) -> int:
        """Behind rows that are loud as the one at a place, or quiet as it, and from which nothing follows to tell."""
        if not self.open or self._past is not None:
            return at
        heights, loud = given.heights, given.heights[at] > 1
        low, high = (1.0, _NEXT[self._severity]) if loud else (-math.inf, math.nextafter(1.0, 2.0))
        most = len(given) if loud else min(len(given), at + self.tracker.room)
        row, time = math.inf, math.inf
        if not self._changed:
            row = self._told + self._pause
            if self.habits.changed_after is not None and self._lasting is not None:
                time = self._lasting.decides(self.habits.changed_after)
        stop = at
        while stop < most and low < heights[stop] < high and given.rows[stop] < row and given.times[stop] < time:
            stop += 1
        return stop

    def _take_alike(self, given: _Rows, at: int, stop: int) -> None:
        """Take the rows of `_alike`."""
        rows, heights = given.rows[at:stop], given.heights[at:stop]
        highest = max(heights)
        if highest > self._height:
            self._note_worse(given.place(at + heights.index(highest)))
        if self._curve is not None and given.seen is not None:
            for place in range(at, stop):
                given.draw(self._curve, given.seen, place)
        if highest > 1:
            self.tracker.take_loud(rows, heights, given.shares(at, len(rows)), given.times[stop - 1])
        else:
            self.tracker.take_quiet(rows)

    def _due(self, times: Ints) -> int:
        """The first of the rows from which nothing goes on with the past event; beyond all where there is none."""
        if self._past is None:
            return len(times) + 1
        return int(np.searchsorted(times, (self._past.end_time or 0) + self._reopen_within, "right"))

    @property
    def _reopen_within(self) -> int:
        """ns behind its end in which the past event may go on."""
        return max(DAY, self.habits.reopen_within) if self._often else self.habits.reopen_within

    def _goes_on(self, past: Event, event: Event) -> bool:
        """Whether an event is the past one again: soon, or within a day and no worse where that came so often."""
        pause = (event.start_time or 0) - (past.end_time or 0)
        if pause <= self.habits.reopen_within:
            return True
        worse = _SEVERITIES.index(event.severity) > _SEVERITIES.index(past.severity)
        return pause <= self._reopen_within and not worse and self.repeats.same_cause(event)

    def _note_worse(self, place: _Place) -> None:
        """Note a row that is the worst so far."""
        if place.seen is not None and self.witness is not None:
            self._worse, self._height = place, place.score

    def _look(self) -> None:
        """Have the worst row looked at."""
        place, self._worse = self._worse, None
        if place is not None and place.seen is not None and self.witness is not None:
            at, seen = place.at, place.seen
            self._worst = self.witness.look(
                place.score, seen.of(at), place.blame[at], seen.shift, None if seen.scale is None else seen.scale.at(at)
            )

    def _put_down(self) -> None:
        """What was kept of an event is of no use any more."""
        self._worst = self._worse = self._curve = None
        self._height = 1.0

    def _opened(self, event: Event, given: _Rows, at: int) -> list[EventRecord]:
        row, time, past = given.rows[at], given.times[at], self._past
        if past is not None and self._goes_on(past, event):
            told = not self.open
            if (event.start_time or 0) - (past.end_time or 0) > self.habits.reopen_within:
                self._lasting = None  # what comes and goes stands at no level
            self._first, self._past, self._repeats = past, None, self._repeats + 1
            self.open, self._lasting = True, self._lasting or Lasting(time)
            return [self._record("reopen", self._whole(event), row, time)] if told else []
        records: list[EventRecord] = []
        if past is not None:
            records = self._let_go(row, time)
            self._note_worse(given.place(at))
        self.open, self.sequence, self._event_id, self._pause = True, -1, None, self.every
        self._first, self._repeats, self._lasting, self._changed = None, 0, Lasting(time), False
        self._often = 0 < self.habits.repeats <= self.repeats.begin(event)
        if (seen := given.seen) is not None and self.witness is not None:
            order = [self.tracker.channels.index(name) for name, _ in event.channels]
            self._curve = Curve(order)
            self._curve.begin(row, time, seen.measured_window(at), seen.period)
            given.draw(self._curve, seen, at)
        return [*records, self._record("open", event, row, time)]

    def _closed(self, event: Event, row: int, time: int) -> list[EventRecord]:
        final = self._whole(event)
        self._first = None
        if self.habits.reopen_within:
            self._past = final
            self.repeats.end(final)
            if self._repeats:  # its end is told once it has been quiet for long enough
                return []
        self.open = False
        record = self._record("close", final, row, time)
        if self._past is None:
            self._put_down()
        return [record]

    def _let_go(self, row: int, time: int) -> list[EventRecord]:
        """Nothing goes on with the past event any more; its end is told where it was not."""
        past, self._past = self._past, None
        records = [self._record("close", past, row, time)] if self.open and past is not None else []
        self.open, self._repeats, self._often = False, 0, False
        self._put_down()
        return records

    def _grown(self, row: int, time: int, score: float) -> list[EventRecord]:
        """What is to be said of the event that is open and goes on."""
        after, event = self.habits.changed_after, None
        if after is not None and not self._changed and self._lasting is not None:
            event = self._current() if self._lasting.take(time, score, after) else None
        if event is not None:
            self._changed = True
            return [self._record("changed", event, row, time)]
        worse = score >= _NEXT[self._severity]
        if worse or (not self._changed and row - self._told >= self._pause):
            event = self._current()
            if event is not None and event.end > self._end:
                self._pause = min(_LONGEST_PAUSE, int(self._pause * self.habits.growth))
                return [self._record("update", event, row, time)]
        return []

    def _current(self) -> Event | None:
        event = self.tracker.current
        return None if event is None else self._whole(event)

    def _whole(self, event: Event) -> Event:
        """The event together with what came before it and is the same."""
        first = self._first
        if first is None:
            return event
        worse = first if first.peak >= event.peak else event
        return replace(
            event,
            id=first.id,
            start=first.start,
            start_time=first.start_time,
            opened=first.opened,
            peak=worse.peak,
            peak_row=worse.peak_row,
            channels=_mixed(first, event),
        )

    def close(self, time: int, reason: str) -> list[EventRecord]:
        """End the event that is open although its stream did not calm down: its record says why, as `reason`."""
        updates, open_before, past = self.tracker.finish(), self.open, self._past
        ended = [self._whole(update.event) for update in updates]
        if open_before and past is not None and not ended:
            ended = [past]
        self.open, self._past = False, None
        records = [self._record("close", event, event.end, time) for event in ended]
        return [replace(record, event={**record.event, "reason": reason}) for record in records]

    def _record(self, action: str, event: Event, row: int, time: int) -> EventRecord:
        self.sequence += 1
        self._told, self._end, self._severity = row, event.end, _SEVERITIES.index(event.severity)
        told = event.as_dict()
        if self._repeats:
            told["reopened"] = self._repeats
        if self._changed and self._lasting is not None:
            told["changed"] = {"level": round(self._lasting.level, 3)}
        curve = None
        if self.witness is not None:
            self._look()
            if self._worst is not None:
                self.witness.note(self._worst, told["channels"])
            if self._curve is not None:
                curve = self._curve.as_dict(self.witness.channels, self.witness.units)
        return EventRecord(event.id, self.sequence, action, event.stream, self.model, time, told, curve)

    def ask(self) -> None:
        """Let the witness explain, at its next `settle`, what `state` tells of the worst row."""
        if self.witness is not None and self._worst is not None:
            self.witness.ask(self._worst)

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        known: dict[str, Any] = json.loads(self.text())
        return known

    def text(self) -> JsonText:
        """The same as JSON; what stood in it before is not written again."""
        if self.witness is not None and self._worst is not None and self._worst.window is not None:
            self.ask()
            self.witness.settle()
        known = {
            "tracker": self.tracker.state(),
            "open": self.open,
            "sequence": self.sequence,
            "told": self._told,
            "end": self._end,
            "severity": self._severity,
            "pause": self._pause,
            "past": None if self._past is None else dict(vars(self._past)),
            "first": None if self._first is None else dict(vars(self._first)),
            "repeats": self._repeats,
            "often": self._often,
            "lasting": None if self._lasting is None else self._lasting.state(),
            "changed": self._changed,
            "worst": None if self._worst is None else self._worst.text(),
            "curve": None if self._curve is None else self._curve.text(),
        }
        return json_text(known)

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        model: str,
        every: int,
        rule: EventRule | None,
        habits: Habits = PLAIN,
        witness: Witness | None = None,
        repeats: Repeats | None = None,
    ) -> Follower:
        """What `state()` described, with the rule in place of its own. Raises InvalidArgument."""
        try:
            follower = cls(EventTracker.from_state(state["tracker"]), model, every, habits, witness, repeats)
            follower.open, follower.sequence = bool(state["open"]), int(state["sequence"])
            follower._told, follower._end = int(state["told"]), int(state["end"])
            follower._severity = int(state["severity"])
            if "pause" in state:  # else it is of an older aez
                follower._go_on(state)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved state of a stream's events cannot be read: {error!r}") from error
        if rule is not None:
            follower.tracker.rule = rule
        return follower

    def _go_on(self, state: Mapping[str, Any]) -> None:
        """Take what is beside the tracker."""
        self._pause, self._repeats = max(1, int(state["pause"])), int(state["repeats"])
        self._past, self._first = _event(state["past"]), _event(state["first"])
        self._changed, self._often = bool(state["changed"]), bool(state.get("often"))
        self._lasting = None if state["lasting"] is None else Lasting.from_state(state["lasting"])
        self._worst = None if state["worst"] is None else Worst.from_state(state["worst"])
        self._height = 1.0 if self._worst is None else self._worst.score
        self._curve = None if state["curve"] is None else Curve.from_state(state["curve"])


def _event(state: Mapping[str, Any] | None) -> Event | None:
    if state is None:
        return None
    return Event(**{**state, "channels": tuple((str(name), float(share)) for name, share in state["channels"])})


def _mixed(first: Event, second: Event) -> tuple[tuple[str, float], ...]:
    """Shares of both, each weighted with its length."""
    weights = (first.end - first.start, second.end - second.start)
    found: dict[str, float] = {}
    for event, weight in zip((first, second), weights, strict=True):
        for name, share in event.channels:
            found[name] = found.get(name, 0.0) + share * weight / sum(weights)
    return tuple(sorted(found.items(), key=lambda one: -one[1]))
