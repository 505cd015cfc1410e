"""What the squares of a picture show: a photograph, or graphics (text, drawings, screens, flat colours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.codec.exact.components import boxes_of
from aez.codec.image.tile_kinds import BLOCK, Mask

__all__ = ["Blocks", "difference_bits", "look_at"]

Samples = NDArray[np.uint8] | NDArray[np.uint16]
#: Graphics have this share of pixels that equal a neighbour, or so few colours in a block.
_EQUAL_SHARE = 0.5
_FEW_COLOURS, _MANY_COLOURS = 24, 64
#: What is drawn has at most so many, the greys of smoothed text among them.
_DRAWN_COLOURS = 48
#: Of 256 pixels, those of one colour that make a background.
_BACKGROUND = 36
#: Of 255: what is flatter than this is as cheap in a photograph.
_CONTRAST = 24
#: Share of a rectangle that shows a photograph from which on all of it does.
_FILLED_SHARE = 0.6
#: Rows of blocks that are looked at together, so that memory stays bounded.
_STRIP = 16


@dataclass(frozen=True)
class Blocks:
    """Of each block [rows, columns]: whether it is part of a photograph, and whether it is graphics with edges."""

    photo: Mask
    drawn: Mask


def look_at(pixels: Samples, bits: int) -> Blocks:
    """The blocks of a picture [height, width, 3]."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    photo, drawn, many, plain = (np.zeros((rows, columns), np.bool_) for _ in range(4))
    for first in range(0, rows, _STRIP):
        part = pixels[first * BLOCK : (first + _STRIP) * BLOCK]
        strip = slice(first, first + _STRIP)
        photo[strip], drawn[strip], many[strip], plain[strip] = _look_at_strip(part, _CONTRAST << (bits - 8))
    photo = _without_specks(photo)
    photo |= many & _grown(photo)  # the edge of a photograph, where a block holds some of the page too
    closed = _shrunk(_shrunk(_grown(_grown(photo))))
    photo |= (closed | _boxed(photo)) & ~plain & ~(drawn & ~many)
    return Blocks(photo, drawn & ~photo)


def _look_at_strip(part: Samples, contrast: int) -> tuple[Mask, Mask, Mask, Mask]:
    below, beside = -part.shape[0] % BLOCK, -part.shape[1] % BLOCK
    padded = np.pad(part, ((0, below), (0, beside), (0, 0)), mode="reflect")
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    red, green, blue = (padded[:, :, channel].astype(np.int64) for channel in range(3))
    packed = red << 32 | green << 16 | blue
    equal = np.zeros(packed.shape, np.bool_)
    equal[:, 1:] = packed[:, 1:] == packed[:, :-1]
    equal[1:] |= packed[1:] == packed[:-1]
    share = equal.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
    blocks = np.sort(packed.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows, columns, -1), axis=2)
    colours = (blocks[:, :, 1:] != blocks[:, :, :-1]).sum(axis=2) + 1
    luma = padded[:, :, 1].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)
    spread = luma.max(axis=2).astype(np.int32) - luma.min(axis=2)
    # Text has a background, even where it is dense: one colour in many of a block's pixels.
    on_one = (blocks[:, :, _BACKGROUND:] == blocks[:, :, :-_BACKGROUND]).any(axis=2)
    photo = (share < _EQUAL_SHARE) & (colours > _FEW_COLOURS) & ~on_one
    drawn = ~photo & (spread >= contrast) & (share >= _EQUAL_SHARE) & (colours <= _DRAWN_COLOURS)
    return photo, drawn, colours > _MANY_COLOURS, colours == 1


def _boxed(photo: Mask) -> Mask:
    """The rectangles around parts of the mask that fill them nearly: photographs have corners, and smooth places."""
    boxed = np.zeros_like(photo)
    for left, top, right, bottom in boxes_of(photo).tolist():
        part = slice(top, bottom), slice(left, right)
        if photo[part].mean() > _FILLED_SHARE:
            boxed[part] = True
    return boxed


def _grown(mask: Mask) -> Mask:
    """With the eight neighbours of each place."""
    padded = np.pad(mask, 1)
    rows, columns = mask.shape
    grown: Mask = np.logical_or.reduce([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)])
    return grown


def _shrunk(mask: Mask) -> Mask:
    return ~_grown(~mask)


def _without_specks(mask: Mask) -> Mask:
    """The mask without places that have fewer than two of their eight neighbours in it."""
    padded = np.pad(mask, 1).astype(np.uint8)
    rows, columns = mask.shape
    around = np.zeros(mask.shape, np.uint8)
    for down in range(3):
        for right in range(3):
            around += padded[down : down + rows, right : right + columns]
    kept: Mask = mask & (around > 2)
    return kept


def difference_bits(pixels: Samples) -> float:
    """Bits per pixel that the differences to the left neighbours would take, each alone: what exact samples cost.

    `pixels` [height, width, channels]; every fourth row is looked at.
    """
    rows = pixels[::4].astype(np.int32)
    if rows.shape[1] < 2:
        return 0.0
    green = rows[:, :, min(1, rows.shape[2] - 1)]
    bits = 0.0
    for channel in range(rows.shape[2]):
        plane = rows[:, :, channel] if channel == 1 or rows.shape[2] == 1 else rows[:, :, channel] - green
        _, counts = np.unique(np.diff(plane, axis=1), return_counts=True)
        share = counts / counts.sum()
        bits -= float((share * np.log2(share)).sum())
    return bits
