"""What a monitor kept of all rows, made into files to train a model's successor on.

Each file is a stretch of one stream without a hole in its clock and without an event: what raised an alarm is not
taken for normal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument, UnsupportedInput
from aez.daemon.config.reader import Configuration, ModelConfig
from aez.daemon.scores.files import folder_of
from aez.daemon.state.store import Store

__all__ = ["STREAM", "training_files"]

Ints = NDArray[np.int64]
_ROWS_MAX = 4_000_000
_FILES_MAX = 64
#: A stretch has so many windows, or it is left out.
_WINDOWS = 20
_PAGE = 1000
#: The column with the stream's name, where that is asked for.
STREAM = "aez_stream"


def training_files(
    config: Configuration,
    entry: ModelConfig,
    channels: Sequence[str],
    window: int,
    folder: Path,
    *,
    named: bool = False,
) -> list[Path]:
    """Write files of normal rows of a model into a folder; the newest rows, the longest stretches.

    named: each has the stream's name in the column `STREAM`.
    Raises InvalidArgument where the configuration keeps no rows, UnsupportedInput where too few are there.
    """
    times, streams, values = _joined(_tables(_score_files(config, entry), channels))
    period = float(np.median(np.diff(np.unique(times[streams == streams[0]])))) if len(times) > 1 else 1.0
    with Store(config.resolve(config.state.path), check=False) as store:
        events = _events(store)
    stretches: list[tuple[str, Ints, NDArray[np.float32]]] = []
    for stream in np.unique(streams):
        mine = np.flatnonzero(streams == stream)
        moments, first = np.unique(times[mine], return_index=True)  # by time; what came twice counts once
        kept = _normal(moments, events.get(str(stream), []), int(window * period))
        hole = (np.diff(moments) > 1.5 * period) | (kept[1:] != kept[:-1])
        stretches += [
            (str(stream), moments[part], values[mine[first[part]]])
            for part in np.split(np.arange(len(moments)), np.flatnonzero(hole) + 1)
            if len(part) >= _WINDOWS * window and kept[part[0]]
        ]
    if not stretches:
        raise UnsupportedInput(
            f"what is kept of model {entry.name} has no stretch of {_WINDOWS * window} rows without holes and events; "
            "let the monitor keep rows for longer"
        )
    stretches.sort(key=lambda one: -len(one[1]))
    return [
        _written(folder / f"rows-{number:03}.parquet", channels, stream if named else None, moments, rows)
        for number, (stream, moments, rows) in enumerate(stretches[:_FILES_MAX])
    ]


def _score_files(config: Configuration, entry: ModelConfig) -> list[Path]:
    """The files of a model, the newest first. Raises InvalidArgument."""
    scores = config.scores
    kept = scores.values and scores.every == 1 and (not scores.models or entry.name in scores.models)
    if scores.path is None or not kept:
        raise InvalidArgument(
            f"{config.label}: the rows of model {entry.name} are not kept; [scores] needs a path, values = true and "
            "every row of it (every = 1)"
        )
    found = [one for one in folder_of(Path(scores.path), entry.name).glob("*") if one.suffix in (".parquet", ".jsonl")]
    found = [one for one in found if not one.name.startswith(".")]
    if not found:
        raise UnsupportedInput(
            f"{scores.path} has no full file of model {entry.name} yet; a file is full after a while"
        )
    return sorted(found, reverse=True)


def _tables(files: Sequence[Path], channels: Sequence[str]) -> Iterator[Any]:
    """Tables of `time` in ns, `stream`, and the channels, until they are enough."""
    pa, rows = library("pyarrow", "monitor"), 0
    for path in files:
        if path.suffix == ".parquet":
            names = [f"value_{name}" for name in channels]
            try:
                table = library("pyarrow.parquet", "monitor").read_table(path, columns=["time", "stream", *names])
            except (pa.ArrowException, OSError) as error:
                raise UnsupportedInput(f"{path} cannot be read: {str(error)[:120]}") from error
            found = {name: table.column(f"value_{name}") for name in channels if f"value_{name}" in table.column_names}
        else:
            table = library("pyarrow.json", "monitor").read_json(path)
            kept = table.column("values").combine_chunks() if "values" in table.column_names else None
            known = () if kept is None else {field.name for field in kept.type}
            found = {name: kept.field(name) for name in channels if kept is not None and name in known}
        if len(found) == len(channels):  # else of a time when no values were kept, or other ones
            yield pa.table({"time": table.column("time").cast(pa.int64()), "stream": table.column("stream"), **found})
            rows += table.num_rows
        if rows >= _ROWS_MAX:
            return


def _joined(tables: Iterator[Any]) -> tuple[Ints, NDArray[np.str_], NDArray[np.float32]]:
    parts = [
        (
            table.column("time").to_numpy(),
            np.asarray(table.column("stream").to_pylist(), str),
            np.stack([table.column(i).to_numpy().astype(np.float32) for i in range(2, table.num_columns)], axis=1),
        )
        for table in tables
        if table.num_rows
    ]
    if not parts:
        raise UnsupportedInput("no file holds values of all channels of the model yet; let the monitor keep more rows")
    times, streams, values = (np.concatenate(one) for one in zip(*parts, strict=True))
    return times, streams, values


def _events(store: Store) -> dict[str, list[tuple[int, int]]]:
    """When each stream had an event: from its start to its end, or to the end of time."""
    found: dict[str, list[tuple[int, int]]] = {}
    after: str | None = None
    while True:
        page = store.events.list(limit=_PAGE, after=after)
        for one in page:
            if one.kind == "anomaly":
                end = np.iinfo(np.int64).max if one.end is None else one.end
                found.setdefault(one.stream, []).append((one.start, int(end)))
        if len(page) < _PAGE:
            return found
        after = page[-1].id


def _normal(moments: Ints, events: Sequence[tuple[int, int]], margin: int) -> NDArray[np.bool_]:
    """Which of the rows lie in no event and a window around it."""
    kept = np.ones(len(moments), bool)
    for start, end in events:
        first = np.searchsorted(moments, start - margin)
        last = len(moments) if end == np.iinfo(np.int64).max else np.searchsorted(moments, end + margin, "right")
        kept[first:last] = False
    return kept


def _written(path: Path, channels: Sequence[str], stream: str | None, times: Ints, values: NDArray[np.float32]) -> Path:
    pa = library("pyarrow", "monitor")
    columns = {"time": pa.array(times).cast(pa.timestamp("ns", "UTC"))}
    if stream is not None:
        columns[STREAM] = pa.array([stream] * len(times))
    columns |= {name: pa.array(values[:, place]) for place, name in enumerate(channels)}
    library("pyarrow.parquet", "monitor").write_table(pa.table(columns), path)
    return path
