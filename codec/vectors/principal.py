"""Principal components of vectors, in NumPy: what a code is projected by, and what a network is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Principal"]

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Principal:
    """mean [d], orthonormal components [k, d] with the largest variance first, and the share of it of each [k]."""

    mean: Float
    components: Float
    shares: Float

    @classmethod
    def of(cls, rows: Float, most: int) -> Principal:
        """At most so many components of rows [n, d]; fewer where the rows have no more."""
        mean = rows.mean(0, dtype=np.float64).astype(np.float32)
        centred = (rows - mean).astype(np.float64)
        count = min(most, *rows.shape)
        # The smaller of the two products has all that is needed.
        wide = rows.shape[1] > rows.shape[0]
        variances, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
        kept = int((variances[:count] > 1e-10 * max(float(variances[0]), 1e-30)).sum())
        components = vectors[:, :kept].T
        if wide:
            components = components @ centred / np.sqrt(variances[:kept, None])
        shares = variances[:kept] / max(float(variances.sum()), 1e-30)
        return cls(mean, components.astype(np.float32), shares.astype(np.float32))

    def project(self, rows: Float, most: int | None = None) -> Float:
        """Coordinates [n, k] of rows, or their first `most`."""
        found: Float = ((rows - self.mean) @ self.components[:most].T).astype(np.float32)
        return found

    def restore(self, coordinates: Float) -> Float:
        """Rows [n, d] of coordinates [n, k]."""
        found: Float = coordinates @ self.components[: coordinates.shape[1]] + self.mean
        return found
