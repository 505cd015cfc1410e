"""Where a training run puts what it makes, and whether it can."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from aez.codec.bundle.bundle import Bundle, save_bundle
from aez.codec.bundle.library import find_bundle
from aez.codec.errors import InvalidArgument, OutputError

if TYPE_CHECKING:
    from aez.export.common.trainer import Result

#: The model that a run goes on from, as it was when the run began.
START = "start.aezm"

logger = logging.getLogger(__name__)


def run_folder(output: Path) -> Path:
    """Where a run keeps checkpoint, metrics and loss curve."""
    return output.with_name(output.name + ".run")


def check_output(output: Path) -> None:
    """Raise InvalidArgument or OutputError early when the bundle could not be written hours later."""
    if output.suffix != ".aezm":
        raise InvalidArgument(f"{output}: a model's file name ends in .aezm")
    if output.is_dir():
        raise OutputError(f"{output}: a folder is in the place of the model; remove it or give another name")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output.parent}: not a folder that can be written to")


def keep_start(folder: Path, start: Bundle | None) -> None:
    """Put the model that a new run goes on from beside its checkpoint, for `kept_start`. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if start is None:
            (folder / START).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from error
    if start is not None:
        save_bundle(start, folder / START)


def kept_start(folder: Path) -> Bundle | None:
    """The model that a run in `folder` went on from, None where it began anew. Raises ModelError."""
    return find_bundle(folder / START) if (folder / START).exists() else None


def is_complete(result: Result) -> bool:
    """Whether a run came to its end; a warning says how to go on with one that a signal stopped."""
    if not result.finished:
        logger.warning("aez: stopped at step %d; go on with --resume", result.steps)
    return result.finished
