"""Where candidates lie: one bundle for each model in a folder beside the state, and the figures of its comparison.

A candidate is there as long as its file is: it begins again with the process. A file is there wholly or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from aez.codec.errors import OutputError
from aez.daemon.common.files import private

__all__ = ["ShadowFolder", "copied"]

_BUNDLE, _FIGURES, _PARTIAL, _TRAINED = ".aezm", ".json", ".part", ".trained"


class ShadowFolder:
    """The folder beside the state at `state`; it is made when something is put there."""

    def __init__(self, state: Path) -> None:
        self.path = state.with_suffix(".shadows")

    def names(self) -> list[str]:
        """The models that have a candidate, by name."""
        return sorted(unquote(one.stem) for one in self.path.glob(f"*{_BUNDLE}"))

    def bundle(self, model: str) -> Path:
        """Where the candidate of a model is, if it has one."""
        return self.path / f"{quote(model, safe=' ')}{_BUNDLE}"

    def put(self, model: str, candidate: Path) -> None:
        """Make a copy the candidate of a model; figures begin anew. Raises OutputError."""
        try:
            self.path.mkdir(mode=0o755, exist_ok=True)
            self._hand_over(self.path)
            self._figures(model).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"no candidate can be kept in {self.path}: {error.strerror or error}") from error
        copied(candidate, self.bundle(model))
        self._hand_over(self.bundle(model))

    def drop(self, model: str) -> None:
        """Let go of a model's candidate. Raises OutputError."""
        try:
            self.bundle(model).unlink(missing_ok=True)
            self._figures(model).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.bundle(model)} cannot be deleted: {error.strerror or error}") from error

    def figures(self, model: str) -> dict[str, Any] | None:
        """What `keep` kept; None where that is nothing, or unreadable."""
        try:
            found = json.loads(self._figures(model).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep(self, model: str, figures: Mapping[str, Any]) -> None:
        """Keep figures. Raises OSError."""
        partial = self._figures(model).with_suffix(_PARTIAL)
        with open(partial, "wb", opener=private) as file:
            file.write(json.dumps(figures).encode())
        partial.replace(self._figures(model))

    def trained(self, model: str) -> float | None:
        """When `note_trained` was called last, as Unix time; None where it never was."""
        try:
            return self.bundle(model).with_suffix(_TRAINED).stat().st_mtime
        except OSError:
            return None

    def note_trained(self, model: str, moment: float) -> None:
        """Note when a successor was begun, as far as that can be written."""
        path = self.bundle(model).with_suffix(_TRAINED)
        with contextlib.suppress(OSError):
            self.path.mkdir(mode=0o755, exist_ok=True)
            path.touch()
            os.utime(path, (moment, moment))

    def _hand_over(self, path: Path) -> None:
        """What root puts there belongs to whom the state's folder belongs, so that the monitor may drop it."""
        with contextlib.suppress(OSError, AttributeError):
            owner = self.path.parent.stat()
            if os.geteuid() == 0:
                os.chown(path, owner.st_uid, owner.st_gid)

    def _figures(self, model: str) -> Path:
        return self.bundle(model).with_suffix(_FIGURES)


def copied(source: Path, target: Path) -> None:
    """Put a copy of a file in place of `target`, which is on the disk at return. Raises OutputError."""
    partial = target.with_name(f".{target.name}{_PARTIAL}")
    try:
        with source.open("rb") as old, partial.open("wb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{source} cannot be copied to {target}: {error.strerror or error}") from error
