"""Faults in training data: rows so far from the rest that they must not be learned as normal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aez.codec.common.words import listed
from aez.export.common.batches import Batches, gathered, spread
from aez.export.families.windows.pca import PCA
from aez.export.series.scaling import ScaleLayer, fit_scaling
from aez.export.series.windows import Rows, Spans, Windows

#: A window is a fault when its error is so many robust deviations of the logarithm above the median, and so many times
#: the median. Normal bursts of servers reach 11 deviations and a hundred times.
DEVIATIONS, TIMES = 12.0, 8.0
#: More windows than this share are no faults but a second way of being normal.
SHARE_MAX = 0.05
#: No spread of the logarithms is taken as smaller than this.
_SPREAD_MIN = 0.05
_WINDOW, _COMPONENTS, _FITTED, _BATCH = 16, 16, 4000, 1024


@dataclass(frozen=True)
class Faults:
    """Rows of one series that look like faults: `rows` [(start, end exclusive)], `times` the median error at most."""

    series: int
    rows: tuple[tuple[int, int], ...]
    times: float


@torch.no_grad()
def find_faults(
    series: Sequence[Rows], cuts: Sequence[NDArray[np.int64]] = (), window: int | None = None
) -> list[Faults]:
    """Faults in each of the series [time, channels], NaN = missing, by the errors of a small PCA over all of them.

    `cuts` are the rows of each series that no window may reach across, ascending; `window` None takes 16 rows or fewer.
    Few principal components learn what is common, and soft-clipped values keep a fault from bending them to itself.
    Empty where the data are too short to tell, or where more than 5 % stand out.
    """
    window = min(window or _WINDOW, max((len(rows) for rows in series), default=0) // 16)
    if window < 1:
        return []
    channels = series[0].shape[1]
    seen = [number for number in range(channels) if any(np.isfinite(rows[:, number]).any() for rows in series)]
    if not seen:
        return []
    if len(seen) < channels:  # else without a copy of all rows
        series = [rows[:, seen] for rows in series]
    places = [(number, run) for number, rows in enumerate(series) for run in _runs(len(rows), cuts, number)]
    places = [(number, (start, end)) for number, (start, end) in places if end - start >= window]
    windows = Windows([series[number][start:end] for number, (start, end) in places], window)
    if not len(windows):
        return []
    scale = ScaleLayer(fit_scaling(series), window)
    network = PCA(window, len(seen), components=0.9, most=_COMPONENTS)
    network.fit(*scale(spread(windows, _FITTED)))
    error = gathered(_errors(network, *scale(batch)) for batch in Batches(windows, _BATCH)).numpy()
    logs = np.log(np.maximum(error, 1e-9))
    middle = float(np.median(logs))
    deviation = max(1.4826 * float(np.median(np.abs(logs - middle))), _SPREAD_MIN)
    loud = (logs - middle > DEVIATIONS * deviation) & (logs - middle > np.log(TIMES))
    if not loud.any() or loud.mean() > SHARE_MAX:
        return []
    found: dict[int, tuple[list[tuple[int, int]], float]] = {}
    begin = 0
    for number, (start, end) in places:
        count = end - start - window + 1
        here = loud[begin : begin + count]
        if here.any():
            times = float(np.exp(logs[begin : begin + count][here].max() - middle))
            rows, before = found.get(number, ([], 0.0))
            rows += [(start + low, start + high) for low, high in _covered(here, window)]
            found[number] = rows, max(times, before)
        begin += count
    return [Faults(number, tuple(rows), times) for number, (rows, times) in sorted(found.items())]


def noted_faults(
    rows: Sequence[Rows], names: Sequence[str], cuts: Sequence[NDArray[np.int64]], window: int | None
) -> tuple[list[Spans], list[str]]:
    """Rows of each series that look like faults, and a sentence for each series that has some."""
    found: list[Spans] = [() for _ in rows]
    notices = []
    for faults in find_faults(rows, cuts, window):
        found[faults.series] = faults.rows
        spans = listed([f"{start} to {end - 1}" for start, end in faults.rows])
        notices.append(
            f"{names[faults.series] or 'the training data'}: rows {spans} look like faults (errors up to "
            f"{faults.times:.0f} times the usual) and were left out of what is normal"
        )
    return found, notices


def _errors(network: PCA, x: Tensor, present: Tensor) -> Tensor:
    """The mean squared error of each window, [n]."""
    difference = (x - network(x, present)) * present
    error: Tensor = difference.square().sum((1, 2)) / present.sum((1, 2)).clamp_min(1.0)
    return error


def _runs(rows: int, cuts: Sequence[NDArray[np.int64]], number: int) -> list[tuple[int, int]]:
    """(Start, end) of the runs of a series between its cuts."""
    inner = cuts[number].tolist() if cuts else []
    return list(itertools.pairwise([0, *inner, rows]))


def _covered(loud: NDArray[np.bool_], window: int) -> list[tuple[int, int]]:
    """Runs of rows that lie in loud windows."""
    rows = np.convolve(loud, np.ones(window)) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
