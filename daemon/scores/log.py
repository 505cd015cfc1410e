"""Every score, not only events: rows that were scored go to files, by a thread of their own.

Guarantees: files that are slower than scoring hold it back to their pace. Where they take nothing for `WAIT_SECONDS`,
or cannot be written, it does not wait: rows are dropped and counted (`aez_scores_dropped_total`), never anything else,
until there is room again. What waits takes at most `QUEUE_BYTES`.
A row is told by its stream, model and number. After an end in order each row that was scored and not dropped stands in
the files once. After `kill -9` rows of the last moments may be missing (those that waited, usually of the last few
tenths of a second), and rows behind the state's last commit stand there twice, with the same score.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.codec.errors import OutputError
from aez.daemon.common.records import storable
from aez.daemon.common.retry import Backoff
from aez.daemon.engine.routing import Router
from aez.daemon.engine.rows import ScoredRows
from aez.daemon.scores.files import Format, Rotation, ScoreFiles, ScoreTable

__all__ = ["QUEUE_BYTES", "WAIT_SECONDS", "ScoreLog", "Selection"]

_log = logging.getLogger(__name__)
Float = NDArray[np.float32]
Ints = NDArray[np.int64]

QUEUE_BYTES = 64 << 20
WAIT_SECONDS = 2.0
_GATHER_SECONDS, _GATHER_BYTES = 0.1, 8 << 20
_IDLE_SECONDS = 0.5
_PIECE_ROWS = 1 << 14
_FORGET_SECONDS = 60.0
_RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Selection:
    """Which rows, and what of them.

    streams: patterns of names. models: names; all where there are none. every: rows whose number is a multiple of it.
    channel_scores, values: whether a row's channels are written, too.
    """

    streams: Sequence[str] = ("*",)
    models: Sequence[str] = ()
    every: int = 1
    channel_scores: bool = False
    values: bool = False


@dataclass(frozen=True)
class _Block:
    """Rows of one model: `place` is an index into names; arrays are [n] and [n, channels]."""

    model: str
    channels: tuple[str, ...]
    names: list[str]
    place: Ints
    time: Ints
    row: Ints
    score: Float
    limit: Float
    channel_score: Float | None
    values: Float | None
    size: int

    def __len__(self) -> int:
        return len(self.row)


class ScoreLog:
    """Takes scored rows (`take`) and writes those that are selected.

    counted: gets what happened as ("written" | "dropped" | "errors", number), from any thread.
    """

    def __init__(
        self,
        folder: Path,
        kind: Format = "parquet",
        selection: Selection | None = None,
        rotation: Rotation | None = None,
        *,
        counted: Callable[[str, int], None] = lambda what, number: None,  # noqa: ARG005
        queue_bytes: int = QUEUE_BYTES,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._files = ScoreFiles(folder, kind, rotation or Rotation())
        self._selection = selection or Selection()
        self._router = None if "*" in self._selection.streams else Router([self._selection.streams])
        self._counted, self._room, self._wait = counted, queue_bytes, wait_seconds
        self._waiting: deque[_Block] = deque()
        self._bytes = 0  # of what waits and of what is being written
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._failing = self._stalled = self._unfinished = False
        self._rotate_at = self._forget_at = self._moved = 0.0
        self._thread = threading.Thread(target=self._run, name="scores", daemon=True)

    def start(self) -> None:
        """Begin to write. Raises OutputError where the folder cannot be made or written."""
        try:
            self._files.prepare()
        except OSError as error:
            raise OutputError(f"scores cannot be written to {self._files.folder}: {error.strerror or error}") from error
        self._thread.start()

    def take(self, scored: ScoredRows) -> None:
        """Put selected rows that have a score in the queue; nothing of `scored` may be changed afterwards."""
        block = self._selected(scored)
        if block is None:
            return
        with self._changed:
            if not self._stalled:
                self._wait_for_room(block)
            if taken := self._fits(block) and not self._closing.is_set():
                self._waiting.append(block)
                self._bytes += block.size
                self._changed.notify_all()
            elif not self._stalled:
                _log.error("the queue of scores is full; rows are dropped until %s takes them", self._files.folder)
            self._stalled = not taken
        if not taken:
            self._counted("dropped", len(block))

    def close(self, seconds: float) -> bool:
        """Write what waits and finish all files, for at most so long; False where rows or files were left."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        if not self._thread.is_alive():
            return True
        self._give_up.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(2.0)
        self._counted("dropped", sum(map(len, list(self._waiting))))
        return False

    def _fits(self, block: _Block) -> bool:
        return not self._bytes or self._bytes + block.size <= self._room

    def _wait_for_room(self, block: _Block) -> None:
        """Wait while there is none and the files take something now and then."""
        begun = time.monotonic()
        while not self._fits(block) and not self._failing and not self._closing.is_set():
            left = max(begun, self._moved) + self._wait - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, 0.1))

    def _selected(self, scored: ScoredRows) -> _Block | None:
        chosen, rows = self._selection, scored.rows
        if chosen.models and scored.model not in chosen.models:
            return None
        wanted = ~np.isnan(scored.score)
        if chosen.every > 1:
            wanted &= rows.row % chosen.every == 0
        first = np.flatnonzero(np.append(True, rows.stream[1:] != rows.stream[:-1]))
        names = [scored.names[number] for number in rows.stream[first].tolist()]
        place = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(rows))))
        if self._router is not None:
            router = self._router
            wanted &= np.array([router.model(name) == 0 for name in names], bool)[place]
        if not wanted.any():
            return None
        part: slice | NDArray[np.bool_] = slice(None) if wanted.all() else wanted
        arrays = (place[part], rows.time[part], rows.row[part], scored.score[part], scored.limit[part])
        channel_score = scored.channel_score[part] if chosen.channel_scores else None
        values = rows.values[part] if chosen.values else None
        size = sum(array.nbytes for array in (*arrays, channel_score, values) if array is not None)
        return _Block(scored.model, scored.channels, names, *arrays, channel_score, values, size + 64 * len(names))

    def _run(self) -> None:
        while not self._give_up.is_set():
            blocks = self._next()
            if blocks:
                self._write(blocks)
            self._rotate(everything=False)
            if self._closing.is_set() and not self._waiting:
                self._rotate(everything=True)
                return

    def _next(self) -> list[_Block]:
        """What is written together, after a while in which more may come."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing.is_set() or self._waiting, _IDLE_SECONDS)
            if self._waiting:
                self._changed.wait_for(lambda: self._closing.is_set() or self._gathered(), _GATHER_SECONDS)
            taken: list[_Block] = []
            size = 0
            while self._waiting and size < _GATHER_BYTES:
                taken.append(self._waiting.popleft())
                size += taken[-1].size
        return taken

    def _gathered(self) -> bool:
        return self._bytes >= min(_GATHER_BYTES, self._room // 2)

    def _write(self, blocks: list[_Block]) -> None:
        """Write blocks, as often as it takes while the process goes on."""
        groups: dict[tuple[str, tuple[str, ...]], list[_Block]] = {}
        for block in blocks:
            groups.setdefault((block.model, block.channels), []).append(block)
        for group in groups.values():
            rows = sum(map(len, group))
            try:
                written = self._append_all(_table(group))
            except Exception:  # noqa: BLE001 - rows that nobody foresaw must not stop those behind them
                _log.exception("%d scores cannot be written", rows)
                self._counted("errors", 1)
                written = 0
            self._counted("written", written)
            self._counted("dropped", rows - written)
            with self._changed:
                self._stalled &= self._failing
                self._bytes -= sum(block.size for block in group)
                self._changed.notify_all()

    def _append_all(self, table: ScoreTable) -> int:
        """Append in pieces, so that it is seen to move; returns how many rows were written."""
        written = 0
        for start in range(0, table.batch.num_rows, _PIECE_ROWS):
            piece = replace(table, batch=table.batch.slice(start, _PIECE_ROWS))
            if self._append(piece):
                written += piece.batch.num_rows
            self._moved = time.monotonic()
        return written

    def _append(self, table: ScoreTable) -> bool:
        """Whether it went well in the end; once the log is closing there is one more attempt."""
        backoff = Backoff(first=0.2, longest=_RETRY_SECONDS)
        while True:
            last = self._closing.is_set()
            try:
                self._files.append(table)
            except OSError as error:
                self._tell("scores cannot be written to", error, first=not backoff.failures)
                with self._changed:
                    self._failing = True
                    self._changed.notify_all()
            else:
                if backoff.failures:
                    _log.info("scores can be written to %s again", self._files.folder)
                self._failing = False
                return True
            if last or self._give_up.is_set():
                return False
            backoff.wait(self._closing)

    def _rotate(self, *, everything: bool) -> None:
        now = time.monotonic()
        if now < self._rotate_at and not everything:
            return
        try:
            self._files.rotate(everything=everything)
            if everything or now >= self._forget_at:
                self._forget_at = now + _FORGET_SECONDS
                self._files.forget()
        except Exception as error:  # noqa: BLE001 - what cannot be finished must not stop the writing
            self._rotate_at = now + _RETRY_SECONDS
            self._tell("files of scores cannot be finished in", error, first=not self._unfinished)
            self._unfinished = True
        else:
            self._unfinished = False
            self._moved = time.monotonic()

    def _tell(self, what: str, error: Exception, *, first: bool) -> None:
        self._counted("errors", 1)
        if first:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            _log.error("%s %s, which is tried again: %s", what, self._files.folder, reason)


def _table(blocks: Sequence[_Block]) -> ScoreTable:
    """Blocks of one model as one."""
    pa = library("pyarrow", "monitor")
    one = blocks[0]
    names = pa.array([storable(name) for block in blocks for name in block.names], pa.string())
    offsets = np.cumsum([0, *(len(block.names) for block in blocks[:-1])])
    place = np.concatenate([block.place + offset for block, offset in zip(blocks, offsets, strict=True)])
    columns: dict[str, Any] = {
        "time": pa.array(np.concatenate([block.time for block in blocks])).cast(pa.timestamp("ns", "UTC")),
        "stream": names.take(pa.array(place)),
        "model": pa.repeat(pa.scalar(storable(one.model)), len(place)),
        "row": pa.array(np.concatenate([block.row for block in blocks])),
        "score": _floats(np.concatenate([block.score for block in blocks])),
        "limit": _floats(np.concatenate([block.limit for block in blocks])),
    }
    for prefix, parts in (
        ("score_", [block.channel_score for block in blocks]),
        ("value_", [block.values for block in blocks]),
    ):
        if parts[0] is None:
            continue
        joined = np.concatenate([part for part in parts if part is not None])
        columns |= {f"{prefix}{name}": _floats(joined[:, index]) for index, name in enumerate(one.channels)}
    return ScoreTable(one.model, one.channels, pa.RecordBatch.from_pydict(columns))


def _floats(values: Float) -> Any:
    """A pyarrow array of float32; null where it is not finite."""
    finite = np.isfinite(values)
    return library("pyarrow", "monitor").array(np.ascontiguousarray(values), mask=None if finite.all() else ~finite)
