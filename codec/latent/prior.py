"""Pictures drawn from what a codec expects of its symbols: the hyper-latent from its tables, the latent given that.

The codec's tables know how the latents of neighbouring places go together, which N(0, 1) does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aez.codec.entropy.hyper_context import PHASES, table_indices
from aez.codec.entropy.quality import quality_to_level
from aez.codec.entropy.tables import Tables
from aez.codec.errors import InvalidArgument
from aez.codec.image.model import ImageModel
from aez.codec.image.tiles import TILE_DEFAULT, to_pixels

__all__ = ["draw_coded"]


def draw_coded(
    model: ImageModel, height: int, width: int, seed: int | Sequence[int], temperature: float = 1.0, quality: float = 50
) -> NDArray[np.uint8]:
    """A picture uint8 [height, width, 3] of at most 1024 pixels a side, drawn as the codec at a quality expects it.

    Probabilities are raised to 1 / temperature; 0 takes the likeliest symbol everywhere. Raises InvalidArgument.
    """
    if not (1 <= height <= TILE_DEFAULT and 1 <= width <= TILE_DEFAULT):
        raise InvalidArgument(
            f"a picture drawn from the codec's tables has 1..{TILE_DEFAULT} pixels a side, not {width}x{height}"
        )
    if not (math.isfinite(temperature) and temperature >= 0):
        raise InvalidArgument(f"temperature {temperature} is not a number of 0 or more")
    level = quality_to_level(quality)
    rng = np.random.default_rng(seed)
    g = model.geometry
    rows, columns = (-(-side // g.alignment) * g.alignment // g.hyper_stride for side in (height, width))
    numbers = model.tables.hyper_numbers(level)
    z = np.zeros((g.hyper_channels, rows, columns), np.int32)
    for phase in range(PHASES):
        z += _drawn(model.tables.hyper, table_indices(z, phase, numbers), rng, temperature)
    latents = g.hyper_cells * g.cells
    y = np.empty((g.channels, rows * latents, columns * latents), np.float32)
    prediction = model.predict(z, level)
    for phase in range(len(g.phases)):
        residual = _drawn(model.tables.residual, prediction.index(), rng, temperature)
        g.put_phase(y, phase, prediction.mean() + residual.astype(np.float32))
        prediction.learn(residual)
    return to_pixels(model.synthesis(y, level)[:, :height, :width])


def _drawn(tables: Tables, index: NDArray[np.uint8], rng: np.random.Generator, temperature: float) -> NDArray[np.int32]:
    """A symbol from the table of each index, int32 of its shape; 0 where the index is 0. Nothing escapes a table."""
    symbols = np.zeros(index.shape, np.int32)
    for number in np.unique(index[index > 0]).tolist():
        places = index == number
        weights = tables[number][:-1].astype(np.float64)
        reach = int(tables.reach[number])
        if temperature == 0:
            symbols[places] = int(weights.argmax()) - reach
            continue
        share = np.exp(np.log(weights / weights.max()) / temperature)
        symbols[places] = rng.choice(weights.size, int(places.sum()), p=share / share.sum()) - reach
    return symbols
