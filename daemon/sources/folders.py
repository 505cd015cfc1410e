"""Folders of patterns: a wildcard finds nothing in one that is not there or may not be read, and says nothing."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

__all__ = ["folder_fault", "folder_faults", "no_file"]


def folder_faults(patterns: Iterable[str]) -> list[str]:
    """One sentence for each absolute pattern that cannot be followed to its files."""
    return [fault for pattern in patterns if (fault := folder_fault(pattern))]


def no_file(patterns: Sequence[str], read: Collection[str]) -> str:
    """One sentence for those of which a reading to the end found nothing; read: the paths that it has read.

    A pattern with wildcards may find nothing where another of them does.
    """
    lacking = [one for one in patterns if not (glob.has_magic(one) or one in read or os.path.lexists(one))]
    if not (lacking or read or any(glob.glob(one, recursive=True) for one in patterns)):  # noqa: PTH207 - as above
        lacking = list(patterns)
    return f"no file matches {', '.join(lacking)}." if lacking else ""


def folder_fault(pattern: str) -> str:
    """Why what an absolute pattern names cannot be looked for; nothing where it can, whether there is any or not."""
    parent = str(Path(pattern).parent)
    if not glob.has_magic(pattern):
        return _fault(parent, lambda: os.stat(pattern))  # noqa: PTH116 - Path would only wrap the same call
    if not glob.has_magic(parent):
        return _listing_fault(parent)
    # Behind ** there may be any number of folders: the one where it begins stands for them.
    fixed, within = _fixed(parent), [] if "**" in parent else glob.glob(parent)  # noqa: PTH207 - it is absolute
    folders = [fixed, *(path for path in within if not Path(path).is_file())]
    return next((fault for path in folders if (fault := _listing_fault(path))), "")


def _listing_fault(folder: str) -> str:
    return _fault(folder, lambda: os.scandir(folder).close())


def _fault(folder: str, look: Callable[[], object]) -> str:
    try:
        look()
    except FileNotFoundError:
        return "" if Path(folder).is_dir() else f"the folder {folder} is not there."
    except NotADirectoryError:
        return f"{folder} is no folder."
    except OSError as error:
        return f"the folder {folder} cannot be read: {error.strerror or error}."
    return ""


def _fixed(parent: str) -> str:
    """The part of a folder's pattern before its first wildcard."""
    parts = Path(parent).parts
    magic = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:magic]))
