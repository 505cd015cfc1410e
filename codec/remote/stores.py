"""Ranges of a file in a store that fsspec knows: `s3://`, `gs://`, `sftp://`, `memory://` and many more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from aez.codec.common.extras import library
from aez.codec.errors import AezError, UnsupportedInput
from aez.codec.remote.address import shown

__all__ = ["StoreRanges"]

Found = TypeVar("Found")


class StoreRanges:
    """A file by an address of fsspec, whose settings and credentials count. Raises UnsupportedInput, AezError.

    A store does not tell that a file changed between two answers; the checksums of its chunks do.
    """

    def __init__(self, url: str) -> None:
        core = library("fsspec.core", "remote")
        self._name = shown(url)
        try:
            self._files, self._path = core.url_to_fs(url)
        except ImportError as error:
            raise AezError(f"{self._name} cannot be read: {error}") from error
        except ValueError as error:
            raise UnsupportedInput(f"{self._name} cannot be read: {error}") from error

    def begin(self, count: int) -> tuple[bytes, int]:
        """The first `count` bytes, or all where there are fewer, and the size of the whole."""
        about = self._asked(lambda: self._files.info(self._path))
        if about.get("type") == "directory" or about.get("size") is None:
            raise UnsupportedInput(f"{self._name} cannot be read: it is no file with a size")
        size = int(about["size"])
        return self.fetch([(0, min(count, size))])[0], size

    def fetch(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (start, stop)."""
        starts, stops = [start for start, _ in spans], [stop for _, stop in spans]
        found = self._asked(lambda: self._files.cat_ranges([self._path] * len(spans), starts, stops, on_error="raise"))
        for data, start, stop in zip(found, starts, stops, strict=True):
            if len(data) != stop - start:
                raise UnsupportedInput(
                    f"{self._name} cannot be read: the answer was cut off at byte {start + len(data)}"
                )
        return list(found)

    def _asked(self, ask: Callable[[], Found]) -> Found:
        try:
            return ask()
        except FileNotFoundError:
            raise UnsupportedInput(f"{self._name} cannot be read: it does not exist") from None
        except Exception as error:  # every store has errors of its own
            raise UnsupportedInput(f"{self._name} cannot be read: {str(error) or type(error).__name__}") from error
