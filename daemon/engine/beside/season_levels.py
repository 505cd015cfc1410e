"""Phase and trailing level of each stream, for models with seasons.

Guarantee: they depend on the rows alone, not on how they were cut into calls, and a restored stream goes on where it
was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.seasons import Following, SeasonInputs, Seasons
from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, column

__all__ = ["SeasonLevels"]

Floats = NDArray[np.float64]
_ARRAYS = ("level", "steps", "seen")
_NUMBERS = ("block", "left", "newest")


class SeasonLevels(StreamColumns):
    """The trailing levels of one model's streams, and the phases of their windows.

    period: ns between the rows of a window.
    """

    level = column(np.float64)
    steps = column(np.int64)  # of the level, in the block under way
    seen = column(np.int64)  # rows of it, by channel
    block = column(np.int64, -1)
    left = column(np.int64)  # rows that have still to teach a new stream's level
    newest = column(np.int64)  # the time of the last row

    def __init__(self, seasons: Seasons, window: int, period: int) -> None:
        shape = (seasons.channels,)
        super().__init__(level=shape, steps=shape, seen=shape)
        self._seasons, self._following = seasons, Following(seasons, 0)
        self._back = np.arange(window - 1, -1, -1) * period

    def grow(self, size: int) -> None:
        super().grow(size)
        for name in (*_ARRAYS, "block", "left"):
            setattr(self._following, name, getattr(self, name))

    def begin(self, number: int, name: str) -> None:
        """A new stream."""
        self._following.begin(number, name)
        self.newest[number] = 0

    def take(self, rows: Aligned, first: Ints) -> tuple[SeasonInputs, Flags]:
        """Phases and level of the window that ends with each row [n, ...], and whether that is still learned [n].

        `first` tells where each stream's rows begin.
        """
        inputs = self._phases(rows.time)
        levels, learning = self._following.take(rows.stream, rows.time, inputs[:, -1], rows.values)
        self.newest[rows.stream[first]] = rows.time[np.append(first[1:], len(rows)) - 1]
        return SeasonInputs(inputs, levels), learning

    def _phases(self, time: Ints) -> Float:
        """Of the rows of windows that end at these times [n, window, seasons]."""
        every = (time[:, None] - self._back).ravel()
        return self._seasons.calendar.phases(every).reshape(len(time), len(self._back), -1)

    def of(self, number: int) -> SeasonInputs:
        """Those of a stream's last window."""
        return SeasonInputs(self._last_phases(number), self.level[number].astype(np.float32))

    def _last_phases(self, number: int) -> Float:
        found: Float = self._phases(self.newest[number : number + 1])[0]
        return found

    def of_next(self, number: int) -> SeasonInputs | None:
        """Those of the window that a stream's last row would end once more; None while its level is learned."""
        last = self.of(number)
        again = SeasonInputs(np.concatenate([last.phase[1:], last.phase[-1:]]), last.level)
        return None if self.left[number] else again

    def jump(self, number: int, by: Floats) -> Floats:
        """A stream's level jumps by an amount [channels], and what was summed of the block under way is forgotten.

        Returns by how much it did, where there is a least level.
        """
        before = self.level[number].copy()
        self.level[number] = self._seasons.bounded(before + by)
        self.steps[number], self.seen[number] = 0, 0
        found: Floats = self.level[number] - before
        return found

    def state(self, number: int) -> dict[str, Any]:
        """Everything about a stream, as plain data for JSON."""
        return {
            **{name: getattr(self, name)[number].tolist() for name in _ARRAYS},
            **{name: int(getattr(self, name)[number]) for name in _NUMBERS},
        }

    def restore(self, number: int, state: Mapping[str, Any] | None) -> None:
        """Go on from what `state` gave; a stream whose state has none begins anew. Raises InvalidArgument."""
        if state is None:
            return
        try:
            arrays = {name: np.array(state[name], getattr(self, name).dtype) for name in _ARRAYS}
            numbers = {name: int(state[name]) for name in _NUMBERS}
            if not all(one.shape == self.level.shape[1:] and np.isfinite(one).all() for one in arrays.values()):
                raise ValueError("numbers that are no level")
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved level of a stream cannot be read: {error!r}") from error
        for name, value in (arrays | numbers).items():
            getattr(self, name)[number] = value
