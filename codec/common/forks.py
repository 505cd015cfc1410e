"""What a forked child inherits and must leave alone: objects with threads, which do not exist in the child.

Ending such an object there waits for its threads for ever.
"""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["end_at_once", "set_aside"]


def set_aside(inherited: object) -> None:
    """Keep an object, and what it holds, until the process is gone; not even the interpreter's end destroys it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def end_at_once() -> None:
    """Let this process end, behind all that Python does then, without what its C libraries do at their end.

    ONNX Runtime waits there for threads that a forked child does not have. Only where the C library has `on_exit`.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)
