"""SKAB's NAB-type score of changepoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aez.bench.detect.metrics import paired, ratio
from aez.codec.errors import InvalidArgument

__all__ = ["ChangepointScore", "changepoint_score", "changepoints_of"]


def changepoints_of(flags: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Rows at which a prediction changes, [time] 0 or 1; the first row is one when it is flagged (SKAB's rule)."""
    marks = np.asarray(flags).astype(np.int8)
    return np.abs(np.diff(marks, prepend=np.int8(0))).astype(np.uint8)


@dataclass(frozen=True)
class ChangepointScore:
    """SKAB's NAB-type scores: 100 for every changepoint met at once and no other alarm, 0 for no alarm at all."""

    standard: float
    low_fp: float
    low_fn: float


#: SKAB's profiles as (hit at once, alarm outside a window, changepoint missed).
_CHANGEPOINT_COSTS: dict[str, tuple[float, float, float]] = {
    "standard": (1.0, -0.11, -1.0),
    "low_fp": (1.0, -0.22, -1.0),
    "low_fn": (1.0, -0.11, -2.0),
}
_TANH_STEPS = 1000


def changepoint_score(
    series: Iterable[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]], window_seconds: float = 60.0
) -> ChangepointScore:
    """SKAB's NAB-type score of changepoints, pooled over series of (time [n] ns, labelled [n], predicted [n]).

    Each labelled changepoint has a window [its time, + window_seconds]; where two overlap, the later one starts where
    the earlier one ends. The first prediction within a window, edges included, earns a tanh that falls from the hit's
    worth to that of a false alarm; later ones in it count nothing; a prediction outside all windows is a false alarm;
    a window without any is a miss. 100 (score - null) / (perfect - null), where null predicts nothing and perfect
    meets each changepoint at once. NaN where nothing is labelled.

    The tanh is read off in 1000 steps, as in SKAB's own scorer, so that its table is met to the last digit.

    Raises InvalidArgument when the lengths differ or times fall.
    """
    windows = false_alarms = misses = 0
    positions: list[int] = []
    width = round(window_seconds * 1e9)
    for time, labelled, predicted in series:
        clock = np.asarray(time, np.int64)
        marks, alarms = paired(labelled, predicted)
        if clock.shape != marks.shape or np.any(np.diff(clock) < 0):
            raise InvalidArgument("changepoints need a time for each row, in rising order")
        hits = clock[alarms]
        inside = np.zeros(hits.size, bool)
        previous_end: int | None = None
        for changepoint in clock[marks].tolist():
            start, end = changepoint, changepoint + width
            if previous_end is not None and previous_end >= start:
                start = previous_end
            previous_end = end
            within = (hits >= start) & (hits <= end)
            inside |= within
            windows += 1
            if within.any():
                late = int(hits[np.argmax(within)]) - start
                step = int(late / (end - start) * _TANH_STEPS) if end > start else 0
                positions.append(min(step, _TANH_STEPS - 1))
            else:
                misses += 1
        false_alarms += int(np.count_nonzero(~inside))
    falling = -np.tanh(np.linspace(-np.pi / 2, np.pi / 2, _TANH_STEPS)) / np.tanh(np.pi / 2)
    scores = {}
    for profile, (hit, false_alarm, miss) in _CHANGEPOINT_COSTS.items():
        worth = (hit - false_alarm) / 2 * falling + (hit + false_alarm) / 2
        score = float(worth[positions].sum()) + false_alarms * false_alarm + misses * miss
        scores[profile] = 100 * ratio(score - windows * miss, windows * (hit - miss))
    return ChangepointScore(scores["standard"], scores["low_fp"], scores["low_fn"])
