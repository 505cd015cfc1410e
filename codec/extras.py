"""Libraries that come with an extra and are imported when something needs them."""

from __future__ import annotations

import importlib
from typing import Any

from aez.codec.errors import AezError

__all__ = ["library"]


def library(module: str, extra: str) -> Any:
    """The module by its dotted name; raises AezError naming `extra` where it, or what it imports, is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise AezError(f"this needs {package}, which is not installed: pip install 'aez[{extra}]'") from error
