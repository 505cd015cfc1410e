"""Series from Parquet files, read in pieces with pyarrow."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aez.codec.errors import UnsupportedInput
from aez.codec.series.columns import arrow, from_arrow
from aez.codec.series.table import VALUES_BLOCK, Table, TableBlock, refuse_repeated, row_place


def open_parquet(path: Path) -> Table:
    """Columns and blocks of rows of a Parquet file."""
    parquet, pa = arrow("pyarrow.parquet"), arrow()
    try:
        # Without pre-buffering a row group is read as its rows are, however large it is.
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnsupportedInput(f"{path} is no Parquet file, or a damaged one: {str(error)[:120]}") from error
    refuse_repeated(path, schema.names)
    dropped = {f.name: f"of type {f.type}" for f in schema if _foreign(f.type)}
    names = [name for name in schema.names if name not in dropped]
    zones = {f.name: f.type.tz for f in schema if pa.types.is_timestamp(f.type) and f.type.tz}
    return Table(_parquet_blocks(path, file, names), timezones=zones, dropped=dropped)


def _parquet_blocks(path: Path, file: Any, names: Sequence[str]) -> Iterator[TableBlock]:
    pa = arrow()
    row = 0
    with file:
        batches = file.iter_batches(batch_size=max(1, VALUES_BLOCK // max(1, len(names))), columns=list(names))
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise UnsupportedInput(f"{path} is damaged behind row {row}: {str(error)[:120]}") from error
            if batch is None:
                return
            columns = {name: from_arrow(batch.column(name)) for name in names}
            yield TableBlock(columns, batch.num_rows, functools.partial(row_place, row))
            row += batch.num_rows


def _foreign(kind: Any) -> bool:
    """Whether a Parquet type is neither number, time nor text."""
    types = arrow().types
    if types.is_dictionary(kind):
        return _foreign(kind.value_type)
    return from_arrow(arrow().nulls(0, kind)) is None and not types.is_null(kind)
