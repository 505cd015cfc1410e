"""Waiting for what other threads and processes do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def until(condition: Callable[[], object], seconds: float = 60.0, pause: float = 0.01) -> None:
    """Wait until the condition holds, and fail after `seconds`, which are many more than it ever takes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(pause)


@contextmanager
def standing_still(process: int) -> Iterator[None]:
    """Stop a process with all its threads, which take the signal one by one, and let it go on afterwards."""
    os.kill(process, signal.SIGSTOP)
    try:
        until(lambda: all(_state(task) == "T" for task in Path(f"/proc/{process}/task").iterdir()))
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(") ")[2][0]
