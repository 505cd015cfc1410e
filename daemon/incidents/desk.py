"""The desk that every new step of an event passes within its commit: recorded it is in any case, sent it may not be.

In this order an event that begins is held back where a mute covers its stream, where it is one of many with the same
cause, as of several channels of a stream that stop together, and where its stream had its share of the day. What it
decided is in the same transaction as the step, so that a kill or a replay counts
nothing twice.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aez.daemon.common.records import EventRecord, storable
from aez.daemon.incidents.incidents import STOPS, Incidents, Some, cause_of, cause_within, moment_of
from aez.daemon.incidents.options import Alarms
from aez.daemon.mutes import stored
from aez.daemon.mutes.window import MuteWindow
from aez.daemon.state.event_sql import EVENT_COLUMNS, SEVERITIES, is_closing, stored_record
from aez.daemon.state.steps import Arranged, put_out

__all__ = ["REASONS", "AlarmDesk"]

#: Why steps are not sent.
REASONS = ("muted", "incident", "capped", "acknowledged")
_NS, _DAY = 1_000_000_000, 86_400_000_000_000
#: What an event without a hold still needs nobody to be told of while its stream is muted.
_WHILE_MUTED = ("update", "changed", "reopen")
_SWEPT, _KEPT_DAYS, _NEWS = 1000, 30, 1000


class AlarmDesk:
    """alarms: of the configuration. windows: its mutes. held: how many steps were not sent, by one of `REASONS`."""

    def __init__(self, alarms: Alarms, windows: Sequence[MuteWindow] = ()) -> None:
        self._lock = threading.Lock()
        self.held: Counter[str] = Counter()
        self._news: deque[str] = deque(maxlen=_NEWS)
        self.adjust(alarms, windows)

    def adjust(self, alarms: Alarms, windows: Sequence[MuteWindow]) -> None:
        """Go on with other rules and windows."""
        with self._lock:
            self.alarms, self.windows = alarms, tuple(windows)

    def arrange(self, connection: Any, records: Sequence[EventRecord], now: int) -> list[Arranged]:
        """See `aez.daemon.state.steps.Desk`."""
        with self._lock:
            turn = _Turn(self.alarms, self._mutes(connection, now), connection)
        found = turn.arrange(records)
        self._news.extend(one.record.id for one in found[len(records) :])
        self.held.update(turn.held)
        return found

    def in_force(self, connection: Any, now: int) -> int:
        """How many mutes and windows hold at a time of this machine's clock, ns since 1970 UTC."""
        with self._lock:
            return sum(one.until(now) is not None for one in self._mutes(connection, now).windows)

    def held_now(self, connection: Any) -> dict[str, int]:
        """Open events that are recorded and not sent, by why."""
        rows = connection.execute(
            "SELECT why, count(*) FROM held JOIN events ON events.id = held.event "
            "WHERE state = 'open' AND why != 'joined' GROUP BY why"
        )
        return dict.fromkeys(REASONS[:3], 0) | dict(rows)

    def take_news(self) -> list[str]:
        """Incidents that changed since the last call, by their ids."""
        found = []
        while self._news:
            found.append(self._news.popleft())
        return found

    def sweep(self, connection: Any, now: int, data_now: int) -> int:
        """Send what is still open of events whose mute is over, and delete what nobody needs; how many were sent.

        now: this machine's clock; data_now: the time of the data; ns since 1970 UTC.
        """
        with self._lock:
            mutes, within = self._mutes(connection, now), round(self.alarms.group_seconds * _NS)
        rows = connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE state = 'open' AND id IN "
            "(SELECT event FROM held WHERE why = 'muted') LIMIT ?",
            (_SWEPT,),
        ).fetchall()
        sent = 0
        for record in map(stored_record, rows):
            if mutes.covering(record.stream, data_now) is not None:
                continue
            details = {name: value for name, value in record.event.items() if name != "muted"}
            connection.execute("DELETE FROM held WHERE event = ?", (record.id,))
            put_out(connection, replace(record, event=details), now)
            sent += 1
        connection.execute("DELETE FROM held WHERE event NOT IN (SELECT id FROM events)")
        connection.execute("DELETE FROM openings WHERE time < ?", (data_now - 2 * within,))
        connection.execute("DELETE FROM daily WHERE day < ?", (data_now // _DAY - 2,))
        stored.forget(connection, now - _KEPT_DAYS * _DAY)
        return sent

    def _mutes(self, connection: Any, now: int) -> _Mutes:
        return _Mutes([*self.windows, *(one.window() for one in stored.in_force(connection, now))])


#: The times of events that begin, and their streams or ids, by cause.
_Causes = dict[str, list[tuple[int, str]]]


class _Mutes:
    """The windows that may hold."""

    def __init__(self, windows: Sequence[MuteWindow]) -> None:
        self.windows = windows

    def covering(self, stream: str, time: int) -> str | None:
        """Why a stream is muted at a time, ns since 1970 UTC; None where it is not."""
        for window in self.windows:
            if window.until(time) is not None and window.fits(stream):
                return window.reason
        return None


class _Turn:
    """The steps of one transaction."""

    def __init__(self, alarms: Alarms, mutes: _Mutes, connection: Any) -> None:
        self._alarms, self._mutes, self._connection = alarms, mutes, connection
        self._within = round(alarms.group_seconds * _NS)
        self._incidents = Incidents(connection, self._within)
        self._some_held = Some(connection, "held")
        #: Channels of a stream that stop at one row, which no cut between transactions parts; those that were sent by
        #: themselves, are open, and are not in the database yet; and what closed since.
        self._stops: Counter[tuple[str, int]] = Counter()
        self._alone: dict[str, EventRecord] = {}
        self._closed: set[str] = set()
        self.held: Counter[str] = Counter()

    def arrange(self, records: Sequence[EventRecord]) -> list[Arranged]:
        """The steps, marked, and those of incidents."""
        causes: _Causes = defaultdict(list)
        for record in records if self._alarms.group_streams else ():
            stops = record.action in STOPS
            if not (record.sequence == 0 or stops) or self._mutes.covering(record.stream, record.time) is not None:
                continue
            if stops:
                self._stops[cause_within(record), record.time] += 1
            if record.sequence == 0:
                causes[cause_of(record)].append((record.time, storable(record.stream)))
        found: list[Arranged] = []
        row = None
        for record in records:
            if row not in (None, (record.stream, record.time)):
                found += self._of_incidents(within=True)  # as if each row had a transaction of its own
            row = record.stream, record.time
            arranged = self._begun(record, causes) if record.sequence == 0 else self._further(record, causes)
            found.append(arranged)
            if record.action in STOPS and arranged.sent:
                self._alone[record.id] = record
            elif is_closing(record.action):
                self._alone.pop(record.id, None)
                self._closed.add(record.id)
        return found + self._of_incidents(within=True) + self._of_incidents(within=False)

    def _of_incidents(self, *, within: bool) -> list[Arranged]:
        """The steps of incidents that changed: of single streams, or of many."""
        steps = self._incidents.records(within)
        return [Arranged(one, not (one.action == "update" and self._is_acknowledged(one))) for one in steps]

    def _begun(self, record: EventRecord, causes: _Causes) -> Arranged:
        """An event that begins."""
        reason = self._mutes.covering(record.stream, record.time)
        if reason is not None:
            return self._hold(record, "muted", {"muted": reason})
        incident = self._incident(record, causes) or self._incidents.of(cause_within(record), moment_of(record))
        others = incident is None and self._stops_with_others(record)
        most = self._alarms.events_per_day
        count = self._counted(record) if incident is None else 0
        if others and not (most and count > most):
            incident = self._begin_within(record)
        if incident is not None:
            self._incidents.join(incident, record)
            return self._hold(record, "incident", {"incident": incident}, incident)
        if most and count > most:
            return self._hold(record, "capped", {"capped": True})
        if most and count == most:  # the one message that says so
            end = (record.time // _DAY + 1) * _DAY
            return Arranged(_marked(record, {"cap": {"events_per_day": most, "until": end}}), True)
        return Arranged(record, True)

    def _stops_with_others(self, record: EventRecord) -> bool:
        """Whether other channels of its stream stop at about the same time, or one does that was sent."""
        if record.action not in STOPS or not self._alarms.group_streams:
            return False
        return self._stops[cause_within(record), record.time] > 1 or self._sent_before(record) is not None

    def _sent_before(self, record: EventRecord) -> EventRecord | None:
        """An event like it of its stream that is open, and was sent by itself."""
        cause, moment = cause_within(record), moment_of(record)
        rows = self._connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE stream = ? AND state = 'open' AND action = ? AND model = ? "
            "AND id NOT IN (SELECT event FROM held) ORDER BY start, id",
            (storable(record.stream), record.action, storable(record.model)),
        ).fetchall()
        stored = (one for one in map(stored_record, rows) if one.id not in self._closed)
        for one in (*stored, *(one for one in self._alone.values() if cause_within(one) == cause)):
            if one.id != record.id and abs(moment_of(one) - moment) <= self._within:
                return one
        return None

    def _begin_within(self, record: EventRecord) -> str:
        """A new incident of a stream, with the event of it that was sent before, if any: sinks hear of its end."""
        incident = self._incidents.begin(cause_within(record), record, record.stream)
        before = self._sent_before(record)
        if before is not None:
            self._incidents.join(incident, before)
            self._note_hold(before, "joined", incident)
            self._alone.pop(before.id, None)
        return incident

    def _further(self, record: EventRecord, causes: _Causes) -> Arranged:
        """A later step of an event."""
        row = self._hold_of(record)
        again = record.action in STOPS
        if row is None:
            return self._begun(record, causes) if again else self._of_sent(record)
        why, incident = row
        if why == "joined":
            if is_closing(record.action):
                self._incidents.leave(incident, record)
            if not again:
                return self._of_sent(record)
            self._connection.execute("DELETE FROM held WHERE event = ?", (storable(record.id),))
            return self._begun(record, causes)
        if why == "muted":
            reason = self._mutes.covering(record.stream, record.time)
            if reason is None and not is_closing(record.action):
                self._connection.execute("DELETE FROM held WHERE event = ?", (storable(record.id),))
                return self._of_sent(record)
            return self._not_sent(record, "muted", {"muted": reason or "it began while its stream was muted"})
        if why == "capped":
            return self._not_sent(record, "capped", {"capped": True})
        if is_closing(record.action):
            self._incidents.leave(incident, record)
        elif (again or record.action == "reopen") and not self._incidents.join(incident, record):
            self._connection.execute("DELETE FROM held WHERE event = ?", (storable(record.id),))
            return self._begun(record, causes) if again else self._of_sent(record)
        return self._not_sent(record, "incident", {"incident": incident})

    def _of_sent(self, record: EventRecord) -> Arranged:
        """A later step of an event that sinks know; its end they get in any case."""
        if record.action in _WHILE_MUTED:
            reason = self._mutes.covering(record.stream, record.time)
            if reason is not None:
                return self._not_sent(record, "muted", {"muted": reason})
        if record.action == "update" and self._is_acknowledged(record):
            self.held["acknowledged"] += 1
            return Arranged(record, False)
        return Arranged(record, True)

    def _is_acknowledged(self, record: EventRecord) -> bool:
        """Whether somebody knows of it, and it is no more severe than what they know."""
        row = self._connection.execute(
            "SELECT acknowledged, severity FROM events WHERE id = ?", (storable(record.id),)
        ).fetchone()
        if row is None or row[0] is None:
            return False
        severity = record.event.get("severity")
        return severity not in SEVERITIES or SEVERITIES.index(severity) <= SEVERITIES.index(row[1])

    def _incident(self, record: EventRecord, causes: _Causes) -> str | None:
        """The incident that an event belongs to, a new one where it takes that."""
        most = self._alarms.group_streams
        if not most:
            return None
        cause = cause_of(record)
        if (found := self._incidents.of(cause, record.time)) is not None:
            return found
        lately = self._connection.execute(
            "SELECT DISTINCT stream FROM openings WHERE cause = ? AND time BETWEEN ? AND ? LIMIT ?",
            (storable(cause), record.time - self._within, record.time + self._within, most + 1),
        )
        near = {stream for time, stream in causes[cause] if abs(time - record.time) <= self._within}
        if len({row[0] for row in lately} | near) > most:
            return self._incidents.begin(cause, record)
        self._connection.execute(
            "INSERT INTO openings (cause, time, stream) VALUES (?, ?, ?)",
            (storable(cause), record.time, storable(record.stream)),
        )
        return None

    def _counted(self, record: EventRecord) -> int:
        """The number of this event among those of its stream and day that are sent."""
        values = storable(record.stream), record.time // _DAY
        self._connection.execute(
            "INSERT INTO daily (stream, day, events) VALUES (?, ?, 1) "
            "ON CONFLICT (stream, day) DO UPDATE SET events = events + 1",
            values,
        )
        row = self._connection.execute("SELECT events FROM daily WHERE stream = ? AND day = ?", values).fetchone()
        return int(row[0])

    def _hold(self, record: EventRecord, why: str, marks: dict[str, Any], incident: str = "") -> Arranged:
        self._note_hold(record, why, incident)
        return self._not_sent(record, why, marks)

    def _hold_of(self, record: EventRecord) -> tuple[str, str] | None:
        """Why an event is not sent, and its incident; None where it is."""
        if not self._some_held:
            return None
        found: tuple[str, str] | None = self._connection.execute(
            "SELECT why, incident FROM held WHERE event = ?", (storable(record.id),)
        ).fetchone()
        return found

    def _note_hold(self, record: EventRecord, why: str, incident: str) -> None:
        self._some_held.put()
        self._connection.execute(
            "INSERT OR REPLACE INTO held (event, stream, why, incident) VALUES (?, ?, ?, ?)",
            (storable(record.id), storable(record.stream), why, incident),
        )

    def _not_sent(self, record: EventRecord, why: str, marks: dict[str, Any]) -> Arranged:
        self.held[why] += 1
        return Arranged(_marked(record, marks), False)


def _marked(record: EventRecord, marks: dict[str, Any]) -> EventRecord:
    return replace(record, event={**record.event, **marks})
