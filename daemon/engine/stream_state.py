"""The state of one stream as bytes.

Little-endian: "AZS2"; the model's id, 32 bytes; period (ns, 0 without a clock), anchor, newest, closed, slot, row,
count, silent since (ns), 8 x int64; window, channels, rows of the ring, rows that wait, bytes of JSON, 5 x uint32;
flags, 1 byte (1 a row went out, 2 silent); the ring's rows, float32; slots that wait, int64; their bases, int64; their
values, float32; JSON with the events and the limit; CRC-32 of all before.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.engine.aligner import AlignerState

__all__ = ["StreamState", "pack", "unpack"]

_HEAD = struct.Struct("<4s32s8q5IB")
_MAGIC = b"AZS2"
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class StreamState:
    """Everything that a stream needs to go on.

    model: the id, 64 hexadecimal digits. period: ns, 0 without a clock. count: rows in all; ring float32 [at most
    window - 1, channels], the last of them. silent: since when nothing came, ns, or None. details: plain data, of the
    events under "events", of the limit under "limit" and of the scale under "scale"; any may lack.
    """

    model: str
    period: int
    window: int
    aligner: AlignerState
    count: int
    ring: NDArray[np.float32]
    silent: int | None
    details: Mapping[str, Any]


def pack(state: StreamState) -> bytes:
    """The bytes of a state."""
    aligner, ring = state.aligner, state.ring
    details = json.dumps(state.details, separators=(",", ":")).encode() if state.details else b""
    head = _HEAD.pack(
        _MAGIC,
        bytes.fromhex(state.model),
        *(state.period, aligner.anchor, aligner.newest, aligner.closed, aligner.slot, aligner.row),
        *(state.count, state.silent or 0),
        *(state.window, ring.shape[1], len(ring), len(aligner.slots), len(details)),
        int(aligner.started) | (2 if state.silent is not None else 0),
    )
    body = b"".join(
        (head, ring.tobytes(), aligner.slots.tobytes(), aligner.bases.tobytes(), aligner.values.tobytes(), details)
    )
    return body + _CRC.pack(zlib.crc32(body))


def unpack(data: bytes) -> StreamState:
    """What `pack` packed; raises InvalidArgument for anything else."""
    if len(data) < _HEAD.size + _CRC.size or data[:4] != _MAGIC:
        raise InvalidArgument("the saved state of a stream is of another version, or none")
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise InvalidArgument("the saved state of a stream is damaged")
    _, model, *numbers = _HEAD.unpack_from(data)
    period, anchor, newest, closed, slot, row, count, since, window, channels, kept, waiting, length, flags = numbers
    sizes = (4 * kept * channels, 8 * waiting, 8 * waiting, 4 * waiting * channels, length)
    if _HEAD.size + sum(sizes) + _CRC.size != len(data) or kept >= max(window, 1) or count < kept:
        raise InvalidArgument("the saved state of a stream contradicts itself")
    parts, at = [], _HEAD.size
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    try:
        details = json.loads(parts[4]) if length else {}
    except ValueError as error:
        raise InvalidArgument("the saved state of a stream holds no readable events") from error
    if not isinstance(details, dict):
        raise InvalidArgument("the saved state of a stream holds no readable events")
    return StreamState(
        model=model.hex(),
        period=period,
        window=window,
        aligner=AlignerState(
            anchor=anchor,
            newest=newest,
            closed=closed,
            slot=slot,
            row=row,
            started=bool(flags & 1),
            slots=np.frombuffer(parts[1], np.int64),
            bases=np.frombuffer(parts[2], np.int64),
            values=np.frombuffer(parts[3], np.float32).reshape(waiting, channels),
        ),
        count=count,
        ring=np.frombuffer(parts[0], np.float32).reshape(kept, channels),
        silent=since if flags & 2 else None,
        details=details,
    )
