"""What the live page shows of streams: their last rows with scores and reconstruction, and what changed.

Guarantees: the worker does next to nothing for it (it keeps references to blocks of rows that were scored, at most
`_BYTES` in all, and copies the table of streams twice a second while a page is open); the reconstruction is computed in
the caller's thread, for streams that a page shows; everything is bounded, and what was missed is left out, not waited
for.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aez.daemon.common.records import EventRecord
from aez.daemon.engine.engine import Engine
from aez.daemon.engine.rows import Recent, ScoredRows
from aez.daemon.engine.stream_table import StreamTable
from aez.daemon.engine.watched import StreamModel
from aez.daemon.frames.models import FrameModel
from aez.daemon.rows.aligned import Aligned

__all__ = ["ROWS", "WATCHED", "History", "Live", "LiveBlock", "ShownModel", "Watch", "blame"]

Float = NDArray[np.float32]
Ints = NDArray[np.int64]
#: Rows of a stream that a page sees.
ROWS = 600
#: Streams that are watched at once.
WATCHED = 64
_BYTES, _BLOCK_BYTES = 16 << 20, 4 << 20
_TABLE_SECONDS, _FRESH_SECONDS = 0.4, 1.5
_EVENTS = 1000
_BLAME_ROWS = 60


@dataclass(frozen=True, eq=False)
class ShownModel:
    """What a page needs of a model; `reconstruct` as `Detector.reconstruct`, None for models that do not.

    frames: whether rows are frames, and channels their regions.
    """

    name: str
    window: int
    channels: tuple[str, ...]
    units: tuple[str, ...]
    period: float | None
    reconstruct: Callable[..., Float] | None
    frames: bool


class LiveBlock(NamedTuple):
    """Rows of many streams. cut: whether rows before them were left out."""

    number: int
    model: ShownModel
    scored: ScoredRows
    cut: bool
    size: int


class History(NamedTuple):
    """Rows of one stream, oldest first: row, time (ns) int64 [n]; score, limit float32 [n]; the rest [n, channels].

    NaN: a missing sample, or a row without a whole window before it.
    """

    row: Ints
    time: Ints
    score: Float
    limit: Float
    values: Float
    channel_score: Float
    reconstruction: Float

    def part(self, which: slice) -> History:
        return History._make(array[which] for array in self)


class Live:
    """The last rows of all streams, and who watches which."""

    def __init__(self) -> None:
        self.tables: Sequence[StreamTable] = ()
        self._taken = 0.0
        self._pages = 0
        self._models: Mapping[str, ShownModel] = {}
        self._blocks: deque[LiveBlock] = deque()
        self._bytes = 0
        self._numbers = itertools.count(1)
        self._changed: deque[tuple[int, str]] = deque(maxlen=_EVENTS)
        self._changes = 0
        self._watches: dict[str, Watch] = {}
        self._lock = threading.Lock()

    # What the worker calls

    def use(self, models: Mapping[str, StreamModel]) -> None:
        """Take models by the name that they have in the engine; rows that others scored are forgotten."""
        shown = {name: _shown(name, model) for name, model in models.items()}
        with self._lock:
            self._models = shown
            self._blocks.clear()
            self._bytes = 0

    def scored(self, scored: ScoredRows) -> None:
        """Keep rows that were scored."""
        model = self._models.get(scored.model)
        if model is None:
            return
        kept, cut = _kept(scored, model.window)
        rows = kept.rows
        size = rows.values.nbytes + kept.channel_score.nbytes + 32 * len(rows)
        with self._lock:
            self._blocks.append(LiveBlock(next(self._numbers), model, kept, cut, size))
            self._bytes += size
            while self._bytes > _BYTES and len(self._blocks) > 1:
                self._bytes -= self._blocks.popleft().size

    def committed(self, records: Sequence[EventRecord]) -> None:
        """Note events that changed."""
        for record in records:
            self.touched(record.id)

    def look(self, engine: Engine) -> None:
        """Copy how streams stand, where a page is open and the last copy is old."""
        if self._pages and time.monotonic() - self._taken >= _TABLE_SECONDS:
            self.tables = engine.tables()
            self._taken = time.monotonic()

    # What pages call

    def touched(self, event: str) -> None:
        """Note that an event changed."""
        with self._lock:
            self._changes += 1
            self._changed.append((self._changes, event))

    def changed_events(self, after: int) -> tuple[int, list[str] | None]:
        """The number of changes so far, and the events that changed since `after`; None where that is too long ago."""
        with self._lock:
            if after < self._changes - len(self._changed):
                return self._changes, None
            return self._changes, list(dict.fromkeys(event for number, event in self._changed if number > after))

    def fresh_tables(self) -> Sequence[StreamTable]:
        """How streams stood within the last second; nothing where that is not known."""
        return self.tables if time.monotonic() - self._taken < _FRESH_SECONDS else ()

    @property
    def changes(self) -> int:
        return self._changes

    def enter(self) -> None:
        """A page opens."""
        with self._lock:
            self._pages += 1

    def leave(self) -> None:
        """It closes."""
        with self._lock:
            self._pages -= 1

    def watched(self, stream: str) -> Watch | None:
        """The watch of a stream that another page began; then call `unwatch`."""
        with self._lock:
            found = self._watches.get(stream)
            if found is not None:
                found.pages += 1
            return found

    def watch(self, stream: str, recent: Recent) -> Watch | None:
        """Begin to watch a stream, in the worker's thread; None where too many are watched. Then call `unwatch`."""
        with self._lock:
            found = self._watches.get(stream)
            if found is None:
                if len(self._watches) >= WATCHED:
                    return None
                model = self._models[recent.model]
                found = self._watches[stream] = Watch(stream, self, model, recent, list(self._blocks))
            found.pages += 1
            return found

    def unwatch(self, watch: Watch) -> None:
        """Watch it no more, unless another page does."""
        with self._lock:
            watch.pages -= 1
            if watch.pages <= 0:
                self._watches.pop(watch.stream, None)

    def blocks_after(self, number: int) -> list[LiveBlock]:
        """The blocks that came since."""
        with self._lock:
            return [block for block in self._blocks if block.number > number]


