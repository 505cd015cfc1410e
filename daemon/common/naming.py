"""Many names in one line for people."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["few", "first"]


def few(names: Sequence[str]) -> str:
    """Streams in the log: the first of them, and how many there are."""
    if len(names) == 1:
        return f"stream {names[0]}"
    return f"{len(names)} streams ({first(names)})"


def first(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
