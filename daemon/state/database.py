"""One SQLite file shared by the threads of a monitor: opened, checked, locked, written in transactions.

A transaction is there wholly or not at all, whenever the process is killed. Those of `write()` are on the disk when it
returns (WAL with `synchronous=FULL`, one fsync each), so that they outlive a power cut as well; those of
`write(durable=False)` outlive the process at once and a power cut from the next durable one on.

Writers take turns on a lock of this process; readers never wait for them. The file must be on a local disk: WAL needs
shared memory.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from aez.codec.errors import CorruptFile, OutputError, VersionError
from aez.daemon.common.files import private

__all__ = ["Database", "StoreCorrupt", "StoreError", "StoreFull", "StoreLocked", "Synchronous"]

Synchronous = Literal["full", "normal"]

_APPLICATION = 0x61657A6D  # "aezm", in the file's header
_WAL_PAGES = 4000  # after so many a commit moves the log into the file
_WAL_BYTES = 64 << 20  # the log is cut down to this afterwards
_NOT_SQLITE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StoreError(OutputError):
    """The store cannot be read or written; what was to be written is not, and may be tried again."""


class StoreLocked(StoreError):
    """Another process holds the store."""


class StoreFull(StoreError):
    """There is no room for the store on its disk, or it may not grow."""


class StoreCorrupt(CorruptFile):
    """The store's file is damaged, or no store."""


class Database:
    """The file and its connections.

    path: created when missing, with mode 0600, as are the files beside it; its folder is not created.
    schema: statements that create what is missing of the tables; `version` is theirs, kept in the file.
    exclusive: refuse a second `Database` that is exclusive as well, in whatever process (a lock on `path` + ".lock",
        which ends with the process, however it ends). Others may read and write beside it.
    synchronous: "full", or "normal": no fsync at a commit, so that a power cut may take back the last seconds.
    busy_seconds: how long to wait for the writer of another process.
    check: look through the whole file for damage, which takes about a second for each GB.

    Raises StoreError, StoreLocked, StoreCorrupt, and VersionError for a file of a newer aez.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: str,
        version: int,
        *,
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
        self._lock_file = self._lock() if exclusive else None
        self._writers: dict[bool, sqlite3.Connection] = {}
        with contextlib.suppress(OSError):  # SQLite says what is wrong with the path
            open(self.path, "ab", opener=private).close()  # the log takes the mode of the file
        try:
            with self._named_errors():
                durable = self._open(synchronous)
                self._writers[True] = durable
                self._prepare(durable, schema, version, check)
                self._writers[False] = self._open("normal")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, taken back when anything is raised.

        Raises StoreLocked, StoreFull, StoreError, StoreCorrupt.
        """
        with self._turn, self._named_errors():
            if self._closed:
                raise StoreError(f"the store {self.path} is closed")
            connection = self._writers[durable]
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:  # a failed COMMIT may have left it open
                    connection.execute("ROLLBACK")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; what several statements read is of one moment. Raises as `write` does."""
        with self._named_errors():
            with self._pool_lock:
                if self._closed:
                    raise StoreError(f"the store {self.path} is closed")
                connection = self._pool.pop() if self._pool else None
            if connection is None:
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

    def give_back_space(self, pages: int = 1000) -> None:
        """Shorten the file by at most so many free pages. Raises as `write` does."""
        with self._turn, self._named_errors():
            # Not execute(), which would take one step of this statement and so free one page.
            self._writers[False].executescript(f"PRAGMA incremental_vacuum({int(pages)})")

    @property
    def size(self) -> int:
        """Bytes on the disk, the log included."""
        total = 0
        for path in (self.path, Path(f"{self.path}-wal")):
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
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

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

    def _prepare(self, connection: sqlite3.Connection, schema: str, version: int, check: bool) -> None:
        application, found = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != _APPLICATION:
            raise StoreCorrupt(f"{self.path} is an SQLite file of another program; give the store another path")
        if found > version:
            raise VersionError(f"the store {self.path} has format {found}, and this aez reads {version}; update aez")
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

    def _lock(self) -> IO[bytes]:
        path = Path(f"{self.path}.lock")
        try:
            file = os.fdopen(private(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")
        except OSError as error:
            raise StoreError(f"the store {self.path} cannot be locked: {error.strerror or error}") from error
        try:
            import fcntl
        except ImportError:  # no such locks on this system: SQLite's own still keep the file whole
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise StoreLocked(
                f"another monitor runs with the store {self.path}; stop it or give another path"
            ) from error
        return file

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
