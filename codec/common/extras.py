"""Libraries that come with an extra and are imported when something needs them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aez.codec.errors import AezError

__all__ = ["library", "needs"]


def library(module: str, extra: str) -> Any:
    """The module by its dotted name; raises AezError naming `extra` where it, or what it imports, is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(error.name or module, f"aez[{extra}]") from error


@contextmanager
def needs(install: str, modules: Sequence[str]) -> Iterator[None]:
    """Turn a failing import of one of the `modules` into an AezError that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in modules:
            raise
        raise _missing(error.name or "", install) from error


def _missing(module: str, install: str) -> AezError:
    return AezError(f"this needs {module.partition('.')[0]}, which is not installed: pip install '{install}'")
