"""What is costly to make, made once in a run of the tests, whichever process needs it first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock


@dataclass(frozen=True)
class MadeOnce:
    """Folders that all processes of a run have in common, in `common`."""

    common: Path

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of that name, which the function has filled in one of the processes."""
        folder, new = self.common / name, self.common / f"{name}.new"
        with FileLock(self.common / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(new, ignore_errors=True)  # of a process whose making failed
                new.mkdir()
                make(new)
                new.rename(folder)
        return folder


def folders_made_once(factory: pytest.TempPathFactory, several: bool) -> MadeOnce:
    """`several`: pytest-xdist runs the tests in more than one process."""
    base = factory.getbasetemp()
    common = (base.parent if several else base) / "shared"
    common.mkdir(exist_ok=True)
    return MadeOnce(common)
