"""Folders that appear whole or not at all: written beside their place and renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from aez.codec.errors import OutputError

__all__ = ["check_folder", "write_whole_folder"]


def write_whole_folder(
    path: str | os.PathLike[str],
    files: Mapping[str, bytes],
    force: bool = False,
    replaceable: Callable[[str], bool] = lambda name: False,  # noqa: ARG005 - says what it is called with
) -> None:
    """Make the folder `path` with these files and nothing else; names may hold folders, as in `a/b.txt`.

    The folder above it must exist. A folder that is there already must be empty, or with `force` hold only files whose
    names are `replaceable`; all of them are then replaced at once. Raises OutputError.
    """
    target = Path(os.path.realpath(path))
    check_folder(path, force, replaceable)
    partial = target.parent / f".aez-{secrets.token_hex(8)}.part"
    former = target.parent / f".aez-{secrets.token_hex(8)}.old"
    try:
        try:
            for name, data in files.items():
                place = partial / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            if target.exists():
                target.rename(former)
            partial.rename(target)
        except BaseException:
            if former.exists() and not target.exists():
                former.rename(target)
            raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def check_folder(path: str | os.PathLike[str], force: bool, replaceable: Callable[[str], bool]) -> None:
    """Refuse what `write_whole_folder` would refuse. Raises OutputError."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist")
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{path} is a file; name a folder")
    found = [str(PurePosixPath(p.relative_to(target))) for p in sorted(target.rglob("*")) if not p.is_dir()]
    if not found:
        return
    if not force:
        raise OutputError(f"the folder {path} is not empty; give --force to replace its files, or name another one")
    foreign = [name for name in found if not replaceable(name)]
    if foreign:
        raise OutputError(f"the folder {path} holds {foreign[0]}, which this would remove; name another folder")
