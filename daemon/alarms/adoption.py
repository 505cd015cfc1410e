"""A new level of a stream as a shift: what is to be taken from its values so that the model sees them as before.

A shift keeps the model as sensitive as it was, where a higher limit would make it deaf to smaller faults.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["CHANNELS_MOST", "ENOUGH", "level_shift"]

Float = NDArray[np.float32]
#: So many channels may have moved; one more is a case for training.
CHANNELS_MOST = 4
_STEPS = 60
#: The shifted window's score lies below this share of the limit.
ENOUGH = 0.9


def level_shift(model: Any, window: Float, limit: float, most: float) -> Float:
    """The shift float32 [channels], in the sensors' units, with which a window [rows, channels] is normal.

    model: has `channels`, `ranges`, `reconstruct` and `score_batch` as a `Detector`. limit: of the stream, in
    thresholds. most: no channel is shifted by more than so many times the range that training saw.

    The channels most to blame are tried first, one more at a time. Raises InvalidArgument where that takes more than
    `CHANNELS_MOST`, or more than `most`, and for models that reconstruct nothing.
    """
    if getattr(model, "reconstruct", None) is None or getattr(model, "ranges", None) is None:
        raise InvalidArgument("its model expects no values, so that there is no level to take; set its limit instead")
    if not np.isfinite(window).any(axis=0).all():
        raise InvalidArgument("a channel of it has no values just now; its level cannot be told")
    shift = np.zeros(window.shape[1], np.float32)
    score, blame = _score(model, window)
    chosen: list[int] = []
    while score > ENOUGH * limit and len(chosen) < min(CHANNELS_MOST, len(shift)):
        order = [place for place in np.argsort(-np.nan_to_num(blame), kind="stable").tolist() if place not in chosen]
        chosen.append(order[0])
        _solve(model, window, shift, chosen)
        score, blame = _score(model, window - shift)
    if score > ENOUGH * limit:
        raise InvalidArgument(
            f"its level cannot be taken: with {len(chosen)} channels shifted its score is still {score / limit:.3g} "
            "times its limit; train a model on the new level"
        )
    for place in chosen:
        low, high = model.ranges[place]
        if abs(float(shift[place])) > most * max(high - low, 1e-12):
            raise InvalidArgument(
                f"channel {model.channels[place]} would have to be shifted by {-float(shift[place]):.4g}, more than "
                f"{most:g} times the {high - low:.4g} that training saw; look at the sensor, or train a model"
            )
    return shift


def _solve(model: Any, window: Float, shift: Float, chosen: list[int]) -> None:
    """Set the shift of the chosen channels such that they lie where the model expects them."""
    before: Float | None = None
    step = 1.0
    for _ in range(_STEPS):
        moved = window - shift
        found = np.nanmedian(moved - model.reconstruct(moved[None])[0], axis=0)[chosen].astype(np.float32)
        if not np.isfinite(found).all():
            return
        largest = float(np.abs(found).max())
        if before is not None and largest > 0:
            # A model that follows part of a shift leaves a residual that shrinks slowly.
            ratio = float(np.abs(before).max()) / largest
            step = min(8.0, step * 1.5) if 1 < ratio < 1.5 else max(1.0, step / 2) if ratio <= 1 else step
        shift[chosen] += np.float32(step) * found
        before = found
        if largest <= 1e-4 * float(np.abs(shift[chosen]).max()):
            return


def _score(model: Any, window: Float) -> tuple[float, Float]:
    found = model.score_batch(np.ascontiguousarray(window[None], dtype=np.float32), whole=False)
    return float(found.score[0]), found.channel_score[0]
