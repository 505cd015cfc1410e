"""A real PostgreSQL for tests, on a free port, with a user whose password is `s3cr3t-password`.

`running_postgres()` starts it once; each test begins by `empty()`. PostgreSQL refuses to run as root;
there it runs as the user postgres, which the package made.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.kit.brokers import free_port

PASSWORD = "s3cr3t-password"


def _program(name: str) -> str:
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        pytest.fail(f"{name} is missing; install the Debian package postgresql")
    return found


class PostgresServer:
    """start, stop and restart keep its port and its data; stop ends its connections."""

    def __init__(self) -> None:
        initdb = _program("initdb")
        self.folder = Path(tempfile.mkdtemp(prefix="aez-postgres-"))  # not pytest's, which root alone may enter
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {"start_new_session": True}  # a Ctrl+C is not for it
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [initdb, "-D", self.folder / "data", "-U", "me", "-A", "scram-sha-256", "--no-sync"]
        locale = ["--encoding=UTF8", "--locale=C", f"--pwfile={secret}"]
        subprocess.run([*command, *locale], check=True, capture_output=True, cwd=self.folder, **self._user)

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self.folder / "data", *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._user,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        pytest.fail(f"postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(), password=PASSWORD, autocommit=True, connect_timeout=10)

    def url(self, user: str = "me") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/postgres"

    def empty(self) -> None:
        """Take away what a test before this one has stored."""
        with self.connect() as connection:
            connection.execute(b"SET client_min_messages = error")
            connection.execute(b"DROP SCHEMA IF EXISTS aez CASCADE")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def running_postgres() -> PostgresServer:
    """A running PostgreSQL, the same for all tests of a process; it ends with the process."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server
