"""Covering scores of rows in memory, and their limit, from those of the rows that were held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.covering import CoveringMean, beside, covering_mean
from aez.codec.errors import InvalidArgument
from aez.export.series.windows import Windows

__all__ = ["covering_limit", "covering_of_runs", "look_ahead"]

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]


def covering_of_runs(scores: NDArray[np.floating], windows: Windows) -> Scores:
    """Covering scores of the rows at which windows begin, from the scores [n] of those windows: as many, in order.

    The last rows of a run, which fewer windows cover, are left out.
    """
    ends = np.cumsum([len(run) - windows.window + 1 for run in windows.runs])[:-1]
    means = [CoveringMean(windows.window).add(part[:, None])[:, 0] for part in np.split(scores, ends)]
    return np.concatenate(means).astype(np.float32)


def covering_limit(scores: Scores, windows: Windows, threshold: float, choose: Callable[[Scores], float]) -> float:
    """What covering scores, divided by the causal threshold, are divided by so that 1 is their limit, too; positive.

    `scores` [n] are those of the windows that were held out, not yet divided by anything; `choose` sets a limit on
    scores of their number, in the same runs.
    """
    return float(choose(covering_of_runs(scores / threshold, windows)))


def look_ahead(
    score: Floats, channel_score: Floats | None, window: int, limit: float | None
) -> tuple[Floats, Floats | None]:
    """Covering scores of rows from causal ones, [time] and [time, channels], of which the first window - 1 are idle.

    Raises InvalidArgument without a limit.
    """
    if limit is None:
        raise InvalidArgument("this detector has no threshold for covering scores; fit it again, or covering=False")
    causal = score[:, None] if channel_score is None else beside(score, channel_score)
    means = covering_mean(causal[window - 1 :], window) / limit
    return means[:, 0], None if channel_score is None else means[:, 1:]
