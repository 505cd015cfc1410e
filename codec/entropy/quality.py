"""The quality scale: 1..100 for people, an integer level 0..2048 in files and graphs.

Everything that depends on quality is piecewise linear in the level between `KNOTS` rows, `LEVELS_PER_KNOT` apart.
"""

from __future__ import annotations

import math

from aez.codec.errors import InvalidArgument

LEVEL_MAX = 2048
LEVELS_PER_KNOT = 256
KNOTS = LEVEL_MAX // LEVELS_PER_KNOT + 1
QUALITY_MIN, QUALITY_MAX = 1.0, 100.0


def quality_to_level(quality: float) -> int:
    """Level 0..2048 nearest to a quality 1..100. Raises InvalidArgument outside that range."""
    if not (math.isfinite(quality) and QUALITY_MIN <= quality <= QUALITY_MAX):
        raise InvalidArgument(f"quality {quality} is outside 1..100")
    return round((quality - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN) * LEVEL_MAX)


def level_to_quality(level: int) -> float:
    """Quality 1..100 of a level 0..2048."""
    return QUALITY_MIN + level / LEVEL_MAX * (QUALITY_MAX - QUALITY_MIN)


def nearest_knot(level: int) -> int:
    """Knot 0..8 whose hyper-latent tables code this level."""
    return (level + LEVELS_PER_KNOT // 2) // LEVELS_PER_KNOT
