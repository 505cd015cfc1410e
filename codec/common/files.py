"""Files that appear whole or not at all: written beside their place, flushed to the disk, and renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aez.codec.errors import OutputError

__all__ = ["whole_file", "write_whole"]


@contextmanager
def whole_file(path: str | os.PathLike[str], force: bool = False) -> Iterator[Path]:
    """A path to write to in place of `path`, which it becomes at the end; after an exception there is no trace of it.

    An existing file is replaced with `force` only, and keeps its permissions; a symbolic link keeps pointing where it
    does. Raises OutputError where the file exists, or it or its folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    # A short name of its own: the target's may already be as long as the file system allows.
    partial = target.parent / f".aez-{secrets.token_hex(8)}.part"
    try:
        _refuse(target, force)
        partial.touch(exist_ok=False)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if force:
            _refuse(target, force)
            if target.is_file():
                shutil.copymode(target, partial)
            partial.replace(target)
        else:
            _place(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if partial.exists():  # a file system that is read-only refuses to unlink even what is not there
            partial.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], data: bytes, force: bool = False) -> None:
    """Write a file's bytes as `whole_file` does. Raises OutputError."""
    with whole_file(path, force) as partial:
        partial.write_bytes(data)


def _place(partial: Path, target: Path) -> None:
    """Give the file its name unless somebody else took it meanwhile: of two processes one wins."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise OutputError(f"{target} exists; give --force to replace it") from None
    except OSError:  # a file system without hard links: claim the name first
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            raise OutputError(f"{target} exists; give --force to replace it") from None
        partial.replace(target)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refuse(target: Path, force: bool) -> None:
    if target.is_dir():
        raise OutputError(f"{target} is a folder")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist")
    if target.exists() and not force:
        raise OutputError(f"{target} exists; give --force to replace it")
