"""Training data of detectors: rows split in time order, windows drawn from them, and how long a window should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aez.codec.detect.scaling import robust_centre, robust_scale
from aez.codec.errors import UnsupportedInput
from aez.codec.series.windows import sliding_windows
from aez.export.series.scaling import LIMIT

Rows = NDArray[np.float32]
#: Runs of rows, (start, end exclusive); one without rows is a cut.
Spans = Sequence[tuple[int, int]]

WINDOW_DEFAULT, WINDOW_MIN, WINDOW_MAX = 32, 10, 256
#: A period counts when the channels' mean autocorrelation rises to this much at it.
CLEAR_PERIOD = 0.3
#: Rows that a period is sought in.
_PERIOD_ROWS = 50_000
#: Values that are looked at together, where a copy of all would take too much memory.
_PIECE = 2**20
#: A window is at most this share of the rows, so that every part of the split holds some.
ROWS_PER_WINDOW = 40
#: The fitted part of a series holds so many windows side by side, or the series is too short.
FEWEST_WINDOWS = 4


def finite_rows(values: NDArray[np.floating]) -> Rows:
    """Values [time, channels] as float32 with NaN for what is infinite or beyond it: no copy where they are that."""
    if values.dtype == np.float32 and all(not np.isinf(part).any() for part in _pieces(values)):
        return np.ascontiguousarray(values, np.float32)
    rows = np.empty(values.shape, np.float32)
    for part, small in zip(_pieces(values), _pieces(rows), strict=True):
        with np.errstate(over="ignore"):
            small[:] = part
        small[np.isinf(small)] = np.nan
    return rows


def _pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Views of a few rows each: what is computed of them takes little memory beside all."""
    rows = max(1, _PIECE // max(1, values.shape[1]))
    return (values[start : start + rows] for start in range(0, len(values), rows))


class Windows:
    """All windows of `window` rows in runs of rows, each float32 [time, channels] with NaN = missing.

    No window crosses from one run into another, and runs shorter than a window hold none.
    """

    def __init__(self, runs: Sequence[Rows], window: int) -> None:
        self.window = window
        self.runs = [run for run in runs if len(run) >= window]
        self._views = [sliding_windows(run, window) for run in self.runs]
        self._ends = np.cumsum([len(view) for view in self._views], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._views else 0

    def take(self, numbers: NDArray[np.integer]) -> Tensor:
        """The windows of these numbers (0 .. len - 1): float32 [n, window, channels]."""
        runs = np.searchsorted(self._ends, numbers, side="right")
        if not self._views:
            raise IndexError("there are no windows")
        taken = np.empty((len(numbers), *self._views[0].shape[1:]), np.float32)
        for run in np.unique(runs):
            here = runs == run
            begin = self._ends[run] - len(self._views[run])
            taken[here] = self._views[run][numbers[here] - begin]
        return torch.from_numpy(taken)


@dataclass(frozen=True)
class Split:
    """Windows that fit the network, that tell when to stop, and that calibrate errors and threshold; in time order."""

    fit: Windows
    validation: Windows
    held_out: Windows


def split_rows(
    series: Sequence[Rows],
    window: int,
    held_out: float = 0.3,
    validation: float = 0.15,
    left_out: Sequence[Spans] = (),
) -> Split:
    """Split each series: its last `held_out` calibrates, and of what comes before the last `validation` validates.

    A gap of one window lies between the parts, so that none has seen another's rows or their neighbours. A series too
    short for all parts fits only; with a `validation` of 0 there are two. No window touches the rows `left_out`
    [(start, end exclusive)] of its series. Raises UnsupportedInput where no series is long enough.
    """
    parts: tuple[list[Rows], list[Rows], list[Rows]] = ([], [], [])
    for rows, spans in zip(series, left_out or [()] * len(series), strict=True):
        middle, end = _limits(len(rows), window, held_out, validation)
        limits = [(0, middle), (middle + window, end), (end + window, len(rows))]
        if middle < FEWEST_WINDOWS * window:
            limits = [(0, len(rows))]
        for part, (start, stop) in zip(parts, limits, strict=False):
            part += [rows[a:b] for a, b in _between(start, stop, spans)]
    split = Split(*(Windows(part, window) for part in parts))
    if not len(split.held_out):
        longest = max((len(rows) for rows in series), default=0)
        if longest >= shortest_series(window, held_out, validation):
            raise UnsupportedInput(
                f"holes in the clock, and rows that look like faults, leave too few windows of {window} rows in a row; "
                "give --resample SECONDS, which fills holes with missing samples, or a shorter window"
            )
        raise UnsupportedInput(
            f"{longest} rows are too few to learn and calibrate windows of {window}; "
            f"give {shortest_series(window, held_out, validation)} or more, or a shorter window"
        )
    return split


def runs_of(series: Sequence[Rows], left_out: Sequence[Spans], least: int) -> list[Rows]:
    """Runs of `least` rows and more of each series, without the rows `left_out` of it."""
    runs = [rows[a:b] for rows, spans in zip(series, left_out, strict=True) for a, b in _between(0, len(rows), spans)]
    return [run for run in runs if len(run) >= least]


def fitted_rows(rows: int, window: int, held_out: float, validation: float) -> int:
    """How many of a series' first rows fit the network, as `split_rows` splits it."""
    middle = _limits(rows, window, held_out, validation)[0]
    return rows if middle < FEWEST_WINDOWS * window else middle


def _limits(rows: int, window: int, held_out: float, validation: float) -> tuple[int, int]:
    """Ends of the first two parts; the ones that follow hold a window and the gap before it, at least."""
    end = min(round(rows * (1 - held_out)), rows - 2 * window)
    return min(round(end * (1 - validation)), end - 2 * window) if validation else end, end


def _between(start: int, stop: int, spans: Spans) -> Iterator[tuple[int, int]]:
    """What is left of start..stop without the spans."""
    for low, high in sorted(spans):
        if start < min(low, stop):
            yield start, min(low, stop)
        start = max(start, high)
    if start < stop:
        yield start, stop


def shortest_series(window: int, held_out: float = 0.3, validation: float = 0.15) -> int:
    """Rows that `split_rows` needs."""
    rows = (FEWEST_WINDOWS + 4) * window
    while _limits(rows, window, held_out, validation)[0] < FEWEST_WINDOWS * window:
        rows += 1
    return rows


def suggest_window(values: NDArray[np.floating], otherwise: int = WINDOW_DEFAULT) -> int:
    """Length of windows for values [time, channels]: their dominant period, if it is clear and within 10..256.

    The period is the lag of the highest peak of the channels' mean autocorrelation. Channels are scaled by
    `robust_scale` and clipped, missing samples count as the median. Where there is none it is `otherwise`. A short
    series gets a window that fits forty times.
    """
    rows = np.asarray(values[:_PERIOD_ROWS], np.float64)
    most = max(1, len(values) // ROWS_PER_WINDOW)
    return min(_dominant_period(rows) or otherwise, most)


def _dominant_period(rows: NDArray[np.float64]) -> int | None:
    lags = min(WINDOW_MAX + 1, len(rows) // 3)
    if lags <= WINDOW_MIN:
        return None
    total = np.zeros(lags + 1)
    moving = 0
    for column in rows.T:
        finite = np.isfinite(column)
        if not finite.any() or np.ptp(column[finite]) == 0:
            continue
        centre = robust_centre(column[finite])
        scaled = np.clip((np.where(finite, column, centre) - centre) / robust_scale(column[finite]), -LIMIT, LIMIT)
        scaled -= scaled.mean()
        spectrum = np.fft.rfft(scaled, 2 * len(scaled))
        correlation = np.fft.irfft(spectrum * spectrum.conj())[: lags + 1]
        if correlation[0] > 0:
            total += correlation / correlation[0]
            moving += 1
    if not moving:
        return None
    mean = total / moving
    inner = mean[1:-1]
    peaks = 1 + np.flatnonzero((inner > mean[:-2]) & (inner >= mean[2:]) & (inner >= CLEAR_PERIOD))
    peaks = peaks[(peaks >= WINDOW_MIN) & (peaks <= WINDOW_MAX)]
    return int(peaks[np.argmax(mean[peaks])]) if peaks.size else None
