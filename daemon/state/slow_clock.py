"""A clock for retention: it follows another one, but no step of that other one makes it jump ahead."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["SlowClock"]

#: It gains on the clock that it follows at most so many seconds in each second that passes.
_RATE = 60


class SlowClock:
    """What was kept for a time goes by this clock, so that a wrong clock of a minute deletes an hour's worth at most.

    start: its time at first, in ns; None: what it is first told. ticks: ns of a clock that nobody sets.
    """

    def __init__(self, start: int | None = None, ticks: Callable[[], int] = time.monotonic_ns) -> None:
        self._now, self._ticks = start, ticks
        self._last = ticks()

    def follow(self, moment: int) -> int:
        """This clock's time, ns, where the other one shows `moment`; it goes back with it at once."""
        ticks = self._ticks()
        if self._now is None or moment < self._now:
            self._now = moment
        else:
            self._now = min(moment, self._now + _RATE * (ticks - self._last))
        self._last = ticks
        return self._now
