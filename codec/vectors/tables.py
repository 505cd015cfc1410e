"""Tables of vectors, CSV or Parquet: a row is an item, a column of numbers one of its numbers."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.arrow import to_numpy
from aez.codec.common.extras import library
from aez.codec.common.words import listed
from aez.codec.errors import InvalidArgument, UnsupportedInput

__all__ = ["SUFFIXES", "read_table", "texts"]

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_DELIMITERS = ",;\t"


def read_table(
    path: Path, label: str | None = None, ignore: Sequence[str] = ()
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...] | None]:
    """(Values [n, columns], names of the columns, labels) of a table; the label's column is none of the values.

    A Parquet column of lists of one length, as `aez embed` writes, is as many columns. A table without a heading has no
    names, and its columns are f0, f1 ... for `label` and `ignore`. Raises UnsupportedInput for text
    and missing values, InvalidArgument for a column that is not there.
    """
    table, headed = _arrow_table(path)
    names = list(table.column_names)
    if unknown := [name for name in [*([label] if label else []), *ignore] if name not in names]:
        raise InvalidArgument(f"{path} has no column {unknown[0]!r}; it has {listed(names, 12)}")
    if not len(table):
        raise UnsupportedInput(f"{path} has a heading and no rows; give one for each item")
    labels = None if label is None else texts(table.column(label))
    parts: list[NDArray[np.float32]] = []
    columns: list[str] = []
    for name in names:
        if name == label or name in ignore:
            continue
        part = _numbers(table.column(name).combine_chunks(), name, path)
        parts.append(part)
        columns += [name] if part.shape[1] == 1 else [f"{name}[{number}]" for number in range(part.shape[1])]
    if not parts:
        raise UnsupportedInput(f"{path} has no columns of numbers beside its label; give 1 or more")
    return np.concatenate(parts, axis=1), tuple(columns) if headed else (), labels


def texts(column: Any) -> tuple[str, ...]:
    """Labels of a column of Arrow; a whole number is written without its decimals, a missing one is empty."""
    return tuple(
        "" if one is None else f"{one:g}" if isinstance(one, float) else str(one) for one in column.to_pylist()
    )


def _arrow_table(path: Path) -> tuple[Any, bool]:
    """(Table, whether it has a heading)."""
    pa = library("pyarrow", "monitor")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return library("pyarrow.parquet", "monitor").read_table(path), True
        return _csv_table(path)
    except UnicodeDecodeError as error:
        raise UnsupportedInput(f"{path} is not written in UTF-8; save it so") from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        reason = str(error).strip().splitlines() or ["it is damaged"]
        raise UnsupportedInput(f"{path} cannot be read as a table: {reason[0]}") from error


def _csv_table(path: Path) -> tuple[Any, bool]:
    arrow_csv = library("pyarrow.csv", "monitor")
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(itertools.islice(file, 1), "")
    delimiter = max(_DELIMITERS, key=first.count)
    headed = not all(_is_number(field) for field in next(csv.reader([first], delimiter=delimiter), [""]))
    table = arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(autogenerate_column_names=not headed),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
    )
    names = [name.strip() or f"column {number}" for number, name in enumerate(table.column_names, 1)]
    return table.rename_columns(names), headed


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(column: Any, name: str, path: Path) -> NDArray[np.float32]:
    """A column's values, float32 [n, 1], or [n, k] of lists of k. Raises UnsupportedInput."""
    pa = library("pyarrow", "monitor")
    kinds = pa.types
    if column.null_count:
        raise UnsupportedInput(
            f"{path}: column {name!r} lacks {column.null_count:,} of {len(column):,} values; fill these in or leave "
            f"the column out with --ignore {name}"
        )
    if kinds.is_list(column.type) or kinds.is_fixed_size_list(column.type) or kinds.is_large_list(column.type):
        inner = column.flatten()
        if len(column) and len(inner) % len(column) == 0 and _is_numeric(inner.type):
            rows = [len(one) for one in column]
            if len(set(rows)) == 1:
                return to_numpy(inner).astype(np.float32).reshape(len(column), -1)
    if kinds.is_decimal(column.type):
        column = column.cast(pa.float64())
    if not _is_numeric(column.type):
        raise UnsupportedInput(_no_numbers(column, name, path))
    return to_numpy(column).astype(np.float32)[:, None]


def _no_numbers(column: Any, name: str, path: Path) -> str:
    """What is wrong with a column that is none of numbers: all of it, or some values."""
    if library("pyarrow", "monitor").types.is_string(column.type):
        values = column.to_pylist()
        wrong = [at for at, value in enumerate(values) if not _is_number(value)]
        if all(_is_number(value.replace(",", ".", 1)) for value in values):
            return f"{path}: column {name!r} holds {values[wrong[0]]!r}; write decimals with a point"
        if len(wrong) <= len(values) // 2:
            return (
                f"{path}: column {name!r} holds numbers and, in {len(wrong):,} of {len(values):,} rows, something "
                f"else, the first {values[wrong[0]]!r} in row {wrong[0] + 1:,}; mend these or leave the column out "
                f"with --ignore {name}"
            )
    return (
        f"{path}: column {name!r} holds no numbers but {column.type}; name it with --label {name} or leave it out "
        f"with --ignore {name}"
    )


def _is_numeric(kind: Any) -> bool:
    kinds = library("pyarrow", "monitor").types
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind))
