"""A model in miniature: tables and scale indices from integer rules alone, so that golden files never change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aez.codec.entropy.tables import TOTAL, Tables, TileTables

HYPER_CHANNELS, CHANNELS, KNOTS, SCALES = 4, 6, 9, 8
CONTEXTS, HYPER_TABLES = 8, 15


def falling_table(reach: int, spread: int) -> NDArray[np.uint32]:
    """Table of -reach..reach and the escape, each step outwards dividing the weight by 1 + 1/spread."""
    weights = [TOTAL // 8]
    for _ in range(reach):
        weights.append(1 + weights[-1] * spread // (spread + 1))
    both = [*reversed(weights[1:]), *weights, 1000]
    scaled = [1 + weight * (TOTAL - len(both)) // sum(both) for weight in both]
    scaled[reach] += TOTAL - sum(scaled)
    return np.array(scaled, np.uint32)


def make_tables() -> TileTables:
    """15 hyper tables besides number 0; at every knot channels and contexts share them."""
    hyper = [falling_table(3 + number % 5, 1 + number % 3) for number in range(HYPER_TABLES + 1)]
    residual = [falling_table(number, 1 + number) for number in range(SCALES)]
    knot, context, channel = np.ogrid[:KNOTS, :CONTEXTS, :HYPER_CHANNELS]
    numbers = 1 + (5 * knot + 3 * context + channel) % HYPER_TABLES
    return TileTables(Tables.from_list(hyper), numbers.astype(np.uint8), Tables.from_list(residual))


def scale_index(z: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Scale indices [6, 2h, 2w] of a hyper-latent [4, h, w]; some are 0."""
    wide = np.repeat(np.repeat(z, 2, axis=1), 2, axis=2)
    channels = np.arange(CHANNELS)
    return ((np.abs(wide[channels % HYPER_CHANNELS]) * 3 + channels[:, None, None]) % SCALES).astype(np.uint8)


def make_symbols(seed: int, height: int, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(z [4, h, w], residual [6, 2h, 2w]) of an integer generator of its own; some need escapes."""
    count = HYPER_CHANNELS * height * width + CHANNELS * 4 * height * width
    state, values = seed + 1, []
    for _ in range(count):
        state = state * 6364136223846793005 % 2**64 + 1442695040888963407
        draw = state >> 40 & 0xFFFF
        size = 2 if draw < 0x8000 else 6 if draw < 0xF000 else 15 if draw < 0xFF80 else 200_000
        values.append((state >> 20) % (2 * size + 1) - size)
    flat = np.array(values, np.int32)
    cut = HYPER_CHANNELS * height * width
    z = flat[:cut].reshape(HYPER_CHANNELS, height, width)
    residual = flat[cut:].reshape(CHANNELS, 2 * height, 2 * width)
    return z, np.where(scale_index(z) > 0, residual, 0).astype(np.int32)
