"""What an error is worth in bits, at each quality."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from aez.codec.entropy.quality import LEVEL_MAX
from aez.codec.image.tile_kinds import BLOCK
from aez.codec.image.tiles import Pixels

__all__ = [
    "FINE_LEVEL",
    "FLAT_FACTOR",
    "LADDER_LEVEL",
    "block_errors",
    "least_psnr",
    "psnr_of",
    "squared",
    "steps_at",
    "weight_at",
]

#: Bits per pixel that a unit of squared error is worth at quality 1 and 100, as in training.
_WEIGHT_MIN, _WEIGHT_MAX = 0.0004, 0.23
#: From this level up, quality 99, errors weigh more than in training, at the last one so many times.
FINE_LEVEL, _FINE_FACTOR = 2028, 6.0
#: From this level up, quality 96, photographs go from the model to exact samples block by block.
LADDER_LEVEL = 1965
#: dB that every tile reaches at the last level, and how many fewer at the first fine one.
_PSNR_LAST, _PSNR_RISE = 45.05, 9.0
#: The coarsest steps of exact samples, in photographs (noise) and in graphics, whose flat colours must not shift.
_STEP_MAX, _STEP_FLAT = 32, 5
#: Steps that are tried at the fine levels: 5 is 45 dB.
_FINE_STEPS = (2, 3, 4, 5, 6, 8)
#: Errors in graphics weigh more: they are seen.
FLAT_FACTOR = 4.0


def weight_at(level: int) -> float:
    """Bits per pixel that a mean squared error of 1 is worth."""
    weight = _WEIGHT_MIN * (_WEIGHT_MAX / _WEIGHT_MIN) ** (level / LEVEL_MAX)
    fine = max(0.0, (level - FINE_LEVEL) / (LEVEL_MAX - FINE_LEVEL))
    return float(weight * _FINE_FACTOR**fine)


def least_psnr(level: int) -> float:
    """dB that a tile must reach; 0 below the fine levels."""
    if level < FINE_LEVEL:
        return 0.0
    return _PSNR_LAST - _PSNR_RISE * (LEVEL_MAX - level) / (LEVEL_MAX - FINE_LEVEL)


def steps_at(level: int, flat: bool) -> list[int]:
    """Steps of 8-bit samples that are tried at a level, beside none; `flat` ones are of graphics."""
    usual = round(math.sqrt(26 / weight_at(level)))  # 3 log2(step) bits a pixel for a squared error of step^2 / 12
    step = max(2, min(usual, _STEP_FLAT if flat else _STEP_MAX))
    return [1, *sorted({step} if level < FINE_LEVEL else {step, *_FINE_STEPS})]


def squared(samples: Pixels, coded: Pixels, bits: int) -> float:
    """Mean squared error of samples as 8 bits."""
    difference = samples.astype(np.int32) - coded.astype(np.int32)
    return float(np.square(difference, dtype=np.float32).mean(dtype=np.float64)) * (255 / ((1 << bits) - 1)) ** 2


def block_errors(samples: Pixels, coded: Pixels) -> NDArray[np.float64]:
    """Squared errors of each block of a tile, summed: [rows, columns]."""
    difference = samples.astype(np.int32) - coded.astype(np.int32)
    errors = np.square(difference, dtype=np.float64).sum(axis=2)
    rows = np.add.reduceat(errors, np.arange(0, errors.shape[0], BLOCK), axis=0)
    blocks: NDArray[np.float64] = np.add.reduceat(rows, np.arange(0, errors.shape[1], BLOCK), axis=1)
    return blocks


def psnr_of(error: float) -> float:
    """dB of a mean squared error as 8 bits."""
    return math.inf if error == 0 else 10 * math.log10(255 * 255 / error)
