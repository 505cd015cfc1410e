"""What the tests of the parsers share: messages of each format that say the same, and rows in a form to compare."""

import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from aez.daemon.common.records import Chunk, Malformed, Samples
from aez.daemon.parse.formats import Parser

START = 1_700_000_000_000_000_000

#: (time, stream, {column: value}); the time None when it is that of arrival.
Row = tuple[int | None, str, dict[str, float]]


def chunk(data: bytes, form: str, **more: Any) -> Chunk:
    return Chunk("plant", data, form, {"at": len(data)}, time.monotonic(), **more)


def rows(samples: Iterable[Samples]) -> list[Row]:
    found: list[Row] = []
    for one in samples:
        assert one.values.shape == (len(one.time), len(one.columns))
        assert one.values.dtype.name in ("float64", "float32")
        assert one.stream.dtype == "int32"
        assert one.time.dtype == "int64"
        assert set(range(len(one.streams))) == set(one.stream.tolist())
        for moment, stream, values in zip(one.time.tolist(), one.stream.tolist(), one.values.tolist(), strict=True):
            named = dict(zip(one.columns, values, strict=True))
            arrived = abs(moment - time.time_ns()) < 60 * 10**9
            found.append((None if arrived else moment, one.streams[stream], named))
    return found


def counts(malformed: Iterable[Malformed]) -> dict[str, int]:
    total = Counter[str]()
    for one in malformed:
        total[one.reason] += one.count
    return dict(total)


def comparable(found: Iterable[Row]) -> list[str]:
    """Rows without their order; NaN equals NaN, and 0 equals -0."""
    return sorted(
        repr((moment, stream, sorted((name, value + 0.0) for name, value in values.items())))
        for moment, stream, values in found
    )


def parse_alone(make: Any, lines: Iterable[bytes], form: str, **more: Any) -> tuple[list[Row], dict[str, int]]:
    """What the careful way makes of each line, by itself."""
    parser: Parser = make()
    found: list[Row] = []
    faults = Counter[str]()
    for line in lines:
        samples, malformed = parser.parse(chunk(line + b"\n", form, **more))
        found += rows(samples)
        faults.update(counts(malformed))
    return found, dict(faults)


def encode(form: str, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """Messages with `time` (ns), `machine` and values, in a format."""
    if form == "json":
        return b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    names = list(messages[0])
    if form == "csv":
        lines = [",".join(names), *(",".join(_cell(message[name]) for name in names) for message in messages)]
        return ("\n".join(lines) + "\n").encode()
    if form == "line":
        lines = []
        for message in messages:
            fields = ",".join(
                f"{name}={message[name]}"
                for name in names
                if name not in ("time", "machine") and message[name] is not None
            )
            lines.append(f"m,machine={message['machine']} {fields} {message['time']}\n")
        return "".join(lines).encode()
    out = io.BytesIO()
    table = pa.Table.from_pylist([dict(message) for message in messages])
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def messages(count: int, columns: int = 3, machines: int = 2) -> list[dict[str, Any]]:
    return [
        {
            "time": START + row * 10**9,
            "machine": f"m{row % machines}",
            **{f"f{column}": row * 0.25 + column for column in range(columns)},
        }
        for row in range(count)
    ]
