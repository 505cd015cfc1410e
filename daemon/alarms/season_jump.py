"""A new level of a stream of a model with seasons as a jump of its trailing level.

That follows what lasts within weeks by itself; the jump takes it at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.seasons import SeasonInputs, Seasons
from aez.codec.errors import InvalidArgument
from aez.daemon.alarms.adoption import CHANNELS_MOST, ENOUGH

__all__ = ["amounts", "level_jump"]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]


def level_jump(model: Any, window: Float, given: SeasonInputs, limit: float, most: float) -> Floats:
    """What the level [channels] of a stream has to jump by so that a window [rows, channels] is normal.

    model: has `channels`, `ranges`, `seasons` and `score_batch` as a `Detector`. given: phases [rows, seasons] and
    level [channels] of the window. limit: of the stream, in thresholds. most: no level jumps by more than so many times
    the range that training saw.

    The channels most to blame are tried first, one more at a time. Raises InvalidArgument where that takes more than
    `CHANNELS_MOST`, or more than `most`, or channels without a season.
    """
    seasons: Seasons = model.seasons
    jump = np.zeros(len(given.level))
    score, blame = _score(model, window, given)
    chosen: list[int] = []
    while score > ENOUGH * limit and len(chosen) < min(CHANNELS_MOST, len(jump)):
        place = next(one for one in np.argsort(-np.nan_to_num(blame), kind="stable").tolist() if one not in chosen)
        if not seasons.follows[place]:
            raise InvalidArgument(
                f"channel {model.channels[place]} has no season, so that no level of it is followed; "
                "train a model on the new level"
            )
        jump[place] = _away(seasons, window, given)[place]
        if not np.isfinite(jump[place]):
            raise InvalidArgument(f"channel {model.channels[place]} has no values just now; its level cannot be told")
        chosen.append(place)
        score, blame = _score(model, window, _moved(seasons, given, jump))
    if score > ENOUGH * limit:
        raise InvalidArgument(
            f"its level cannot be taken: with {len(chosen)} levels moved its score is still {score / limit:.3g} "
            "times its limit; train a model on the new level"
        )
    for place, amount in enumerate(amounts(seasons, jump).tolist()):
        low, high = model.ranges[place]
        if abs(amount) > most * max(high - low, 1e-12):
            raise InvalidArgument(
                f"the level of channel {model.channels[place]} would have to jump by {amount:.4g}, more than {most:g} "
                f"times the {high - low:.4g} that training saw; look at the sensor, or train a model"
            )
    return jump


def amounts(seasons: Seasons, jump: NDArray[np.floating]) -> Floats:
    """A jump [channels] in the sensors' units; of levels that are shares at the mean of what is usual."""
    found: Floats = jump * np.where(seasons.multiplies, np.abs(seasons.centre[0][1:].mean(axis=0)), 1.0)
    return found


def _away(seasons: Seasons, window: Float, given: SeasonInputs) -> Floats:
    """By how much the level [channels] lies below that of the window's rows; NaN where there are none."""
    level = np.repeat(given.level[None], len(window), axis=0)
    centre, _ = seasons.usual(given.phase, level)
    above, _ = seasons.usual(given.phase, level + 1)
    lever = above - centre
    with np.errstate(all="ignore"):
        weight = np.where(np.isfinite(window), np.square(lever), np.nan)
        found: Floats = np.nansum((window - centre) / lever * weight, axis=0) / np.nansum(weight, axis=0)
    return found


def _moved(seasons: Seasons, given: SeasonInputs, jump: Floats) -> SeasonInputs:
    return given._replace(level=seasons.bounded(given.level + jump).astype(np.float32))


def _score(model: Any, window: Float, given: SeasonInputs) -> tuple[float, Float]:
    one = SeasonInputs(given.phase[None].astype(np.float32), given.level[None].astype(np.float32))
    found = model.score_batch(np.ascontiguousarray(window[None], np.float32), whole=False, scale=one)
    return float(found.score[0]), found.channel_score[0]
