"""The last values of channels that are sent on change only, in the rows between.

Guarantee: what is filled in depends on a stream's rows alone, not on how they were cut into calls.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Ints, StreamColumns, column, runs

__all__ = ["Hold"]


class Hold(StreamColumns):
    """Fills the rows of one model's streams.

    rows: how many rows each channel's value holds for, [channels]; 0 for none. period: ns between rows; None where
    rows have no clock.
    """

    _value = column(np.float32, np.nan)  # [streams, channels that are held] the last one
    _at = column(np.int64)  # when it came: ns, or without a clock the row's number

    def __init__(self, rows: NDArray[np.float64], period: int | None) -> None:
        self._held = np.flatnonzero(rows > 0)
        super().__init__(_value=self._held.shape, _at=self._held.shape)
        self._clocked = period is not None
        self._most = (rows[self._held] * (period or 1)).astype(np.int64)

    def fill(self, rows: Aligned) -> Aligned:
        """Rows, sorted by stream, with the last value for as long as it holds; made-up rows are filled, too."""
        if not len(rows):
            return rows
        first = runs(rows.stream)
        sizes = np.diff(np.append(first, len(rows)))
        heads, start = rows.stream[first], np.repeat(first, sizes)[:, None]
        clock = rows.time if self._clocked else rows.row
        values = rows.values[:, self._held]
        present = ~np.isnan(values)
        latest = np.maximum.accumulate(np.where(present, np.arange(len(rows))[:, None], -1), axis=0)
        here, latest = latest >= start, np.maximum(latest, 0)
        before = np.repeat(heads, sizes)
        value = np.where(here, np.take_along_axis(values, latest, axis=0), self._value[before])
        at = np.where(here, clock[latest], self._at[before])
        last = first + sizes - 1
        self._value[heads], self._at[heads] = value[last], at[last]
        filled = ~present & ~np.isnan(value) & (clock[:, None] - at <= self._most)
        if not filled.any():
            return rows
        whole = rows.values.copy()
        whole[:, self._held] = np.where(filled, value, values)
        return replace(rows, values=whole)

    def states(self, numbers: Ints) -> list[str]:
        """What is known of streams, as text."""
        parts = (np.ascontiguousarray(one[numbers]).view(np.uint8) for one in (self._at, self._value))
        return [base64.b64encode(row).decode() for row in np.concatenate(list(parts), axis=1)]

    def restore(self, number: int, state: Any) -> None:
        """Go on from what `states` gave. Raises InvalidArgument for anything else, and changes nothing."""
        count = len(self._held)
        try:
            data = base64.b64decode(state, validate=True)
        except (TypeError, ValueError):
            data = b""
        if len(data) != 12 * count:
            raise InvalidArgument("the saved values that hold for a stream's channels cannot be read")
        self._at[number] = np.frombuffer(data[: 8 * count], np.int64)
        self._value[number] = np.frombuffer(data[8 * count :], np.float32)
