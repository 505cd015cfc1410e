"""VUS-PR from sorted scores: a hundred times faster than one comparison of all rows for each limit and width."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aez.codec.detect_metrics import label_events
from aez.codec.errors import InvalidArgument

__all__ = ["vus_pr"]

Floats = npt.NDArray[np.float64]
#: Limits at which precision and recall are taken, evenly spread over the ranks.
LIMITS = 250


def vus_pr(labels: npt.ArrayLike, scores: npt.ArrayLike, buffer: int) -> float:
    """VUS-PR, 0..1, as `aez.codec.detect_metrics.vus_pr` defines it and aeon computes it.

    Args:
        labels: [time], 0 or 1.
        scores: [time], larger is more anomalous; NaN ranks with the lowest.
        buffer: the widest buffer around an event in rows, 0 or more.

    For every width of the buffers the rows get weights; at each of 250 limits the weight of the rows above it is a
    cumulative sum over the rows by falling score. NaN where no row is labelled; the labelled share where all scores
    are equal. Raises InvalidArgument when the lengths differ, a score is infinite or `buffer` is negative.
    """
    marks, values = np.asarray(labels).astype(bool), np.asarray(scores, np.float64)
    if values.ndim != 1 or values.shape != marks.shape:
        raise InvalidArgument(f"scores {values.shape} and labels {marks.shape} must be two rows of one length")
    if np.isinf(values).any():
        raise InvalidArgument(f"the score of row {int(np.argmax(np.isinf(values)))} is infinite")
    if buffer < 0:
        raise InvalidArgument(f"a buffer of {buffer} rows is none; give 0 or more")
    if not marks.any():
        return math.nan
    missing = np.isnan(values)
    values = np.where(missing, 0.0 if missing.all() else np.nanmin(values), values)
    if values.min() == values.max():
        return float(marks.mean())
    order = np.argsort(-values, kind="stable")
    falling = values[order]
    limits = falling[np.linspace(0, values.size - 1, LIMITS).astype(np.int64)]
    flagged = np.searchsorted(-falling, -limits, side="right")  # rows at or above each limit
    events = label_events(marks)
    areas = []
    for width in range(buffer + 1):
        weight = _weights(marks, events, width)
        met = _highest(values, label_events(weight > 0))[:, None] >= limits
        found = np.cumsum(weight[order])[flagged - 1]
        total = (marks.sum() + weight.sum()) / 2
        recall = np.concatenate([[0.0], np.minimum(found / total, 1) * met.mean(axis=0)])
        precision = np.concatenate([[1.0], found / flagged])
        areas.append(float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2)))
    return float(np.mean(areas))


def _weights(marks: npt.NDArray[np.bool_], events: list[tuple[int, int]], width: int) -> Floats:
    """How much each row counts as anomalous, [time] 0..1: labelled rows in full, width // 2 rows on both sides less."""
    weight = marks.astype(np.float64)
    if width <= 1:
        return weight
    slope = np.sqrt(1 - np.arange(width // 2 + 1) / width)
    for start, end in events:
        after = weight[end - 1 : end - 1 + width // 2]
        after += slope[: after.size]
        before = weight[max(start - width // 2, 0) : start]
        before += slope[before.size : 0 : -1]
    return weight.clip(0, 1)


def _highest(values: Floats, ranges: list[tuple[int, int]]) -> Floats:
    """The highest value of each range (start, end exclusive); ranges do not touch."""
    return np.maximum.reduceat(np.append(values, -np.inf), np.ravel(ranges))[::2]
