"""The records of signals that stop: one where it is found, one where it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import SIGNAL_ENDS, EventRecord

__all__ = ["Kind", "Note", "OpenSignal", "signal_id"]

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


@dataclass(frozen=True)
class OpenSignal:
    """A signal that stopped: its event's id, that of the event with which it began, its channels, and how it began.

    start: the number of the first row of it.
    """

    id: str
    began_with: str
    names: tuple[str, ...]
    start: int
    note: Note

    def state(self) -> list[Any]:
        """As plain data for JSON."""
        return [self.id, self.began_with, list(self.names), self.start, self.note._asdict()]

    @classmethod
    def from_state(cls, state: Any) -> OpenSignal:
        """What `state` described. Raises InvalidArgument for anything else."""
        try:
            id_, began_with, names, start, note = state
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
            return cls(str(id_), str(began_with), tuple(str(name) for name in names), int(start), made)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"a saved signal that stopped cannot be read: {error!r}") from error

    def record(
        self, model: str, stream: str, ended: int | None = None, end: int | None = None, reason: str = ""
    ) -> EventRecord:
        """The step of its event: found at the note's time or, where it is given, over at `ended`, ns, in row `end`.

        reason: why it is closed, where not because it goes on.
        """
        note = self.note
        event: dict[str, Any] = {
            "id": self.id,
            "stream": stream,
            "kind": note.kind,
            "cause": note.cause,
            "began_with": self.began_with,
            "start_time": note.since,
            "end_time": ended,
            "start": self.start,
            "end": note.row if end is None else end,
            "opened": note.row,
            "peak": None,
            "rows": note.rows,
            "channels": [{"name": name, "share": 1 / len(self.names)} for name in self.names],
            "ongoing": ended is None,
            "severity": "serious" if note.whole else "warning",
        }
        if note.value is not None:
            event["value"] = note.value
        if reason:
            event["reason"] = reason
        action, sequence = (note.kind, 0) if ended is None else (SIGNAL_ENDS[note.kind], 1)
        return EventRecord(self.id, sequence, action, stream, model, note.time if ended is None else ended, event)


def signal_id(model: str, stream: str, note: Note, names: tuple[str, ...]) -> str:
    """The same for the same data: 32 hexadecimal digits."""
    named = json.dumps([note.kind, model, stream, list(names), note.since])
    return hashlib.sha256(named.encode()).hexdigest()[:32]
