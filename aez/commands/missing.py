"""Packages that come with an extra: one sentence where they are not installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aez.codec.errors import AezError


@contextmanager
def needs(install: str, modules: Sequence[str]) -> Iterator[None]:
    """Turn a failing import of one of the `modules` into an AezError that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in modules:
            raise
        raise AezError(f"this needs {package}, which is not installed: pip install '{install}'") from error
