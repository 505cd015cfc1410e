"""Scores that look ahead: a row gets the mean over all windows that cover it, where what comes after it is known.

The score of a window rises as an anomaly fills it and falls as the anomaly leaves it; at the window's last row it is
late by half a window, and over the rows that it covers it is spread evenly. The mean over the windows that cover a row
lies where the anomaly is, and is steadier. It suits files. A stream has the score of the window that ends now, and
scores of that kind are called causal.

Guarantees: no mean is negative or loses digits to a large score that has passed, because sums are only ever added to;
the same windows give the same means, to the last bit, in whatever pieces they come.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["CAUSAL", "COVERING", "CoveringMean", "apart", "beside", "covering_mean"]

Floats = NDArray[np.float64]

#: What a score of a row is, as results say it.
CAUSAL, COVERING = "causal", "covering"
#: Numbers that are summed at a time.
_AT_ONCE = 2**21


class CoveringMean:
    """Means over the windows that cover each row, of scores of windows that come in order.

    window: rows of a window; the i-th window begins at row i.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise InvalidArgument(f"a window has at least 1 row, not {window}")
        self._window, self._seen = window, 0
        #: Of the last window - 1 windows, with a last column that says which of them exist; None before the first.
        self._before: Floats | None = None

    def add(self, scores: ArrayLike) -> Floats:
        """Take the scores [n, k] of the next n windows; the means [n, k] of the rows at which they begin."""
        values = np.asarray(scores, np.float64)
        return self._means(np.concatenate([values, np.ones((len(values), 1))], axis=1))

    def finish(self) -> Floats:
        """The means [window - 1, k] of the last window's other rows, which fewer windows cover; [0, 0] without any."""
        if self._before is None:
            return np.empty((0, 0))
        return self._means(np.zeros((self._window - 1, self._before.shape[1])))

    def _means(self, values: Floats) -> Floats:
        if self._before is None:
            self._before = np.zeros((self._window - 1, values.shape[1]))
        step = max(self._window, _AT_ONCE // values.shape[1])
        parts = [self._sums(values[start : start + step]) for start in range(0, len(values), step)]
        sums = np.concatenate(parts) if parts else values
        means: Floats = sums[:, :-1] / np.maximum(sums[:, -1:], 1.0)
        return means

    def _sums(self, values: Floats) -> Floats:
        """Sums [n, k] over the `window` last of the windows up to each of the n next ones.

        Windows are cut into blocks of `window`, counted from the first one; a run of so many is the end of one block
        and the start of the next (van Herk 1992), and each of these sums is only ever added to.
        """
        assert self._before is not None
        size = self._window
        known = np.concatenate([self._before, values])
        ahead = (self._seen - len(self._before)) % size
        padded = np.zeros((-(-(ahead + len(known)) // size), size, known.shape[1]))
        padded.reshape(-1, known.shape[1])[ahead : ahead + len(known)] = known
        starts = np.cumsum(padded, axis=1).reshape(-1, known.shape[1])
        ends = np.cumsum(padded[:, ::-1], axis=1)[:, ::-1].reshape(-1, known.shape[1])
        first = ahead + np.arange(len(values))
        later = starts[first + size - 1]
        later[first % size == 0] = 0.0  # one whole block, which is its own end
        self._before, self._seen = known[len(values) :], self._seen + len(values)
        sums: Floats = ends[first] + later
        return sums


def covering_mean(scores: ArrayLike, window: int) -> Floats:
    """Means [n + window - 1, k] by row of the scores [n, k] of n windows of so many rows; [0, 0] of none."""
    if not len(np.asarray(scores)):
        return np.empty((0, 0))
    mean = CoveringMean(window)
    return np.concatenate([mean.add(scores), mean.finish()])


def beside(score: NDArray[np.floating], channel_score: NDArray[np.floating]) -> Floats:
    """Scores [n] and those of channels [n, channels] as [n, 1 + channels], for `CoveringMean`."""
    return np.column_stack([score, channel_score]).astype(np.float64)


def apart(means: Floats, limit: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Score [n] and channel scores [n, channels] from means [n, 1 + channels], divided by their limit."""
    scores = (means / limit).astype(np.float32)
    return scores[:, 0], scores[:, 1:]
