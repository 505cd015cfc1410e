"""Latents of many pictures in one file, NPZ or Parquet, with what is needed to decode them again.

NPZ holds `names` [N], `sizes` int64 [N, 2] (height, width in pixels), `model`, `model_id`, `scaling_factor`,
`shift_factor`, and the latents: where all have one shape, as one array `latents` [N, C, h, w]; otherwise one array
[C, h, w] for each picture, under its name. Log-variances stand beside them as `log_variances` or NAME.log_variance.

Parquet has a row for each picture: `name`, `height`, `width`, `shape` (C, h, w), `latent` (a list, channel after
channel and row after row), where asked for `log_variance` likewise; the model is in the schema's metadata.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.common.extras import library
from aez.codec.common.files import whole_file
from aez.codec.errors import InvalidArgument, OutputError
from aez.codec.latent.model import LatentGeometry

__all__ = ["DTYPES", "LATENT_SUFFIXES", "LatentFile", "check_suffix"]

LATENT_SUFFIXES = (".npz", ".parquet")
DTYPES = ("float32", "float16")
_RESERVED = ("names", "sizes", "model", "model_id", "scaling_factor", "shift_factor", "latents", "log_variances")
_LOG_VARIANCE = ".log_variance"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_COPY_BYTES = 1 << 20
_ROW_GROUP_BYTES = 1 << 23


@dataclass(frozen=True)
class _Row:
    name: str
    size: tuple[int, int]
    shape: tuple[int, ...]
    #: Where its numbers begin in the file of each kind, in bytes.
    start: int


def check_suffix(path: str | Path) -> str:
    """The suffix of a file's name. Raises InvalidArgument for one that is not known."""
    suffix = Path(path).suffix.lower()
    if suffix not in LATENT_SUFFIXES:
        raise InvalidArgument(f"{path}: the name ends in {suffix or 'no suffix'}, and it must end in .npz or .parquet")
    if suffix == ".parquet":
        library("pyarrow", "monitor")
    return suffix


