"""Pauses between attempts at what fails: they double up to a bound, and begin anew once all was well.

Each is drawn between half of that and all of it, so that many monitors that lost the same broker do not knock together.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time

__all__ = ["Backoff", "pause_after"]

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0


def pause_after(failures: int, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> float:
    """Seconds to wait after so many failures in a row, 1 or more; they double from `first` to `longest`."""
    return random.uniform(0.5, 1) * min(longest, first * 2.0 ** min(failures - 1, 60))


class Backoff:
    """Counts the failures of one thing in a row, and waits after each. One thread, or one loop, uses it.

    first, longest: seconds. well_seconds: an attempt that lasted longer before it failed counts as one that went well;
    None where only `well` says so.
    """

    def __init__(
        self, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS, *, well_seconds: float | None = None
    ) -> None:
        self._first, self._longest, self._well_seconds = first, longest, well_seconds
        self._begun = time.monotonic()
        #: In a row.
        self.failures = 0

    def well(self) -> None:
        """It worked: the next pause is the shortest again."""
        self.failures, self._begun = 0, time.monotonic()

    def failed(self) -> float:
        """Count a failure; returns the seconds to wait now."""
        if self._well_seconds is not None and time.monotonic() - self._begun > self._well_seconds:
            self.failures = 0
        self.failures += 1
        return pause_after(self.failures, self._first, self._longest)

    def wait(self, end: threading.Event) -> None:
        """Count a failure and wait; `end` ends the pause."""
        end.wait(self.failed())
        self._begun = time.monotonic()

    async def wait_async(self, end: asyncio.Event) -> None:
        """The same in an event loop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), self.failed())
        self._begun = time.monotonic()
