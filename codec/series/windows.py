"""Windows over the rows of a series: as a view for arithmetic, and in batches of one fixed shape for a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["WindowBatch", "sliding_windows", "window_batches"]

Number = TypeVar("Number", bound=np.generic)


class WindowBatch(NamedTuple):
    """Consecutive windows of a series; the i-th one ends at row `row + i * stride` of the series."""

    row: int  #: the row of the last sample of the first window
    windows: NDArray[np.float32]  #: [batch, window, channels], contiguous and writable
    real: int  #: so many windows; those behind them repeat the last one


def sliding_windows(values: NDArray[Number], window: int, stride: int = 1) -> NDArray[Number]:
    """Every `stride`-th run of `window` rows: a read-only view [n, window, channels] of values [time, channels].

    n = (time - window) // stride + 1; the i-th window begins at row i * stride. Raises InvalidArgument when the
    window is longer than the series, or either number is below 1.
    """
    _check(values, window, stride)
    return sliding_window_view(values, window, axis=0)[::stride].swapaxes(1, 2)


def window_batches(values: NDArray[np.number], window: int, batch: int, stride: int = 1) -> Iterator[WindowBatch]:
    """The windows of `sliding_windows` in order, `batch` at a time, as float32 arrays of one shape.

    The last batch is filled up by repeating its last window; `real` says how many are not. Infinite values and those
    beyond float32 become NaN, which is how a missing sample is written. Rows are read once, a batch at a time, so that
    `values` may be a memory map. Raises InvalidArgument as `sliding_windows`, and for a batch below 1, at the call.
    """
    _check(values, window, stride)
    if batch < 1:
        raise InvalidArgument(f"a batch has at least 1 window, not {batch}")
    return _batches(values, window, batch, stride)


def _batches(values: NDArray[np.number], window: int, batch: int, stride: int) -> Iterator[WindowBatch]:
    total = (len(values) - window) // stride + 1
    for first in range(0, total, batch):
        count = min(batch, total - first)
        start = first * stride
        with np.errstate(over="ignore"):
            rows = values[start : start + (count - 1) * stride + window].astype(np.float32)
        rows[~np.isfinite(rows)] = np.nan
        windows = np.empty((batch, window, values.shape[1]), np.float32)
        windows[:count] = sliding_windows(rows, window, stride)
        windows[count:] = windows[count - 1]
        yield WindowBatch(start + window - 1, windows, count)


def _check(values: NDArray[Number], window: int, stride: int) -> None:
    if values.ndim != 2:
        raise InvalidArgument(f"a series is an array [time, channels], not of shape {values.shape}")
    if window < 1 or stride < 1:
        raise InvalidArgument(f"window and stride are at least 1, not {window} and {stride}")
    if window > len(values):
        raise InvalidArgument(f"a window of {window} rows is longer than the series of {len(values)}")
