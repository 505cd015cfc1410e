"""Centre and width of each stream, for models that take them: known from training, or learned from its first rows.

Guarantee: what is learned depends on the rows alone, not on how they were cut into calls, and a restored stream goes on
learning where it was.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from aez.codec.detect.scaling import Scale, StreamScales, learned_scale
from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, column, entries

__all__ = ["Scales"]

#: Rows that are kept while a stream's scale is learned: of more, every so many-th.
_KEPT = 256


class Scales(StreamColumns):
    """The scale of each stream of one model.

    scales: what comes with the model. warm_up: rows with a value that teach the scale of a new stream, at least as many
    as the model asks for; before, the training streams' median stands in.
    """

    centre = column(np.float32)
    width = column(np.float32, 1)
    left = column(np.int64)  # rows that have still to teach it
    rows: dict[int, Float] = entries()  # that were kept of a stream that learns

    def __init__(self, scales: StreamScales, warm_up: int) -> None:
        channels = len(scales.usual.centre)
        super().__init__(centre=(channels,), width=(channels,))
        self._scales, self._wanted = scales, max(warm_up, scales.rows)
        self._every = -(-self._wanted // _KEPT)

    def begin(self, number: int, name: str) -> None:
        """A new stream."""
        known = self._scales.known.get(name)
        self.centre[number], self.width[number] = known or self._scales.usual
        self.left[number] = 0 if known else self._wanted
        if known is None:
            self.rows[number] = np.empty((0, self.centre.shape[1]), np.float32)

    def take(self, rows: Aligned, first: Ints) -> tuple[Scale, Flags]:
        """The scale of each of some rows' streams as of that row [n, channels], and whether it was not learned yet [n].

        `first` tells where each stream's rows begin. Those who learn, learn from them.
        """
        scale = Scale(self.centre, self.width).at(rows.stream)
        cold = np.zeros(len(rows), bool)
        heads, ends = rows.stream[first], np.append(first[1:], len(rows))
        for place in np.flatnonzero(self.left[heads] > 0).tolist():
            number, start, end = int(heads[place]), int(first[place]), int(ends[place])
            learned = start + self._learn(number, rows.values[start:end])
            cold[start:learned] = True
            scale.centre[learned:end], scale.width[learned:end] = self.centre[number], self.width[number]
        return scale, cold

    def _learn(self, number: int, values: Float) -> int:
        """Learn from a stream's next rows; how many of them came before all was learned."""
        there = np.flatnonzero(~np.isnan(values).all(axis=1))
        taken = there[: self.left[number]]
        seen = self._wanted - int(self.left[number])
        kept = taken[(seen + np.arange(len(taken))) % self._every == 0]
        self.rows[number] = np.concatenate([self.rows[number], values[kept]])
        self.left[number] -= len(taken)
        if self.left[number]:
            return len(values)
        self.centre[number], self.width[number] = learned_scale(self.rows.pop(number), self._scales.usual)
        return int(taken[-1]) + 1

    def of(self, number: int) -> Scale:
        """A stream's scale as it is now."""
        return Scale(self.centre, self.width).at(number)

    def state(self, number: int) -> dict[str, Any]:
        """Everything about a stream, as plain data for JSON."""
        if self.left[number]:
            kept = base64.b64encode(self.rows[number].tobytes()).decode()
            return {"seen": self._wanted - int(self.left[number]), "rows": kept}
        return {"centre": self.centre[number].tolist(), "width": self.width[number].tolist()}

    def restore(self, number: int, state: Mapping[str, Any] | None) -> None:
        """Go on from what `state` gave; a stream whose state has none learns afresh. Raises InvalidArgument."""
        if state is None:
            return
        channels = self.centre.shape[1]
        try:
            if "centre" in state:
                centre, width = (np.array(state[name], np.float32) for name in ("centre", "width"))
                if not (centre.shape == width.shape == (channels,) and np.isfinite(centre).all() and (width > 0).all()):
                    raise ValueError("numbers that are no scale")
                self.centre[number], self.width[number], self.left[number] = centre, width, 0
                self.rows.pop(number, None)
                return
            kept = np.frombuffer(base64.b64decode(state["rows"]), np.float32).reshape(-1, channels)
            seen = int(state["seen"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved scale of a stream cannot be read: {error!r}") from error
        if not self.left[number] or len(kept) != -(-seen // self._every):
            return  # it is known by now, or another warm_up keeps other rows: it learns afresh
        self.rows[number] = kept
        self.left[number] = max(1, self._wanted - seen)
