"""Limits of single streams: one that follows its stream slowly, and one that the stream's first frames teach.

Guarantee: a limit depends on the scores alone, not on how they were cut into calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aez.codec.detect.thresholds import StreamingPeaksOverThreshold
from aez.codec.errors import InvalidArgument

__all__ = ["FEWEST", "AdaptiveLimit", "LearnedLimit", "StreamLimit"]

#: Fewer scores say too little about their spread.
FEWEST = 20
#: How far above the 90th percentile the limit lies: in its distance from the median, and relatively at least.
_SPREADS, _LEAST = 3.0, 0.05


class AdaptiveLimit:
    """A stream's limit that follows it slowly, in thresholds of the model: 1 until enough rows came.

    Scores are taken in blocks of `BLOCK` rows; the limit changes between blocks only, so that it does not matter how
    rows arrive, and blocks in which an event was open teach nothing. After `CALIBRATION` scores a
    `StreamingPeaksOverThreshold` takes over, held to between 1 / reach and reach.
    """

    BLOCK, CALIBRATION = 64, 1024

    def __init__(self, risk: float = 1e-4, reach: float = 2.0) -> None:
        if not 0 < risk < 0.02 or not reach >= 1:
            raise InvalidArgument(f"risk {risk} lies between 0 and 0.02, and reach {reach} is 1 or more")
        self.risk, self.reach = risk, reach
        self.value = 1.0
        self._block: list[float] = []
        self._frozen = False
        self._past: list[float] = []
        self._peaks: StreamingPeaksOverThreshold | None = None

    @property
    def room(self) -> int:
        """Rows until the limit may change."""
        return self.BLOCK - len(self._block)

    def take(self, scores: Sequence[float], frozen: bool) -> None:
        """Take the scores of at most `room` rows; `frozen` where an event was open among them."""
        self._block.extend(scores)
        self._frozen |= frozen
        if len(self._block) < self.BLOCK:
            return
        block, self._block = self._block, []
        frozen, self._frozen = self._frozen, False
        if not frozen:
            self._learn([score for score in block if np.isfinite(score)])

    def _learn(self, scores: list[float]) -> None:
        if self._peaks is None:
            self._past.extend(scores)
            if len(self._past) < self.CALIBRATION:
                return
            try:
                # Its own bound is about its first limit, wherever that lies between 1 / reach and reach.
                self._peaks = StreamingPeaksOverThreshold(self._past, self.risk, reach=self.reach**2)
            except InvalidArgument:  # a stream that stands still has no tail; wait for one that moves
                del self._past[: self.CALIBRATION // 2]
                return
            self._past = []
        else:
            for score in scores:
                self._peaks.update(score)
        self.value = min(max(self._peaks.threshold, 1 / self.reach), self.reach)

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {
            "value": self.value,
            "block": self._block,
            "frozen": self._frozen,
            "past": self._past,
            "peaks": None if self._peaks is None else self._peaks.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], risk: float, reach: float) -> AdaptiveLimit:
        """What `state()` described. Raises InvalidArgument."""
        limit = cls(risk, reach)
        try:
            limit.value = min(max(float(state["value"]), 1 / reach), reach)
            limit._block = [float(score) for score in state["block"]]
            limit._past = [float(score) for score in state["past"]]
            limit._frozen = bool(state["frozen"])
            if state["peaks"] is not None:
                limit._peaks = StreamingPeaksOverThreshold.from_state(state["peaks"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved limit of a stream cannot be read: {error!r}") from error
        if len(limit._block) >= cls.BLOCK:
            raise InvalidArgument("the saved limit of a stream holds more than a block")
        return limit


class LearnedLimit:
    """`value` is 1 until `rows` finite scores came, then 3 (1 + 20 / rows) spreads above their 90th percentile.

    A spread is the distance from the median to the 90th percentile, so that up to a tenth of abnormal frames among the
    first ones moves the limit little; of normally distributed scores the limit of 100 lies 5.9 standard deviations
    above the mean. It is at least 5 % above the 90th percentile, and all of it is multiplied by `factor`. Takes scores
    as `AdaptiveLimit` does.
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

    def take(self, scores: Sequence[float], frozen: bool) -> None:  # noqa: ARG002 - no event opens while it learns
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


StreamLimit = AdaptiveLimit | LearnedLimit
