"""From the outbox to the sinks: one thread for each, so that a slow or absent one holds back itself alone.

**Guarantee.** A step counts as delivered once its sink took it, and its cursor moves then: at least once, in order. A
sink that fails is tried again for ever, after pauses that double up to `longest` and are drawn between half of that and
all of it, so that many monitors do not knock together. After `trip_after` failures in a row the circuit is open: each
attempt then is a single step, until one goes through. Steps that a sink refuses for good are put aside with the reason
and counted (`Store.rejected`), and the rest goes on. What waits lies in the store, not in memory. A sink that hangs in
the middle of a delivery counts as failing once that takes longer than it ever should.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.common.records import DeliveryStatus, EventRecord
from aez.daemon.common.retry import pause_after
from aez.daemon.observe.traces import Traces
from aez.daemon.sinks.base import Rejected, Sink
from aez.daemon.state.store import Pending, Store

__all__ = ["Deliveries", "Delivery", "Retry"]

log = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0  # between looks at the outbox without being woken
_HUNG_SECONDS = 5.0  # that a delivery may take beyond its sink's own bound, which it should have kept to


@dataclass(frozen=True)
class Retry:
    """When to try again.

    first, longest: seconds; pauses double from one to the other. trip_after: so many failures in a row open a circuit.
    """

    first: float = 0.5
    longest: float = 60.0
    trip_after: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest or self.trip_after < 1:
            raise InvalidArgument(
                "a retry has pauses 0 < first <= longest and trips after 1 failure or more, not "
                f"{self.first!r}, {self.longest!r} and {self.trip_after!r}"
            )

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, 1 or more."""
        return pause_after(failures, self.first, self.longest)


class Delivery:
    """One sink, which `store.register_sinks` has named, and its thread.

    batch: steps handed over at once, 1 or more. traces: where each attempt is noted.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        sink: Sink,
        *,
        batch: int = 100,
        retry: Retry | None = None,
        traces: Traces | None = None,
    ) -> None:
        if batch < 1:
            raise InvalidArgument(f"a delivery hands over 1 step or more at once, not {batch}")
        self.name, self.sink = name, sink
        self._store, self._batch, self._retry = store, batch, retry or Retry()
        self._traces = traces
        self._news = threading.Event()  # something to look at: a commit, or the end
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._failures = self._failed_in_row = 0
        self._taken: tuple[int, int] | None = None  # steps that the sink took and the store does not know of
        self._failing_since: float | None = None
        self._begun: float | None = None  # the attempt that is under way
        self._hung = False  # said of it
        self._last_error = ""
        self._refresh_at = 0.0
        self._thread: threading.Thread | None = None

    def start(self, passes: Callable[[], bool] = lambda: True) -> None:
        """Begin; a second time does nothing. passes: is called first in the thread, may wait, and may say no."""
        if self._thread is None:
            self._store.listen(self._news.set)
            self._thread = threading.Thread(target=self._run, args=(passes,), name=f"sink-{self.name}", daemon=True)
            self._thread.start()

    def ask_to_stop(self, drain_seconds: float = 0.0) -> None:
        """Deliver what is pending for at most so long, and end; at once where the circuit is open."""
        self._drain_until = time.monotonic() + drain_seconds
        self._stopping.set()
        self._news.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end; False when the sink still holds the thread, which ends with the process."""
        if self._thread is None:
            return True
        self._store.unlisten(self._news.set)
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def status(self) -> DeliveryStatus:
        """As of now. Raises as `Store.progress` does."""
        progress = self._store.progress(self.name)
        since, hangs = self._failing_since, self._hangs()
        return DeliveryStatus(
            name=self.name,
            pending=progress.pending,
            delivered=progress.delivered,
            dropped=progress.dropped,
            rejected=progress.rejected,
            failures=self._failures,
            failed_in_row=self._failed_in_row,
            circuit="open" if self._tripped else "closed",
            last_error=hangs or self._last_error,
            lag=0.0 if since is None else time.monotonic() - since,
        )

    def _hangs(self) -> str:
        """Why the attempt that is under way counts as failed, which is logged once; empty where it does not."""
        begun = self._begun
        if begun is None or (seconds := time.monotonic() - begun) <= self.sink.timeout_seconds + _HUNG_SECONDS:
            return ""
        text = f"it hangs: a delivery goes on for {seconds:.0f} s, and should take {self.sink.timeout_seconds:g}"
        if not self._hung:
            self._hung = True
            log.error("sink %s: %s", self.name, text)
        return text

    @property
    def _tripped(self) -> bool:
        return self._failed_in_row >= self._retry.trip_after

    def _run(self, passes: Callable[[], bool]) -> None:
        try:
            while passes() and not self._ended():
                self._news.clear()
                pause = self._turn()
                if self._stopping.is_set():
                    if pause and (self._tripped or not self._failed_in_row):  # it is down, or has everything
                        return
                    time.sleep(min(pause, max(0.0, self._drain_until - time.monotonic())))
                elif pause:
                    # News do not hurry a sink that fails; the end does.
                    (self._stopping if self._failed_in_row else self._news).wait(pause)
        finally:
            self.sink.close()

    def _ended(self) -> bool:
        return self._stopping.is_set() and time.monotonic() >= self._drain_until

    def _turn(self) -> float:
        """Hand over what is next; returns how long to wait for more, 0 for not at all."""
        self._begun, self._hung = time.monotonic(), False
        try:
            self._note_taken()
            pending = self._store.pending(self.name, 1 if self._tripped else self._batch)
            if pending:
                with self._traced(pending):
                    self._hand_over(pending)
            refreshed = self._refresh()
        except Exception as error:  # noqa: BLE001 a sink with a fault of its own must not end its thread
            return self._failed(error)
        finally:
            self._begun = None
        if pending or refreshed:
            self._went_well()
        if pending:
            return 0.0
        if self.sink.refresh_seconds is None:
            return _IDLE_SECONDS
        return min(_IDLE_SECONDS, max(0.01, self._refresh_at - time.monotonic()))

    def _traced(self, pending: Sequence[Pending]) -> AbstractContextManager[None]:
        if self._traces is None:
            return nullcontext()
        return self._traces.delivery(self.name, [one.record for one in pending], self._failed_in_row + 1)

    def _hand_over(self, pending: Sequence[Pending]) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        try:
            self.sink.deliver([self._whole(one.record) for one in pending])
        except Rejected as refusal:
            if len(pending) == 1:
                log.error("sink %s refuses event %s for good: %s", self.name, pending[0].record.id, refusal)
                self._store.reject(self.name, pending[0], str(refusal))
                return
            for one in pending:  # which of them it is
                self._hand_over([one])
            return
        self._taken = pending[0].number, pending[-1].number
        self._note_taken()

    def _whole(self, record: EventRecord) -> EventRecord:
        """The step as the sink wants it."""
        return replace(record, curve=self._store.curve(record.id)) if self.sink.curves else record

    def _note_taken(self) -> None:
        """Move the cursor. Where the store cannot, the sink shall not get the steps again once it can."""
        if self._taken is not None:
            self._store.delivered(self.name, *self._taken)
            self._taken = None

    def _refresh(self) -> bool:
        every = self.sink.refresh_seconds
        if every is None or time.monotonic() < self._refresh_at or self._stopping.is_set():
            return False
        records: Sequence[EventRecord] = self._store.sent_open_records()
        if records:
            self.sink.refresh(records)
        self._refresh_at = time.monotonic() + every
        return bool(records)

    def _went_well(self) -> None:
        if self._failed_in_row:
            log.warning("sink %s takes events again after %d failures", self.name, self._failed_in_row)
        self._failed_in_row, self._last_error, self._failing_since = 0, "", None

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        self._failed_in_row += 1
        known = isinstance(error, AezError)
        # What other errors say may hold anything, a password for one.
        self._last_error = str(error) if known else f"a fault in the sink: {type(error).__name__}"
        pause = self._retry.pause(self._failed_in_row)
        if self._failed_in_row == 1 or self._failed_in_row == self._retry.trip_after:
            level = logging.ERROR if self._tripped else logging.WARNING
            log.log(level, "sink %s: %s; failure %d in a row", self.name, self._last_error, self._failed_in_row)
        if not known:
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("sink %s: %s in %s, line %s", self.name, type(error).__name__, where.filename, where.lineno)
        return pause


