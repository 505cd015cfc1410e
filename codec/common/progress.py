"""Bars on a terminal; elsewhere a line a minute, since a bar that is redrawn into a log fills it."""

from __future__ import annotations

import sys
import time
from typing import IO, Any, cast

from tqdm import tqdm

__all__ = ["progress_bar"]

#: Seconds between lines where there is no terminal.
_SECONDS = 60.0


class _Lines:
    """A stream for tqdm that ends each state of the bar with a newline."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if line := text.strip("\r\n \x1b[A"):
            self._stream.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


class _Rare(tqdm):  # type: ignore[misc]
    """A bar that shows itself no more often than a log should have lines."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._shown = time.monotonic()
        super().__init__(*arguments, **settings)

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> Any:
        """As tqdm's, where it is time."""
        now = time.monotonic()
        if now - self._shown < _SECONDS:
            return False
        self._shown = now
        return super().refresh(nolock, lock_args)


def progress_bar(**settings: Any) -> Any:
    """A tqdm bar on standard error, which leaves nothing there; `settings` are tqdm's."""
    stream = sys.stderr
    if stream is None:
        return tqdm(**settings | {"disable": True})
    if stream.isatty():
        return tqdm(file=stream, leave=False, **settings)
    lines = cast(IO[str], _Lines(stream))
    rare = {"mininterval": _SECONDS, "delay": _SECONDS}
    return _Rare(file=lines, leave=False, ascii=True, ncols=100, **settings | rare)
