"""What is costly to make, made once in a run of the tests, whichever process needs it first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

#: Gives the folder of that name, which the function has filled in one of the processes.
MadeOnce = Callable[[str, Callable[[Path], object]], Path]


def folders_made_once(factory: pytest.TempPathFactory, several: bool) -> MadeOnce:
    """Folders that all processes of this run have in common; `several`: pytest-xdist runs it in more than one."""
    base = factory.getbasetemp()
    common = (base.parent if several else base) / "shared"
    common.mkdir(exist_ok=True)

    def get(name: str, make: Callable[[Path], object]) -> Path:
        folder, new = common / name, common / f"{name}.new"
        with FileLock(common / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(new, ignore_errors=True)  # of a process whose making failed
                new.mkdir()
                make(new)
                new.rename(folder)
        return folder

    return get
