"""How well scores rank rows, without a limit: areas under curves, and the period that one of them needs.

Labels are 0 or 1 by row. A row without a score (NaN) ranks with the lowest score. A measure that is not defined is NaN.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aez.bench.detect.metrics import label_events
from aez.codec.common.extras import library
from aez.codec.errors import InvalidArgument

__all__ = ["average_precision", "period_window", "roc_auc", "vus_pr"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Limits at which VUS-PR takes precision and recall, evenly spread over the ranks.
_LIMITS = 250
#: What TSB-AD takes where a series has no period, and the lags it looks at.
_NO_PERIOD, _LAGS, _FIRST_LAG, _ROWS_FOR_PERIOD = 125, 400, 3, 20000


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """AUC-PR as the mean precision over the ranks of the labelled rows, 0..1; random scores get the labelled share.

    scikit-learn's. NaN where no row is labelled. Raises InvalidArgument when the lengths differ, AezError without
    scikit-learn.
    """
    marks, values = _ranked(labels, scores)
    if not marks.any():
        return math.nan
    return float(library("sklearn.metrics", "bench").average_precision_score(marks, values))


def roc_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The chance that a labelled row scores above an unlabelled one, 0..1; random scores get 0.5.

    scikit-learn's. NaN where all rows are labelled alike. Raises as `average_precision`.
    """
    marks, values = _ranked(labels, scores)
    if marks.all() or not marks.any():
        return math.nan
    return float(library("sklearn.metrics", "bench").roc_auc_score(marks, values))


def vus_pr(labels: npt.ArrayLike, scores: npt.ArrayLike, buffer: int) -> float:
    """VUS-PR, 0..1: the area under the range-based precision-recall curve, averaged over widths of the buffers.

    Args:
        labels: [time], 0 or 1.
        scores: [time], larger is more anomalous; NaN ranks with the lowest.
        buffer: the widest buffer around an event in rows, 0 or more.

    Around each labelled event lie two slopes of width/2 rows whose rows count in part; the width runs over
    0, 1 ... `buffer` rows (Paparrizos et al., PVLDB 15(11), 2022). The figure depends on `buffer`: TSB-AD, and
    `aez bench detect` after it, take twice `period_window` of the series.

    The figure is aeon's, which compares all rows with each of 250 limits for each width; here the weight of the rows
    above a limit is a cumulative sum over the rows by falling score, a hundred times faster. Scores that are all equal
    rank nothing, and get the labelled share as in `average_precision` (aeon would give 0, and interpolation between its
    two points more than a half). NaN where no row is labelled.

    Raises InvalidArgument when the lengths differ, a score is infinite or `buffer` is negative.
    """
    marks, values = _ranked(labels, scores)
    if buffer < 0:
        raise InvalidArgument(f"a buffer of {buffer} rows is none; give 0 or more")
    if not marks.any():
        return math.nan
    if values.min() == values.max():
        return float(marks.mean())
    order = np.argsort(-values, kind="stable")
    falling = values[order]
    limits = falling[np.linspace(0, values.size - 1, _LIMITS).astype(np.int64)]
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


def period_window(values: npt.ArrayLike) -> int:
    """The length in rows that TSB-AD takes as a series' window: the highest peak of its autocorrelation.

    Args:
        values: [time], the first channel of the series, train and test together. Of more than 20,000 rows the first.

    Peaks are sought at lags 4 to 399 (strict local maxima); 125 where there is none or the highest lies above lag 303.
    Missing values count as the mean. Raises InvalidArgument for anything but one row of numbers.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise InvalidArgument(f"a period is sought in one row of numbers, not in an array {x.shape}")
    x = x[:_ROWS_FOR_PERIOD]
    present = ~np.isnan(x)
    if not present.any():
        return _NO_PERIOD
    x = np.where(present, x - x[present].mean(), 0.0)
    spectrum = np.fft.rfft(x, 2 * x.size)
    lags = np.fft.irfft(spectrum * spectrum.conj())[: min(_LAGS + 1, x.size)][_FIRST_LAG:]
    inner = lags[1:-1]
    peaks = 1 + np.flatnonzero((inner > lags[:-2]) & (inner > lags[2:]))
    if not peaks.size:
        return _NO_PERIOD
    highest = int(peaks[np.argmax(lags[peaks])])
    return highest + _FIRST_LAG if 3 <= highest <= 300 else _NO_PERIOD


def _ranked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Flags, Floats]:
    values = np.asarray(scores, np.float64)
    marks = np.asarray(labels).astype(bool)
    if values.ndim != 1 or values.shape != marks.shape:
        raise InvalidArgument(f"scores {values.shape} and labels {marks.shape} must be two rows of one length")
    if np.isinf(values).any():
        raise InvalidArgument(f"the score of row {int(np.argmax(np.isinf(values)))} is infinite")
    missing = np.isnan(values)
    return marks, np.where(missing, 0.0 if missing.all() else np.nanmin(values), values)


def _weights(marks: Flags, events: list[tuple[int, int]], width: int) -> Floats:
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
