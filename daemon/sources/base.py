"""What a source is: one small contract, which all of them hold to.

Each source's module opens with what it guarantees, and declares its options beside its class. Common to all:

- Chunks hold whole messages, in the order of their arrival, and per stream in the order in which they were sent.
- Memory is bounded: while `put` blocks, a source reads no further than its stated bound.
- `acknowledge(position)` covers everything put up to that position. Nothing is confirmed to a sender before it.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from aez.codec.errors import InvalidArgument
from aez.daemon.common.limits import Limits
from aez.daemon.common.options import Options, about
from aez.daemon.common.own_files import NONE, OwnFiles
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.retry import Backoff
from aez.daemon.sources.lines import CsvLines

__all__ = ["Put", "Source", "SourceOptions"]

#: What a source calls with each chunk. It blocks while the queue is full.
Put = Callable[[Chunk], None]

_log = logging.getLogger(__name__)
#: How the status of a source begins that was started and has not failed yet.
_BEGINNING = ("not connected yet", "not listening yet")


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """What every source can be told; each kind narrows the formats."""

    format: str = field(default="json", metadata=about("what messages are"))


class Source(ABC):
    """A place that telemetry comes from. Making one checks its options and connects to nothing.

    A source is started once. The order of calls is `start`, any number of `acknowledge`, `stop`, the last
    `acknowledge` of what was still queued, `close`. All but `start` may come from any thread.

    name: of the source in the configuration. limits: the bounds that all parts keep to.
    done: set when the input has ended and nothing more will be put; never set by sources that have no end.

    Raises InvalidArgument for options that do not go together, AezError where a library is missing.
    """

    #: What the kind can be told.
    Options: ClassVar[type[SourceOptions]]
    #: The options of parsing (`aez.daemon.parse.options`) that apply to it; None: all of them.
    parsing: ClassVar[tuple[str, ...] | None] = None
    #: What it reads may come later: that it is not there, or may not be read, is no reason to refuse a configuration.
    may_come_later: ClassVar[bool] = False

    def __init__(self, name: str, options: SourceOptions, limits: Limits | None = None) -> None:
        self.name = name
        self.format = options.format
        self.limits = limits or Limits()
        self.done = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._trouble = ""
        self._csv = CsvLines()
        self._own = NONE
        self._left_out: set[str] = set()  # said
        self._told = False  # whether the log has that there is trouble

    @abstractmethod
    def start(self, put: Put, position: Position | None = None) -> None:
        """Begin to read in threads of its own, behind `position` where the source can; returns at once.

        Args:
            put: called with each chunk, from one thread at a time; blocks while the queue is full.
            position: the last one that was made durable; None at the first start.
        """

    def acknowledge(self, position: Position) -> None:  # noqa: B027 - sources that nobody waits for need nothing
        """Everything put up to `position` is durable. Older positions, and the same again, change nothing."""

    def stop(self, timeout: float = 5.0) -> None:
        """Read no more: nothing is put after this returns, unless a `put` blocks for longer than `timeout` seconds."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Give back connections and files; what was not acknowledged comes again after a restart, where it can."""
        self.stop()

    def without_header(self) -> None:  # noqa: B027 - most formats have none
        """The configuration names the columns of CSV, so the data do not; called before the start."""

    def read_csv(self, separator: str, times: Sequence[str]) -> None:
        """What stands between the cells of CSV, and what the time's column may be called; called before the start."""
        self._csv = CsvLines(separator, times)

    def leave_out(self, own: OwnFiles) -> None:
        """These files are the monitor's own, and never read; called before the start, and when they change."""
        self._own = own

    def renew(self) -> None:  # noqa: B027 - most sources show no certificate
        """Read the certificate that it shows again, which was checked before; connections that are open keep theirs."""

    def _is_own(self, path: str) -> bool:
        """Whether a file that was found is the monitor's own, which is said once."""
        what = self._own.what(path)
        if what and path not in self._left_out:
            self._left_out.add(path)
            _log.warning("source %s: %s is left out, for it is the monitor's own (%s)", self.name, path, what)
        return bool(what)

    def status(self) -> str:
        """Why nothing can come in just now, in one sentence; empty while all is well."""
        return self._trouble

    @property
    def beginning(self) -> bool:
        """Whether it still tries for the first time to get at what it reads."""
        return self._trouble.startswith(_BEGINNING)

    def _set_trouble(self, trouble: str) -> None:
        """Note a change of `status` and log it once."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            _log.warning("source %s: %s", self.name, trouble)
        elif self._told:
            _log.info("source %s: well again", self.name)
        self._told = bool(trouble)

    def _spawn(self, target: Callable[[], None], purpose: str = "read") -> None:
        """Run `target` in a thread; should it raise, run it again after a pause that grows to 30 s."""
        if self._threads and purpose in {thread.name.rpartition("-")[2] for thread in self._threads}:
            raise InvalidArgument(f"Source {self.name!r} was started before; a source is started once.")

        def run() -> None:
            backoff = Backoff(well_seconds=60)
            while not self._stopping.is_set():
                try:
                    target()
                    return
                except Exception as error:  # noqa: BLE001 - one file or message must not end a source for good
                    _log.exception("source %s: failed; trying again", self.name)
                    self._set_trouble(f"failed and is tried again: {error}.")
                    backoff.wait(self._stopping)

        thread = threading.Thread(target=run, name=f"source-{self.name}-{purpose}", daemon=True)
        self._threads.append(thread)
        thread.start()
