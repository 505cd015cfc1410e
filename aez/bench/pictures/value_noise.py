"""Smooth random values that are the same on every machine: what computed pictures are textured with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]


def value_noise(height: int, width: int, cell: int, seed: int) -> Field:
    """Values 0..1 on a lattice of `cell` pixels, blended smoothly between its points; [height, width]."""
    y, x = np.mgrid[:height, :width] / cell
    row, column = np.floor(y).astype(np.uint32), np.floor(x).astype(np.uint32)
    v, u = (t * t * (3 - 2 * t) for t in (y - row, x - column))
    top = place_noise(row, column, seed) * (1 - u) + place_noise(row, column + 1, seed) * u
    bottom = place_noise(row + 1, column, seed) * (1 - u) + place_noise(row + 1, column + 1, seed) * u
    return np.asarray(top * (1 - v) + bottom * v)


def place_noise(row: npt.NDArray[np.uint32], column: npt.NDArray[np.uint32], seed: int) -> Field:
    """A number in 0..1 for each place: integer hashing, because random generators differ between versions."""
    mixed = row * np.uint32(0x9E3779B1) ^ column * np.uint32(0x85EBCA77) ^ np.uint32(seed * 0x27D4EB2F & 0xFFFFFFFF)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        mixed = (mixed ^ mixed >> np.uint32(shift)) * np.uint32(factor)
    return (mixed ^ mixed >> np.uint32(15)) / 0xFFFFFFFF
