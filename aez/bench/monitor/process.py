"""Processes that are measured: the monitor itself, and whatever loads it."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aez.codec.errors import AezError

__all__ = ["MonitorProcess", "Process", "free_port", "sum_of", "until"]

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_numbers = itertools.count()


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
    """A process with a log; as a context it is killed at the end.

    cpu_seconds: user and system together, known once it has ended. peak: resident memory at most, bytes, as of the last
    call of `memory` or the end of `wait`.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self.cpu_seconds = 0.0
        self.peak = 0
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
            )
        self.pid = self._process.pid
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
        found = {}
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in ("VmRSS", "VmHWM"):
                    found[name] = int(value.split()[0]) * 1024
        self.peak = max(self.peak, found.get("VmHWM", 0))
        return found.get("VmRSS", 0)

    def cpu_now(self) -> float:
        """Seconds of processor so far, user and system; 0.0 where it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _reap(self, flags: int) -> bool:
        with self._reaping:
            if self._code is None:
                pid, status, usage = os.wait4(self.pid, flags)
                if pid:
                    self.cpu_seconds = usage.ru_utime + usage.ru_stime
                    self._code = self._process.returncode = os.waitstatus_to_exitcode(status)
            return self._code is not None


class MonitorProcess(Process):
    """`aez monitor run CONFIG`, which says when it is ready as it would to systemd.

    port: of its page, for `metrics`. module: what runs in place of `aez`, with the same arguments.
    """

    def __init__(
        self, config: Path, *options: str, port: int = 0, module: Sequence[str] = ("aez",), log: Path | None = None
    ) -> None:
        self._port = port
        name = f"aez-bench-{os.getpid()}-{next(_numbers)}"
        self._words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._words.bind(f"\0{name}")
        self._words.settimeout(0.1)
        super().__init__(
            [sys.executable, "-m", *module, "monitor", "run", str(config), *options],
            log=log or config.parent / "monitor.log",
            folder=config.parent,
            environment={"NOTIFY_SOCKET": f"@{name}"},
        )

    def ready(self, seconds: float = 120.0) -> float:
        """Wait until it watches; returns when that was, `time.monotonic()`. Raises AezError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in self._words.recv(4096):
                    return time.monotonic()
            if self.ended:
                break
        raise AezError(f"the monitor did not get ready: {self.words()}")

    def metrics(self) -> dict[str, float]:
        """Its figures, by name with labels. Raises OSError."""
        text = self._get("/metrics").decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def is_ready(self) -> bool:
        """What /readyz says; False where it does not answer."""
        try:
            self._get("/readyz")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> bytes:
        with _OPENER.open(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def kill(self) -> None:
        super().kill()
        self._words.close()


def sum_of(metrics: Mapping[str, float], name: str) -> float:
    """The sum of a figure over its labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)
