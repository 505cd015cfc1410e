"""Rows of streams as they are scored, without the channels that stand still, and the events of signals that stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, StreamColumns, entries, runs
from aez.daemon.signals.notes import Note, OpenSignal, signal_id
from aez.daemon.signals.rules import SignalRules
from aez.daemon.signals.watch import SignalWatch

__all__ = ["Part", "Signals", "closed"]

#: Streams that are shown at once.
_SHOWN = 10


class Part(NamedTuple):
    """Rows, sorted by stream, before which something changes.

    rows: without what is no reading. values: as they are scored, float32 [n, channels]. notes: (stream, what changes
    before its first row here).
    """

    rows: Aligned
    values: Float
    notes: list[tuple[int, list[Note]]]


class Signals(StreamColumns):
    """The signals of one model's streams. model: the name that records carry. period: ns between rows, if any."""

    _open: dict[int, dict[tuple[str, int], OpenSignal]] = entries()
    _told: dict[int, set[tuple[str, str]]] = entries()  # what the log has said, and of which channel
    _joined: dict[int, str] = entries()  # what the score's event that is open began with, where it is another event

    def __init__(self, model: str, rules: SignalRules, period: int | None) -> None:
        super().__init__()
        self._period = period
        self.model, self.channels = model, tuple(rules.channels)
        self.watch = SignalWatch(rules)
        self._fresh: list[tuple[int, str, Note]] = []

    def grow(self, size: int) -> None:
        super().grow(size)
        self.watch.grow(size)

    def move(self, last: int, number: int) -> None:
        super().move(last, number)
        self.watch.move(last, number)

    def parts(self, rows: Aligned) -> Iterator[Part]:
        """Rows, sorted by stream, cut where something begins or ends; to be scored in this order."""
        found = self.watch.take(rows)
        rows, values = found.rows, found.rows.values
        if found.blank is not None:
            values = np.where(found.blank, np.float32(np.nan), values)
        if not found.notes:
            yield Part(rows, values, [])
            return
        cuts = np.zeros(len(rows), np.int64)
        cuts[list(found.notes)] = 1
        before = np.cumsum(cuts)
        first = runs(rows.stream)
        sizes = np.diff(np.append(first, len(rows)))
        turn = before - np.repeat(before[first] - cuts[first], sizes)
        for number in range(int(turn.max()) + 1):
            mine = np.flatnonzero(turn == number)
            if mine.size:
                notes = [(int(rows.stream[at]), found.notes[at]) for at in mine.tolist() if at in found.notes]
                yield Part(rows.at(mine), values[mine], notes)

    def records(
        self, notes: Sequence[tuple[int, list[Note]]], names: Sequence[str], event: Callable[[int], str]
    ) -> list[EventRecord]:
        """The records of what changed; `event` gives the id of the score's event that is open for a stream, or "" ."""
        return [
            record
            for number, changes in notes
            for note in changes
            for record in self._records(number, note, names[number], event(number))
        ]

    def _records(self, number: int, note: Note, stream: str, event: str) -> list[EventRecord]:
        mine = self._open.setdefault(number, {})
        if note.ended:
            signal = mine.pop(note.key, None)
            records = [] if signal is None else [signal.record(self.model, stream, note.time, note.row)]
        else:
            channels = tuple(self.channels[channel] for channel in note.channels)
            id_ = signal_id(self.model, stream, note, channels)
            first = self._joined.get(number, event) or next((one.began_with for one in mine.values()), id_)
            # Made-up rows lie between as well, so that the clock tells more than the rows that came.
            lasted = note.rows - 1 if self._period is None else round((note.time - note.since) / self._period)
            signal = mine[note.key] = OpenSignal(id_, first, channels, note.row - lasted, note)
            self._fresh.append((number, stream, note))
            records = [signal.record(self.model, stream)]
        if not mine:
            del self._open[number]
        return records

    def join(self, number: int, records: Sequence[EventRecord]) -> list[EventRecord]:
        """The score's records of a stream, with the event that they began with where a signal stopped before."""
        found = []
        for record in records:
            if record.action == "open" and (mine := self._open.get(number)):
                self._joined[number] = next(iter(mine.values())).began_with
            first = self._joined.get(number)
            found.append(record if first is None else replace(record, event={**record.event, "began_with": first}))
            if record.action == "close":
                self._joined.pop(number, None)
        return found

    def close(self, number: int, stream: str, time: int, reason: str) -> list[EventRecord]:
        """The ends of what is open, for another reason than that it goes on; what still is stopped is found anew."""
        mine = self._open.pop(number, {})
        self._joined.pop(number, None)
        self.watch.let_go(number)
        return [signal.record(self.model, stream, time, reason=reason) for signal in mine.values()]

    def open_events(self) -> list[str]:
        """The ids of those that are open."""
        return [signal.id for signals in self._open.values() for signal in signals.values()]

    def stopped(self, number: int) -> dict[str, list[str]]:
        """The names of a stream's channels that are missing and stuck, by kind."""
        found: dict[str, list[str]] = {"missing": [], "stuck": []}
        for signal in self._open.get(number, {}).values():
            found[signal.note.kind] += signal.names
        return {kind: sorted(set(names), key=self.channels.index) for kind, names in found.items()}

    def all_stopped(self) -> dict[int, dict[str, list[str]]]:
        """As `stopped`, of all streams where something is."""
        return {number: self.stopped(number) for number in self._open}

    def counts(self) -> dict[str, int]:
        """How many channels are missing and stuck, of all streams: `missing_channels`, `stuck_channels`."""
        stopped = self.all_stopped().values()
        return {f"{kind}_channels": sum(len(one[kind]) for one in stopped) for kind in ("missing", "stuck")}

    def first(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some streams of which channels are missing or stuck: stream, missing, stuck."""
        return [{"stream": names[number], **self.stopped(number)} for number in list(self._open)[:_SHOWN]]

    def news(self) -> list[tuple[list[str], str]]:
        """(Streams, what happened to which channels) since the last call; once for each stream, cause and channel."""
        fresh, self._fresh = self._fresh, []
        of_stream: dict[tuple[str, str], list[str]] = {}
        for number, stream, note in fresh:
            said, told = f"{note.kind} ({note.cause})", self._told.setdefault(number, set())
            new = [name for channel in note.channels if (said, name := self.channels[channel]) not in told]
            told.update((said, name) for name in new)
            if new:
                of_stream.setdefault((stream, said), []).extend(new)
        found: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for (stream, said), channels in of_stream.items():
            found.setdefault((tuple(channels), said), []).append(stream)
        return [
            (streams, f"{'channels' if len(channels) > 1 else 'channel'} {', '.join(channels)}: {said}")
            for (channels, said), streams in found.items()
        ]

    def state(self, number: int) -> dict[str, Any]:
        """Everything that is known of a stream, as plain data for JSON."""
        details: dict[str, Any] = {"signals": self.watch.state(number)}
        if number in self._open:
            details["stopped"] = [signal.state() for signal in self._open[number].values()]
        if number in self._joined:
            details["began_with"] = self._joined[number]
        return details

    def restore(self, number: int, details: Any) -> None:
        """Go on from what `state` gave, where it is among these. Raises InvalidArgument, and changes nothing."""
        if "signals" not in details:
            return
        signals = [OpenSignal.from_state(one) for one in _list(details.get("stopped", []))]
        self.watch.restore(number, details["signals"])
        if signals:
            self._open[number] = {signal.note.key: signal for signal in signals}
        if first := details.get("began_with", details.get("incident")):  # the latter is of an older aez
            self._joined[number] = str(first)


def closed(details: Any, model: str, stream: str, time: int, reason: str) -> list[EventRecord]:
    """The ends of the signals that were open in a state that nobody goes on from. Raises InvalidArgument."""
    return [
        OpenSignal.from_state(one).record(model, stream, time, reason=reason)
        for one in _list(details.get("stopped", []))
    ]


def _list(state: Any) -> list[Any]:
    if not isinstance(state, list):
        raise InvalidArgument("the saved signals that stopped cannot be read")
    return state
