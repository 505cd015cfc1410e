"""What systemd is told about the process, over the datagram socket that it names; nothing where there is none."""

from __future__ import annotations

import contextlib
import os
import socket
import time

__all__ = ["Notifier"]


class Notifier:
    """Sends states to the service manager (sd_notify(3)); `watchdog_seconds` is how often it wants to hear, or None.

    Guarantee: nothing raises, and nothing blocks.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        given = dict(os.environ) if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        microseconds, pid = given.get("WATCHDOG_USEC", ""), given.get("WATCHDOG_PID", str(os.getpid()))
        wanted = microseconds.isdigit() and int(microseconds) > 0 and pid == str(os.getpid())
        self.watchdog_seconds = int(microseconds) / 1e6 if wanted else None

    def ready(self, status: str = "") -> None:
        self.send("READY=1", *([f"STATUS={status}"] if status else []))

    def reloading(self) -> None:
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self.send("STOPPING=1")

    def progress(self) -> None:
        """Say that work goes on; only whoever makes progress may call it."""
        self.send("WATCHDOG=1")

    def send(self, *states: str) -> None:
        """Send states as one datagram."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto("\n".join(states).encode(), address)
