"""`python -m aez.bench.monitor.stepped_clock FILE ARGUMENT...`: `aez ARGUMENT...` with a wall clock that can be set.

FILE holds by how many seconds the clock is off, and may change at any time. What is set is Python's `time.time` and
`time.time_ns`, before anything of aez is imported; the machine's own clock stays as it is.
"""

from __future__ import annotations

import runpy
import sys
import threading
import time
from pathlib import Path


class _Clock:
    """The wall clock, off by what a file says, which is read 50 times a second."""

    def __init__(self, path: Path) -> None:
        self._path, self._off = path, 0
        self._true = time.time_ns
        self._read()
        threading.Thread(target=self._follow, daemon=True).start()

    def time_ns(self) -> int:
        return self._true() + self._off

    def time(self) -> float:
        return self.time_ns() / 1e9

    def _follow(self) -> None:
        while True:
            time.sleep(0.02)
            self._read()

    def _read(self) -> None:
        text = self._path.read_text()
        if text.endswith("\n"):  # it is written whole
            self._off = int(float(text) * 1e9)


if __name__ == "__main__":
    _clock = _Clock(Path(sys.argv.pop(1)))
    time.time_ns = _clock.time_ns
    time.time = _clock.time
    runpy.run_module("aez", run_name="__main__", alter_sys=True)
