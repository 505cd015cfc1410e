"""One SQLite file shared by the threads of a monitor: opened, checked, locked, written in transactions.

A transaction is there wholly or not at all, whenever the process is killed. Those of `write()` are on the disk when it
returns (WAL with `synchronous=FULL`, one fsync each), so that they outlive a power cut as well; those of
`write(durable=False)` outlive the process at once and a power cut from the next durable one on.

Writers take turns on a lock of this process; readers never wait for them. The file must be on a local disk: WAL needs
shared memory.

Nothing is called written that is not in the file of that name: before and behind each transaction the file and its log
have to be those that were opened. Where they were deleted, moved or are on a disk that is gone, nothing is written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from aez.codec.errors import CorruptFile, VersionError
from aez.daemon.common.files import private
from aez.daemon.state.held import Held, StoreError, StoreFull, StoreLocked, StoreMoved

__all__ = [
    "Database",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreMoved",
    "StoreOlder",
    "Synchronous",
]

Synchronous = Literal["full", "normal"]

_log = logging.getLogger(__name__)
_APPLICATION = 0x61657A6D  # "aezm", in the file's header
_WAL_PAGES = 4000  # after so many a commit moves the log into the file
_WAL_BYTES = 64 << 20  # the log is cut down to this afterwards
_NOT_SQLITE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StoreCorrupt(CorruptFile):
    """The store's file is damaged, or no store."""


class StoreOlder(VersionError):
    """The store is of an older aez; who is exclusive makes it one of this."""


