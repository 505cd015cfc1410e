"""EXIF blocks are changed in place: what nobody here knows stays where it was."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from aez.codec.pixels.exif import PREFIX, bare_block, orientation_of, with_orientation, without_gps


def block(order: str = "MM", orientation: int | None = 6, gps: bool = True) -> bytes:
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif[0x010F] = "a maker"
    if orientation is not None:
        exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x927C] = b"a note whose offsets count from the block's begin" * 3
    if gps:
        exif.get_ifd(0x8825)[1] = "N"
        exif.get_ifd(0x8825)[2] = (48.0, 8.0, 33.0)
    found = bare_block(exif.tobytes())
    assert found is not None
    assert found[:2] == order.encode()
    return found


def tags(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


@pytest.mark.parametrize("order", ["II", "MM"])
def test_an_orientation_is_changed_in_place(order: str) -> None:
    before = block(order)
    after = with_orientation(before, 3)
    assert (orientation_of(before), orientation_of(after)) == (6, 3)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert with_orientation(after, 6) == before


@pytest.mark.parametrize("order", ["II", "MM"])
def test_an_orientation_is_added_behind_all_else(order: str) -> None:
    before = block(order, None)
    assert with_orientation(before, 1) == before
    after = with_orientation(before, 8)
    assert after[8 : len(before)] == before[8:]
    assert tags(after)[0x0112] == 8
    assert tags(after)[0x010F] == "a maker"
    assert dict(tags(after).get_ifd(0x8769)) == dict(tags(before).get_ifd(0x8769))


def test_a_block_of_an_orientation_alone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    alone = with_orientation(b"", 6)
    assert PREFIX + alone == exif.tobytes()
    assert with_orientation(alone, 1) == b""
    assert with_orientation(b"", 1) == b""


@pytest.mark.parametrize("order", ["II", "MM"])
def test_positions_leave_no_byte(order: str) -> None:
    before = block(order)
    where = dict(tags(before).get_ifd(0x8825))
    assert where[2] == (48.0, 8.0, 33.0)
    after = without_gps(before)
    assert after is not None
    assert len(after) == len(before)
    assert 0x8825 not in tags(after)
    numbers = struct.pack("<2I" if order == "II" else ">2I", 48, 1)
    assert numbers in before
    assert numbers not in after
    assert tags(after)[0x0112] == 6
    assert dict(tags(after).get_ifd(0x8769)) == dict(tags(before).get_ifd(0x8769))
    assert without_gps(block(order, gps=False)) == block(order, gps=False)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"II+\0" + bytes(20), PREFIX])
def test_what_is_no_block(content: bytes) -> None:
    assert bare_block(content) is None


def test_damaged_blocks_say_nothing_and_stay() -> None:
    whole = block()
    for size in range(4, len(whole)):
        cut = whole[:size]
        assert 1 <= orientation_of(cut) <= 8
        assert len(with_orientation(cut, 3)) in (size, 0)
        cleaned = without_gps(cut)
        assert cleaned is None or len(cleaned) == size
    loop = b"II*\0\x08\0\0\0\x01\0\x25\x88\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
    assert without_gps(loop) is None


@pytest.mark.parametrize("value", [0, 9, 99])
def test_orientations_that_there_are_none_of(value: int) -> None:
    assert orientation_of(block(orientation=value)) == 1
