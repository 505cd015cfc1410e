"""Scale, phase and trailing level of each stream, for models that take them all: levels of rows in the stream's widths.

Guarantee: as for scales and for seasons. While a stream's scale is learned nothing is told of its level, which is
learned behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from aez.codec.detect.rhythm.seasons import SeasonInputs
from aez.codec.errors import InvalidArgument
from aez.daemon.engine.beside.scales import Scales
from aez.daemon.engine.beside.season_levels import SeasonLevels
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Ints, StreamColumns

__all__ = ["ScaledLevels"]


class ScaledLevels(StreamColumns):
    """The scales of one model's streams, and the levels of their rows in widths."""

    def __init__(self, scales: Scales, levels: SeasonLevels) -> None:
        super().__init__()
        self._scales, self._levels = scales, levels

    def grow(self, size: int) -> None:
        """Make room for streams 0..size-1; it never shrinks."""
        super().grow(size)
        self._scales.grow(size)
        self._levels.grow(size)

    def move(self, last: int, number: int) -> None:
        """The stream `last` gets this number, whose own stream is forgotten."""
        self._scales.move(last, number)
        self._levels.move(last, number)

    def clear(self, number: int) -> None:
        """The stream starts afresh."""
        self._scales.clear(number)
        self._levels.clear(number)

    def begin(self, number: int, name: str) -> None:
        """A new stream."""
        self._scales.begin(number, name)
        self._levels.begin(number, name)

    def take(self, rows: Aligned, first: Ints) -> tuple[SeasonInputs, Flags]:
        """Phases, levels and scale of the window that ends with each row, and whether one is still learned [n]."""
        scale, cold = self._scales.take(rows, first)
        values = ((rows.values - scale.centre) / scale.width).astype(np.float32)
        values[cold] = np.nan
        found, learning = self._levels.take(replace(rows, values=values), first)
        return found._replace(scale=scale), learning | cold

    def of(self, number: int) -> SeasonInputs:
        """Those of a stream's last window."""
        return self._levels.of(number)._replace(scale=self._scales.of(number))

    def state(self, number: int) -> dict[str, Any]:
        """Everything about a stream, as plain data for JSON."""
        return {"scale": self._scales.state(number), "season": self._levels.state(number)}

    def restore(self, number: int, state: Mapping[str, Any] | None) -> None:
        """Go on from what `state` gave; a stream whose state has none begins anew. Raises InvalidArgument."""
        if state is None:
            return
        if not isinstance(scale := state.get("scale"), Mapping) or not isinstance(state.get("season"), Mapping):
            raise InvalidArgument("the saved scale of a stream cannot be read: it has no scale beside a season")
        self._scales.restore(number, scale)
        self._levels.restore(number, state["season"])
