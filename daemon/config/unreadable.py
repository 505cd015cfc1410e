"""What of a configuration's files cannot be read as they are now."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence

from aez.daemon.config.reader import Configuration, SourceConfig
from aez.daemon.sources.folders import folder_faults

__all__ = ["unreadable"]


def unreadable(config: Configuration) -> list[tuple[SourceConfig, str]]:
    """Sources with paths of which something cannot be read, each with a clause for the first such thing.

    A file that is not there yet is none; a folder that is not there is one.
    """
    found = []
    for source in config.sources:
        paths: Sequence[str] = getattr(source.options, "paths", ())
        if fault := next(_faults(paths), ""):
            found.append((source, fault))
    return found


def _faults(paths: Sequence[str]) -> Iterator[str]:
    yield from (fault.rstrip(".") for fault in folder_faults(os.path.abspath(path) for path in paths))  # noqa: PTH100
    for pattern in paths:
        for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            except FileNotFoundError:
                continue
            except OSError as error:
                yield f"{path} cannot be read: {error.strerror or error}"
