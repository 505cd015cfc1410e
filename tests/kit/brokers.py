"""Real brokers for tests: Mosquitto and nats-server, each on a free port with its data in a folder of the test's.

Use: `from tests.kit.brokers import mosquitto, nats_server` in a test module, with `# noqa: F401` where only the
fixture's name is used. They fail the test where the program is not installed.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def find_program(name: str) -> str:
    """The program, also where /usr/sbin is not on the path; fails the test without it."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.fail(f"{name} is not installed; it is the Debian package of that name")
    return program


class Broker:
    """A broker process. start, stop and restart keep its port and its data; kill ends it without a goodbye."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.port = port
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"{self._command[0]} did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, pause: float = 0.0) -> None:
        self.stop()
        time.sleep(pause)
        self.start()


def start_mosquitto(folder: Path, *lines: str) -> Broker:
    """Mosquitto with persistence and no limit on queued messages; `lines` go into its configuration."""
    program = find_program("mosquitto")
    port = free_port()
    configuration = folder / "mosquitto.conf"
    settings = [
        f"listener {port} 127.0.0.1",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 1",
        "max_queued_messages 0",
        *([] if any(line.startswith("allow_anonymous") for line in lines) else ["allow_anonymous true"]),
        *(["user root"] if Path("/proc/self").owner() == "root" else []),
        *lines,
    ]
    configuration.write_text("\n".join(settings) + "\n")
    broker = Broker([program, "-c", str(configuration)], port, folder / "mosquitto.log")
    broker.start()
    return broker


def start_nats(folder: Path, *options: str) -> Broker:
    """nats-server with JetStream in `folder`; `options` go on its command line."""
    program = find_program("nats-server")
    port = free_port()
    command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder), *options]
    broker = Broker(command, port, folder / "nats.log")
    broker.start()
    return broker


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Mosquitto."""
    broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    yield broker
    broker.stop()


@pytest.fixture
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running nats-server with JetStream."""
    broker = start_nats(tmp_path_factory.mktemp("nats"))
    yield broker
    broker.stop()
