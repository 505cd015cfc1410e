"""The C library's memory: how much of what was freed it keeps for the next batch."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let arrays of a few MiB come from memory that the process already has.

    By default glibc takes each of them fresh from the system, whose zeroing of pages costs parsing a fifth of its
    speed. What is kept is bounded by what was once used at a time. Where the library is another one nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, 64 << 20)):
        mallopt(parameter, value)
