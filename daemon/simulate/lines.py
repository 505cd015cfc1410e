"""Simulated rows as lines that a monitor reads."""

from __future__ import annotations

import json
import math

import numpy as np

from aez.codec.errors import InvalidArgument
from aez.daemon.simulate.satellites import CHANNELS, SimulatedRows

__all__ = ["FORMATS", "encode"]

FORMATS = ("json", "csv", "line")
#: How a missing value is written, of those that have a word for it.
_MISSING = {"json": "null", "csv": ""}


def encode(block: SimulatedRows, kind: str, *, header: bool = False) -> bytes:
    """A block as lines of `kind`, one of `FORMATS`; `header` puts the names before CSV.

    JSON and CSV have the columns `time` (ISO 8601, UTC) and `stream`; line protocol has the measurement `telemetry`,
    the tag `stream` and ns. A missing value is null in JSON, empty in CSV, and not there in line protocol.
    """
    if kind == "line":
        return _ended(_line_protocol(block))
    if kind not in FORMATS:
        raise InvalidArgument(f"the simulator writes {', '.join(FORMATS)}, not {kind}")
    rows = _texts(block, _MISSING[kind])
    times = np.datetime_as_string(block.time.astype("datetime64[ns]"), unit="ms").tolist()
    if kind == "csv":
        lines = [",".join(["time", "stream", *CHANNELS])] if header else []
        lines += [f"{time}Z,{block.stream},{','.join(row)}" for time, row in zip(times, rows, strict=True)]
    else:
        # One pattern for all values of a row is several times as fast as a text for each.
        name = json.dumps(block.stream).replace("%", "%%")
        values = ", ".join(f"{json.dumps(channel)}: %s" for channel in CHANNELS)
        pattern = f'{{"time": "%sZ", "stream": {name}, {values}}}'
        lines = [pattern % (time, *row) for time, row in zip(times, rows, strict=True)]
    return _ended(lines)


def _ended(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _texts(block: SimulatedRows, missing: str) -> list[list[str]]:
    """The values of each row, as text of six digits."""
    rows = [[f"{value:.6g}" for value in row] for row in block.values.tolist()]
    for row, channel in np.argwhere(np.isnan(block.values)).tolist():
        rows[row][channel] = missing
    return rows


def _line_protocol(block: SimulatedRows) -> list[str]:
    lines = []
    for time, row in zip(block.time.tolist(), block.values.tolist(), strict=True):
        fields = [f"{name}={value:.6g}" for name, value in zip(CHANNELS, row, strict=True) if not math.isnan(value)]
        if fields:
            lines.append(f"telemetry,stream={block.stream} {','.join(fields)} {time}")
    return lines
