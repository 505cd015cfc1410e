"""The kinds of content that a file can hold, by number, and the header of each."""

from __future__ import annotations

from collections.abc import Mapping

from aez.codec.container.header import Header
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.varint import Fields
from aez.codec.errors import CorruptFile, VersionError

#: All kinds that have a number; those without a class in `HEADERS` are reserved.
KIND_NAMES = ("image", "array", "series")
HEADERS: Mapping[int, type[Header]] = {ImageHeader.KIND: ImageHeader}


def kind_name(kind: int) -> str:
    """What a kind is called; `unknown` where its number has no meaning yet."""
    return KIND_NAMES[kind] if kind < len(KIND_NAMES) else "unknown"


def unpack_header(payload: bytes) -> Header:
    """The header of the payload of a header chunk.

    Raises VersionError for a kind that is reserved or unknown, and for what the kind's own header reserves;
    CorruptFile for anything else that is wrong.
    """
    fields = Fields(payload)
    try:
        (octet,) = fields.take(1)
        kind = octet & 15
        if kind not in HEADERS:
            raise VersionError(f"the file holds media of kind {kind} ({kind_name(kind)}), which needs a newer aez")
        header = HEADERS[kind].unpack(octet >> 4, fields)
    except ValueError as error:
        raise CorruptFile(f"the header chunk is not valid: {error}", "header") from error
    if fields.rest:
        raise CorruptFile(f"the header chunk has {fields.rest} bytes too many", "header")
    return header