class Deliveries:
    """All sinks of a monitor, by name.

    Registers their names with the store. beside: names that stay registered, too, until `strike_out`. batch, retry,
    traces: for each. Raises as `Store.register_sinks` does.
    """

    def __init__(
        self,
        store: Store,
        sinks: Mapping[str, Sink],
        *,
        batch: int = 100,
        retry: Retry | None = None,
        traces: Traces | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        self._store, self._names = store, tuple(sinks)
        self._struck = not beside
        self._register([*sinks, *beside])
        self._deliveries = [
            Delivery(store, name, sink, batch=batch, retry=retry, traces=traces) for name, sink in sinks.items()
        ]

    def start(self, passes: Callable[[], bool] = lambda: True) -> None:
        """Begin delivering; `passes` as `Delivery.start` takes it."""
        for one in self._deliveries:
            one.start(passes)

    def strike_out(self, *, again: bool = True) -> None:
        """Let the store know these sinks alone; not `again` where it does. Raises as `Store.register_sinks` does."""
        if again or not self._struck:
            self._register(self._names)
            self._struck = True

    def _register(self, names: Iterable[str]) -> None:
        for name, pending in self._store.register_sinks(names).items():
            if pending:
                log.warning("sink %s is no longer configured; %d steps of events were still due to it", name, pending)

    def stop(self, drain_seconds: float = 0.0, close_seconds: float = 5.0) -> bool:
        """Deliver what is pending for at most `drain_seconds`, then end.

        Returns False when a sink did not end within `close_seconds` more; its thread ends with the process, and what it
        has in hand may reach that sink again through the next `Deliveries`. What was not delivered lies in the store.
        """
        end = time.monotonic() + drain_seconds + close_seconds
        for one in self._deliveries:
            one.ask_to_stop(drain_seconds)
        ended = [one.join(max(0.0, end - time.monotonic())) for one in self._deliveries]
        return all(ended)

    def statuses(self) -> tuple[DeliveryStatus, ...]:
        """One for each sink, in the order they were given."""
        return tuple(one.status() for one in self._deliveries)