class Watch:
    """The last rows of one stream with their reconstruction, for all pages that show it.

    generation: another number once the stream has another model or began afresh, so that rows count from 0 again.

    model: its own. recent: the stream's rows as they are now. blocks: what was scored lately, up to now.
    """

    def __init__(self, stream: str, live: Live, model: ShownModel, recent: Recent, blocks: list[LiveBlock]) -> None:
        self.stream, self.pages, self.generation = stream, 0, 0
        self._live, self._recent, self._first, self._waiting = live, recent, model, blocks
        self._lock = threading.Lock()
        self._at = 0
        self._names: list[tuple[Sequence[str], int, int | None]] = []
        self.model = model
        self._rows = _nothing(len(self.model.channels))
        self._shift: Float | None = None  # what is taken from the values before the model sees them
        self._scale = recent.scale
        self._begun = False

    def rows(self, after: int | None = None) -> tuple[ShownModel, History]:
        """The model and the rows numbered above `after`, at most `ROWS`; brings the watch up to date.

        Raises AezError where the model cannot reconstruct.
        """
        with self._lock:
            if not self._begun:
                self._begin()
            self._take(self._live.blocks_after(self._at))
            found = self._rows.part(slice(max(0, len(self._rows.row) - ROWS), None))
            if after is not None:
                found = found.part(slice(int(np.searchsorted(found.row, after, "right")), None))
            return self.model, found

    def _begin(self) -> None:
        """The rows that are known: those of the blocks, and what the ring has of those before."""
        self._begun = True
        recent, blocks, self._waiting = self._recent, self._waiting, []
        self._take(blocks)
        before = len(recent.values) - len(self._rows.row)
        if before <= 0 or self.model is not self._first or recent.period is None:
            return
        back = np.arange(len(recent.values) - 1, -1, -1)[:before]
        none = np.full(before, np.nan, np.float32)
        nothing = np.full((before, len(self.model.channels)), np.nan, np.float32)
        ring = recent.values[:before]
        earlier = History(recent.row - back, recent.time - back * recent.period, none, none, ring, nothing, nothing)
        self._rows = self._with_reconstruction(_joined(earlier, self._rows))

    def _take(self, blocks: Sequence[LiveBlock]) -> None:
        parts: list[History] = []
        for block in blocks:
            missed = self._at and block.number != self._at + 1
            self._at = block.number
            found = self._part(block)
            if block.model is not self.model:
                if found is None:
                    continue
                self.model, self._rows, parts = block.model, _nothing(len(block.model.channels)), []
                self.generation += 1
            last = parts[-1].row[-1:] if parts else self._rows.row[-1:]
            if found is not None and len(last) and found.row[0] <= last[0]:  # the stream began afresh
                self._rows, parts = _nothing(len(self.model.channels)), []
                self.generation += 1
            if missed or (block.cut and found is not None):
                self._rows, parts = _nothing(len(self.model.channels)), []
            if found is not None:
                parts.append(found)
        if not parts:
            return
        joined = _joined(self._rows, *parts)
        most = ROWS + self.model.window - 1
        surplus = max(0, len(joined.row) - most)
        self._rows = self._with_reconstruction(joined.part(slice(surplus, None)))

    def _part(self, block: LiveBlock) -> History | None:
        """The stream's rows in a block, their reconstruction not made yet."""
        scored = block.scored
        number = self._number(scored.names)
        if number is None:
            return None
        low, high = (int(np.searchsorted(scored.rows.stream, number, side)) for side in ("left", "right"))
        if low == high:
            return None
        which = slice(low, high)
        rows = scored.rows
        self._shift = scored.shifts.get(number)
        if scored.scale is not None:
            self._scale = scored.scale.at(high - 1)
        return History(
            rows.row[which],
            rows.time[which],
            scored.score[which],
            scored.limit[which],
            rows.values[which],
            scored.channel_score[which],
            np.full(rows.values[which].shape, np.nan, np.float32),
        )

    def _number(self, names: Sequence[str]) -> int | None:
        """The stream's number among a model's streams, which only become more."""
        for place, (known, looked, number) in enumerate(self._names):
            if known is names:
                if number is None and len(names) > looked:
                    self._names[place] = (names, *_look(names, self.stream, looked))
                return self._names[place][2]
        self._names = [*self._names[-7:], (names, *_look(names, self.stream, 0))]
        return self._names[-1][2]

    def _with_reconstruction(self, rows: History) -> History:
        """Fill in the reconstruction of rows with a score: the last row of what the model makes of their window."""
        reconstruct, past = self.model.reconstruct, self.model.window - 1
        if reconstruct is None:
            return rows
        wanted = np.flatnonzero(np.isfinite(rows.score) & np.isnan(rows.reconstruction).all(axis=1))
        wanted = wanted[wanted >= past]
        if wanted.size:
            windows = sliding_window_view(rows.values, past + 1, axis=0).transpose(0, 2, 1)
            shift = np.float32(0) if self._shift is None else self._shift
            shifted = windows[wanted - past] - shift
            given = (shifted,) if self._scale is None else (shifted, self._scale)
            rows.reconstruction[wanted] = reconstruct(*given)[:, -1] + shift
        return rows


