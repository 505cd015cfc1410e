"""How many dimensions data have where they lie: two estimates from distances to neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.vectors.neighbours import nearest

__all__ = ["maximum_likelihood", "two_neighbours"]

#: Of the two-neighbour estimate, the share of the largest ratios that is left out.
_LEFT_OUT = 0.1
_NEIGHBOURS = 20


def two_neighbours(rows: NDArray[np.float32]) -> float | None:
    """TWO-NN: from the ratio of the distances to the second and the first neighbour (Facco et al. 2017).

    The slope of -ln(1 - F) over the ln of the ratio, through the origin. None for fewer than 10 distinct rows.
    """
    distances = _distances(rows, 2)
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0])) if len(distances) >= 10 else np.zeros(0)
    kept = ratios[: int(len(ratios) * (1 - _LEFT_OUT))]
    share = np.arange(1, len(kept) + 1) / max(len(ratios), 1)
    squares = float(np.square(kept).sum())
    return float(-(kept * np.log1p(-share)).sum() / squares) if squares > 0 else None


def maximum_likelihood(rows: NDArray[np.float32], neighbours: int = _NEIGHBOURS) -> float | None:
    """Levina and Bickel 2004 with the mean of the inverses (MacKay, Ghahramani 2005), by so many neighbours."""
    distances = _distances(rows, min(neighbours, len(rows) - 2))
    if len(distances) < 10 or distances.shape[1] < 3:
        return None
    inverse = np.log(distances[:, -1:] / distances[:, :-1]).sum(1) / (distances.shape[1] - 2)
    mean = float(inverse.mean())
    return 1 / mean if mean > 0 else None


def _distances(rows: NDArray[np.float32], count: int) -> NDArray[Any]:
    """To so many neighbours [n, count], of distinct rows."""
    distinct = np.unique(rows, axis=0)
    if len(distinct) < count + 2 or count < 1:
        return np.zeros((0, 2))
    _, distances = nearest(distinct, distinct, count + 1)
    found: NDArray[Any] = distances[:, 1:].astype(np.float64)
    return found[found[:, 0] > 0]
