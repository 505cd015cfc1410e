"""Ways from one latent to another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["MODES", "path"]

Float = NDArray[np.float32]
MODES = ("linear", "spherical")
#: Sine of the angle below which two latents lie on one line, where a sphere knows no way between them.
_PARALLEL = 1e-4


def path(a: Float, b: Float, steps: int, mode: str = "linear") -> Iterator[Float]:
    """`steps` latents from a to b, both among them, float32 of their shape.

    `spherical` turns the direction evenly, and changes the length evenly with it, as a draw from a normal distribution
    has a length that its mean with another draw falls short of. Raises InvalidArgument for latents of two shapes,
    fewer than two steps, and an unknown mode.
    """
    if a.shape != b.shape:
        raise InvalidArgument(f"latents of shapes {list(a.shape)} and {list(b.shape)} have no way between them")
    if steps < 2:
        raise InvalidArgument(f"{steps} steps are too few; give 2 or more")
    if mode not in MODES:
        raise InvalidArgument(f"mode {mode!r} is unknown; use {' or '.join(MODES)}")
    angle = _angle(a, b) if mode == "spherical" else 0.0
    return (_between(a, b, number / (steps - 1), angle) for number in range(steps))


def _between(a: Float, b: Float, share: float, angle: float) -> Float:
    if share in (0, 1):
        return b if share else a
    if np.sin(angle) < _PARALLEL:
        weights = 1 - share, share
    else:
        weights = np.sin((1 - share) * angle) / np.sin(angle), np.sin(share * angle) / np.sin(angle)
    mixed: Float = np.float32(weights[0]) * a + np.float32(weights[1]) * b
    return mixed


def _angle(a: Float, b: Float) -> float:
    """Between two latents as vectors, 0..pi; 0 where one of them has no direction."""
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.arccos(np.clip(x @ y / lengths, -1, 1))) if lengths else 0.0
