"""What a decoder has in its hands on the way through a file: counts and checksums that a second one can be held to."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.bundle.bundle import Bundle
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.container.varint import Fields
from aez.codec.entropy.tables import Int32, Tables
from aez.codec.entropy.tile import TileDecoder
from aez.codec.image.model import ImageModel
from aez.codec.image.tile_kinds import kind_of, split_parts


class _Watched(TileDecoder):
    """Notes after each phase how many symbols it had, and the checksum of all symbols so far."""

    def __init__(self, payload: bytes, model: ImageModel, level: int) -> None:
        super().__init__(payload, model.tables, level)
        self.phases: list[dict[str, Any]] = []

    def take(self, tables: Tables, index: NDArray[np.uint8]) -> Int32:
        symbols = super().take(tables, index)
        number = len(self.phases)
        name = f"z{number}" if number < 3 else f"r{number - 3}"
        seen = {"symbols": int(np.count_nonzero(index)), "checksum": f"{self._checksum:08x}"}
        indices = {} if number < 3 else {"indices": f"{zlib.crc32(index.tobytes()):08x}"}
        self.phases.append({"phase": name, **indices, **seen})
        return symbols


def trace_symbols(model: ImageModel, payload: bytes, header: ImageHeader, number: int) -> dict[str, Any]:
    """Of a tile's symbols: bytes of escapes, words, and for each phase its symbols and checksums.

    `indices` is the CRC of a phase's indices, a byte each, `checksum` that of all symbols up to its end.
    """
    g = model.geometry
    left, top, right, bottom = header.box(number)
    height, width = (-(-side // g.alignment) * g.alignment for side in (bottom - top, right - left))
    decoder = _Watched(payload, model, header.level)
    z = decoder.hyper((g.hyper_channels, height // g.hyper_stride, width // g.hyper_stride))
    prediction = model.predict(z, header.level)
    for _ in g.phases:
        residual = decoder.residual(prediction.index())
        prediction.learn(residual)
    decoder.finish()
    fields = Fields(payload)
    fields.take(4)
    escapes = fields.varint()
    words = (fields.rest - escapes) // 4
    return {"escape_bytes": escapes, "words": words, "phases": decoder.phases}


def trace_exact(coded: bytes) -> dict[str, Any]:
    """Of exact samples: what stands before the indices."""
    fields = Fields(coded)
    checksum = int.from_bytes(fields.take(4), "little")
    return {"checksum": f"{checksum:08x}", "step": fields.varint(), "form": fields.take(1)[0]}


def trace_file(data: bytes, bundle: Bundle | None) -> dict[str, Any]:
    """Header fields, chunks but tiles by letter, and tiles."""
    reader = Reader(io.BytesIO(data), ImageHeader)
    header = reader.header
    model = None if bundle is None else ImageModel(bundle, "cpu", 1)
    chunks, tiles = {}, []
    for chunk in reader.chunks():
        if chunk.tile < 0:
            what = "bytes" if chunk.type in ("M", "c") else "inflated"
            chunks[chunk.type] = {what: len(chunk.content), "crc": f"{zlib.crc32(chunk.content):08x}"}
            continue
        box = header.box(chunk.tile)
        parts = split_parts(chunk.content, box[3] - box[1], box[2] - box[0], header.has_alpha)
        tile: dict[str, Any] = {"kind": int(kind_of(chunk.content)), "box": list(box)}
        if parts.mask is not None:
            tile["exact_blocks"] = int(parts.mask.sum())
        if parts.exact is not None:
            tile["exact"] = trace_exact(parts.exact)
        if parts.alpha:
            tile["alpha"] = trace_exact(parts.alpha)
        if parts.symbols is not None:
            assert model is not None
            tile["symbols"] = trace_symbols(model, parts.symbols, header, chunk.tile)
        tiles.append(tile)
    said = {key: value.hex() if isinstance(value, bytes) else value for key, value in vars(header).items()}
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}
    return {"header": fields, "chunks": chunks, "tiles": tiles}
