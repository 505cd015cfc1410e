"""Processes that are measured, and waiting for what they do. Needs psutil, of the extra `bench`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aez.codec.common.extras import library
from aez.codec.errors import AezError

__all__ = ["Process", "free_port", "until"]


def free_port() -> int:
    """A port of loopback that nobody listens at just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(
    condition: Callable[[], object], seconds: float, what: str, alive: Process | None = None, pause: float = 0.02
) -> None:
    """Wait until it holds, `pause` seconds between looks.

    Raises AezError after so many seconds, or when the process it depends on has ended.
    """
    end = time.monotonic() + seconds
    while not condition():
        if alive is not None and alive.ended:
            raise AezError(f"waiting until {what}: the process ended with {alive.code}; {alive.words()}")
        if time.monotonic() > end:
            raise AezError(f"waiting until {what}: it did not come to that within {seconds:.0f} s")
        time.sleep(pause)


class Process:
    """A process with a log; as a context it is killed at the end. Raises AezError without psutil.

    cpu_seconds: user and system together, known once it has ended. peak: resident memory at most, bytes, as of the last
    call of `memory` or the end of `wait`.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        facts = _psutil().Process  # raises before anything is started
        self.log = log
        self.cpu_seconds = 0.0
        self.peak = 0
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
            )
        self.pid = self._process.pid
        self._facts = facts(self.pid)
        self._reaping = threading.Lock()
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def ended(self) -> bool:
        return self._reap(os.WNOHANG)

    @property
    def code(self) -> int | None:
        """The exit code; negative for a signal, None while it runs."""
        return self._code

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with self._reaping:
            if self._code is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            self._reap(0)

    def wait(self, seconds: float) -> float:
        """Wait for its end; when that was, `time.monotonic()`. Raises AezError when it takes longer."""
        until(lambda: (self.memory(), self.ended)[1], seconds, "a process ends")
        return time.monotonic()

    def words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def memory(self) -> int:
        """Resident memory now, bytes; 0 where it has ended."""
        self.peak = max(self.peak, _most_memory(self.pid))
        try:
            return int(self._facts.memory_info().rss)
        except _psutil().Error:
            return 0

    def cpu_now(self) -> float:
        """Seconds of processor so far, user and system; 0.0 where it has ended."""
        try:
            times = self._facts.cpu_times()
        except _psutil().Error:
            return 0.0
        return float(times.user + times.system)

    def _reap(self, flags: int) -> bool:
        with self._reaping:
            if self._code is None:
                pid, status, usage = os.wait4(self.pid, flags)
                if pid:
                    self.cpu_seconds = usage.ru_utime + usage.ru_stime
                    self._code = self._process.returncode = os.waitstatus_to_exitcode(status)
            return self._code is not None


def _psutil() -> Any:
    return library("psutil", "bench")


def _most_memory(pid: int) -> int:
    """Resident memory at most so far, bytes, which psutil does not tell; 0 where the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) * 1024
    return 0
