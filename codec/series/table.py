"""A table that is open: its columns and its blocks of rows, whatever the file's format."""

from __future__ import annotations

import contextlib
import csv
import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aez.codec.errors import UnsupportedInput
from aez.codec.series.columns import Column

#: Values of an array that are handled at a time.
VALUES_BLOCK = 2**18


@dataclass(frozen=True)
class TableBlock:
    """Consecutive rows of a table; `place` says where in the file one of them stands, for a message."""

    columns: dict[str, Column]
    rows: int
    place: Callable[[int], str]


@dataclass(frozen=True)
class Table:
    """A file that is being read."""

    blocks: Iterator[TableBlock]
    unnamed: frozenset[str] = frozenset()  #: columns of a text file that got their names here
    clock: str | None = None  #: an array of times that stands beside the values
    timezones: Mapping[str, str] = field(default_factory=dict)  #: of columns that hold times by type
    dropped: Mapping[str, str] = field(default_factory=dict)  #: columns of types that are never read
    stream: str | None = None  #: the column that tells streams apart, where the file says which


#: What the readers of gzip and zip raise for damage, besides errors of the system.
_DAMAGE = (
    *(gzip.BadGzipFile, zlib.error, EOFError, zipfile.BadZipFile),
    *(NotImplementedError, struct.error, UnicodeDecodeError),
)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the libraries raise for a bad file, as one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise UnsupportedInput(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UnsupportedInput(f"{path} is a folder; give a file in it") from None
    except csv.Error as error:
        raise UnsupportedInput(f"{path} is no table of separated values: {error}") from error
    except _DAMAGE as error:
        raise UnsupportedInput(f"{path} is damaged or cut off: {error}") from error
    except OSError as error:
        raise UnsupportedInput(f"{path} cannot be read: {error.strerror or error}") from error


def row_place(first: int, row: int) -> str:
    """Where a row stands, for error messages."""
    return f"row {first + row + 1}"


def refuse_repeated(path: Path, names: Sequence[str]) -> None:
    """Raise UnsupportedInput where two columns have one name."""
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise UnsupportedInput(f"{path} has two columns called {repeated!r}; rename one")
