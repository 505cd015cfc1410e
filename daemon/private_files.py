"""Files that belong to the user of the monitor alone: what a stream says is nobody else's business."""

from __future__ import annotations

import os

__all__ = ["private"]


def private(path: str, flags: int) -> int:
    """An `opener` for `open`: a file that is made gets mode 0600, one that exists keeps its own."""
    return os.open(path, flags, 0o600)
