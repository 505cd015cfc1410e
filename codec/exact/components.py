"""Connected parts of what is drawn on a ground: letters, signs, dots; found with NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["boxes_of", "ground_of"]

Plane = NDArray[np.int64]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.intp]
#: Side of the squares that have one ground each.
_SQUARE = 32


def ground_of(plane: Plane) -> Plane:
    """Of each place [height, width] the value that is the most frequent around it."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % _SQUARE), (0, -width % _SQUARE)), mode="edge")
    rows, columns = padded.shape[0] // _SQUARE, padded.shape[1] // _SQUARE
    squares = padded.reshape(rows, _SQUARE, columns, _SQUARE).swapaxes(1, 2).reshape(rows * columns, -1)
    values = np.sort(squares, axis=1).reshape(-1)
    fresh = np.ones(values.size, np.bool_)
    fresh[1:] = values[1:] != values[:-1]
    fresh[:: squares.shape[1]] = True
    starts = np.flatnonzero(fresh)
    square, length = starts // squares.shape[1], np.diff(np.append(starts, values.size))
    order = np.lexsort((length, square))
    longest = order[np.flatnonzero(np.append(np.diff(square[order]), 1))]
    modes = values[starts[longest]].reshape(rows, columns)
    ground: Plane = modes.repeat(_SQUARE, axis=0)[:height].repeat(_SQUARE, axis=1)[:, :width]
    return ground


def boxes_of(ink: Mask) -> Numbers:
    """The rectangles [n, (left, top, right, bottom)] around the parts of a mask that touch, also at corners."""
    height, width = ink.shape
    steps = np.diff(np.pad(ink, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, left = np.nonzero(steps == 1)
    right = np.nonzero(steps == -1)[1]
    if row.size == 0:
        return np.zeros((0, 4), np.intp)
    # Runs of the row above that touch a run: those that end at its start or later, and start at its end or before.
    wide = width + 2
    first = np.searchsorted(row * wide + right, (row - 1) * wide + left, side="left")
    behind = np.searchsorted(row * wide + left, (row - 1) * wide + right, side="right")
    count = np.maximum(behind - first, 0)
    run = np.repeat(np.arange(row.size), count)
    above = np.arange(run.size) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    _, part = np.unique(_joined(row.size, run, above), return_inverse=True)
    parts = int(part.max()) + 1
    boxes = np.empty((parts, 4), np.intp)
    boxes[:, :2], boxes[:, 2:] = max(height, width), 0
    for column, values, within in ((0, left, np.minimum), (1, row, np.minimum), (2, right, np.maximum)):
        within.at(boxes[:, column], part, values)
    np.maximum.at(boxes[:, 3], part, row + 1)
    return boxes


def _joined(count: int, one: Numbers, other: Numbers) -> Numbers:
    """For each of `count` things the lowest number of those that pairs (one, other) join to it."""
    label: Numbers = np.arange(count)
    while True:
        before = label.copy()
        lowest = np.minimum(label[one], label[other])
        np.minimum.at(label, before[one], lowest)
        np.minimum.at(label, before[other], lowest)
        np.minimum.at(label, one, lowest)
        np.minimum.at(label, other, lowest)
        label = label[label].astype(np.intp, copy=False)
        if np.array_equal(label, before):
            return label
