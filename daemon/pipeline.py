"""From the sources' chunks to durable state: a bounded queue, and the one thread that works it off.

Guarantees: a position is acknowledged only after the transaction that holds it, the state of every touched stream and
the events that follow; what waits is bounded in chunks and bytes, and a full queue holds the sources back; a state that
cannot be written is tried again while everything waits, and nothing is dropped for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from aez.codec.errors import AezError
from aez.daemon.database import StoreError
from aez.daemon.dead_letters import DeadLetters
from aez.daemon.metrics import Metrics
from aez.daemon.records import Chunk, EventRecord, Malformed, Position, Samples

__all__ = ["Engine", "Intake", "Parser", "Store", "Worker"]

_log = logging.getLogger(__name__)
#: A batch is cut at so many bytes, and the queue holds so many at most.
_BATCH_BYTES = 4 << 20
_QUEUE_BYTES = 64 << 20
_TICK_SECONDS = 0.5
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Parser(Protocol):
    """Turns the bytes of consecutive chunks of one source and format into samples."""

    def parse_many(self, chunks: Sequence[Chunk]) -> tuple[list[Samples], list[Malformed]]: ...


class Engine(Protocol):
    """Scores samples and follows events; see `aez.daemon.engine`."""

    def process(self, samples: list[Samples]) -> list[EventRecord]: ...
    def tick(self, now_ns: int) -> list[EventRecord]: ...
    def flush(self, now_ns: int) -> list[EventRecord]: ...
    def touched(self) -> Mapping[str, bytes]: ...
    def stats(self) -> Mapping[str, float]: ...


class Store(Protocol):
    """Keeps positions, states and events; see `aez.daemon.store`."""

    def commit(
        self, positions: Mapping[str, Position], states: Mapping[str, bytes], events: Sequence[EventRecord]
    ) -> object: ...


class Intake:
    """The bounded queue of chunks. `put` waits while it is full, and drops the chunk once it is closed."""

    def __init__(self, chunks: int = 64, size: int = _QUEUE_BYTES) -> None:
        self._limit, self._size_limit = chunks, size
        self._waiting: deque[Chunk] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, chunk: Chunk) -> None:
        """Take a chunk; one that was not taken is never acknowledged, so that its source gives it again."""
        with self._changed:
            while not self._closed and self._full(len(chunk.data)):
                self._changed.wait()
            if self._closed:
                return
            self._waiting.append(chunk)
            self._bytes += len(chunk.data)
            self._changed.notify_all()

    def _full(self, more: int) -> bool:
        return bool(self._waiting) and (len(self._waiting) >= self._limit or self._bytes + more > self._size_limit)

    def take(self, timeout: float, linger: float = 0.0) -> list[Chunk]:
        """The chunks of a batch, in order: waits `timeout` seconds for the first and up to `linger` for a full one."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            if linger > 0 and self._waiting and not self._closed:
                self._changed.wait_for(lambda: self._bytes >= _BATCH_BYTES or self._closed, linger)
            taken: list[Chunk] = []
            size = 0
            while self._waiting and (not taken or size + len(self._waiting[0].data) <= _BATCH_BYTES):
                taken.append(self._waiting.popleft())
                size += len(taken[-1].data)
            self._bytes -= size
            self._changed.notify_all()
        return taken

    def wake(self) -> None:
        """Let `take` look again; for work that does not come by a chunk."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._waiting)


@dataclass
class _Pending:
    """What was processed and is not durable yet."""

    positions: dict[str, Position] = field(default_factory=dict)
    events: list[EventRecord] = field(default_factory=list)
    oldest: float | None = None

    def __bool__(self) -> bool:
        return bool(self.positions or self.events)


class Worker:
    """The thread that parses, scores and commits.

    acknowledge: gets (source, position) after the commit. committed: is called after each commit with the events in it.
    batch_seconds: rows wait so long for others. commit_seconds: under load there is one commit in so many seconds; an
    event, or an empty queue, commits at once. progress: is called while work goes on, at least every half second.

    failure: what ended the thread before its time. stuck: why nothing can be committed just now, or nothing. rows: how
    many came in. refused: messages that could not be used.
    """

    def __init__(
        self,
        intake: Intake,
        parser: Parser,
        engine: Engine,
        store: Store,
        *,
        acknowledge: Callable[[str, Position], None],
        committed: Callable[[Sequence[EventRecord]], None] = lambda records: None,  # noqa: ARG005
        progress: Callable[[], None] = lambda: None,
        dead_letters: DeadLetters | None = None,
        metrics: Metrics | None = None,
        batch_seconds: float = 0.0,
        commit_seconds: float = 0.2,
    ) -> None:
        self.intake, self.engine, self.store = intake, engine, store
        self.parser = parser
        self.metrics = metrics or Metrics()
        self.failure: BaseException | None = None
        self.stuck = ""
        self.rows = self.refused = 0
        self.last_progress = time.monotonic()
        self._acknowledge, self._committed, self._progress = acknowledge, committed, progress
        self._dead_letters = dead_letters
        self._batch_seconds, self._commit_seconds = batch_seconds, commit_seconds
        self._pending = _Pending()
        self._calls: deque[Callable[[], None]] = deque()
        self._stop, self._give_up = threading.Event(), threading.Event()
        self._busy = False
        self._last_commit = self._last_tick = 0.0
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Work off what waits, commit it, and end."""
        self._stop.set()
        self.intake.close()

    def give_up(self) -> None:
        """End after the batch that is under way; what was not committed comes again after a restart."""
        self._give_up.set()
        self.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Whether the thread has ended, or never began."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and all that came is durable."""
        return not self._busy and not len(self.intake) and not self._pending and not self._calls

    def call(self, function: Callable[[], Any], timeout: float = 60.0) -> Any:
        """Run a function in the worker's thread between two batches and give what it gives, or raises."""
        if threading.current_thread() is self._thread:
            return function()
        done = threading.Event()
        result: list[Any] = []
        error: list[BaseException] = []

        def run() -> None:
            try:
                result.append(function())
            except BaseException as problem:  # noqa: BLE001 - it is raised where `call` was called
                error.append(problem)
            finally:
                done.set()

        self._calls.append(run)
        self.intake.wake()
        deadline = time.monotonic() + timeout
        while not done.wait(0.1):
            if not self.alive or time.monotonic() > deadline:
                raise TimeoutError("the worker does not answer")
        if error:
            raise error[0]
        return result[0]

    def _run(self) -> None:
        try:
            while not self._give_up.is_set():
                self._round()
                if self._stop.is_set() and not len(self.intake):
                    break
            if not self._give_up.is_set():
                self._commit()
        except BaseException as error:  # noqa: BLE001 - the process ends with it, see the service
            self.failure = error
            self.intake.close()
            _log.critical("the worker ended: %s", error, exc_info=not isinstance(error, AezError))

    def _round(self) -> None:
        """One turn: calls, a batch, the clock, perhaps a commit."""
        wait = _TICK_SECONDS
        if self._pending:
            wait = min(wait, max(0.0, self._last_commit + self._commit_seconds - time.monotonic()))
        chunks = self.intake.take(0.0 if self._calls else wait, self._batch_seconds)
        self._busy = True
        try:
            self._say_progress()
            if chunks:
                self._process(chunks)
            while self._calls:  # behind what was taken, so that a new parser or an end comes after it
                self._calls.popleft()()
            now = time.monotonic()
            if now - self._last_tick >= _TICK_SECONDS:
                self._last_tick = now
                self._note(self.engine.tick(time.time_ns()))
                self.metrics.set_counts(self.engine.stats())
            overdue = now - self._last_commit >= self._commit_seconds
            if self._pending and (self._pending.events or overdue or not len(self.intake)):
                self._commit()
        finally:
            self._busy = False
        self.metrics.queue.set(len(self.intake))
        self.metrics.queue_bytes.set(self.intake.size)

    def _process(self, chunks: list[Chunk]) -> None:
        start = time.perf_counter()
        runs = groupby(chunks, key=lambda chunk: (chunk.source, chunk.format))
        samples = [found for (source, _), run in runs for found in self._parse(source, list(run))]
        parsed = time.perf_counter()
        self._note(self.engine.process(samples))
        self.metrics.step_seconds.observe(time.perf_counter() - parsed)
        self.metrics.parse_seconds.observe(parsed - start)
        self.metrics.batch_rows.observe(sum(map(len, samples)))
        for chunk in chunks:
            self._pending.positions[chunk.source] = chunk.position
            self.metrics.bytes.labels(chunk.source).inc(len(chunk.data))
        oldest = min(chunk.received for chunk in chunks)
        self._pending.oldest = oldest if self._pending.oldest is None else min(oldest, self._pending.oldest)
        self.metrics.set_counts(self.engine.stats())

    def _parse(self, source: str, chunks: list[Chunk]) -> list[Samples]:
        try:
            samples, malformed = self.parser.parse_many(chunks)
        except Exception as error:  # noqa: BLE001 - a message that a parser did not foresee must not stop the others
            _log.exception("a chunk of source %s could not be parsed", source)
            self.metrics.errors.labels("parser").inc()
            if len(chunks) > 1:
                return [found for chunk in chunks for found in self._parse(source, [chunk])]
            samples, malformed = [], [Malformed("unforeseen", type(error).__name__, chunks[0].data[:1000])]
        self.rows += sum(map(len, samples))
        self.metrics.samples.labels(source).inc(sum(map(len, samples)))
        if malformed:
            self._refuse(source, malformed)
        return samples

    def _refuse(self, source: str, malformed: Iterable[Malformed]) -> None:
        letters = list(malformed)
        for letter in letters:
            self.refused += letter.count
            self.metrics.dropped.labels(letter.reason).inc(letter.count)
        if self._dead_letters is not None:
            self._dead_letters.add(source, letters)

    def _note(self, records: Sequence[EventRecord]) -> None:
        self._pending.events.extend(records)

    def _commit(self, *, always: bool = False) -> None:
        """Write what is pending, as often as it takes, and tell the sources."""
        pending = self._pending
        if not pending and not always:
            return
        states = self.engine.touched()
        attempt = 0
        start = time.perf_counter()
        while True:
            try:
                self.store.commit(pending.positions, states, pending.events)
                break
            except (OSError, StoreError) as error:
                if self._give_up.is_set():
                    raise
                self.stuck = f"the state cannot be written: {error}"
                self.metrics.errors.labels("store").inc()
                if attempt == 0:
                    _log.error("%s; everything waits until it can", self.stuck)
                self._say_progress()  # a restart would not make the disk larger
                self._give_up.wait(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
        if self.stuck:
            _log.info("the state can be written again")
            self.stuck = ""
        self._pending = _Pending()
        self._last_commit = time.monotonic()
        self.metrics.commits.inc()
        self.metrics.commit_seconds.observe(time.perf_counter() - start)
        if pending.oldest is not None:
            self.metrics.lag.set(self._last_commit - pending.oldest)
        for record in pending.events:
            self.metrics.events.labels(record.action).inc()
        for source, position in pending.positions.items():
            self._acknowledge(source, position)
        self._committed(pending.events)

    def settle(self) -> None:
        """Work off what waits now and commit it; only from within `call`."""
        left = len(self.intake)
        while left > 0:
            chunks = self.intake.take(0.0)
            self._process(chunks)
            left -= len(chunks)
        self._commit()

    def flush(self) -> None:
        """Score what waits for late samples and commit it; the data end here."""

        def run() -> None:
            self._note(self.engine.flush(time.time_ns()))
            self._commit(always=True)
            self.metrics.set_counts(self.engine.stats())

        self.call(run)

    def _say_progress(self) -> None:
        self.last_progress = time.monotonic()
        self._progress()
