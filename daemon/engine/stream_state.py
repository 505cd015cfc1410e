"""The state of one stream as bytes.

Little-endian: "AZS3"; the model's id, 32 bytes; period (ns, 0 without a clock), anchor, newest, closed, slot, row,
count, silent since (ns), highest slot, first slot, 10 x int64; window, channels, rows of the ring, rows that wait,
bytes of JSON, 5 x uint32; flags, 1 byte (1 a row went out, 2 silent, 4 how far channels have come is known, 8 values of
a row came apart, 16 rows came whole); with flag 4 the highest slot of each channel, int64, and whether it is given up,
1 byte each; the ring's rows, float32; slots that wait, int64; their bases, int64; their values, float32; JSON with the
events, the limit and others; CRC-32 of all before.

"AZS2", which came before it, lacks highest and first slot and the flags from 4 on; it is read, and not written.
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

from aez.codec.common.plain import json_text
from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligner import AlignerState
from aez.daemon.rows.fronts import NEVER, FrontState

__all__ = ["StreamState", "pack", "unpack"]

_HEAD, _HEAD_2 = struct.Struct("<4s32s10q5IB"), struct.Struct("<4s32s8q5IB")
_MAGIC, _MAGIC_2 = b"AZS3", b"AZS2"
_STARTED, _SILENT, _FRONTS, _SCATTERED, _WHOLE = 1, 2, 4, 8, 16
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class StreamState:
    """Everything that a stream needs to go on.

    model: the id, 64 hexadecimal digits. period: ns, 0 without a clock. count: rows in all; ring float32 [at most
    window - 1, channels], the last of them. silent: since when nothing came, ns, or None. details: plain data, of the
    events under "events", of the limit under "limit" and of the scale under "scale"; any may lack. What is to be packed
    may be JSON already.
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
    fronts = aligner.fronts
    details = json_text(dict(state.details)).encode() if state.details else b""
    flags = _STARTED * aligner.started | _SILENT * (state.silent is not None) | _FRONTS * (fronts is not None)
    if fronts is not None:
        flags |= _SCATTERED * fronts.scattered | _WHOLE * fronts.whole
    head = _HEAD.pack(
        _MAGIC,
        bytes.fromhex(state.model),
        *(state.period, aligner.anchor, aligner.newest, aligner.closed, aligner.slot, aligner.row),
        *(state.count, state.silent or 0, aligner.top, 0 if fronts is None else fronts.begun),
        *(state.window, ring.shape[1], len(ring), len(aligner.slots), len(details)),
        flags,
    )
    waiting = (aligner.slots, aligner.bases, aligner.values) if len(aligner.slots) else ()
    parts = (*(() if fronts is None else (fronts.slot, fronts.given)), ring, *waiting)
    body = b"".join((head, *(part.tobytes() for part in parts), details))
    return body + _CRC.pack(zlib.crc32(body))


def unpack(data: bytes) -> StreamState:
    """What `pack` packed; raises InvalidArgument for anything else."""
    head = _HEAD_2 if data[:4] == _MAGIC_2 else _HEAD
    if len(data) < head.size + _CRC.size or data[:4] not in (_MAGIC, _MAGIC_2):
        raise InvalidArgument("the saved state of a stream is of another version, or none")
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise InvalidArgument("the saved state of a stream is damaged")
    _, model, *numbers = head.unpack_from(data)
    if head is _HEAD_2:
        numbers[8:8] = [NEVER, 0]
    period, anchor, newest, closed, slot, row, count, since, top, begun = numbers[:10]
    window, channels, kept, waiting, length, flags = numbers[10:]
    known = channels if flags & _FRONTS else 0
    sizes = (8 * known, known, 4 * kept * channels, 8 * waiting, 8 * waiting, 4 * waiting * channels, length)
    if head.size + sum(sizes) + _CRC.size != len(data) or kept >= max(window, 1) or count < kept:
        raise InvalidArgument("the saved state of a stream contradicts itself")
    parts, at = [], head.size
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    try:
        details = json.loads(parts[6]) if length else {}
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
            started=bool(flags & _STARTED),
            slots=np.frombuffer(parts[3], np.int64),
            bases=np.frombuffer(parts[4], np.int64),
            values=np.frombuffer(parts[5], np.float32).reshape(waiting, channels),
            top=top,
            fronts=_fronts(parts[0], parts[1], begun, flags) if known else None,
        ),
        count=count,
        ring=np.frombuffer(parts[2], np.float32).reshape(kept, channels),
        silent=since if flags & _SILENT else None,
        details=details,
    )


def _fronts(slots: bytes, given: bytes, begun: int, flags: int) -> FrontState:
    how = bool(flags & _SCATTERED), bool(flags & _WHOLE)
    return FrontState(np.frombuffer(slots, np.int64), np.frombuffer(given, np.bool_), begun, *how)
