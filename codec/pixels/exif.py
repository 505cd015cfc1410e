"""EXIF as bytes: a TIFF block that is changed in place, so that what nobody here knows (makers' notes) stays whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["PREFIX", "bare_block", "orientation_of", "with_orientation", "without_gps"]

#: What stands before the block in JPEG files and in Pillow's `info`.
PREFIX = b"Exif\0\0"
_ORIENTATION, _GPS = 0x0112, 0x8825
_SHORT = 3
#: Bytes of a value of each TIFF type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ENTRY = 12
#: A block that says an orientation, and nothing else.
_ALONE = struct.Struct(">2sHIHHHIHHI")


class _Entry(NamedTuple):
    at: int
    tag: int
    kind: int
    number: int


class _Block:
    """A TIFF block; what points outside of it is a ValueError or struct.error."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.order = "<" if data[:2] == b"II" else ">"

    def read(self, form: str, at: int) -> int:
        return int(struct.unpack_from(self.order + form, self.data, at)[0])

    @property
    def first(self) -> int:
        """Where directory 0 begins."""
        return self.read("I", 4)

    def entries(self, directory: int) -> Iterator[_Entry]:
        for number in range(self.read("H", directory)):
            at = directory + 2 + number * _ENTRY
            yield _Entry(at, *struct.unpack_from(self.order + "HHI", self.data, at))

    def find(self, tag: int) -> _Entry | None:
        return next((entry for entry in self.entries(self.first) if entry.tag == tag), None)


def bare_block(content: bytes) -> bytes | None:
    """The TIFF block of EXIF with or without its prefix; None for what is none."""
    while content.startswith(PREFIX):
        content = content[len(PREFIX) :]
    return content if content[:4] in (b"II*\0", b"MM\0*") else None


def orientation_of(block: bytes) -> int:
    """The orientation 1..8 that a block says; 1 where it says none, or none that there is."""
    try:
        parsed = _Block(block)
        entry = parsed.find(_ORIENTATION)
        if entry is None or entry.number != 1 or entry.kind not in (1, 3, 4):
            return 1
        value = parsed.read({1: "B", 3: "H", 4: "I"}[entry.kind], entry.at + 8)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def with_orientation(block: bytes, orientation: int) -> bytes:
    """The block with another orientation; empty where it would say nothing else, and that is 1.

    A damaged block is given back as it is.
    """
    if not block:
        return b"" if orientation == 1 else _ALONE.pack(b"MM", 42, 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0)
    try:
        parsed = _Block(block)
        entry = parsed.find(_ORIENTATION)
        if orientation == 1 and _says_nothing_else(parsed):
            return b""
        if entry is None:
            return block if orientation == 1 else _inserted(parsed, orientation)
        struct.pack_into(parsed.order + "HIHH", parsed.data, entry.at + 2, _SHORT, 1, orientation, 0)
    except struct.error:
        return block
    return bytes(parsed.data)


def _says_nothing_else(parsed: _Block) -> bool:
    entries = list(parsed.entries(parsed.first))
    further = parsed.read("I", parsed.first + 2 + _ENTRY * len(entries))
    return not further and all(entry.tag == _ORIENTATION for entry in entries)


def _inserted(parsed: _Block, orientation: int) -> bytes:
    """A copy of directory 0 with the entry, behind all else, where it moves nothing."""
    start = parsed.first
    count = parsed.read("H", start)
    old = bytes(parsed.data[start + 2 : start + 2 + count * _ENTRY + 4])
    if len(old) < count * _ENTRY + 4:
        raise struct.error("directory 0 is cut off")
    place = _ENTRY * sum(entry.tag < _ORIENTATION for entry in parsed.entries(start))
    new = struct.pack(parsed.order + "HHIHH", _ORIENTATION, _SHORT, 1, orientation, 0)
    data = parsed.data + bytes(len(parsed.data) % 2)
    struct.pack_into(parsed.order + "I", data, 4, len(data))
    return bytes(data) + struct.pack(parsed.order + "H", count + 1) + old[:place] + new + old[place:]


def without_gps(block: bytes) -> bytes | None:
    """The block without its GPS directory, whose bytes become zero; None for a damaged one, of which nobody knows."""
    try:
        parsed = _Block(block)
        entry = parsed.find(_GPS)
        if entry is None:
            return block
        directory = parsed.read("I", entry.at + 8)
        inner = list(parsed.entries(directory))
        for one in inner:
            _erase(parsed, one)
        parsed.data[directory : directory + 6 + _ENTRY * len(inner)] = bytes(6 + _ENTRY * len(inner))
        count = parsed.read("H", parsed.first)
        end = parsed.first + 2 + count * _ENTRY + 4
        parsed.data[entry.at : end] = parsed.data[entry.at + _ENTRY : end] + bytes(_ENTRY)
        struct.pack_into(parsed.order + "H", parsed.data, parsed.first, count - 1)
    except struct.error:
        return None
    return bytes(parsed.data[: len(block)])


def _erase(parsed: _Block, entry: _Entry) -> None:
    length = _SIZES.get(entry.kind, 1) * entry.number
    if length > 4:
        at = parsed.read("I", entry.at + 8)
        length = max(0, min(length, len(parsed.data) - at))
        parsed.data[at : at + length] = bytes(length)
