"""Series from NumPy's `.npy` and `.npz` files, read in pieces."""

from __future__ import annotations

import functools
import math
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.codec.series.columns import from_numpy
from aez.codec.series.table import VALUES_BLOCK, Table, TableBlock, explained, refuse_repeated, row_place


def npy_blocks(path: Path) -> Iterator[TableBlock]:
    """Columns and blocks of rows of a `.npy` file."""
    try:
        with explained(path):
            values = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise UnsupportedInput(f"{path} is damaged, or holds no plain array: {str(error)[:120]}") from error
    width = _width(path, path.name, values.shape, values.dtype)
    step = max(1, VALUES_BLOCK // max(1, width))
    parts = (values[row : row + step].reshape(-1, width) for row in range(0, len(values), step))
    yield from _array_blocks(parts, [f"c{i}" for i in range(width)])


def _array_blocks(
    parts: Iterator[NDArray[Any]], names: Sequence[str], clock: tuple[str, Iterator[NDArray[Any]]] | None = None
) -> Iterator[TableBlock]:
    row = 0
    for part in parts:
        columns = {name: from_numpy(part[:, i]) for i, name in enumerate(names)}
        if clock is not None:
            columns[clock[0]] = from_numpy(next(clock[1]))
        yield TableBlock(columns, len(part), functools.partial(row_place, row))
        row += len(part)


def open_npz(path: Path, array: str | None, time_column: str | None, ignore: Collection[str]) -> Table:
    """Columns and blocks of rows of an array in a `.npz` file."""
    heads = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with _opened(path, archive, member) as stream:
                    heads[member.removesuffix(".npy")] = _npy_head(path, member, stream)
    if not heads:
        raise UnsupportedInput(f"{path} is a zip file without arrays; save a spreadsheet as CSV, unpack others")
    name = _chosen(path, array, [member for member in heads if member != time_column])
    shape, _, dtype = heads[name]
    width = _width(path, name, shape, dtype)
    # Labels, one a row, may stand beside values whose channels have names.
    named = "channels" in heads and (len(shape) == 2 or heads["channels"][0] == (1,))
    names = _npz_names(path, heads["channels"][0], width) if named else [f"c{i}" for i in range(width)]
    refuse_repeated(path, names)
    clocks = (time_column, f"{name}_time", "time") if time_column not in names else ()
    clock = next((n for n in clocks if n in heads and n not in ignore and n not in names), None)
    if clock is not None and heads[clock][0] != shape[:1]:
        raise UnsupportedInput(
            f"{path}: {clock} has shape {heads[clock][0]} beside {shape[0]} rows of {name}; ignore it"
        )
    step = max(1, VALUES_BLOCK // max(1, width))
    parts = (part.reshape(-1, width) for part in _npz_parts(path, name, step))
    times = None if clock is None else (clock, _npz_parts(path, clock, step))
    return Table(_array_blocks(parts, names, times), clock=clock)


def _chosen(path: Path, array: str | None, members: Sequence[str]) -> str:
    """The array that holds the values."""
    arrays = [name for name in members if name not in ("time", "channels") and not name.endswith("_time")]
    if array is not None:
        if array not in members:
            raise InvalidArgument(f"{path} has no array {array!r}; it has {', '.join(members)}")
        return array
    if len(arrays) == 1:
        return arrays[0]
    if "values" in arrays:
        return "values"
    raise InvalidArgument(f"{path} holds the arrays {', '.join(members)}; choose the one of the values (array)")


def _npz_names(path: Path, shape: tuple[int, ...], width: int) -> list[str]:
    if shape != (width,):
        raise UnsupportedInput(f"{path}: channels has shape {shape} beside {width} columns; save one name for each")
    return [str(name) for part in _npz_parts(path, "channels", width) for name in part]


def _npz_parts(path: Path, name: str, step: int) -> Iterator[NDArray[Any]]:
    """Blocks of `step` rows of an array in the archive, read from it as a stream."""
    with explained(path), zipfile.ZipFile(path) as archive, _opened(path, archive, f"{name}.npy") as stream:
        shape, fortran, dtype = _npy_head(path, name, stream)
        if dtype.hasobject:
            raise UnsupportedInput(f"{path}: the array {name} holds Python objects; save it as numbers or texts")
        size = math.prod(shape[1:]) * dtype.itemsize
        # Where columns lie one after the other it takes all of them to have one row.
        at_once = shape[0] if fortran else step
        for first in range(0, shape[0], max(1, at_once)):
            rows = min(at_once, shape[0] - first)
            data = _exactly(stream, rows * size)
            if len(data) < rows * size:
                raise UnsupportedInput(f"{path}: the array {name} ends before row {first + rows} of {shape[0]}")
            part = np.frombuffer(data, dtype).reshape((rows, *shape[1:]), order="F" if fortran else "C")
            yield from (part[row : row + step] for row in range(0, rows, step))


def _opened(path: Path, archive: zipfile.ZipFile, member: str) -> IO[bytes]:
    try:
        return archive.open(member)
    except RuntimeError as error:
        raise UnsupportedInput(f"{path}: {member} is encrypted, or compressed in an unknown way") from error


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or what there is: never more memory than the file fills."""
    pieces = []
    while size > 0 and (piece := stream.read(min(size, 2**24))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _npy_head(path: Path, member: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        # NumPy leaves these without types.
        files = cast(Any, np.lib.format)
        first = files.read_magic(stream) == (1, 0)
        shape, fortran, dtype = (files.read_array_header_1_0 if first else files.read_array_header_2_0)(stream)
    except ValueError as error:
        raise UnsupportedInput(f"{path}: {member} is damaged: {str(error)[:80]}") from error
    return shape, fortran, dtype


def _width(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Channels of an array [time, channels] or [time] of numbers."""
    if dtype.kind not in "biuf":
        raise UnsupportedInput(f"{path}: {name} holds {dtype}, and a series holds numbers")
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        raise UnsupportedInput(f"{path}: {name} has shape {shape}, and a series is [time, channels]")
    return 1 if len(shape) == 1 else shape[1]
