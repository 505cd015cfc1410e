"""The two ends of a file: signature and header, index and end mark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from aez.codec.container.chunks import END_MARK, HEADER, MAJOR_VERSION, SIGNATURE, TRAILER_BYTES, ChunkInfo
from aez.codec.container.header import HEADER_MAX, Header
from aez.codec.container.kinds import kind_name, unpack_header
from aez.codec.container.source import ChunkSource
from aez.codec.container.varint import write_varint
from aez.codec.errors import CorruptFile, TruncatedFile, UnsupportedInput, VersionError

__all__ = ["check_end", "read_header"]

H = TypeVar("H", bound=Header)


def read_header(source: ChunkSource, kind: type[H] | None) -> tuple[H, ChunkInfo]:
    """The header, from which on the source knows the names of chunks, and where it lies.

    Raises CorruptFile, TruncatedFile, VersionError; UnsupportedInput for a file that is none of `kind`.
    """
    signature = source.read(len(SIGNATURE))
    common = len(SIGNATURE) - 1
    if signature[:common] != SIGNATURE[: min(common, len(signature))]:
        raise CorruptFile(f"this is no .aez file: it starts with the bytes {signature.hex(' ')}", "signature")
    if len(signature) < len(SIGNATURE):
        raise TruncatedFile(f"the file ends in the signature, after {len(signature)} bytes", "signature")
    if signature != SIGNATURE:
        version = signature[common]
        advice = "install a newer aez" if version > MAJOR_VERSION else "no released aez wrote it; encode it anew"
        raise VersionError(f"the file has format version {version}, and this aez reads {MAJOR_VERSION}: {advice}")
    info, payload = source.chunk(0, HEADER_MAX)
    if info.type != HEADER:
        raise CorruptFile(f"{info} stands where the header should", "header")
    header = unpack_header(payload)
    if kind is not None and not isinstance(header, kind):
        raise UnsupportedInput(f"the file holds media of kind {kind_name(header.KIND)}, not {kind_name(kind.KIND)}")
    source.names = header.names
    return cast(H, header), info


def check_end(source: ChunkSource, info: ChunkInfo, index: bytes, read: Iterable[ChunkInfo] | None) -> None:
    """Check the index against the chunks that were `read` (None: not), the trailer, and that nothing follows.

    `info` is the index's. Raises CorruptFile, TruncatedFile.
    """
    if read is not None:
        listed = [entry.type.encode("ascii") + write_varint(entry.length) for entry in read]
        if index != b"".join(listed):
            raise CorruptFile(f"{info} does not list the chunks that stand in the file", info.name)
    trailer = source.read(TRAILER_BYTES)
    if len(trailer) < TRAILER_BYTES:
        raise TruncatedFile("the file ends in its end mark", "end mark")
    if trailer != (info.length + TRAILER_BYTES).to_bytes(4, "little") + END_MARK:
        raise CorruptFile(f"the end mark behind {info} is damaged: {trailer.hex(' ')}", info.name)
    if source.read(1):
        raise CorruptFile(f"bytes follow the end mark, from byte {source.position - 1} on", info.name)
