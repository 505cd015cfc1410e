"""The process's memory: what the C library keeps for the next batch, and what the garbage collector leaves alone."""

from __future__ import annotations

import ctypes
import gc
import sys

__all__ = ["keep_freed_memory", "leave_alone"]

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


def leave_alone() -> None:
    """Let the garbage collector pass over all that there is now, of which nearly all stays: modules, models, parts.

    It would look through them again and again, and once more at the end, which takes longer than to store what came
    last. What is garbage by the second call is collected then; it is for a process that is nothing but a monitor.
    """
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
    gc.freeze()
