"""The monitor as a process that is measured."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from aez.bench.load.process import Process
from aez.codec.errors import AezError

__all__ = ["MonitorProcess", "sum_of"]

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_numbers = itertools.count()


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
