"""Periods of so many rows in training data without a clock.

A period counts where rows can be told from what is usual a whole period later, by rows that neither it nor the phase
was learned from: noise that remembers, and what merely drifts, cannot be told so far ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.calendar import cycle_clock
from aez.codec.detect.rhythm.cycle import evidence, moved_on, nearest
from aez.export.series.seasons.profiles import highest, middle
from aez.export.series.windows import Rows

__all__ = ["FEWEST_PERIODS", "SHORTEST", "Cycle", "find_cycle"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Rows of a period, and how often it comes at least.
SHORTEST, LONGEST, FEWEST_PERIODS = 24, 512, 12
#: A candidate's autocorrelation, and the share of the highest from which on the shortest is taken.
_CLEAR, _AS_CLEAR = 0.3, 0.9
#: Of what moves, a period explains this share one period ahead.
_EXPLAINED = 0.3
#: Periods, and rows, that are looked at.
_LOOKED_AT, _ROWS = 40, 4096
#: The slow level is a mean over so many periods.
_SLOW = 3
_ROUNDS = 3
_OUTER = 0.99
_LEAST_WIDTH = 1e-6


@dataclass(frozen=True, eq=False)
class Cycle:
    """A period of `bins` rows, and of each series the time of the clock that goes by its rows, int64 [time] in ns."""

    bins: int
    walls: tuple[Ints, ...]


def find_cycle(rows: Sequence[Rows], kept: NDArray[np.bool_]) -> Cycle | None:
    """The period of rows [time, channels] of each series; `kept` [channels] are looked at. None where none is clear."""
    longest = max(rows, key=len)
    for bins in _candidates(longest[-max(_ROWS, _LOOKED_AT * LONGEST) :, kept]):
        some = _level_out(longest[-max(_ROWS, _LOOKED_AT * bins) :, kept], bins)
        explained = _ahead(some, bins)
        good = explained >= _EXPLAINED
        if not good.any():
            continue
        table, width = _learn(some[:, good], bins)
        walls = []
        for one in rows:
            flat = _level_out(one[:, np.flatnonzero(kept)[good]], bins)
            place = _places(flat, table, width)
            settled = min(2 * bins, len(place) - 1)
            place[:settled] = place[settled] - np.arange(settled, 0, -1)
            walls.append(cycle_clock(place - min(0, int(place.min())) // bins * bins, bins))
        return Cycle(bins, tuple(walls))
    return None


def _candidates(rows: Rows) -> list[int]:
    """Lags of the clear peaks of the channels' mean autocorrelation, the shortest first of those as high as any."""
    longest = min(LONGEST, len(rows) // FEWEST_PERIODS)
    if longest < SHORTEST:
        return []
    total, count = np.zeros(longest + 2), 0
    at = np.arange(len(rows))
    for column in rows.astype(np.float64).T:
        there = np.isfinite(column)
        if not there.any() or np.ptp(column[there]) == 0:
            continue
        low, high = np.quantile(column[there], (1 - _OUTER, _OUTER))
        values = np.clip(np.where(there, column, np.median(column[there])), low, high)
        values = values - np.polyval(np.polyfit(at, values, 1), at)
        spectrum = np.fft.rfft(values, 2 * len(values))
        found = np.fft.irfft(spectrum * spectrum.conj())[: longest + 2]
        if found[0] > 0 and found[SHORTEST:].max() >= _CLEAR * found[0]:
            total, count = total + found / found[0], count + 1
    if not count:
        return []
    mean = total / count
    inner = mean[1:-1]
    peaks = 1 + np.flatnonzero((inner > mean[:-2]) & (inner >= mean[2:]) & (inner >= _CLEAR))
    if not (peaks >= SHORTEST).any():
        return []
    clear = [int(one) for one in peaks if mean[one] >= _AS_CLEAR * float(mean[peaks].max())]
    # Twice a period that is short is none of its own: windows see the short one.
    return [] if clear[0] < SHORTEST else clear[:2]


def _level_out(rows: Rows, bins: int) -> Floats:
    """Rows less their slow level, a mean over whole periods around each; missing stay missing."""
    values = rows.astype(np.float64)
    there = np.isfinite(values)
    size = min(_SLOW, max(1, len(values) // bins)) * bins
    first = np.clip(np.arange(len(values)) - size // 2, 0, max(0, len(values) - size))
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(np.where(there, values, 0.0), axis=0)])
    counts = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(there, axis=0)])
    last = np.minimum(first + size, len(values))
    found: Floats = values - (sums[last] - sums[first]) / np.maximum(1, counts[last] - counts[first])
    return found


def _learn(rows: Floats, bins: int) -> tuple[Floats, Floats]:
    """(What is usual in each bin [bins, channels], width [channels]) of rows without a slow level."""
    cycles = len(rows) // bins
    table = _filled(middle(rows[: cycles * bins].reshape(cycles, bins, -1)[:_SLOW]))
    width = np.maximum(np.nanstd(rows, axis=0) / 2, _LEAST_WIDTH)
    for _ in range(_ROUNDS):
        phase = _places(rows, table, width) % bins
        settled, late = rows[2 * bins :], phase[2 * bins :]
        table = _filled(
            np.stack(
                [middle(settled[late == one]) if (late == one).any() else settled[0] * np.nan for one in range(bins)]
            )
        )
        width = np.maximum(1.4826 * middle(np.abs(settled - table[late])), _LEAST_WIDTH)
    return table, width


def _filled(table: Floats) -> Floats:
    bins = np.arange(len(table))
    for column in table.T:
        there = np.flatnonzero(np.isfinite(column))
        column[:] = np.interp(bins, there, column[there], period=len(table)) if there.size else 0.0
    return table


def _places(rows: Floats, table: Floats, width: Floats) -> Ints:
    """Of each row, told by those before it, its place in bins."""
    odds, place = np.zeros(len(table)), -1
    found = np.empty(len(rows), np.int64)
    for at, row in enumerate(rows):
        odds = moved_on(odds)
        found[at] = place = nearest(place, int(np.argmax(odds)), len(table))
        odds = evidence(odds, (row - table) / width)
    return found


def _ahead(rows: Floats, bins: int) -> Floats:
    """The share [channels] of what moves in either half that the other half's table explains one period ahead."""
    half = len(rows) // 2
    shares = []
    for fit, other in ((rows[:half], rows[half:]), (rows[half:], rows[:half])):
        table, width = _learn(fit, bins)
        phase = _places(other, table, width) % bins
        told, those = table[phase[2 * bins : -bins]], other[3 * bins :]
        limit = highest(np.abs(those), _OUTER)
        errors = np.square(np.clip(those - told, -limit, limit))
        moves = np.square(np.clip(those, -limit, limit))
        parts = max(1, len(those) // (_SLOW * bins))
        ratios = [
            np.nanmean(one, axis=0) / np.maximum(np.nanmean(all_, axis=0), 1e-300)
            for one, all_ in zip(np.array_split(errors, parts), np.array_split(moves, parts), strict=True)
        ]
        shares.append(1 - middle(np.array(ratios)))
    return np.minimum(*shares)
