"""What passes through the monitor, from chunks of sources to event records for sinks, and what it passes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

#: The action that ends an event, by the one that begins it.
SIGNAL_ENDS: Mapping[str, str] = {"silent": "heard", "missing": "present", "stuck": "moving"}
#: Actions behind which nothing more comes of an event, unless it reopens.
CLOSING = ("close", *SIGNAL_ENDS.values())
#: What the column of the time is called where nobody says.
TIME_COLUMNS = ("time", "timestamp", "ts", "Time", "Timestamp", "TIME", "TIMESTAMP", "TS", "_time")
#: Where a source stands, as plain JSON: what it needs to go on behind a chunk after a restart.
Position = Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Whole messages as a source got them.

    source: the source's name in the configuration.
    data: messages back to back; of line formats with a newline after each but perhaps the last.
    format: "json", "csv", "line", "arrow" or "image" (one message); a source takes it from its configuration.
    position: where the source stands behind this chunk; it is acknowledged once all that follows from it is durable.
    received: `time.monotonic()` of its arrival.
    stream: the stream, where the source knows it (an MQTT topic, a file's name); None where the messages tell.
    header: the line of column names that CSV data without one follow; None otherwise. gone: columns that the same
        input named before, and that this line does not name: their values are missing.
    time: of an image, ns since 1970 UTC, where the source knows it; None for the time of arrival.
    body: the data are all that a sender sent at once, and no cut through something longer.
    refused: hears why, in one sentence, where nothing of it can be used, before it is acknowledged; from any thread.
    """

    source: str
    data: bytes
    format: str
    position: Position
    received: float
    stream: str | None = None
    header: str | None = None
    gone: tuple[str, ...] = ()
    time: int | None = None
    body: bool = False
    refused: Callable[[str], None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Samples:
    """Rows of one set of columns, of one or many streams, in the order of arrival.

    streams: names of the streams that occur. stream: int32 [n], index into it for each row.
    time: int64 [n], ns since 1970 UTC; the time of arrival where the message has none.
    columns: names of the values. values: float64 or float32 [n, columns], NaN = missing.
    tags: what else a message said of its stream, by stream name; for routing, never scored.
    order, more: where messages of several sets of columns were read together, each set has Samples of its own: `order`
        int64 [n] rises and tells each row's place among all of them, and `more` whether the Samples behind these are of
        the same reading. None and False where these stand alone.
    wide: rows of several sets are among these, and a missing value may be that of a column which its message had not.
    source: the name of their source in the configuration; empty where nobody says.
    """

    streams: Sequence[str]
    stream: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    columns: tuple[str, ...]
    values: npt.NDArray[np.floating]
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    order: npt.NDArray[np.int64] | None = None
    more: bool = False
    wide: bool = False
    source: str = ""

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Malformed:
    """A message that could not be used.

    reason: one of a fixed, small set of words, for counters. detail: one sentence. data: its first 1,000 bytes.
    count: how many messages it stands for; above 1 when one chunk held so many of a reason that only the first are
    kept one by one. stream: the stream that it would have been of; empty where nothing tells.
    """

    reason: str
    detail: str
    data: bytes
    count: int = 1
    stream: str = ""


@dataclass(frozen=True)
class EventRecord:
    """One step in the life of an event, for sinks.

    id: of the event; the same when a replay makes it again. sequence: 0 when it opens, rising with each update.
    action: "open", "update", "changed" (it is a new level), "reopen" and "close"; "silent" and "heard" for a stream
        that fell silent and came back; "missing" and "present", "stuck" and "moving" for channels.
    event: `Event.as_dict()`, with times as ns since 1970 UTC.
    curve: its rows, see `aez.daemon.alarms.curve`; kept beside the event, and not with each step.
    """

    id: str
    sequence: int
    action: str
    stream: str
    model: str
    time: int
    event: Mapping[str, Any]
    curve: Mapping[str, Any] | None = None


Circuit = Literal["closed", "open"]


@dataclass(frozen=True)
class DeliveryStatus:
    """How a sink is doing.

    pending, delivered, dropped, rejected: steps, see `SinkProgress`. failures: attempts that failed since the start;
    failed_in_row: of these, since the last that went well. circuit: "open" while it is only probed.
    last_error: of the last attempt, "" where that went well. lag: seconds since its oldest pending step was first
    tried, 0 where all is well.
    """

    name: str
    pending: int
    delivered: int
    dropped: int
    rejected: int
    failures: int
    failed_in_row: int
    circuit: Circuit
    last_error: str
    lag: float


#: What an event is.
EventKind = Literal["anomaly", "silence", "missing", "stuck", "incident"]
_KINDS: Mapping[str, EventKind] = {
    "silent": "silence",
    "heard": "silence",
    "missing": "missing",
    "present": "missing",
    "stuck": "stuck",
    "moving": "stuck",
}


def kind_of(action: str) -> EventKind:
    """What the event of a step is."""
    return _KINDS.get(action, "anomaly")


def few(names: Sequence[str]) -> str:
    """Streams in the log: the first of them, and how many there are."""
    if len(names) == 1:
        return f"stream {names[0]}"
    return f"{len(names)} streams ({first(names)})"


def first(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def storable(text: str) -> str:
    r"""Text as a database takes it: half a surrogate pair becomes its escape (\udc80)."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class BatchParser(Protocol):
    """Turns the bytes of consecutive chunks of one source and format into samples."""

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]: ...


class BatchEngine(Protocol):
    """Scores samples and follows events; see `aez.daemon.engine.engine`."""

    def process(self, samples: list[Samples], *, ahead: bool = False) -> list[EventRecord]: ...
    def settle(self) -> list[EventRecord]: ...
    def tick(self, now_ns: int) -> list[EventRecord]: ...
    def absent(self, since_ns: int, until_ns: int) -> None: ...
    def flush(self, now_ns: int) -> list[EventRecord]: ...
    def touched(self) -> Mapping[str, bytes]: ...
    def forget(self, seconds: float) -> list[str]: ...
    def stats(self) -> Mapping[str, float]: ...
    def take_letters(self) -> Sequence[Malformed]: ...


class BatchStore(Protocol):
    """Keeps positions, states and events; see `aez.daemon.state.store`."""

    def commit(
        self, positions: Mapping[str, Position], states: Mapping[str, bytes], events: Sequence[EventRecord]
    ) -> object: ...
    def forget_states(self, streams: Iterable[str]) -> None: ...