def blame(rows: History) -> Float:
    """Each channel's share 0..1 of the last scores, float32 [channels]: of the rows above the limit where some are."""
    last = rows.part(slice(max(0, len(rows.row) - _BLAME_ROWS), None))
    with np.errstate(invalid="ignore"):
        loud = last.score > last.limit
    scores = np.nan_to_num(last.channel_score[loud] if loud.any() else last.channel_score, posinf=1e30).clip(min=0)
    total = scores.sum(axis=0, dtype=np.float64)
    whole = total.sum()
    shares: Float = (total / whole if whole > 0 else total).astype(np.float32)
    return shares


def _shown(name: str, model: StreamModel) -> ShownModel:
    units = getattr(model, "units", ()) or ("",) * len(model.channels)
    return ShownModel(
        name,
        model.window,
        tuple(model.channels),
        tuple(units),
        model.period,
        getattr(model, "reconstruct", None),
        isinstance(model, FrameModel),
    )


def _look(names: Sequence[str], stream: str, start: int) -> tuple[int, int | None]:
    """(How many names were looked at, the stream's number among them or None)."""
    count = len(names)
    return count, next((number for number in range(start, count) if names[number] == stream), None)


def _nothing(channels: int) -> History:
    numbers, none, rows = np.empty(0, np.int64), np.empty(0, np.float32), np.empty((0, channels), np.float32)
    return History(numbers, numbers, none, none, rows, rows, rows)


def _joined(*parts: History) -> History:
    return History._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _kept(scored: ScoredRows, window: int) -> tuple[ScoredRows, bool]:
    """The rows to keep, and whether some were left out: a large block leaves the last ones of each stream."""
    rows, base = scored.rows, scored.rows.values.base
    width = 8 * scored.rows.values.shape[1] + 32
    held = rows.values.nbytes if base is None else getattr(base, "nbytes", rows.values.nbytes)
    if len(rows) * width <= _BLOCK_BYTES and held <= 2 * _BLOCK_BYTES:
        return scored, False
    last = np.append(np.flatnonzero(rows.stream[1:] != rows.stream[:-1]), len(rows) - 1)
    most = min(ROWS + window, max(1, _BLOCK_BYTES // (width * len(last))))
    ends = np.repeat(last, np.diff(np.append(-1, last)))
    which = np.flatnonzero(ends - np.arange(len(rows)) < most)
    kept = Aligned(rows.stream[which], rows.row[which], rows.time[which], rows.values[which])
    limit, score, blamed = scored.limit[which], scored.score[which], scored.channel_score[which]
    scale = scored.scale and scored.scale.at(which)
    scaled = replace(scored, rows=kept, score=score, channel_score=blamed, limit=limit, scale=scale)
    return scaled, len(which) < len(rows)
