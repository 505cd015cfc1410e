"""One step of scoring: rows and what came before them in, scores and what the next rows need out.

`Scorer.step` is a pure function: its result depends on its arguments alone, and a stream can be scored by any process
that holds the same model. `Scorer.score` does the same for windows of many streams at once, in batches of a few fixed
sizes, because ONNX Runtime's memory grows with each new shape.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from aez.codec.detect.detector import WindowScores
from aez.codec.detect.rhythm.seasons import Beside
from aez.codec.errors import InvalidArgument
from aez.daemon.engine.routing import clean
from aez.daemon.rows.columns import Float, Ints

__all__ = ["BATCHES", "Scorer", "Scores", "WindowModel", "rows_view"]

#: Windows of a batch; the largest ones only where a batch has no more values than `_VALUES`.
BATCHES = (1, 32, 256, 1024)
_VALUES = 1 << 20


class WindowModel(Protocol):
    """What scores windows of channels, such as a `Detector` of `aez.codec.detect`."""

    window: int
    channels: tuple[str, ...]

    def score_batch(self, batch: Float, *, whole: bool = False) -> WindowScores: ...


class Scores(NamedTuple):
    """Of n rows: `score` float32 [n], `channel_score` float32 [n, channels]; NaN before the first whole window."""

    score: Float
    channel_score: Float


class Scorer:
    """Scores rows with a model, in `workers` threads where there are batches for them.

    `batches`, `windows` and `seconds` count what was run, fillers included; seconds of all threads.
    """

    def __init__(self, model: WindowModel, sizes: tuple[int, ...] = BATCHES, workers: int = 1) -> None:
        if not sizes or sizes[0] != 1 or list(sizes) != sorted(set(sizes)):
            raise InvalidArgument(f"batch sizes rise from 1, unlike {sizes}")
        self.model = model
        self.window, self.channels = model.window, len(model.channels)
        values = self.window * self.channels
        self.sizes = tuple(size for size in sizes if size == 1 or size * values <= _VALUES)
        self.batches = self.windows = 0
        self.seconds = 0.0
        self._threads = threading.local()
        self._pool = ThreadPoolExecutor(workers, "scorer") if workers > 1 else None

    def warm_up(self) -> None:
        """Run each batch size once, whole and with gaps, so that the first rows do not wait for it."""
        for size in self.sizes:
            for value in (0.0, np.nan):
                self.score(np.full((size + self.window - 1, self.channels), value, np.float32), np.arange(size))

    def step(self, key: str, batch: NDArray[np.floating], state: Float | None) -> tuple[Float, Scores]:
        """Score the next rows of a stream.

        Args:
            key: the stream's name; of no account for the scores, and there for whoever distributes streams by it.
            batch: [n, channels], the rows that came, in the sensors' units, NaN = missing.
            state: float32 [at most window - 1, channels], what `step` gave for the rows before; None at the start.

        Returns the next state and the scores of the rows, each of the window that ends there. Nothing that was passed
        is changed. Raises InvalidArgument for other shapes.
        """
        before = np.empty((0, self.channels), np.float32) if state is None else state
        if batch.ndim != 2 or before.ndim != 2 or {batch.shape[1], before.shape[1]} != {self.channels}:
            raise InvalidArgument(f"rows of stream {key} are [n, {self.channels}], not {list(batch.shape)}")
        with np.errstate(over="ignore"):
            rows = clean(np.concatenate([before.astype(np.float32), batch.astype(np.float32)]))
        score = np.full(len(rows), np.nan, np.float32)
        channel_score = np.full(rows.shape, np.nan, np.float32)
        if len(rows) >= self.window:
            found = self.score(rows, np.arange(len(rows) - self.window + 1))
            score[self.window - 1 :], channel_score[self.window - 1 :] = found
        kept = rows[max(0, len(rows) - self.window + 1) :].copy()
        return kept, Scores(score[len(before) :], channel_score[len(before) :])

    def score(self, rows: Float, starts: Ints, scale: Beside | None = None) -> Scores:
        """Scores of the windows of `rows`, float32 [n, channels] and contiguous, that begin at `starts`, int64 [k].

        `scale` [k, channels] are those of the windows' streams, of models that take them.
        """
        return self.begin(rows, starts, scale)()

    def begin(self, rows: Float, starts: Ints, scale: Beside | None = None) -> Callable[[], Scores]:
        """Begin with what `score` does, in other threads where there are batches for them; what comes back ends it.

        No argument may be changed before the end.
        """
        found = Scores(np.empty(len(starts), np.float32), np.empty((len(starts), self.channels), np.float32))
        places: list[tuple[slice | Ints, bool]]
        if not np.isnan(rows.min(initial=0.0)):
            places = [(batch, True) for batch in self._batches(len(starts))]
        else:
            # A window's score must not depend on the others in its batch: its own gaps say which graph it gets.
            gaps = np.append(0, np.cumsum(np.isnan(rows).any(axis=1)))
            gappy = gaps[starts + self.window] > gaps[starts]
            groups = ((np.flatnonzero(~gappy), True), (np.flatnonzero(gappy), False))
            places = [(mine[batch], whole) for mine, whole in groups for batch in self._batches(len(mine))]
        view = rows_view(rows, self.window)
        jobs = [partial(self._run, view, starts, found, place, whole, scale) for place, whole in places]
        if self._pool is None or len(jobs) < 2:
            for job in jobs:
                self.seconds += job()
            under_way = []
        else:
            under_way = [self._pool.submit(job) for job in jobs]

        def end() -> Scores:
            self.seconds += sum(future.result() for future in under_way)
            return found

        return end

    def _batches(self, total: int) -> Iterator[slice]:
        """The windows of each batch."""
        at = 0
        while at < total:
            size = self._size(total - at)
            yield slice(at, min(total, at + size))
            self.batches += 1
            self.windows += size
            at += size

    def _run(
        self, view: Float, starts: Ints, into: Scores, place: slice | Ints, whole: bool, scale: Beside | None
    ) -> float:
        """Score one batch of windows and put the scores in their place; the seconds that it took."""
        begun = time.perf_counter()
        mine = starts[place]
        count = len(mine)
        size = self._size(count)
        batch = self._buffer(size)
        low, high = int(mine[0]), int(mine[-1])  # they rise
        batch[:count] = view[low : high + 1] if high - low == count - 1 else view[mine]
        batch[count:] = batch[count - 1]
        more: dict[str, Any] = {}
        if scale is not None:
            more["scale"] = scale.at(place).at(np.minimum(np.arange(size), count - 1))
        found = self.model.score_batch(batch.reshape(size, self.window, self.channels), whole=whole, **more)
        into.score[place] = found.score[:count]
        into.channel_score[place] = found.channel_score[:count]
        return time.perf_counter() - begun

    def _size(self, left: int) -> int:
        """The batch for so many windows: the largest one that is at least half full, the second one from 2 on.

        A batch of 1 costs nearly as much as one of 32.
        """
        for size in reversed(self.sizes[2:]):
            if size <= 2 * left:
                return size
        return self.sizes[min(left, len(self.sizes), 2) - 1]

    def _buffer(self, size: int) -> Float:
        """Room for a batch, of this thread."""
        buffers: dict[int, Float] | None = getattr(self._threads, "buffers", None)
        if buffers is None:
            buffers = self._threads.buffers = {}
        if size not in buffers:
            buffers[size] = np.empty((size, self.window * self.channels), np.float32)
        return buffers[size]


def rows_view(rows: Float, length: int) -> Float:
    """Every `length` rows of a contiguous [n, channels], flattened: a view [n - length + 1, length * channels]."""
    step, channels = rows.strides[0], rows.shape[1]
    shape = (max(0, len(rows) - length + 1), length * channels)
    return as_strided(rows, shape, (step, rows.strides[1]), writeable=False)
