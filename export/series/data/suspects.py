"""Events among training rows that should be normal: rows that stand out less than plain faults do, but together.

`find_faults` leaves out what lies far beyond everything else. Contamination is nearer, and there is more of it: it is
part of what a network learns, and the held-out rows that hold some set a limit that finds nothing. So windows that
stand out from a narrow body of scores are left out and the rest is learned anew, round by round, as robust estimates
of a covariance do (Rousseeuw, van Driessen 1999).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from aez.codec.common.words import listed
from aez.export.common.batches import spread
from aez.export.families.windows.pca import PCA
from aez.export.series.graph import ERROR_FLOOR
from aez.export.series.scaling import ScaleLayer, fit_scaling
from aez.export.series.windows import Rows, Spans, Windows

__all__ = ["find_suspects", "told"]

#: A window is suspected whose score lies so many spreads of the logarithm above the median, and with it those beside it
#: that lie so many above. The spread is that of the lower half, which contamination hardly moves.
SPREADS, BESIDE = 6.0, 3.0
#: So many where rows were suspected already: much of a contamination is learned, and what is left of it lies nearer.
FURTHER = 4.0
#: Where the scores of the lower half scatter by more than this (in logarithms), bursts are how such data are, and the
#: limit grows with the scatter: normal bursts of SMD's servers reach 13 spreads of 0.3 to 0.8, noise 5 of 0.05 to 0.2.
NARROW = 0.33
#: More rows than this share are no contamination but another way of being normal.
SHARE_MAX = 0.2
_WINDOW, _COMPONENTS, _ROUNDS, _FITTED, _LOOKED_AT, _BATCH = 16, 16, 6, 4000, 50_000, 1024
_SHOWN = 4
#: No spread of the logarithms is taken as smaller than this.
_SPREAD_MIN = 0.02


@dataclass(frozen=True)
class _Place:
    """A run of rows of a series: the first rows of those of its windows that are looked at."""

    series: int
    first: NDArray[np.int64]


@torch.no_grad()
def find_suspects(series: Sequence[Rows], window: int, left_out: Sequence[Spans]) -> list[list[tuple[int, int]]]:
    """Spans of suspected rows of each series [time, channels], besides those `left_out`; none where all looks well.

    `window` is that of the detector; the search takes 16 rows at most, so that little that is normal goes with a fault.
    """
    window = min(window, _WINDOW)
    found: list[list[tuple[int, int]]] = [[] for _ in series]
    total = sum(map(len, series))
    for _ in range(_ROUNDS):
        spans = [[*out, *own] for out, own in zip(left_out, found, strict=True)]
        more = _stand_out(series, window, left_out, spans, FURTHER if any(found) else SPREADS)
        if more is None:
            break
        joined = [_joined([*own, *new]) for own, new in zip(found, more, strict=True)]
        if sum(end - start for own in joined for start, end in own) > SHARE_MAX * total:
            return [[] for _ in series]
        if joined == found:
            break
        found = joined
    return found


def _stand_out(
    series: Sequence[Rows], window: int, left_out: Sequence[Spans], spans: Sequence[Spans], spreads: float
) -> list[list[tuple[int, int]]] | None:
    """Spans of the windows `spreads` above what is learned without `spans`; None where there is too little."""
    runs: list[Rows] = [rows[a:b] for rows, out in zip(series, spans, strict=True) for a, b in _between(len(rows), out)]
    usual = Windows(runs, window)
    if len(usual) < 8 * window or not usual.runs:
        return None
    seen = np.flatnonzero([any(np.isfinite(run[:, place]).any() for run in runs) for place in range(runs[0].shape[1])])
    if not seen.size:
        return None
    scale = ScaleLayer(fit_scaling([_chosen(run, seen) for run in usual.runs]), window)
    network = PCA(window, len(seen), components=0.9, most=_COMPONENTS)
    network.fit(*scale(spread(usual, _FITTED)[:, :, seen]))
    step = max(1, sum(map(len, series)) // _LOOKED_AT)
    places = [place for place in _places(series, window, left_out, step) if len(place.first)]
    if not places:
        return None
    errors = np.concatenate(
        [_errors(network, scale, _chosen(series[place.series], seen), place, window) for place in places]
    )
    away = _away(errors)
    found: list[list[tuple[int, int]]] = [[] for _ in series]
    ends = np.cumsum([len(place.first) for place in places])[:-1]
    for place, own in zip(places, np.split(away, ends), strict=True):
        found[place.series] += [(int(first), int(first) + window) for first in place.first[_grown(own, spreads)]]
    return [_joined(own) for own in found]


def _chosen(rows: Rows, seen: NDArray[np.int64]) -> Rows:
    """The channels that are seen; the rows themselves, without a copy, where all are."""
    return rows if len(seen) == rows.shape[1] else rows[:, seen]


def _away(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many spreads a window's score lies above the median [windows], of errors [windows, channels]."""
    there = ~np.isnan(errors)
    usually = np.array(
        [np.median(column[here]) if here.any() else 1.0 for column, here in zip(errors.T, there.T, strict=True)]
    )
    relative = np.where(there, errors, 0.0) / np.maximum(usually, ERROR_FLOOR)
    logs = np.log(np.maximum(relative.sum(axis=1) / np.maximum(there.sum(axis=1), 1), 1e-9))
    low, middle = np.quantile(logs, [0.16, 0.5])
    spread = max(float(middle - low), _SPREAD_MIN)
    return np.asarray((logs - middle) / (spread * max(1.0, spread / NARROW)))


