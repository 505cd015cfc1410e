"""A bar that tells how far a measurement is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from aez.codec.common import progress

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(total: int, unit: str, visible: bool) -> Iterator[Callable[[str], None]]:
    """A bar on the standard error output, gone behind it; yields what says that a `unit` more is done, and which."""
    with progress.progress_bar(total=total, unit=unit, disable=not visible) as bar:

        def advance(label: str) -> None:
            bar.set_postfix_str(label, refresh=False)
            bar.update()

        yield advance
