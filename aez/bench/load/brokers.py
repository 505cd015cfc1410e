"""Message brokers on free ports, each with its data in a folder: Mosquitto and nats-server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aez.bench.load.process import Process, free_port, until
from aez.codec.errors import AezError

__all__ = ["Broker", "mosquitto", "nats_server"]


class Broker:
    """A broker that is started, stopped and started again on the same port and data; as a context stopped at its end.

    `stop` lets it save what it holds.
    """

    def __init__(self, command: Sequence[str], port: int, folder: Path) -> None:
        self.port = port
        self._command, self._folder = list(command), folder
        self._process: Process | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it listens. Raises AezError."""
        process = Process(self._command, log=self._folder / "broker.log", folder=self._folder)
        self._process = process
        until(self._listens, 30, f"{Path(self._command[0]).name} listens", process)

    def stop(self) -> None:
        """End it in order; a second time does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.signal(signal.SIGTERM)
            with contextlib.suppress(AezError):
                process.wait(20)
            process.kill()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def mosquitto(folder: Path) -> Broker:
    """Mosquitto that keeps its sessions on disk and bounds no queue. Raises AezError where it is not installed."""
    port = free_port()
    settings = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 1",
        "max_queued_messages 0",
        "set_tcp_nodelay true",
        *(["user root"] if os.getuid() == 0 else []),
    ]
    path = folder / "mosquitto.conf"
    path.write_text("\n".join(settings) + "\n")
    return Broker([_program("mosquitto", "mosquitto"), "-c", str(path)], port, folder)


def nats_server(folder: Path) -> Broker:
    """nats-server with JetStream on disk. Raises AezError where it is not installed."""
    port = free_port()
    command = [_program("nats-server", "nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    return Broker(command, port, folder)


def _program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise AezError(f"this needs {name}, which is not installed: apt install {package}")
    return found
