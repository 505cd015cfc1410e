"""Raw DEFLATE, bounded on both sides."""

from __future__ import annotations

import zlib

from aez.codec.errors import CorruptFile

METADATA_MAX = 1 << 24


def deflate(content: bytes) -> bytes:
    """Raw DEFLATE."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def inflate(payload: bytes, limit: int, what: str, chunk: str) -> bytes:
    """What `deflate` packed, at most `limit` bytes; errors name `what` it is and the `chunk`. Raises CorruptFile."""
    content, whole = _unpacked(payload, limit, what, chunk)
    if len(content) > limit:
        raise CorruptFile(f"{what} decompresses to more than {limit} bytes", chunk)
    if not whole:
        raise CorruptFile(f"{what} does not end where its compressed data ends", chunk)
    return content


def inflate_exactly(payload: bytes, size: int, what: str, chunk: str) -> bytes:
    """As `inflate`, of what has so many bytes."""
    content, whole = _unpacked(payload, size, what, chunk)
    if len(content) != size or not whole:
        raise CorruptFile(f"{what} does not have {size} bytes", chunk)
    return content


def _unpacked(payload: bytes, limit: int, what: str, chunk: str) -> tuple[bytes, bool]:
    """At most one byte more than `limit`, and whether that is all of the payload."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(payload, limit + 1)
    except zlib.error as error:
        raise CorruptFile(f"{what} does not decompress", chunk) from error
    return content, unpacker.eof and not unpacker.unused_data
