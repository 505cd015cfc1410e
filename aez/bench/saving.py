"""Reports as files: whole ones in a folder that is made when missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aez.codec.common.files import write_whole
from aez.codec.errors import OutputError

__all__ = ["Printable", "make_folder", "save_all", "texts"]


class Printable(Protocol):
    """A report that programs and people can read."""

    def to_json(self) -> str:
        """Everything measured, as one JSON object."""

    def table(self) -> str:
        """The same for people."""


def make_folder(folder: str | Path) -> Path:
    """Make a folder for reports, and those above it, where they are missing; returns it. Raises OutputError."""
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {place}: {error.strerror or error}") from error
    return place


def save_all(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Write files by name into a folder, which is made when missing, each whole or not at all, over those of old.

    Raises OutputError.
    """
    place = make_folder(folder)
    for name, data in files.items():
        write_whole(place / name, data, force=True)


def texts(report: Printable, name: str) -> dict[str, bytes]:
    """The report as NAME.json and NAME.txt, for `save_all`."""
    return {f"{name}.json": report.to_json().encode(), f"{name}.txt": report.table().encode()}
