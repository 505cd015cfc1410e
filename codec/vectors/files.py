"""Files of codes and of values: vectors with their names and labels as NPZ or Parquet, values as NPY, NPZ or tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.arrow import from_numpy, to_numpy
from aez.codec.common.extras import library
from aez.codec.common.files import whole_file, write_whole
from aez.codec.errors import InvalidArgument, UnsupportedInput

__all__ = ["VALUE_SUFFIXES", "VECTOR_SUFFIXES", "VectorFile", "check_suffix", "read_vectors", "write_values"]

VECTOR_SUFFIXES = (".npz", ".parquet")
VALUE_SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
_ABOUT = ("model", "model_id", "source")


@dataclass(frozen=True, eq=False)
class VectorFile:
    """Vectors float32 [n, dimensions] with the names, and perhaps the labels, of what they stand for.

    about: `model` and `model_id` that made them, and `source`, the data as it was named.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...] | None
    vectors: NDArray[np.floating[Any]]
    about: Mapping[str, str]

    def write(self, path: str | Path, force: bool = False) -> None:
        """Write `name`, `label` where there are any, and `vector` of each item. Raises InvalidArgument, OutputError."""
        if check_suffix(path, VECTOR_SUFFIXES) == ".npz":
            arrays: dict[str, Any] = {"names": np.array(self.names), "vectors": self.vectors, **self.about}
            if self.labels is not None:
                arrays["labels"] = np.array(self.labels)
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            write_whole(path, buffer.getvalue(), force)
            return
        pa, parquet = library("pyarrow", "monitor"), library("pyarrow.parquet", "monitor")
        flat = from_numpy(np.ascontiguousarray(self.vectors).ravel())
        columns = {"name": pa.array(self.names, pa.string())}
        if self.labels is not None:
            columns["label"] = pa.array(self.labels, pa.string())
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1])
        with whole_file(path, force) as partial:
            parquet.write_table(pa.table(columns).replace_schema_metadata(dict(self.about)), partial)


def read_vectors(path: Path) -> VectorFile:
    """What `VectorFile.write` wrote. Raises UnsupportedInput for another file."""
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                labels = tuple(archive["labels"].tolist()) if "labels" in archive.files else None
                about = {name: str(archive[name]) for name in _ABOUT if name in archive.files}
                return _checked(tuple(archive["names"].tolist()), labels, archive["vectors"], about, path)
        table = library("pyarrow.parquet", "monitor").read_table(path)
        column = table.column("vector").combine_chunks()
        vectors = to_numpy(column.flatten()).reshape(len(column), -1)
        labels = tuple(table.column("label").to_pylist()) if "label" in table.column_names else None
        stated = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        about = {name: stated[name] for name in _ABOUT if name in stated}
        return _checked(tuple(table.column("name").to_pylist()), labels, vectors, about, path)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:  # pyarrow's errors are of these
        raise UnsupportedInput(f"{path} is no file of vectors as `aez embed` writes them: {error}") from error


def _checked(
    names: tuple[str, ...],
    labels: tuple[str, ...] | None,
    vectors: NDArray[Any],
    about: Mapping[str, str],
    path: Path,
) -> VectorFile:
    if vectors.ndim != 2 or len(vectors) != len(names) or vectors.dtype.kind != "f" or not np.isfinite(vectors).all():
        raise UnsupportedInput(
            f"{path} holds {len(names):,} names and {vectors.dtype} {list(vectors.shape)}, no vectors"
        )
    return VectorFile(names, labels, vectors.astype(np.float32, copy=False), about)


def write_values(
    path: str | Path, values: NDArray[Any], columns: Sequence[str] = (), names: Sequence[str] = (), force: bool = False
) -> None:
    """Write values [n, *shape] as NPY, as NPZ with their `names`, or, of vectors, as a table with these columns.

    Raises InvalidArgument for another suffix, and pictures in a table; OutputError.
    """
    suffix = check_suffix(path, VALUE_SUFFIXES)
    if suffix in (".npy", ".npz"):
        buffer = io.BytesIO()
        if suffix == ".npy":
            np.save(buffer, values, allow_pickle=False)
        else:
            np.savez(buffer, values=values, names=np.array(names))
        write_whole(path, buffer.getvalue(), force)
        return
    if values.ndim != 2:
        raise InvalidArgument(
            f"{path}: a table holds vectors, and these are pictures; use .npy, .npz or a picture's suffix"
        )
    heading = list(columns) or [f"x{number}" for number in range(values.shape[1])]
    pa = library("pyarrow", "monitor")
    table = pa.table({name: from_numpy(np.ascontiguousarray(values[:, at])) for at, name in enumerate(heading)})
    with whole_file(path, force) as partial:
        if suffix == ".csv":
            library("pyarrow.csv", "monitor").write_csv(table, partial)
        else:
            library("pyarrow.parquet", "monitor").write_table(table, partial)


def check_suffix(path: str | Path, among: Sequence[str]) -> str:
    """The suffix of a file's name. Raises InvalidArgument for one that is not among these."""
    suffix = Path(path).suffix.lower()
    if suffix not in among:
        raise InvalidArgument(
            f"{path}: the name ends in {suffix or 'no suffix'}, and it must end in {', '.join(among)}"
        )
    return suffix
