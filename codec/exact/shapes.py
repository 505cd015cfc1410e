"""Shapes that a picture has several times, such as letters: kept once, and copied to their other places.

Boxes come in a row. Each names its shape; the first box of a shape shows it in the picture, the others are copies.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.codec.container.deflate import deflate, inflate
from aez.codec.container.varint import Fields, write_varint
from aez.codec.errors import CorruptFile
from aez.codec.exact.components import boxes_of, ground_of

__all__ = ["ShapeBox", "copy_shapes", "find_shapes", "pack_boxes", "unpack_boxes", "without_copies"]

Indices = NDArray[np.int32]
#: The least and the largest sides of what is looked for.
_SIDE_MIN, _SIDE_MAX = 2, 128
#: Pixels of a box, at least: less costs as much to copy as to show.
_AREA_MIN = 6
#: Boxes that are copies, at least: fewer are not worth a list.
_COPIES_MIN = 8
#: Share of pixels that equal their left neighbour in what is looked through at all.
_FLAT_SHARE = 0.4
#: Of the pixels that a picture has: what all boxes together may have, so that copying takes bounded time.
AREA_FACTOR = 4
_PACKED_MAX = 1 << 20


@dataclass(frozen=True)
class ShapeBox:
    """A rectangle in pixels, ends exclusive, and the number of its shape, from 0 in the order of first boxes."""

    shape: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


def find_shapes(indices: Indices) -> list[ShapeBox]:
    """What occurs more than once in a picture [height, width, channels], in reading order; empty if that is little."""
    if indices.shape[1] < _SIDE_MIN or (indices[:, 1:] == indices[:, :-1]).all(axis=2).mean() < _FLAT_SHARE:
        return []
    plane = _packed(indices)
    boxes = boxes_of(plane != ground_of(plane))
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    sides = np.minimum(width, height) >= _SIDE_MIN, np.maximum(width, height) <= _SIDE_MAX
    boxes = boxes[sides[0] & sides[1] & (width * height >= _AREA_MIN)]
    if len(boxes) < _COPIES_MIN:
        return []
    looks = [(right - left, plane[top:bottom, left:right].tobytes()) for left, top, right, bottom in boxes.tolist()]
    times: dict[tuple[int, bytes], int] = {}
    for look in looks:
        times[look] = times.get(look, 0) + 1
    repeated = [number for number, look in enumerate(looks) if times[look] > 1]
    numbers: dict[tuple[int, bytes], int] = {}
    found = [
        ShapeBox(numbers.setdefault(looks[number], len(numbers)), *boxes[number].tolist())
        for number in _in_lines(boxes, repeated)
    ]
    few = len(found) - len(numbers) < _COPIES_MIN
    return [] if few or sum(box.area for box in found) > AREA_FACTOR * plane.size else found


def _packed(indices: Indices) -> NDArray[np.int64]:
    """One number for all channels of a pixel."""
    planes = [indices[:, :, channel].astype(np.int64) for channel in range(indices.shape[2])]
    return functools.reduce(lambda joined, plane: joined << 16 | plane, planes)


def _in_lines(boxes: NDArray[np.intp], chosen: list[int]) -> list[int]:
    """The chosen boxes line by line, from left to right: a box is in the line that half of it lies beside."""
    lines: list[tuple[int, int, list[int]]] = []
    for number in sorted(chosen, key=lambda number: int(boxes[number, 1])):
        _, top, _, bottom = boxes[number].tolist()
        for place in range(max(0, len(lines) - 4), len(lines)):
            first, last, members = lines[place]
            if 2 * (min(bottom, last) - max(top, first)) > min(bottom - top, last - first):
                members.append(number)
                lines[place] = min(top, first), max(bottom, last), members
                break
        else:
            lines.append((top, bottom, [number]))
    return [number for _, _, members in lines for number in sorted(members, key=lambda one: int(boxes[one, 0]))]


def without_copies(indices: Indices, boxes: list[ShapeBox]) -> Indices:
    """The picture with its ground in place of all copies, as far as no first box shows there."""
    erased = np.zeros(indices.shape[:2], np.bool_)
    for box in boxes:
        erased[box.slices] = True
    for box in _firsts(boxes):
        erased[box.slices] = False
    ground = ground_of(_packed(indices))[erased]
    left = indices.copy()
    channels = indices.shape[2]
    left[erased] = np.stack([ground >> 16 * (channels - 1 - n) & 0xFFFF for n in range(channels)], axis=1)
    return left


def _firsts(boxes: list[ShapeBox]) -> Iterator[ShapeBox]:
    shown = 0
    for box in boxes:
        if box.shape == shown:
            shown += 1
            yield box


def copy_shapes(indices: Indices, boxes: list[ShapeBox]) -> None:
    """Put copies where they belong, in place, in the order of boxes."""
    firsts: list[ShapeBox] = []
    for box in boxes:
        if box.shape == len(firsts):
            firsts.append(box)
        else:
            indices[box.slices] = indices[firsts[box.shape].slices].copy()


def pack_boxes(boxes: list[ShapeBox]) -> bytes:
    """Boxes as bytes."""
    shapes, across, down, widths, heights = (bytearray() for _ in range(5))
    shown = right = bottom = 0
    for box in boxes:
        fresh = box.shape == shown
        shapes += write_varint(0 if fresh else box.shape + 1)
        across += write_varint(_folded(box.left - right))
        down += write_varint(_folded(box.bottom - bottom))
        if fresh:
            widths += write_varint(box.right - box.left)
            heights += write_varint(box.bottom - box.top)
            shown += 1
        right, bottom = box.right, box.bottom
    return deflate(write_varint(len(boxes)) + bytes(shapes + across + down + widths + heights))


def _folded(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unfolded(number: int) -> int:
    return -(number + 1) // 2 if number & 1 else number // 2


def unpack_boxes(packed: bytes, height: int, width: int) -> list[ShapeBox]:
    """The boxes of `pack_boxes`, within a picture of that size. Raises CorruptFile."""
    fields = Fields(inflate(packed, _PACKED_MAX, "the list of shapes", "tile"))
    try:
        count = fields.varint()
        if count > fields.rest:
            raise ValueError("it is cut off")
        shapes, across, down = ([fields.varint() for _ in range(count)] for _ in range(3))
        shown = sum(number == 0 for number in shapes)
        widths, heights = ([fields.varint() for _ in range(shown)] for _ in range(2))
        if fields.rest:
            raise ValueError("it has more bytes than it needs")
    except ValueError as error:
        raise CorruptFile(f"the list of shapes cannot be read: {error}", "tile") from error
    sides: list[tuple[int, int]] = []
    boxes: list[ShapeBox] = []
    right = bottom = area = 0
    for number, over, below in zip(shapes, across, down, strict=True):
        if not number:
            sides.append((widths[len(sides)], heights[len(sides)]))
        shape = number - 1 if number else len(sides) - 1
        if shape >= len(sides):
            raise CorruptFile(f"a shape has the number {number}, and {len(sides)} were shown", "tile")
        left, bottom = right + _unfolded(over), bottom + _unfolded(below)
        right, top = left + sides[shape][0], bottom - sides[shape][1]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise CorruptFile("a shape lies outside the tile", "tile")
        boxes.append(ShapeBox(shape, left, top, right, bottom))
        area += boxes[-1].area
        if area > AREA_FACTOR * height * width:
            raise CorruptFile(f"shapes have more than {AREA_FACTOR} times the pixels of the tile", "tile")
    return boxes
