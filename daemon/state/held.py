"""The state's file as one thing on a disk: who holds it, by whatever name, and whether it is still there.

Two locks keep a second monitor away, and both end with the process, however it ends. One is on the file itself, so that
another name of it, a hard or a symbolic link, is no way around it. The other is on the file's name + ".lock", and holds
in one line of JSON who has it: `pid`, and `page`, the address at which it can be asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from aez.codec.errors import OutputError
from aez.daemon.common.files import private

__all__ = ["Held", "StoreError", "StoreFull", "StoreLocked", "StoreMoved", "holder", "is_held"]

#: Files that this process holds. Opening one again to look at its lock would let SQLite's own locks go with it.
_mine: set[tuple[int, int]] = set()
_mine_lock = threading.Lock()


class StoreError(OutputError):
    """The store cannot be read or written; what was to be written is not, and may be tried again."""


class StoreLocked(StoreError):
    """Another process holds the store."""


class StoreFull(StoreError):
    """There is no room for the store on its disk, or it may not grow."""


class StoreMoved(StoreError):
    """The store's file, or its log, is not the one that was opened."""


class Held:
    """The file at `path` for as long as it is used; exclusive: nobody else holds it so.

    Raises StoreError where it cannot be locked, StoreLocked where another holds it.
    """

    def __init__(self, path: Path, *, exclusive: bool) -> None:
        self._path = path
        #: SQLite writes beside the file that a symbolic link stands for.
        self._real = Path(os.path.realpath(path))
        self._locks: list[int] = []
        self._place: tuple[int, int] | None = None
        self._noted: dict[Path, tuple[int, int]] = {}
        try:
            if exclusive:
                self._lock_name()
                self._lock_file()
            else:
                self._refuse_other_name()
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> tuple[Path, Path]:
        """The file and its log."""
        return self._path, Path(f"{self._real}-wal")

    def note(self) -> None:
        """These are the files that are to stay, now that all of them are open."""
        for path in self.files:
            with contextlib.suppress(OSError):
                self._noted[path] = _place(path)

    def trouble(self) -> str:
        """What happened to the files since `note`, in a clause; empty where they are still there."""
        for path, place in self._noted.items():
            try:
                found = _place(path)
            except FileNotFoundError:
                return f"{path} was deleted or moved, or its disk is gone; put it back, or restart to begin afresh"
            except OSError as error:
                return f"{path} cannot be reached: {error.strerror or error}; look at its disk"
            if found != place:
                return f"{path} is another file than the one that was opened; put that back, or restart with this one"
        return ""

    def require(self) -> None:
        """Raises StoreMoved with the trouble, where there is any."""
        if trouble := self.trouble():
            raise StoreMoved(trouble)

    def close(self) -> None:
        """Give the locks back; may be called again. Nothing of SQLite may be open any more in this process."""
        for file in self._locks:
            os.close(file)
        self._locks.clear()
        if self._place is not None:
            with _mine_lock:
                _mine.discard(self._place)
            self._place = None

    def _lock_name(self) -> None:
        path = _lock_of(self._real)
        try:
            file = private(str(path), os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StoreError(f"the store {self._path} cannot be locked: {error.strerror or error}") from error
        self._locks.append(file)
        self._take(file)
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)

    def _lock_file(self) -> None:
        """The file itself; where it cannot be opened SQLite says why."""
        with contextlib.suppress(OSError):
            place = _place(self._real)
            with _mine_lock:
                if place in _mine:
                    raise self._taken()
                _mine.add(place)
            self._place = place
            file = os.open(self._real, os.O_RDWR)
            self._locks.append(file)
            self._take(file)

    def _take(self, file: int) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks on this system: SQLite's own still keep the file whole
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise self._taken() from error

    def _taken(self) -> StoreLocked:
        return StoreLocked(f"another monitor runs with the store {self._path}; stop it or give another path")

    def _refuse_other_name(self) -> None:
        """A second hard link would get a log of its own, and what one writes the other would not see."""
        try:
            status = self._real.stat()
        except OSError:
            return
        here = status.st_dev, status.st_ino
        if status.st_nlink > 1 and here not in _mine and _is_locked(self._real) and not is_held(self._real):
            raise StoreError(
                f"a monitor has the store {self._path} open under another name (a hard link); use that name"
            )

    def say(self, facts: dict[str, Any]) -> None:
        """Tell those that look at the lock who holds it."""
        line = json.dumps({"pid": os.getpid(), **facts}).encode() + b"\n"
        with contextlib.suppress(OSError):
            os.ftruncate(self._locks[0], 0)
            os.pwrite(self._locks[0], line, 0)


def is_held(path: Path) -> bool:
    """Whether a monitor runs with the store of this name."""
    return _is_locked(_lock_of(Path(os.path.realpath(path))))


def holder(path: Path) -> dict[str, Any]:
    """What the monitor that runs with the store says of itself; nothing where none runs or it says nothing."""
    if not is_held(path):
        return {}
    try:
        found = json.loads(_lock_of(Path(os.path.realpath(path))).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lock_of(real: Path) -> Path:
    return Path(f"{real}.lock")


def _place(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_locked(path: Path) -> bool:
    try:
        import fcntl

        file = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(file)
    except (ImportError, OSError):
        pass
    return False
