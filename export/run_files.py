"""Where a training run puts what it makes, and whether it can."""

from __future__ import annotations

import os
from pathlib import Path

from aez.codec.errors import InvalidArgument, OutputError


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
