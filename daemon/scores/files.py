"""Files of scores: one folder for each model, and in it files that are named after the time they were begun.

Guarantees: a Parquet file appears whole, by renaming; until then its rows lie in a hidden file beside it, which the
next start makes into a Parquet file as well, but for a last block that was cut off. A line of JSON Lines stands in its
file once it is written, and a line that was cut off is taken away at the next start. What cannot be written leaves no
half block behind and may be tried again. Only files of these names are ever deleted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from aez.codec.common.extras import library
from aez.daemon.common.files import drop_partial_line
from aez.daemon.state.slow_clock import SlowClock

__all__ = ["Format", "Rotation", "ScoreFiles", "ScoreTable", "folder_of", "json_lines"]

_log = logging.getLogger(__name__)

Format = Literal["parquet", "jsonl"]
_GROUP_ROWS = 1 << 16
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z\.(parquet|jsonl)")
_ODD = re.compile(r'^\.|[\x00-\x1f\x7f/\\:*?"<>|%]')
_PART = ".part"
_TEMPORARY = ".tmp"


@dataclass(frozen=True)
class Rotation:
    """When a file is full and how long it stays.

    rows, seconds: a file that has so many rows, or is so old, is full. files: at most so many full ones stay, over all
    models; the oldest go first. days: full ones go when nothing was written to them for so long.
    """

    rows: int = 1_000_000
    seconds: float = 3600.0
    files: int = 1000
    days: float = 30.0


@dataclass(frozen=True)
class ScoreTable:
    """Rows of one model.

    batch: a pyarrow.RecordBatch of `time` (timestamp, ns, UTC), `stream`, `model`, `row`, `score`, `limit`;
    `score_NAME` and `value_NAME` of each channel where they are wanted. Null: missing.
    """

    model: str
    channels: tuple[str, ...]
    batch: Any


@dataclass
class _Open:
    """A file that grows: its path while it does, and the name under which it is to appear."""

    path: Path
    target: Path
    schema: Any
    begun: float = field(default_factory=time.monotonic)
    rows: int = 0


class ScoreFiles:
    """The files in `folder`, which is created when missing. One thread uses them; each method may raise OSError."""

    def __init__(self, folder: Path, kind: Format, rotation: Rotation) -> None:
        self.folder, self.kind, self.rotation = folder, kind, rotation
        self._open: dict[str, _Open] = {}
        self._clock = SlowClock(time.time_ns())  # one that is set wrong later must delete nothing
        self._unfinished: list[Path] = []
        self._conversion: Iterator[None] | None = None  # of the first of them

    def prepare(self) -> None:
        """Create the folder, and take up what a process that was killed has left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._unfinished = sorted(self.folder.glob(f"*/.*{_PART}"))
        for path in self._files():
            if path.suffix == ".jsonl":
                drop_partial_line(path)

    def append(self, table: ScoreTable) -> None:
        """Write rows; they are with the operating system when it returns, or none of them is."""
        found = self._open.get(table.model)
        if found is None or found.schema != table.batch.schema:
            self._end(table.model)
            found = self._begin(table)
        if self.kind == "jsonl":
            _append(found.path, json_lines(table))
        else:
            head = b"" if found.rows else memoryview(found.schema.serialize())
            _append(found.path, b"".join((head, memoryview(table.batch.serialize()))))
        found.rows += table.batch.num_rows

    def rotate(self, *, everything: bool = False) -> None:
        """Finish the files that are full, a row group at each call, so that rows wait behind it for a moment only.

        everything: finish all files now.
        """
        now = time.monotonic()
        for model, one in list(self._open.items()):
            if everything or one.rows >= self.rotation.rows or now - one.begun >= self.rotation.seconds:
                self._end(model)
        while self._unfinished:
            if self._conversion is None:
                self._conversion = _converted(self._unfinished[0])
            try:
                for _ in self._conversion:
                    if not everything:
                        return
            except BaseException:
                self._conversion = None
                raise
            self._conversion = None
            self._unfinished.pop(0)

    def forget(self, now: float | None = None) -> int:
        """Delete what the rotation no longer keeps; returns how many files went. `now`: Unix time."""
        growing = {one.path for one in self._open.values()}
        full = sorted((path for path in self._files() if path not in growing), key=lambda path: path.name)
        moment = self._clock.follow(time.time_ns()) / 1e9 if now is None else now
        surplus = full[: max(0, len(full) - self.rotation.files)]
        oldest = moment - self.rotation.days * 86_400
        gone = {path for path in full if path in surplus or path.stat().st_mtime < oldest}
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)

    def _begin(self, table: ScoreTable) -> _Open:
        folder = folder_of(self.folder, table.model)
        folder.mkdir(exist_ok=True)
        moment = time.time_ns()
        while True:
            begun = datetime.fromtimestamp(moment // 1000 / 1e6, UTC)
            target = folder / f"{begun:%Y%m%dT%H%M%S.%f}Z.{self.kind}"
            path = target if self.kind == "jsonl" else target.with_name(f".{target.stem}{_PART}")
            if not target.exists() and not path.exists():
                break
            moment += 1000
        found = self._open[table.model] = _Open(path, target, table.batch.schema)
        return found

    def _end(self, model: str) -> None:
        found = self._open.pop(model, None)
        if found is not None and not found.rows:
            found.path.unlink(missing_ok=True)
        elif found is not None and self.kind == "parquet":
            self._unfinished.append(found.path)

    def _files(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("*/*") if _NAME.fullmatch(path.name))


def json_lines(table: ScoreTable) -> memoryview:
    """One JSON object a line: time (ns since 1970 UTC), stream, model, row, score, limit; channel_score and values."""
    pa = library("pyarrow", "monitor")
    batch = table.batch
    streams = batch.column("stream").dictionary_encode()
    names = pa.array([json.dumps(name) for name in streams.dictionary.to_pylist()], pa.string())
    parts: list[Any] = ['{"time":', _digits(batch.column("time").cast(pa.int64())), ',"stream":']
    parts += [names.take(streams.indices), f',"model":{json.dumps(table.model)},"row":', _digits(batch.column("row"))]
    parts += [',"score":', _digits(batch.column("score")), ',"limit":', _digits(batch.column("limit"))]
    for key, prefix in (("channel_score", "score_"), ("values", "value_")):
        if f"{prefix}{table.channels[0]}" not in batch.schema.names:
            continue
        opening = f',"{key}":{{'
        for name in table.channels:
            parts += [f"{opening}{json.dumps(name)}:", _digits(batch.column(f"{prefix}{name}"))]
            opening = ","
        parts.append("}")
    parts.append("}\n")
    joined = library("pyarrow.compute", "monitor").binary_join_element_wise(
        *parts, "", null_handling="replace", null_replacement="null"
    )
    offsets = memoryview(joined.buffers()[1]).cast("i")
    return memoryview(joined.buffers()[2])[offsets[0] : offsets[len(joined)]]


def _digits(column: Any) -> Any:
    return column.cast("string")


def folder_of(folder: Path, model: str) -> Path:
    """Where the files of a model lie: its name without what a file system takes for something else."""
    return folder / _ODD.sub(lambda found: f"%{ord(found[0]):02X}", model)


def _append(path: Path, data: bytes | memoryview) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        start = os.fstat(file).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        except OSError:
            os.ftruncate(file, start)
            raise
    finally:
        os.close(file)


def _converted(part: Path) -> Iterator[None]:
    """Make a Parquet file of what was written, a step for each row group; doing it again makes the same file."""
    target = part.with_name(f"{part.name.removeprefix('.').removesuffix(_PART)}.parquet")
    temporary = part.with_name(f".{target.name}{_TEMPORARY}")
    writer: Any = None
    try:
        with library("pyarrow", "monitor").memory_map(str(part)) as source:
            for table in _groups(source, part):
                if writer is None:
                    writer = library("pyarrow.parquet", "monitor").ParquetWriter(
                        temporary, table.schema, compression="zstd", use_dictionary=["stream", "model"]
                    )
                writer.write_table(table)
                yield
    except BaseException:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
        temporary.unlink(missing_ok=True)
        raise
    if writer is not None:
        writer.close()
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    part.unlink()


def _groups(source: Any, part: Path) -> Iterator[Any]:
    """What can be read, as tables of a row group each."""
    pa, ipc = library("pyarrow", "monitor"), library("pyarrow.ipc", "monitor")
    held: list[Any] = []
    rows = 0
    try:
        for batch in ipc.open_stream(source):
            held.append(batch)
            rows += batch.num_rows
            if rows >= _GROUP_ROWS:
                yield pa.Table.from_batches(held)
                held, rows = [], 0
    except (OSError, ValueError) as error:  # cut off by a kill
        _log.warning("%s: the last scores were cut off: %s", part, error)
    if held:
        yield pa.Table.from_batches(held)
