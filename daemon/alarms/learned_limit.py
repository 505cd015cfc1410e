"""Limits of single streams: one that the stream's first frames teach.

Guarantee: a limit depends on the scores alone, not on how they were cut into calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aez.codec.errors import InvalidArgument

__all__ = ["FEWEST", "LearnedLimit"]

#: Fewer scores say too little about their spread.
FEWEST = 20
#: How far above the 90th percentile the limit lies: in its distance from the median, and relatively at least.
_SPREADS, _LEAST = 3.0, 0.05


class LearnedLimit:
    """`value` is 1 until `rows` finite scores came, then 3 (1 + 20 / rows) spreads above their 90th percentile.

    A spread is the distance from the median to the 90th percentile, so that up to a tenth of abnormal frames among the
    first ones moves the limit little; of normally distributed scores the limit of 100 lies 5.9 standard deviations
    above the mean. It is at least 5 % above the 90th percentile, and all of it is multiplied by `factor`.
    """

    def __init__(self, rows: int, factor: float = 1.0) -> None:
        if rows < FEWEST:
            raise InvalidArgument(f"a limit is learned from {FEWEST} frames or more, not {rows}; raise warm_up")
        self.rows, self.factor = rows, factor
        self.value = 1.0
        self._past: list[float] = []
        self._known = False

    @property
    def room(self) -> int:
        """Rows until the limit may change; many once it is known."""
        return 1 << 30 if self._known else self.rows - len(self._past)

    def take(self, scores: Sequence[float]) -> None:
        """Take the scores of at most `room` rows."""
        if self._known:
            return
        self._past.extend(score for score in scores if np.isfinite(score))
        if len(self._past) < self.rows:
            return
        median, high = (float(one) for one in np.percentile(self._past, (50, 90)))
        spreads = _SPREADS * (1 + FEWEST / self.rows)  # few scores may show too small a distance
        self.value = self.factor * max(high + spreads * (high - median), (1 + _LEAST) * high, 1e-12)
        self._past, self._known = [], True

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {"value": self.value, "past": self._past, "known": self._known, "factor": self.factor}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], rows: int, factor: float) -> LearnedLimit:
        """What `state()` described, under a factor that may be new. Raises InvalidArgument."""
        limit = cls(rows, factor)
        try:
            limit._past = [float(score) for score in state["past"]]
            limit._known = bool(state["known"])
            if limit._known:
                limit.value = float(state["value"]) / float(state["factor"]) * factor
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InvalidArgument(f"the saved limit of a stream cannot be read: {error!r}") from error
        del limit._past[max(0, rows - 1) :]  # warm_up may have been lowered
        return limit