class Database:
    """The file and its connections.

    path: created when missing, with mode 0600, as are the files beside it; its folder is not created.
    schema: statements that create what is missing of the tables; `version` is theirs, kept in the file.
    migrations: statements that make a file of a version one of the next, by that version. All that a file needs are
        run in one transaction by who is exclusive; one of a version that none begins with is refused.
    exclusive: refuse a second `Database` that is exclusive as well, in whatever process and by whatever name of the
        file (see `Held`). Others may read and write beside it.
    synchronous: "full", or "normal": no fsync at a commit, so that a power cut may take back the last seconds.
    busy_seconds: how long to wait for the writer of another process.
    check: look through the whole file for damage, which takes about a second for each GB.

    Raises StoreError, StoreLocked, StoreCorrupt, and VersionError for a file of a newer or a too old aez.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: str,
        version: int,
        *,
        migrations: Mapping[int, str] | None = None,
        exclusive: bool = False,
        synchronous: Synchronous = "full",
        busy_seconds: float = 5.0,
        check: bool = True,
    ) -> None:
        self.path = Path(path)
        self._busy = busy_seconds
        self._turn = threading.RLock()
        self._pool: list[sqlite3.Connection] = []
        self._pool_lock = threading.Lock()
        self._closed = False
        self._exclusive = exclusive
        self._writers: dict[bool, sqlite3.Connection] = {}
        with contextlib.suppress(OSError):  # SQLite says what is wrong with the path
            if not self.path.exists():
                open(self.path, "ab", opener=private).close()  # the log takes the mode of the file
        self._held = Held(self.path, exclusive=exclusive)
        try:
            with self._named_errors():
                durable = self._open(synchronous)
                self._writers[True] = durable
                self._prepare(durable, schema, version, migrations or {}, check)
                self._writers[False] = self._open("normal")
            self._held.note()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, taken back when anything is raised.

        Raises StoreLocked, StoreFull, StoreError, StoreCorrupt, and StoreMoved where the file is not there any more;
        what was committed meanwhile may be, and may be written again.
        """
        with self._turn, self._named_errors():
            if self._closed:
                raise StoreError(f"the store {self.path} is closed")
            self._held.require()
            connection = self._writers[durable]
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:  # a failed COMMIT may have left it open
                    connection.execute("ROLLBACK")
            self._held.require()

    def trouble(self) -> str:
        """Why nothing can be written although nothing was tried, in a clause; empty where no reason is known."""
        return "" if self._closed else self._held.trouble()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; what several statements read is of one moment. Raises as `write` does."""
        with self._named_errors():
            with self._pool_lock:
                if self._closed:
                    raise StoreError(f"the store {self.path} is closed")
                connection = self._pool.pop() if self._pool else None
            if connection is None:
                self._held.require()  # else it would make another file in its place
                connection = self._open("normal")
                connection.execute("PRAGMA query_only=ON")
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")
                with self._pool_lock:
                    keep = not self._closed
                    if keep:
                        self._pool.append(connection)
                if not keep:
                    connection.close()

    def say(self, facts: dict[str, Any]) -> None:
        """See `Held.say`."""
        self._held.say(facts)

    def give_back_space(self, pages: int = 1000) -> None:
        """Shorten the file by at most so many free pages. Raises as `write` does."""
        with self._turn, self._named_errors():
            # Not execute(), which would take one step of this statement and so free one page.
            self._writers[False].executescript(f"PRAGMA incremental_vacuum({int(pages)})")

    @property
    def size(self) -> int:
        """Bytes on the disk, the log included."""
        total = 0
        for path in self._held.files:
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def close(self) -> None:
        """Close all connections; the lock goes to others. May be called again."""
        with self._turn, self._pool_lock:
            self._closed = True
            for connection in (*self._pool, *self._writers.values()):
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
            self._pool.clear()
            self._writers.clear()
            self._held.close()

    def _open(self, synchronous: Synchronous) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._busy, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(
        self, connection: sqlite3.Connection, schema: str, version: int, migrations: Mapping[int, str], check: bool
    ) -> None:
        tables, steps = self._steps(connection, version, migrations)
        if steps and not self._exclusive:
            raise StoreOlder(
                f"the store {self.path} has format {steps[0]}; the next start of its monitor makes it one of {version}"
            )
        if check and tables:
            faults = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
            if faults != ["ok"]:
                raise self._corrupt(faults[0])
        if not tables:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes effect before the first table alone
        if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise StoreError(f"the store {self.path} cannot use write-ahead logging; put it on a local disk")
        if not tables:
            header = f"PRAGMA application_id={_APPLICATION}; PRAGMA user_version={version};"
            connection.executescript(f"BEGIN IMMEDIATE; {header} {schema} COMMIT;")
        elif steps:
            self._migrate(connection, "".join(migrations[step] for step in steps) + schema, version)

    def _steps(self, connection: sqlite3.Connection, version: int, migrations: Mapping[int, str]) -> tuple[int, range]:
        """How many tables there are, and the versions that it has to be migrated from; refuses what is no store."""
        application, found = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != _APPLICATION:
            raise StoreCorrupt(f"{self.path} is an SQLite file of another program; give the store another path")
        if found > version:
            raise VersionError(f"the store {self.path} has format {found}, and this aez reads {version}; update aez")
        steps = range(found if tables else version, version)
        if missing := [step for step in steps if step not in migrations]:
            raise VersionError(
                f"the store {self.path} has format {missing[0]}, which this aez no longer reads; start an older aez "
                "with it once, or move it away to begin afresh"
            )
        return tables, steps

    def _migrate(self, connection: sqlite3.Connection, statements: str, version: int) -> None:
        """All of it, or nothing: a file that cannot be migrated stays one of its version."""
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {statements} PRAGMA user_version={version}; COMMIT;")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        _log.info("the store %s is of format %d now", self.path, version)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.Error) -> StoreError | StoreCorrupt:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
        if code in _NOT_SQLITE:
            return self._corrupt(str(error))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreLocked(f"another process holds the store {self.path} for more than {self._busy:g} s")
        if code == sqlite3.SQLITE_FULL:
            return StoreFull(f"the store {self.path} cannot grow: {error}; make room on its disk")
        if code == sqlite3.SQLITE_IOERR:
            return StoreError(f"the store {self.path} cannot be read or written: {error}; look at its disk")
        return StoreError(f"the store {self.path} cannot be used: {error}")

    def _corrupt(self, detail: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"the store {self.path} is damaged ({detail}); restore it, or move it away with its -wal and -shm files "
            "to begin afresh"
        )
