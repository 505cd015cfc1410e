"""Files of series as blocks of stored columns: CSV, JSON Lines, Parquet, NPZ and NPY, told apart by their content.

Every opener reads from the beginning to the end in blocks of bounded size, so that a file may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.formats.arrays import npy_blocks, open_npz
from aez.codec.series.formats.parquet import open_parquet
from aez.codec.series.formats.text import line_blocks, open_csv, open_json
from aez.codec.series.score_files import values_of_rows
from aez.codec.series.table import Table, explained

__all__ = ["Table", "open_table"]


def open_table(
    path: Path,
    *,
    separator: str | None = None,
    array: str | None = None,
    time_column: str | None = None,
    ignore: Collection[str] = (),
) -> Table:
    """Open a file, whatever its name; text may be compressed by gzip.

    Raises UnsupportedInput for a file that is missing, empty, damaged, or of no such format; the blocks raise it where
    damage or a row of another length shows later. InvalidArgument for a separator or an array that does not fit.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise InvalidArgument(f"a separator is one character, not {separator!r}")
    with explained(path):
        with path.open("rb") as file:
            start = file.read(8)
        found = _kind(path, start)
        if array is not None and found != "npz":
            raise InvalidArgument(f"{path} is no npz, of which one array could be chosen ({array!r})")
        if found == "parquet":
            return values_of_rows(path, open_parquet(path))
        if found == "npz":
            return open_npz(path, array, time_column, ignore)
        if found == "npy":
            return Table(npy_blocks(path))
        lines = line_blocks(path)
        first = next(lines, None)
        if first is None:
            raise UnsupportedInput(f"{path} is empty, or holds comments alone")
        if first.text.lstrip()[:1] == b"{":
            return open_json(path, first, lines)
        if first.text.lstrip()[:1] == b"[":
            raise UnsupportedInput(f"{path} holds a JSON list; write one object a line (JSON Lines)")
        return open_csv(path, first, lines, separator)


def _kind(path: Path, start: bytes) -> str:
    """The format by the first bytes; raises UnsupportedInput where the name promises another."""
    magics = {b"PAR1": "parquet", b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"PK\x05\x06": "npz"}
    found = next((kind for magic, kind in magics.items() if start.startswith(magic)), "text")
    if not start:
        raise UnsupportedInput(f"{path} is empty")
    promised = {".parquet": "parquet", ".pq": "parquet", ".npz": "npz", ".npy": "npy"}.get(path.suffix.lower())
    if promised is not None and found != promised:
        raise UnsupportedInput(f"{path} is no {promised} file, or a damaged one")
    return found
