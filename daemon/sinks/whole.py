"""A bound on the whole of an attempt, for libraries that bound each step of one alone.

A peer that sends a byte a second keeps every step short, and the attempt going for hours; a name that nobody resolves
cannot be given up at all. So the attempt runs in a thread of its own, which is left behind where it does not end.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["shut", "within"]

T = TypeVar("T")

_END_SECONDS = 1.0  # for what was cut to notice it


def within(seconds: float, work: Callable[[], T], cut: Callable[[], object] = lambda: None) -> T:
    """What `work` returns or raises. After `seconds` `cut` is called, which shall end it, and TimeoutError is raised.

    Where that does not end it, its thread goes on alone and must touch nothing that is used again.
    """
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where `within` was called
            raised.append(error)

    thread = threading.Thread(target=run, name=f"{threading.current_thread().name}-attempt", daemon=True)
    deadline = time.monotonic() + seconds
    thread.start()
    thread.join(seconds)
    if thread.is_alive() or (raised and time.monotonic() >= deadline):
        with contextlib.suppress(Exception):  # it may have ended by itself
            cut()
        thread.join(_END_SECONDS)
        raise TimeoutError
    if raised:
        raise raised[0]
    return found[0]


def shut(connection: Any) -> None:
    """End a socket that another thread waits at, which closing it would not."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
