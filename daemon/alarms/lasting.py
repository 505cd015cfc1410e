"""Whether an event is no event any more but another level: it stays loud, and as loud, for long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Lasting"]

#: Of the second half so many rows are loud, its two quarters' mean scores differ by this factor at most, and each has
#: so many rows.
_LOUD, _ALIKE, _FEWEST = 0.5, 1.5, 8
_HIGHEST = 1e6


class Lasting:
    """Watches an open event from `begun` on, a time in ns.

    After so many ns it decides: the first half may be a transition, the second one has to stand. Where it does not,
    it begins anew.
    """

    def __init__(self, begun: int) -> None:
        self.level = 0.0
        self._begin(begun)

    def _begin(self, begun: int) -> None:
        self.begun = begun
        self._rows, self._loud, self._sums = [0, 0], [0, 0], [0.0, 0.0]

    def decides(self, after: int) -> int:
        """The time from which on rows count for what it decides, `after` as for `take`."""
        return self.begun + (after + 1) // 2

    def take(self, time: int, score: float, after: int) -> bool:
        """Whether the change is a lasting one with this row, `score` in limits; then `level` is its mean score."""
        if time < self.decides(after) or math.isnan(score):
            return False
        quarter = 4 * (time - self.begun) // after
        if quarter < 4:
            half = int(quarter) - 2
            self._rows[half] += 1
            self._loud[half] += score > 1
            self._sums[half] += min(score, _HIGHEST)
            return False
        means = [total / max(1, rows) for total, rows in zip(self._sums, self._rows, strict=True)]
        stands = (
            min(self._rows) >= _FEWEST
            and sum(self._loud) >= _LOUD * sum(self._rows)
            and max(means) <= _ALIKE * min(means)
        )
        self.level = means[1]
        self._begin(time)
        return stands

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {"begun": self.begun, "level": self.level, "rows": self._rows, "loud": self._loud, "sums": self._sums}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Lasting:
        """What `state()` described. Raises KeyError, TypeError, ValueError."""
        found = cls(int(state["begun"]))
        found.level = float(state["level"])
        found._rows, found._loud = [int(one) for one in state["rows"]], [int(one) for one in state["loud"]]
        found._sums = [float(one) for one in state["sums"]]
        return found
