"""Phase and trailing level of each stream, for models of a cycle that goes by no clock.

Guarantee: as for seasons; what a stream's rows told of its phase is kept with its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aez.codec.detect.rhythm.cycle import CycleState, backwards
from aez.codec.detect.rhythm.seasons import SeasonInputs, Seasons
from aez.codec.errors import InvalidArgument
from aez.daemon.engine.beside.season_levels import SeasonLevels
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Float, Ints, entries

__all__ = ["CycleLevels"]


class CycleLevels(SeasonLevels):
    """The trailing levels of one model's streams, and the phases that their rows tell."""

    cycles: dict[int, CycleState] = entries()

    def __init__(self, seasons: Seasons, window: int) -> None:
        super().__init__(seasons, window, 0)
        self._window, self._bins = window, seasons.cycle

    def begin(self, number: int, name: str) -> None:
        """A new stream."""
        super().begin(number, name)
        self.cycles[number] = CycleState(np.zeros(self._bins))

    def take(self, rows: Aligned, first: Ints) -> tuple[SeasonInputs, Flags]:
        """As that of seasons; a stream also opens no event in its first period, which tells its phase."""
        levels, learning = np.empty(rows.values.shape, np.float32), np.empty(len(rows), bool)
        phases = np.empty((len(rows), self._window, 1), np.float32)
        for start, end in zip(first.tolist(), np.append(first[1:], len(rows)).tolist(), strict=True):
            part, number = slice(start, end), int(rows.stream[start])
            taken = self._following.take_cycles(number, self.cycles[number], rows.values[part])
            place, seen, levels[part], learning[part] = taken
            phases[part] = backwards(place, seen, self._window, self._bins)
        return SeasonInputs(phases, levels), learning

    def _last_phases(self, number: int) -> Float:
        state = self.cycles[number]
        found: Float = backwards(np.array([state.place]), np.array([state.seen]), self._window, self._bins)[0]
        return found

    def state(self, number: int) -> dict[str, Any]:
        """Everything about a stream, as plain data for JSON."""
        cycle = self.cycles[number]
        return super().state(number) | {"odds": cycle.odds.tolist(), "place": cycle.place, "rows": cycle.seen}

    def restore(self, number: int, state: Mapping[str, Any] | None) -> None:
        """Go on from what `state` gave; a stream whose state has none begins anew. Raises InvalidArgument."""
        if state is None:
            return
        try:
            found = CycleState(np.array(state["odds"], np.float64), int(state["place"]), int(state["rows"]))
            if found.odds.shape != (self._bins,) or not np.isfinite(found.odds).all():
                raise ValueError("odds that are none")
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved phase of a stream cannot be read: {error!r}") from error
        super().restore(number, state)
        self.cycles[number] = found
