"""Pictures of rings: three numbers say everything about one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rings(count: int, side: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    """Bright rings of several sizes at several places on a dark ground, uint8 [count, side, side]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centre = rng.normal(side / 2, side / 10, (count, 2))
    radius = rng.uniform(side / 8, side / 3, count)
    distance = np.hypot(y - centre[:, :1, None], x - centre[:, 1:, None])
    return (255 / (1 + np.exp(3 * (np.abs(distance - radius[:, None, None]) - 1)))).astype(np.uint8)
