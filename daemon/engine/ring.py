"""The last rows of every stream of one model, in one array."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Float, Ints, StreamColumns, column

__all__ = ["Rings", "rows_view"]


class Rings(StreamColumns):
    """The `window - 1` rows that the next window of each stream begins with, float32 [streams, window - 1, channels].

    Rows are kept in order, the newest last, so that the past and what came lie side by side with one copy each; where a
    stream had fewer rows the first ones are NaN. `count` int64 [streams] says how many rows it had in all.
    """

    rows = column(np.float32, np.nan)
    count = column(np.int64)

    def __init__(self, window: int, channels: int) -> None:
        super().__init__(rows=(window - 1, channels))
        self.window, self.channels = window, channels

    def extend(self, rows: Aligned, first: Ints) -> tuple[Float, Ints, Ints]:
        """Take new rows, sorted by stream; `first` int64 [streams among them] tells where each stream's begin.

        Returns past and new rows behind each other, float32 [n + streams * (window - 1), channels]; for each new row
        where the window that ends with it begins there, int64 [n]; and how many rows its stream had before it [n].
        """
        past = self.window - 1
        heads = rows.stream[first]
        counts = np.diff(np.append(first, len(rows)))
        number = np.repeat(np.arange(len(first)), counts)
        starts = np.arange(len(rows)) + number * past
        joined = np.empty((len(rows) + len(first) * past, self.channels), np.float32)
        joined[starts + past] = rows.values
        before = self.count[heads][number] + np.arange(len(rows)) - first[number]
        if past:
            begins = starts[first]
            if len(first) == 1:
                joined[:past] = self.rows[heads[0]]
                self.rows[heads[0]] = joined[len(rows) :]
            else:
                joined[begins[:, None] + np.arange(past)] = self.rows[heads]
                self.rows[heads] = rows_view(joined, past)[begins + counts].reshape(len(first), past, self.channels)
        self.count[heads] += counts
        return joined, starts, before

    def state(self, stream: int) -> tuple[int, Float]:
        """Rows in all, and the last ones of them, at most window - 1."""
        count = int(self.count[stream])
        return count, self.rows[stream, max(0, self.window - 1 - count) :]

    def restore(self, stream: int, count: int, rows: Float) -> None:
        """Go on from what `state` gave."""
        self.count[stream] = count
        self.rows[stream] = np.nan
        self.rows[stream, self.window - 1 - len(rows) :] = rows


def rows_view(rows: Float, length: int) -> Float:
    """Every `length` rows of a contiguous [n, channels], flattened: a view [n - length + 1, length * channels]."""
    step, channels = rows.strides[0], rows.shape[1]
    shape = (max(0, len(rows) - length + 1), length * channels)
    return as_strided(rows, shape, (step, rows.strides[1]), writeable=False)
