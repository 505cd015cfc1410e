"""What is found about signals that stop, and the records of it: one where one stops, one where it goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import SIGNAL_ENDS, EventRecord

__all__ = ["Kind", "Note", "Step", "StoppedSignal", "signal_id"]

Kind = Literal["missing", "stuck"]


class Note(NamedTuple):
    """What changed at a row: `kind` of `channels`, that began at `since` and is found or, with `ended`, over at `time`.

    whole: all that may move stand still. cause: in a few words. value: at which one stands; None for another kind.
    rows: that it has lasted. row: the number of the one at which it changed.
    """

    kind: Kind
    channels: tuple[int, ...]
    since: int
    time: int
    ended: bool
    cause: str
    value: float | None
    rows: int
    row: int
    whole: bool

    @property
    def key(self) -> tuple[Kind, int]:
        """What tells the signals of a stream that are open at once apart."""
        return self.kind, -1 if self.whole else self.channels[0]


@dataclass
class StoppedSignal:
    """A signal that stopped, and for as long as it may stop again what became of it.

    id: of its event. names: of its channels. start: the number of the first row of it. note: how it began.
    began_with: the id of the event with which it began, perhaps its own. sequence: of its last step. reopened: how
    often it stopped again. ended: (time, row) where it went on; None while it is stopped. told: its last step was no
    end. quiet: the row from which on it had been quiet for so long that nothing goes on with it. often: its channels
    stopped so often that it stays open for a day. begun: when signals of its kind and channels began within a day.
    """

    id: str
    names: tuple[str, ...]
    start: int
    note: Note
    began_with: str = ""
    sequence: int = 0
    reopened: int = 0
    ended: tuple[int, int] | None = None
    told: bool = True
    quiet: int | None = None
    often: bool = False
    begun: list[int] = field(default_factory=list)

    def step(self, time: int, row: int) -> Step:
        """Its step at a row, as it stands."""
        return Step(self, self.note, self.sequence, self.reopened, None if self.told else self.ended, time, row)

    def state(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**vars(self), "note": self.note._asdict()}

    @classmethod
    def from_state(cls, state: Any) -> StoppedSignal:
        """What `state` described. Raises InvalidArgument for anything else."""
        try:
            if isinstance(state, list):  # of an older aez
                state = dict(zip(("id", "began_with", "names", "start", "note"), state, strict=True))
            note, ended, quiet = state["note"], state.get("ended"), state.get("quiet")
            made = Note(
                "stuck" if note["kind"] == "stuck" else "missing",
                tuple(int(one) for one in note["channels"]),
                int(note["since"]),
                int(note["time"]),
                ended=False,
                cause=str(note["cause"]),
                value=None if note["value"] is None else float(note["value"]),
                rows=int(note["rows"]),
                row=int(note["row"]),
                whole=bool(note["whole"]),
            )
            return cls(
                str(state["id"]),
                tuple(str(name) for name in state["names"]),
                int(state["start"]),
                made,
                str(state["began_with"]),
                int(state.get("sequence", 0)),
                int(state.get("reopened", 0)),
                None if ended is None else (int(ended[0]), int(ended[1])),
                bool(state.get("told", True)),
                None if quiet is None else int(quiet),
                bool(state.get("often", False)),
                [int(one) for one in state.get("begun", ())],
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidArgument(f"a saved signal that stopped cannot be read: {error!r}") from error


class Step(NamedTuple):
    """A step in the life of a signal's event, of which `ended` (time, row) says when it went on, if it did."""

    signal: StoppedSignal
    note: Note
    sequence: int
    reopened: int
    ended: tuple[int, int] | None
    time: int
    row: int

    def record(self, model: str, stream: str, reason: str = "") -> EventRecord:
        """The record of it. reason: why its event is closed, where not because the signal goes on."""
        signal, note = self.signal, self.note
        event: dict[str, Any] = {
            "id": signal.id,
            "stream": stream,
            "kind": note.kind,
            "cause": note.cause,
            "began_with": signal.began_with or signal.id,
            "start_time": note.since,
            "end_time": None if self.ended is None else self.ended[0],
            "start": signal.start,
            "end": self.row if self.ended is None else self.ended[1],
            "opened": note.row,
            "peak": None,
            "rows": note.rows,
            "channels": [{"name": name, "share": 1 / len(signal.names)} for name in signal.names],
            "ongoing": self.ended is None,
            "severity": "serious" if note.whole else "warning",
        }
        more: Mapping[str, Any] = {"value": note.value, "reopened": self.reopened or None, "reason": reason or None}
        event.update((name, value) for name, value in more.items() if value is not None)
        action = note.kind if self.ended is None else SIGNAL_ENDS[note.kind]
        return EventRecord(signal.id, self.sequence, action, stream, model, self.time, event)


def signal_id(model: str, stream: str, note: Note, names: tuple[str, ...]) -> str:
    """The same for the same data: 32 hexadecimal digits."""
    named = json.dumps([note.kind, model, stream, list(names), note.since])
    return hashlib.sha256(named.encode()).hexdigest()[:32]
