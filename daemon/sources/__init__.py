"""Where telemetry comes in: one file per source, all behind one small contract.

Each source's module opens with what it guarantees. All of them hold to this:

- Chunks hold whole messages, in the order of their arrival, and per stream in the order in which they were sent.
- Memory is bounded: while `put` blocks, a source reads no further than its stated bound.
- `acknowledge(position)` covers everything put up to that position. Nothing is confirmed to a sender before it.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument
from aez.daemon.common.records import Chunk, Position
from aez.daemon.common.retry import Backoff

__all__ = ["FORMATS", "KINDS", "Put", "Source", "open_source"]

#: What a source calls with each chunk. It blocks while the queue is full.
Put = Callable[[Chunk], None]

#: Formats of a chunk's data.
FORMATS = ("json", "csv", "line", "arrow", "image")

#: Kinds of source as the configuration names them, with the module and class of each.
KINDS = {
    "stdin": ("stdin", "Stdin"),
    "file": ("files", "Files"),
    "frames": ("frames", "Frames"),
    "http": ("http_push", "HttpPush"),
    "mqtt": ("mqtt", "Mqtt"),
    "nats": ("nats", "Nats"),
    "nats_tap": ("nats_tap", "NatsTap"),  # a second reader; no configuration names it
}

_log = logging.getLogger(__name__)


class Source(ABC):
    """A place that telemetry comes from.

    A source is started once. The order of calls is `start`, any number of `acknowledge`, `stop`, the last
    `acknowledge` of what was still queued, `close`. All but `start` may come from any thread.

    name: of the source in the configuration. format: of its data, one of `FORMATS`.
    done: set when the input has ended and nothing more will be put; never set by sources that have no end.
    """

    def __init__(self, name: str, format: str) -> None:
        if format not in FORMATS:
            raise InvalidArgument(f"Source {name!r}: format is {format!r}; use one of {', '.join(FORMATS)}.")
        self.name = name
        self.format = format
        self.done = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._trouble = ""

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

    def renew(self) -> None:  # noqa: B027 - most sources show no certificate
        """Read the certificate that it shows again, which was checked before; connections that are open keep theirs."""

    def status(self) -> str:
        """Why nothing can come in just now, in one sentence; empty while all is well."""
        return self._trouble

    def _set_trouble(self, trouble: str) -> None:
        """Note a change of `status` and log it once."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            _log.warning("source %s: %s", self.name, trouble)
        else:
            _log.info("source %s: well again", self.name)

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


def open_source(kind: str, name: str, **options: Any) -> Source:
    """The source of that kind (see `KINDS`); options are the keyword arguments of its class.

    Files of format "arrow" have a class of their own, which takes no options that speak of lines.

    Raises:
        InvalidArgument: no such kind, a missing or unknown option, or a value out of range.
        AezError: a library that the source needs is not installed.
    """
    if kind not in KINDS:
        raise InvalidArgument(f"Source {name!r}: kind is {kind!r}; use one of {', '.join(KINDS)}.")
    module, class_name = KINDS[kind]
    if kind == "file" and options.get("format") == "arrow":
        module, class_name = "arrow_files", "ArrowFiles"
        for of_lines in ("line_bytes", "from_beginning", "max_files", "header"):
            options.pop(of_lines, None)
    source_class = getattr(library(f"{__name__}.{module}", "monitor"), class_name)
    try:
        source = source_class(name, **options)
    except TypeError as error:
        raise InvalidArgument(f"Source {name!r} of kind {kind}: {error}.") from None
    assert isinstance(source, Source)
    return source
