"""Chunks whose content is compressed: raw DEFLATE, bounded on both sides."""

from __future__ import annotations

import zlib

from aez.codec.container.chunks import ChunkInfo
from aez.codec.errors import CorruptFile

METADATA_MAX = 1 << 24


def deflate(content: bytes) -> bytes:
    """Raw DEFLATE of metadata."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def inflate(payload: bytes, info: ChunkInfo) -> bytes:
    """What `deflate` packed, at most METADATA_MAX bytes. Raises CorruptFile."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(payload, METADATA_MAX + 1)
    except zlib.error as error:
        raise CorruptFile(f"{info} does not decompress", info.name) from error
    if len(content) > METADATA_MAX:
        raise CorruptFile(f"{info} decompresses to more than {METADATA_MAX} bytes", info.name)
    if not unpacker.eof or unpacker.unused_data:
        raise CorruptFile(f"{info} does not end where its compressed data ends", info.name)
    return content
