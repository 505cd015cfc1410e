"""SIGHUP before there is anybody to reload: noted, so that it ends no process that only begins.

Nothing heavy is imported here, for this comes before everything else.
"""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["note_hangups", "noted"]

_noted = False


def note_hangups() -> None:
    """From now on SIGHUP is noted and does nothing else; only in the main thread, and where the system has it."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _note)


def noted() -> bool:
    """Whether one came since the last call."""
    global _noted
    found, _noted = _noted, False
    return found


def _note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
    global _noted
    _noted = True