class LatentFile:
    """Collects latents on the disk, so that memory does not grow with their number, and writes them at once.

    A context manager; nothing appears at `path` before `write`. Raises InvalidArgument for an unknown suffix or dtype,
    AezError where Parquet is asked for and pyarrow is not installed.
    """

    def __init__(self, path: str | Path, bundle: Bundle, *, log_variance: bool = False, dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise InvalidArgument(f"dtype {dtype!r} is unknown; use {' or '.join(DTYPES)}")
        self._path, self._suffix = path, check_suffix(path)
        self._bundle, self._dtype = bundle, np.dtype(dtype).newbyteorder("<")
        self._geometry = LatentGeometry.of(bundle.coding["latent"])
        self._rows: list[_Row] = []
        self._taken = set(_RESERVED)
        self._stack = contextlib.ExitStack()
        kinds = ("latent", "log_variance") if log_variance else ("latent",)
        #: The collected numbers of each kind, by the kind's name in a Parquet file.
        self._files: dict[str, IO[bytes]] = {}
        for name in kinds:
            self._files[name] = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it

    def __enter__(self) -> LatentFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        """Count of latents."""
        return len(self._rows)

    @property
    def shapes(self) -> set[tuple[int, ...]]:
        """Shapes [C, h, w] of the latents so far."""
        return {row.shape for row in self._rows}

    def add(
        self,
        name: str,
        size: tuple[int, int],
        latent: NDArray[np.float32],
        log_variance: NDArray[np.float32] | None = None,
    ) -> str:
        """Add the latent [C, h, w] of a picture of `size` (height, width); the name that it gets in the file.

        Of equal names, later ones get a number. Raises InvalidArgument for numbers that the dtype does not hold,
        OutputError.
        """
        given = {"latent": latent} | ({"log-variance": log_variance} if log_variance is not None else {})
        converted = []
        for what, values in given.items():
            with np.errstate(over="ignore"):
                part = values.astype(self._dtype)
            if not np.isfinite(part).all():
                raise InvalidArgument(f"its {what} does not fit {self._dtype.name}; take float32")
            converted.append(part)
        start = self._files["latent"].tell()
        try:
            for file, part in zip(self._files.values(), converted, strict=True):
                file.write(part.tobytes())
        except OSError as error:
            for file in self._files.values():
                file.seek(start)
            raise OutputError(f"latents cannot be kept until they are written: {error.strerror or error}") from error
        unique = self._unique(name)
        self._rows.append(_Row(unique, size, latent.shape, start))
        return unique

    def write(self, force: bool = False) -> None:
        """Write the file. Raises OutputError; InvalidArgument where there is no latent."""
        if not self._rows:
            raise InvalidArgument("there is no latent to write")
        with whole_file(self._path, force) as partial:
            if self._suffix == ".npz":
                self._write_npz(partial)
            else:
                self._write_parquet(partial)

    def _unique(self, name: str) -> str:
        """A printable name that no other picture has, nor anything else in the file."""
        name = os.fsencode(name).decode("utf-8", "replace").replace("\0", "_")
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a path would change what is no path
        unique, number = name, 2
        while not {unique, unique + _LOG_VARIANCE}.isdisjoint(self._taken):
            unique, number = f"{stem}-{number}{suffix}", number + 1
        self._taken |= {unique, unique + _LOG_VARIANCE}
        return unique

    def _about(self) -> dict[str, str | float]:
        """What decoding needs to know besides the latents."""
        g = self._geometry
        return {
            "model": self._bundle.name,
            "model_id": self._bundle.id,
            "scaling_factor": g.scaling_factor,
            "shift_factor": g.shift_factor,
        }

    def _write_npz(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            about = {name: np.asarray(value) for name, value in self._about().items()}
            about["names"] = np.array([row.name for row in self._rows])
            about["sizes"] = np.array([row.size for row in self._rows], np.int64)
            for name, values in about.items():
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
            for kind, file in self._files.items():
                self._write_arrays(archive, kind, file)

    def _write_arrays(self, archive: zipfile.ZipFile, kind: str, file: IO[bytes]) -> None:
        """The latents, or the log-variances, as one array or as one for each picture."""
        if len(self.shapes) == 1:
            (shape,) = self.shapes
            arrays = [(f"{kind}s", (len(self._rows), *shape), 0)]
        else:
            ending = _LOG_VARIANCE if kind == "log_variance" else ""
            arrays = [(row.name + ending, row.shape, row.start) for row in self._rows]
        for name, shape, start in arrays:
            header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
            with _member(archive, name) as member:
                np.lib.format.write_array_header_1_0(member, header)
                file.seek(start)
                for part in _parts(file, int(np.prod(shape)) * self._dtype.itemsize):
                    member.write(part)

    def _write_parquet(self, path: Path) -> None:
        pa, parquet = library("pyarrow", "monitor"), library("pyarrow.parquet", "monitor")
        numbers = pa.list_(pa.from_numpy_dtype(self._dtype.newbyteorder("=")))
        whole = pa.int64()
        fields = [("name", pa.string()), ("height", whole), ("width", whole), ("shape", pa.list_(whole, 3))]
        schema = pa.schema(
            [*fields, *((kind, numbers) for kind in self._files)],
            metadata={name: str(value) for name, value in self._about().items()},
        )
        with parquet.ParquetWriter(path, schema) as writer:
            for rows in self._row_groups():
                columns = [
                    pa.array([row.name for row in rows], schema.field("name").type),
                    *(pa.array([row.size[axis] for row in rows], whole) for axis in (0, 1)),
                    pa.array([row.shape for row in rows], schema.field("shape").type),
                    *(self._arrow_lists(pa, file, rows) for file in self._files.values()),
                ]
                writer.write_table(pa.table(columns, schema=schema))

    def _arrow_lists(self, pa: Any, file: IO[bytes], rows: list[_Row]) -> Any:
        counts = [int(np.prod(row.shape)) for row in rows]
        file.seek(rows[0].start)
        values = np.frombuffer(file.read(sum(counts) * self._dtype.itemsize), self._dtype)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, values.astype(self._dtype.newbyteorder("="), copy=False))

    def _row_groups(self) -> Iterator[list[_Row]]:
        """Rows that one after the other have some megabytes."""
        group: list[_Row] = []
        for row in self._rows:
            if group and row.start - group[0].start >= _ROW_GROUP_BYTES:
                yield group
                group = []
            group.append(row)
        yield group


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME), "w", force_zip64=True)


def _parts(file: IO[bytes], count: int) -> Iterator[bytes]:
    """The next `count` bytes of a file, in pieces."""
    while count:
        part = file.read(min(count, _COPY_BYTES))
        count -= len(part)
        yield part
