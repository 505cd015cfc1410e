"""Scores and events as files: CSV, Parquet, JSON Lines, and for events a JSON list; whole or not at all.

Scores have one row for each row of a series: stream, row, time (ISO 8601 in UTC, empty without a clock), score, a
column `score.NAME` for each channel, empty where there is no score, and scores, which says of what kind they are:
`causal` or `covering`. Events have one row each: id, stream, start, end (rows, the end exclusive), start_time,
end_time, duration_seconds, peak, peak_row, severity, ongoing, channels, scores.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.extras import library
from aez.codec.common.files import whole_file, write_whole
from aez.codec.detect.score_series import ScoredBatch, ScoredSeries, describe_event
from aez.codec.errors import InvalidArgument, OutputError

__all__ = ["EVENT_SUFFIXES", "SCORE_SUFFIXES", "check_suffix", "open_scores", "write_events"]

SCORE_SUFFIXES = (".csv", ".parquet", ".jsonl")
EVENT_SUFFIXES = (".csv", ".parquet", ".jsonl", ".json")
_EVENT_COLUMNS = (
    *("id", "stream", "start", "end", "start_time", "end_time", "duration_seconds"),
    *("peak", "peak_row", "severity", "ongoing", "channels", "scores"),
)
#: Units of time and how many ns they have, the coarsest first.
_UNITS = (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))

WriteBatch = Callable[[ScoredBatch], None]


def check_suffix(path: str | Path, known: Sequence[str]) -> str:
    """The suffix of a file's name, in small letters. Raises InvalidArgument for one that is not known."""
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        raise InvalidArgument(
            f"{path}: the name ends in {suffix or 'no suffix'}, and it must end in {', '.join(known)}"
        )
    return suffix


@contextmanager
def open_scores(path: str | Path, channels: Sequence[str], force: bool = False) -> Iterator[WriteBatch]:
    """What writes scored rows to a file, of the format that its suffix names; the file appears at the end.

    Raises InvalidArgument for another suffix, OutputError, AezError where pyarrow is not installed.
    """
    suffix = check_suffix(path, SCORE_SUFFIXES)
    with whole_file(path, force) as partial, _FORMATS[suffix](partial, channels) as write:

        def checked(batch: ScoredBatch) -> None:
            try:
                write(batch)
            except OSError as error:  # of the result, not of the file that is being scored
                raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error

        yield checked


@contextmanager
def _csv_scores(path: Path, channels: Sequence[str]) -> Iterator[WriteBatch]:
    table_writer = library("pyarrow.csv", "monitor")
    with path.open("wb") as file:
        # Arrow quotes every name of a header.
        file.write(_csv_text([_names(channels)]).encode())
        options = table_writer.WriteOptions(include_header=False, quoting_style="needed")

        def write(batch: ScoredBatch) -> None:
            time = batch.series.time
            texts = [None] * len(batch.series) if time is None else _iso(time)
            table_writer.write_csv(_table(batch, channels, texts, "string"), file, options)

        yield write


@contextmanager
def _parquet_scores(path: Path, channels: Sequence[str]) -> Iterator[WriteBatch]:
    pa, parquet = library("pyarrow", "monitor"), library("pyarrow.parquet", "monitor")
    floats = [("score", pa.float32()), *((f"score.{name}", pa.float32()) for name in channels)]
    clock = pa.timestamp("ns", "UTC")
    schema = pa.schema(
        [("stream", pa.string()), ("row", pa.int64()), ("time", clock), *floats, ("scores", pa.string())]
    )
    with parquet.ParquetWriter(path, schema) as writer:

        def write(batch: ScoredBatch) -> None:
            time = batch.series.time
            times = [None] * len(batch.series) if time is None else time
            writer.write_table(_table(batch, channels, times, clock))

        yield write


@contextmanager
def _json_scores(path: Path, channels: Sequence[str]) -> Iterator[WriteBatch]:
    with path.open("w", encoding="utf-8") as file:

        def write(batch: ScoredBatch) -> None:
            texts = [None] * len(batch.series) if batch.series.time is None else _iso(batch.series.time)
            rows = zip(texts, batch.scores.score, batch.scores.channel_score, strict=True)
            for row, (time, score, blame) in enumerate(rows, batch.first):
                parts = {name: _number(value) for name, value in zip(channels, blame, strict=True)}
                line = {
                    "stream": batch.series.name,
                    "row": row,
                    "time": time,
                    "score": _number(score),
                    "channels": parts,
                    "scores": batch.kind,
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

        yield write


_FORMATS = {".csv": _csv_scores, ".parquet": _parquet_scores, ".jsonl": _json_scores}


def write_events(path: str | Path, scored: Iterable[ScoredSeries], force: bool = False) -> None:
    """Write the events of one or several files, in their order. Raises as `open_scores`."""
    suffix = check_suffix(path, EVENT_SUFFIXES)
    rows = [describe_event(event, one.period) | {"scores": one.kind} for one in scored for event in one.events]
    if suffix == ".parquet":
        with whole_file(path, force) as partial:
            _write_parquet_events(partial, rows)
        return
    if suffix == ".json":
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    elif suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = _csv_text([list(_EVENT_COLUMNS), *([_cell(row[name]) for name in _EVENT_COLUMNS] for row in rows)])
    write_whole(path, text.encode(), force)


def _write_parquet_events(path: Path, rows: list[dict[str, Any]]) -> None:
    pa, parquet = library("pyarrow", "monitor"), library("pyarrow.parquet", "monitor")
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    blamed = pa.list_(pa.struct([("name", text), ("share", number)]))
    kinds = (text, text, whole, whole, text, text, number, number, whole, text, pa.bool_(), blamed, text)
    schema = pa.schema(list(zip(_EVENT_COLUMNS, kinds, strict=True)))
    columns = [[row[name] for row in rows] for name in _EVENT_COLUMNS]
    parquet.write_table(pa.table([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], schema=schema), path)


def _names(channels: Sequence[str]) -> list[str]:
    return ["stream", "row", "time", "score", *(f"score.{name}" for name in channels), "scores"]


def _table(batch: ScoredBatch, channels: Sequence[str], times: Any, clock: Any) -> Any:
    """Arrow's table of scored rows; NaN becomes null."""
    pa = library("pyarrow", "monitor")
    count = len(batch.series)
    columns = [
        pa.array([batch.series.name] * count, pa.string()),
        pa.array(np.arange(batch.first, batch.first + count)),
        pa.array(times, clock),
        pa.array(batch.scores.score, from_pandas=True),
        *(pa.array(column, from_pandas=True) for column in np.ascontiguousarray(batch.scores.channel_score.T)),
        pa.array([batch.kind] * count, pa.string()),
    ]
    return pa.table(columns, names=_names(channels))


def _iso(time: NDArray[np.int64]) -> list[str]:
    """Times as text, all with as many decimals as one of them needs."""
    unit, step = next((unit, step) for unit, step in _UNITS if not np.any(time % step))
    texts = np.datetime_as_string((time // step).astype(f"M8[{unit}]"))
    return [f"{text}Z" for text in texts]


def _number(value: np.float32) -> float | None:
    return float(f"{value:.7g}") if np.isfinite(value) else None


def _cell(value: Any) -> Any:
    """A field of an event in CSV; channels as `flow 0.81; heat 0.19`."""
    if isinstance(value, list):
        return "; ".join(f"{item['name']} {item['share']:.4f}" for item in value)
    return str(value).lower() if isinstance(value, bool) else value


def _csv_text(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
