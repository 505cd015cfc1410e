"""What a monitor kept of all rows (`[scores]`): which of its columns are the rows' own values.

Such a file is known by its first columns. Only the time, the stream and the values are read of it, the channels under
their own names: row numbers, scores and limits are not of the machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aez.codec.errors import UnsupportedInput
from aez.codec.series.table import Table, TableBlock

__all__ = ["STREAM", "values_of_line", "values_of_rows"]

_COLUMNS = ("time", "stream", "model", "row", "score", "limit")
#: The column that tells the streams apart.
STREAM = "stream"
_KEPT = ("time", STREAM)
_VALUE = "value_"
_DROPPED = "of the monitor that wrote it"


def values_of_rows(path: Path, table: Table) -> Table:
    """The table, of a monitor's scores the rows alone. Raises UnsupportedInput where their values were not kept."""
    first = next(table.blocks, None)
    if first is None or tuple(first.columns)[: len(_COLUMNS)] != _COLUMNS:
        return replace(table, blocks=itertools.chain([] if first is None else [first], table.blocks))
    values = [name for name in first.columns if name.startswith(_VALUE)]
    _require(path, values)
    names = {**{name: name for name in _KEPT}, **_own_names(values)}
    dropped = {name: _DROPPED for name in first.columns if name not in names and name not in names.values()}
    blocks = (_renamed(block, names) for block in itertools.chain([first], table.blocks))
    return replace(table, blocks=blocks, dropped={**table.dropped, **dropped}, stream=STREAM)


def values_of_line(path: Path, line: Mapping[str, Any]) -> dict[str, Any] | None:
    """As `values_of_rows` of one JSON object; None for one that is no monitor's."""
    if tuple(line)[: len(_COLUMNS)] != _COLUMNS:
        return None
    values = line.get("values")
    _require(path, values)
    if not isinstance(values, dict):
        raise UnsupportedInput(f"{path}: the values of a monitor's row are an object, not a {type(values).__name__}")
    names = _own_names(f"{_VALUE}{name}" for name in values)
    return {**{name: line[name] for name in _KEPT}, **dict(zip(names.values(), values.values(), strict=True))}


def _require(path: Path, values: Any) -> None:
    if not values:
        raise UnsupportedInput(
            f"{path} holds a monitor's scores without the rows' values; values = true in [scores] keeps them"
        )


def _own_names(values: Iterable[str]) -> dict[str, str]:
    """By the columns of values what they are called; one that would be taken for the time or the stream stays."""
    return {name: name if (own := name.removeprefix(_VALUE)) in _KEPT else own for name in values}


def _renamed(block: TableBlock, names: Mapping[str, str]) -> TableBlock:
    columns = {new: block.columns[name] for name, new in names.items() if name in block.columns}
    return replace(block, columns=columns)
