"""From the sources' chunks to durable state: the one thread that works the bounded queue off.

Guarantees: a position is acknowledged only after the transaction that holds it, the state of every touched stream and
the events that follow; what waits is bounded in chunks and bytes, and a full queue holds the sources back; a state that
cannot be written is tried again while everything waits, and nothing is dropped for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from aez.codec.errors import AezError
from aez.daemon.common.intake import Intake
from aez.daemon.common.records import (
    BatchEngine,
    BatchParser,
    BatchStore,
    Chunk,
    EventRecord,
    Malformed,
    Position,
    Samples,
)
from aez.daemon.common.retry import Backoff
from aez.daemon.observe.metrics import Metrics
from aez.daemon.observe.refused import RefusedStreams, tell_sender
from aez.daemon.observe.traces import BatchFacts, Traces
from aez.daemon.observe.unusable import UnusableSources
from aez.daemon.state.database import StoreError
from aez.daemon.state.dead_letters import DeadLetters

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
#: Where so many bytes wait, the next batch is parsed while one is scored; below, handing over costs more than it saves.
_AHEAD_BYTES = 128 << 10
_TICK_SECONDS = 0.5
#: Between two ticks, beside the time of the work itself, ns: nobody was here for longer.
_AWAY_NS = 10 * 10**9
#: While little comes in, there are so many seconds between commits for each second that one takes.
_COMMIT_SHARE = 10
#: Where what waits is older, events are committed less often, so that the worker may catch up: that share of the above.
_LATE_SECONDS, _LATE_SHARE = 0.05, 0.3
#: Between attempts to write the state: the first pause and the longest.
_RETRY_SECONDS = 0.1, 5.0


_Parsed = tuple[str, list[Samples], list[Malformed]]


@dataclass
class _Batch:
    """Chunks that were taken out of the queue, and what their parser makes of them: (source, samples, malformed).

    times: `time.monotonic()` when they were taken, and when parsing began and ended.
    """

    chunks: list[Chunk]
    parsed: Future[list[_Parsed]]
    times: list[float]


@dataclass
class _Pending:
    """What was processed and is not durable yet."""

    positions: dict[str, Position] = field(default_factory=dict)
    events: list[EventRecord] = field(default_factory=list)
    oldest: float | None = None

    def __bool__(self) -> bool:
        return bool(self.positions or self.events)


class Worker:
    """The thread that parses, scores and commits; under load a second one parses the next batch meanwhile.

    acknowledge: gets (source, position) after the commit. committed: is called after each commit with the events in it.
    batch_seconds: rows wait so long for others. commit_seconds: under load there is one commit in so many seconds; an
    event commits at once unless more waits than a little. Otherwise it does as an empty queue does: commits when they
    are cheap. progress: is called while work goes on, at least every half second.

    failure: what ended the thread before its time. stuck: why nothing can be committed just now, or nothing. rows: how
    many came in. refused: messages that could not be used; refusals: the streams that they were of.
    """

    def __init__(
        self,
        intake: Intake,
        parser: BatchParser,
        engine: BatchEngine,
        store: BatchStore,
        *,
        acknowledge: Callable[[str, Position], None],
        committed: Callable[[Sequence[EventRecord]], None] = lambda records: None,  # noqa: ARG005
        progress: Callable[[], None] = lambda: None,
        dead_letters: DeadLetters | None = None,
        metrics: Metrics | None = None,
        traces: Traces | None = None,
        batch_seconds: float = 0.0,
        commit_seconds: float = 0.2,
    ) -> None:
        self.intake, self.engine, self.store = intake, engine, store
        self.parser = parser
        self.metrics = metrics or Metrics()
        self._unusable, self.refusals = UnusableSources(), RefusedStreams()
        self.failure: BaseException | None = None
        self.stuck = ""
        self.rows = self.refused = 0
        self.last_progress = time.monotonic()
        self._acknowledge, self._committed, self._progress = acknowledge, committed, progress
        self._dead_letters, self._traces = dead_letters, traces
        self._batch_seconds, self._commit_seconds = batch_seconds, commit_seconds
        self._pending = _Pending()
        self._calls: deque[Callable[[], None]] = deque()
        self._stop, self._give_up = threading.Event(), threading.Event()
        self._busy = False
        self._last_commit = self._last_tick = self._rest_seconds = self._worked = 0.0
        self._wall = 0  # the clock at the last tick, ns
        self._ahead: _Batch | None = None
        self._parsing = ThreadPoolExecutor(1, "parser")
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def adjust(self, *, dead_letters: DeadLetters, batch_seconds: float, commit_seconds: float) -> None:
        """Go on with other settings; in the worker's thread, see `call`."""
        self._dead_letters = dead_letters
        self._batch_seconds, self._commit_seconds = batch_seconds, commit_seconds

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
    def ended(self) -> bool:
        """Whether the thread was there, and is no more."""
        return self._thread.ident is not None and not self._thread.is_alive()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and all that came is durable."""
        return not (self._busy or len(self.intake) or self._ahead or self._pending or self._calls)

    @property
    def lag(self) -> float:
        """Seconds since the arrival of the oldest data that are not durable yet; 0 where all are."""
        ahead = self._ahead
        moments = (self._pending.oldest, ahead.chunks[0].received if ahead else None, self.intake.oldest)
        return max((time.monotonic() - moment for moment in moments if moment is not None), default=0.0)

    def call(self, function: Callable[[], Any], timeout: float = 60.0) -> Any:
        """Run a function in the worker's thread between two batches and give what it gives, or raises."""
        if threading.current_thread() is self._thread:
            return function()
        future: Future[Any] = Future()
        self._post(lambda: _answer(future, function))
        if not self._wait(future, timeout):
            future.cancel()  # it shall not run later, when nobody waits for it
            raise TimeoutError("the worker does not answer")
        return future.result()

    def exchange(self, swap: Callable[[], None], timeout: float = 60.0) -> None:
        """Work off and commit what waits, then run `swap` between two batches; raises what it raises.

        Raises TimeoutError where that cannot be done in time; `swap` is then not run, not even later.
        """
        future: Future[None] = Future()

        def run() -> None:
            try:
                self.settle()
            except BaseException as error:  # noqa: BLE001 - it is raised where `exchange` was called
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            else:
                _answer(future, swap)

        self._post(run)
        if not self._wait(future, timeout) and future.cancel():
            raise TimeoutError("the worker does not answer")
        future.result()

    def _post(self, function: Callable[[], None]) -> None:
        self._calls.append(function)
        self.intake.wake()

    def _wait(self, future: Future[Any], timeout: float) -> bool:
        """Whether it was done in time."""
        deadline = time.monotonic() + timeout
        while self.alive and time.monotonic() < deadline:
            if wait((future,), min(0.1, timeout)).done:
                break
        return future.done()

    def _run(self) -> None:
        self._wall = time.time_ns()  # a clock that is set before the first tick is one that is set, too
        try:
            while not self._give_up.is_set():
                self._round()
                if self._stop.is_set() and not len(self.intake) and self._ahead is None:
                    break
            if not self._give_up.is_set():
                self._commit()
        except BaseException as error:  # noqa: BLE001 - the process ends with it, see the service
            self.failure = error
            self.intake.close()
            _log.critical("the worker ended: %s", error, exc_info=not isinstance(error, AezError))
        finally:
            self._parsing.shutdown(wait=False, cancel_futures=True)

    def _round(self) -> None:
        """One turn: calls, a batch, the clock, perhaps a commit."""
        wait = _TICK_SECONDS
        if self._pending:
            wait = min(wait, max(0.0, self._last_commit + self._rest_seconds - time.monotonic()))
        batch = self._next(0.0 if self._calls else wait, self._batch_seconds)
        self._busy, begun = True, time.monotonic()
        try:
            self._say_progress()
            if batch is not None:
                if self.intake.size >= _AHEAD_BYTES and not self._calls:
                    self._ahead = self._begin(self.intake.take(0.0), self._parsing.submit)
                self._process(batch)
            if self._calls:
                self._note(self.engine.settle())
            while self._calls:  # behind what was taken, so that a new parser or an end comes after it
                self._calls.popleft()()
            now = time.monotonic()
            if now - self._last_tick >= _TICK_SECONDS:
                self._tick(now, now - begun)
            if self._pending and now - self._last_commit >= self._commit_pause():
                self._commit()
        finally:
            self._busy = False
            self._worked += time.monotonic() - begun
        self.metrics.queue.set(len(self.intake))
        self.metrics.queue_bytes.set(self.intake.size)

    def _commit_pause(self) -> float:
        """Seconds from the last commit to the next one, as things stand."""
        if not self._pending.events:
            return self._rest_seconds if self._ahead is None and not len(self.intake) else self._commit_seconds
        if self._ahead is not None or self.intake.size >= _AHEAD_BYTES:
            return self._rest_seconds
        oldest = self.intake.oldest
        late = oldest is not None and time.monotonic() - oldest > _LATE_SECONDS
        return self._rest_seconds * _LATE_SHARE if late else 0.0

    def _tick(self, now: float, worked: float) -> None:
        """Tell the engine the time, and how long nobody was here since: the machine slept, or its clock was set."""
        wall, before = time.time_ns(), self._wall
        if before and wall - before - int((self._worked + worked) * 1e9) > _AWAY_NS:
            self.engine.absent(before, wall)
        self._last_tick, self._wall, self._worked = now, wall, -worked  # the round adds it at its end
        self._note(self.engine.tick(wall))
        self.refusals.tell()
        self.metrics.set_counts(self.refusals.beside(self.engine.stats()))

    def _next(self, timeout: float, linger: float = 0.0) -> _Batch | None:
        """The batch that was parsed ahead, or one that is taken now and parsed in this thread; None where none came."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead
        chunks = self.intake.take(timeout, linger)
        self._age(chunks)
        return self._begin(chunks, _at_once)

    def _age(self, chunks: Sequence[Chunk]) -> None:
        """Note since when what is in hand has waited to be durable."""
        moments = (self._pending.oldest, *(chunk.received for chunk in chunks))
        self._pending.oldest = min((moment for moment in moments if moment is not None), default=None)

    def _begin(self, chunks: list[Chunk], submit: Callable[..., Future[list[_Parsed]]]) -> _Batch | None:
        if not chunks:
            return None
        times = [time.monotonic()]
        return _Batch(chunks, submit(self._parse_all, chunks, times), times)

    def _process(self, batch: _Batch) -> None:
        self._age(batch.chunks)
        samples: list[Samples] = []
        for source, found, malformed in batch.parsed.result():
            rows = sum(map(len, found))
            self.rows += rows
            self.metrics.samples.labels(source).inc(rows)
            samples += [replace(one, source=source) for one in found]
            if malformed:
                self._refuse(source, malformed)
            self._unusable.take(source, rows, malformed)
            self.refusals.take(source, found, malformed)
            if rows:
                newest = max(int(one.time.max()) for one in found if len(one))
                self.metrics.newest.labels(source).set(newest / 1e9)
        start = time.monotonic()
        # A trace tells what followed from its batch, so that none may be left under way.
        records = self.engine.process(samples, ahead=self._ahead is not None and self._traces is None)
        end = time.monotonic()
        self._note(records)
        if self._dead_letters is not None and (letters := self.engine.take_letters()):
            self._dead_letters.add("", letters)
        self.metrics.step_seconds.observe(end - start)
        self.metrics.batch_rows.observe(sum(map(len, samples)))
        for chunk in batch.chunks:
            self._pending.positions[chunk.source] = chunk.position
            self.metrics.bytes.labels(chunk.source).inc(len(chunk.data))
        counts = self.engine.stats()
        self.metrics.set_counts(counts)
        if self._traces is not None:
            facts = BatchFacts(
                received=min(chunk.received for chunk in batch.chunks),
                taken=batch.times[0],
                parse_begin=batch.times[1],
                parse_end=batch.times[2],
                score_begin=start,
                score_end=end,
                sources=sorted({chunk.source for chunk in batch.chunks}),
                chunks=len(batch.chunks),
                size=sum(len(chunk.data) for chunk in batch.chunks),
                rows=sum(map(len, samples)),
                counts=counts,
                events=records,
            )
            self._traces.batch(facts)

    def _parse_all(self, chunks: Sequence[Chunk], times: list[float]) -> list[_Parsed]:
        start = time.monotonic()
        runs = groupby(chunks, key=lambda chunk: (chunk.source, chunk.format))
        found = [parsed for (source, _), run in runs for parsed in self._parse(source, list(run))]
        times += start, time.monotonic()
        self.metrics.parse_seconds.observe(times[-1] - start)
        return found

    def _parse(self, source: str, chunks: list[Chunk]) -> list[_Parsed]:
        try:
            samples, malformed = self.parser.parse_many(chunks)
            if malformed and any(chunk.refused for chunk in chunks):
                if len(chunks) > 1:  # which of them it is
                    return [found for chunk in chunks for found in self._parse(source, [chunk])]
                tell_sender(chunks[0], samples, malformed)
            return [(source, samples, malformed)]
        except Exception as error:  # noqa: BLE001 - a message that a parser did not foresee must not stop the others
            _log.exception("a chunk of source %s could not be parsed", source)
            self.metrics.errors.labels("parser").inc()
            if len(chunks) > 1:
                return [found for chunk in chunks for found in self._parse(source, [chunk])]
            return [(source, [], [Malformed("unforeseen", type(error).__name__, chunks[0].data[:1000])])]

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
        self._note(self.engine.settle())
        pending = self._pending
        if not pending and not always:
            return
        start = time.monotonic()
        states = self.engine.touched()
        backoff = Backoff(*_RETRY_SECONDS)
        while True:
            try:
                self.store.commit(pending.positions, states, pending.events)
                break
            except (OSError, StoreError) as error:
                if self._give_up.is_set():
                    raise
                self.stuck = f"the state cannot be written: {error}"
                self.metrics.errors.labels("store").inc()
                if not backoff.failures:
                    _log.error("%s; everything waits until it can", self.stuck)
                self._say_progress()  # a restart would not make the disk larger
                backoff.wait(self._give_up)
        if self.stuck:
            _log.info("the state can be written again")
            self.stuck = ""
        self._pending = _Pending()
        self._last_commit = time.monotonic()
        self._rest_seconds = min(self._commit_seconds, _COMMIT_SHARE * (self._last_commit - start))
        self.metrics.commits.inc()
        self.metrics.commit_seconds.observe(self._last_commit - start)
        self.metrics.last_commit.set_to_current_time()
        if pending.oldest is not None:
            self.metrics.delay_seconds.observe(self._last_commit - pending.oldest)
        for record in pending.events:
            self.metrics.events.labels(record.action).inc()
        for source, position in pending.positions.items():
            self._acknowledge(source, position)
        if self._traces is not None:
            self._traces.committed(start, self._last_commit, time.monotonic(), backoff.failures)
        self._committed(pending.events)

    def settle(self) -> None:
        """Work off what waits now and commit it; only from within `call`."""
        left = len(self.intake) + (len(self._ahead.chunks) if self._ahead else 0)
        while left > 0 and (batch := self._next(0.0)) is not None:
            self._process(batch)
            left -= len(batch.chunks)
        self._commit()

    def forget(self, seconds: float) -> int:
        """Let go of streams without a sample for so long, close what is open of them, and drop their states.

        Returns how many. Raises StoreError where the states cannot be dropped; a later start drops them then.
        """

        def run() -> int:
            gone = self.engine.forget(seconds)
            if gone:
                self._note(self.engine.tick(time.time_ns()))
                self._commit()
                self.store.forget_states(gone)
            return len(gone)

        found: int = self.call(run)
        return found

    def change_streams(self, change: Callable[[], Sequence[str]]) -> None:
        """Run what changes the engine's streams, commit it, and drop the states of those whose names it returns.

        Raises what it raises, and StoreError where the states cannot be dropped.
        """

        def run() -> None:
            gone = change()
            self._note(self.engine.tick(time.time_ns()))
            self._commit(always=True)
            self.store.forget_states(gone)

        self.call(run)

    def flush(self) -> None:
        """Score what waits for late samples and commit it; the data end here."""

        def run() -> None:
            self._note(self.engine.flush(time.time_ns()))
            self.refusals.tell()
            self._commit(always=True)
            self.metrics.set_counts(self.engine.stats())

        self.call(run)

    def _say_progress(self) -> None:
        self.last_progress = time.monotonic()
        self._progress()


def _answer(future: Future[Any], function: Callable[[], Any]) -> None:
    """Run it for whoever waits for the future, unless nobody does any more."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it is raised where the future is waited for
        future.set_exception(error)


def _at_once(function: Callable[..., list[_Parsed]], *arguments: Any) -> Future[list[_Parsed]]:
    """As an executor's `submit`, in the thread that calls."""
    future: Future[list[_Parsed]] = Future()
    future.set_result(function(*arguments))
    return future