def _grown(away: NDArray[np.float64], spreads: float) -> NDArray[np.bool_]:
    """The windows beyond `spreads`, and those beside them beyond `BESIDE`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], away > BESIDE, [0]])))
    flags = np.zeros(len(away), bool)
    for start, end in edges.reshape(-1, 2):
        flags[start:end] = away[start:end].max() > spreads
    return flags


def _errors(network: PCA, scale: ScaleLayer, rows: Rows, place: _Place, window: int) -> NDArray[np.float64]:
    """Mean squared error of each channel [windows, channels], NaN for one that is missing."""
    parts = []
    for start in range(0, len(place.first), _BATCH):
        firsts = place.first[start : start + _BATCH]
        batch = torch.from_numpy(np.stack([rows[first : first + window] for first in firsts.tolist()]))
        x, present = scale(batch)
        counts = present.sum(1)
        error = ((x - network(x, present)) * present).square().sum(1) / counts  # NaN where there is none
        parts.append(error.double().numpy())
    return np.concatenate(parts) if parts else np.empty((0, rows.shape[1]))


def _places(series: Sequence[Rows], window: int, left_out: Sequence[Spans], step: int) -> Iterator[_Place]:
    for number, (rows, out) in enumerate(zip(series, left_out, strict=True)):
        for start, end in _between(len(rows), out):
            if end - start >= window:
                yield _Place(number, np.arange(start, end - window + 1, step))


def _between(rows: int, spans: Spans) -> Iterator[tuple[int, int]]:
    """What is left of the rows without the spans."""
    start = 0
    for low, high in sorted(spans):
        if start < low:
            yield start, low
        start = max(start, high)
    if start < rows:
        yield start, rows


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, those that overlap or touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def told(suspects: Sequence[Sequence[tuple[int, int]]], names: Sequence[str], rows: int) -> list[str]:
    """A sentence that names what was left out; none where nothing was."""
    count = sum(end - start for own in suspects for start, end in own)
    if not count:
        return []
    parts = []
    for name, own in zip(names, suspects, strict=True):
        if own:
            spans = listed([f"{start} to {end - 1}" for start, end in own], _SHOWN)
            parts.append(f"{name or 'the training data'}, rows {spans}")
    said = (
        f"the training data seem to hold faults: {100 * count / rows:.1f} % of the rows stand out from the others and "
        f"were left out of what is normal ({'; '.join(parts)}); look at them, and train without them"
    )
    return [said]
