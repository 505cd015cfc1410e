"""Rows of streams as they are scored, without the channels that stand still, and the events of signals that stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import EventRecord
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Ints, StreamColumns, behind, entries, runs
from aez.daemon.signals.damping import Damping, OpenSignals
from aez.daemon.signals.hold import Hold
from aez.daemon.signals.notes import Note, Step, StoppedSignal, signal_id
from aez.daemon.signals.rules import SignalRules
from aez.daemon.signals.watch import ABSENT, SignalWatch

__all__ = ["Part", "Signals", "closed"]

#: What the log says beside some causes.
_ADVICE = {ABSENT: "; where it is sent on change only, set hold"}
#: Streams that are shown at once.
_SHOWN = 10


class Part(NamedTuple):
    """Rows, sorted by stream, before which something changes.

    rows: without what is no reading. out: the channels that each of their streams is scored without, at each row the
    same, [n, channels]; None where none is. steps: (stream, the steps of its signals' events before its first row
    here).
    """

    rows: Aligned
    out: Flags | None
    steps: list[tuple[int, list[Step]]]


class Signals(StreamColumns):
    """The signals of one model's streams.

    model: the name that records carry. period: ns between rows, if any. window: rows that are scored together.
    within, repeats: see `Damping`. filled: rows come with the last values of channels that are held already.
    """

    _open: dict[int, OpenSignals] = entries()  # as of the last records
    _told: dict[int, set[tuple[str, str]]] = entries()  # what the log has said, and of which channel
    _joined: dict[int, str] = entries()  # what the score's event that is open began with, where it is another event

    def __init__(
        self,
        model: str,
        rules: SignalRules,
        period: int | None,
        window: int = 1,
        within: int = 0,
        repeats: int = 0,
        *,
        filled: bool = False,
    ) -> None:
        super().__init__()
        self._period = period
        self.model, self.channels = model, tuple(rules.channels)
        self.watch = SignalWatch(rules, window)
        self._damping = Damping(self.channels, within, repeats)
        holds = rules.holds()
        self._hold = Hold(holds, period) if holds.any() and not filled else None
        self._tables = (self.watch, self._damping, *((self._hold,) if self._hold else ()))
        self._fresh: list[tuple[int, str, Note]] = []

    def grow(self, size: int) -> None:
        super().grow(size)
        for table in self._tables:
            table.grow(size)

    def move(self, last: int, number: int) -> None:
        super().move(last, number)
        for table in self._tables:
            table.move(last, number)

    def clear(self, number: int) -> None:
        super().clear(number)
        for table in self._tables:
            table.clear(number)

    def parts(self, rows: Aligned, names: Sequence[str]) -> Iterator[Part]:
        """Rows, sorted by stream, cut where something begins or ends; to be scored in this order."""
        found = self.watch.take(rows)
        rows, out = found.rows, found.out
        steps = self._steps(rows, found.notes, names)
        if self._hold is not None:
            rows = self._hold.fill(rows)
        if not steps and out is None:  # as nearly always
            yield Part(rows, None, [])
            return
        cuts = np.zeros(len(rows), np.int64)
        cuts[list(steps)] = 1
        if out is not None:
            cuts[1:] |= (out[1:] != out[:-1]).any(axis=1) & (rows.stream[1:] == rows.stream[:-1])
        if not cuts.any():
            yield Part(rows, out, [])
            return
        before = np.cumsum(cuts)
        first = runs(rows.stream)
        sizes = behind(first, len(rows)) - first
        turn = before - np.repeat(before[first] - cuts[first], sizes)
        for number in range(int(turn.max()) + 1):
            mine = np.flatnonzero(turn == number)
            if mine.size:
                here = [(int(rows.stream[at]), steps[at]) for at in mine.tolist() if at in steps]
                yield Part(rows.at(mine), None if out is None else out[mine], here)

    def _steps(self, rows: Aligned, notes: Mapping[int, list[Note]], names: Sequence[str]) -> dict[int, list[Step]]:
        """The steps of events that follow from what changes, by the place of the row before which they come."""
        first = runs(rows.stream)
        ends = behind(first, len(rows))
        wanted = rows.time[ends - 1] >= self._damping.next[rows.stream[first]]
        if not (notes or wanted.any()):
            return {}
        changes: dict[int, dict[int, list[Note]]] = {}
        for at, place in zip(notes, (np.searchsorted(first, list(notes), "right") - 1).tolist(), strict=True):
            changes.setdefault(place, {})[at - int(first[place])] = notes[at]
        found: dict[int, list[Step]] = {}
        for place in sorted({*changes, *np.flatnonzero(wanted).tolist()}):
            start, end = int(first[place]), int(ends[place])
            part, number = slice(start, end), int(rows.stream[start])
            steps = self._damping.follow(
                number,
                rows.time[part],
                rows.row[part],
                changes.get(place, {}),
                partial(self._bound, number),
                partial(self._made, names[number]),
            )
            found.update((start + at, some) for at, some in steps.items())
        return found

    def _bound(self, number: int, signal: StoppedSignal) -> int:
        """Rows after which a signal that stopped again would be found to have."""
        rests, absences = self.watch.bounds(number)
        bounds = rests if signal.note.kind == "stuck" else absences
        longest = float(bounds[list(signal.note.channels)].max())
        return int(longest) + 1 if math.isfinite(longest) else 0

    def _made(self, stream: str, note: Note, names: tuple[str, ...]) -> tuple[str, int]:
        """The id of a new signal's event, and the number of its first row."""
        # Made-up rows lie between as well, so that the clock tells more than the rows that came.
        lasted = note.rows - 1 if self._period is None else round((note.time - note.since) / self._period)
        return signal_id(self.model, stream, note, names), note.row - lasted

    def records(
        self, steps: Sequence[tuple[int, list[Step]]], names: Sequence[str], event: Callable[[int], str]
    ) -> list[EventRecord]:
        """The records of steps; `event` gives the id of the score's event that is open for a stream, or "" ."""
        return [self._record(number, step, names[number], event(number)) for number, some in steps for step in some]

    def _record(self, number: int, step: Step, stream: str, event: str) -> EventRecord:
        mine, signal = self._open.setdefault(number, {}), step.signal
        if step.ended is not None:
            mine.pop(step.note.key, None)
        else:
            if not signal.began_with:
                first = next((one.began_with for one in mine.values()), signal.id)
                signal.began_with = self._joined.get(number, event) or first
                self._fresh.append((number, stream, step.note))
            mine[step.note.key] = signal
        if not mine:
            del self._open[number]
        return step.record(self.model, stream)

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
        records = [
            record
            for signal in self._damping.signals.get(number, {}).values()
            for record in _closed(signal, self.model, stream, time, reason)
        ]
        self._open.pop(number, None)
        self._joined.pop(number, None)
        self._damping.clear(number)
        self.watch.let_go(number)
        return records

    def out(self, number: int) -> Flags:
        """The channels that a stream is scored without just now, [channels]."""
        watch = self.watch
        stopped = watch.missing[number] | watch.stuck[number] | watch.frozen[number]
        return np.asarray(stopped | (watch.left[number] > 0))

    def open_events(self) -> list[str]:
        """The ids of those that are open."""
        return [signal.id for signals in self._open.values() for signal in signals.values()]

    def stopped(self, number: int) -> dict[str, list[str]]:
        """The names of a stream's channels that are missing and stuck, by kind."""
        found: dict[str, list[str]] = {"missing": [], "stuck": []}
        for signal in self._open.get(number, {}).values():
            found[signal.note.kind] += signal.names if signal.ended is None else ()
        return {kind: sorted(set(names), key=self.channels.index) for kind, names in found.items()}

    def all_stopped(self) -> dict[int, dict[str, list[str]]]:
        """As `stopped`, of all streams where something is."""
        found = {number: self.stopped(number) for number in self._open}
        return {number: stopped for number, stopped in found.items() if any(stopped.values())}

    def counts(self) -> dict[str, int]:
        """How many channels are missing and stuck, of all streams: `missing_channels`, `stuck_channels`."""
        stopped = self.all_stopped().values()
        return {f"{kind}_channels": sum(len(one[kind]) for one in stopped) for kind in ("missing", "stuck")}

    def first(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some streams of which channels are missing or stuck: stream, missing, stuck."""
        stopped = ((number, self.stopped(number)) for number in self._open)
        return [{"stream": names[number], **one} for number, one in islice(filter(_any, stopped), _SHOWN)]

    def news(self) -> list[tuple[list[str], str]]:
        """(Streams, what happened to which channels) since the last call; once for each stream, cause and channel."""
        fresh, self._fresh = self._fresh, []
        of_stream: dict[tuple[str, str], list[str]] = {}
        for number, stream, note in fresh:
            said = f"{note.kind} ({note.cause}){_ADVICE.get(note.cause, '')}"
            told = self._told.setdefault(number, set())
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

    def states(self, numbers: Ints) -> list[dict[str, Any]]:
        """Everything that is known of streams, as plain data for JSON."""
        found: list[dict[str, Any]] = []
        lefts = self.watch.left[numbers]
        out = np.asarray(lefts.any(axis=1))
        held = None if self._hold is None else self._hold.states(numbers)
        for place, (number, known) in enumerate(zip(numbers.tolist(), self.watch.states(numbers), strict=True)):
            details: dict[str, Any] = {"signals": known}
            if number in self._damping.signals:
                details["stopped"] = [signal.state() for signal in self._damping.signals[number].values()]
            if out[place]:
                details["left_out"] = lefts[place].tolist()
            if number in self._joined:
                details["began_with"] = self._joined[number]
            if held is not None:
                details["held"] = held[place]
            found.append(details)
        return found

    def restore(self, number: int, details: Any) -> None:
        """Go on from what `states` gave, where it is among these. Raises InvalidArgument, and changes nothing."""
        if "signals" not in details:
            return
        signals = [StoppedSignal.from_state(one) for one in _list(details.get("stopped", []))]
        self.watch.restore(number, details["signals"], _list(details.get("left_out", [])))
        if self._hold is not None and "held" in details:
            self._hold.restore(number, details["held"])
        if signals:
            self._damping.signals[number] = {signal.note.key: signal for signal in signals}
            self._damping.plan(number)
        told: OpenSignals = {signal.note.key: signal for signal in signals if signal.told}
        if told:
            self._open[number] = told
        if first := details.get("began_with", details.get("incident")):  # the latter is of an older aez
            self._joined[number] = str(first)


def closed(details: Any, model: str, stream: str, time: int, reason: str) -> list[EventRecord]:
    """The ends of the signals that were open in a state that nobody goes on from. Raises InvalidArgument."""
    signals = [StoppedSignal.from_state(one) for one in _list(details.get("stopped", []))]
    return [record for signal in signals for record in _closed(signal, model, stream, time, reason)]


def _closed(signal: StoppedSignal, model: str, stream: str, time: int, reason: str) -> list[EventRecord]:
    """Its end, where it was not told."""
    if not signal.told:
        return []
    ended, row = signal.ended or (time, signal.note.row)
    return [
        Step(signal, signal.note, signal.sequence + 1, signal.reopened, (ended, row), time, row).record(
            model, stream, reason
        )
    ]


def _any(stopped: tuple[int, Mapping[str, list[str]]]) -> bool:
    return any(stopped[1].values())


def _list(state: Any) -> list[Any]:
    if not isinstance(state, list):
        raise InvalidArgument("the saved signals that stopped cannot be read")
    return state
