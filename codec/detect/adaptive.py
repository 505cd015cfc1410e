"""Scores that follow a stream which drifts, and the rows where an alarm would begin.

A detector that learned from the first week scores the third month high all day, where the stream has changed for good.
What counts then is how far a score lies above those of its own recent past, as in NAB's better detectors (the anomaly
likelihood of Lavin and Ahmad 2015, here without their short average).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aez.codec.errors import InvalidArgument

Floats = npt.NDArray[np.float64]

#: Scores that make up the recent past: NAB's standard score of a PCA was 55.1 with 500, 53.4 with 1000, 51.2 with 2000.
MEMORY = 500
#: Rows after an alarm in which only a louder one counts.
COOL_DOWN = 100
#: The deviation of the past is no less than this share of its mean.
_LEAST_DEVIATION = 0.01
#: The sums are taken anew when they have fallen to this share of the highest: the digits that are left are rounding.
_FALLEN = 1e-4
_FEWEST = 10
_STATE_FORMAT = 1


class AdaptiveScore:
    """How far a score lies above the mean of the last `memory` ones, in their standard deviations; 0 and up.

    It begins with `past`, the scores of rows before the first (at least 10 finite ones; the others are left out). NaN
    gives NaN and an infinite score infinity or 0, and neither teaches anything. Raises InvalidArgument.
    """

    def __init__(self, past: npt.ArrayLike, memory: int = MEMORY) -> None:
        if memory < _FEWEST:
            raise InvalidArgument(f"a memory of {memory} scores is too short; give {_FEWEST} or more")
        scores = np.asarray(past, np.float64)
        scores = scores[np.isfinite(scores)]
        if scores.size < _FEWEST:
            raise InvalidArgument(f"{scores.size} scores are too few to start from; give {_FEWEST} or more")
        self._past: deque[float] = deque(scores[-memory:].tolist(), maxlen=memory)
        self._sum = self._squares = self._highest = 0.0
        self._fresh = 0
        self._renew()

    def update(self, score: float) -> float:
        """Take the score of the next row and return the adapted one."""
        score = float(score)  # NumPy's numbers would not go into JSON
        if not math.isfinite(score):
            return math.nan if math.isnan(score) else max(score, 0.0)
        mean = self._sum / len(self._past)
        deviation = math.sqrt(max(self._squares / len(self._past) - mean * mean, 0.0))
        adapted = max(0.0, (score - mean) / max(deviation, _LEAST_DEVIATION * abs(mean), 1e-9))
        if len(self._past) == self._past.maxlen:
            oldest = self._past[0]
            self._sum -= oldest
            self._squares -= oldest * oldest
        self._past.append(score)
        self._sum += score
        self._squares += score * score
        self._highest = max(self._highest, self._squares)
        self._fresh += 1
        # Sums that are only ever added to and taken from lose their digits, at once when something large leaves them.
        if self._fresh >= len(self._past) or self._squares < _FALLEN * self._highest:
            self._renew()
        return adapted

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {
            "format": _STATE_FORMAT,
            "memory": self._past.maxlen,
            "past": list(self._past),
            "sums": [self._sum, self._squares, self._highest],
            "fresh": self._fresh,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AdaptiveScore:
        """What `state()` described; raises InvalidArgument when it is not such a description."""
        try:
            if state["format"] != _STATE_FORMAT:
                raise ValueError(f"format {state['format']!r}")
            follower = cls([float(score) for score in state["past"]], int(state["memory"]))
            # Those of `past` differ in their last digits, and what was saved shall go on as what was not.
            follower._sum, follower._squares, follower._highest = (float(one) for one in state["sums"])
            follower._fresh = int(state["fresh"])
            return follower
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved state of an adaptive score cannot be read: {error!r}") from error

    def _renew(self) -> None:
        self._sum = math.fsum(self._past)
        self._squares = self._highest = math.fsum(score * score for score in self._past)
        self._fresh = 0


def adapt(scores: npt.ArrayLike, past: npt.ArrayLike, memory: int = MEMORY) -> Floats:
    """`AdaptiveScore` of a row of scores [time], which begins with the scores `past` of the rows before."""
    follower = AdaptiveScore(past, memory)
    return np.array([follower.update(score) for score in _row(scores).tolist()], np.float64)


def alarm_levels(scores: npt.ArrayLike, cool_down: int = COOL_DOWN) -> Floats:
    """The highest limit at which an alarm begins at a row [time], any limit below it included; 0 where none does.

    A row above the limit is an alarm, or silent where one as loud or louder lies in the `cool_down` rows before it: a
    row's level is its score where that is higher than all of those. NaN begins none and silences none.

    Raises InvalidArgument for a negative cool-down or scores of another shape.
    """
    values = _row(scores)
    if cool_down < 0:
        raise InvalidArgument(f"a cool-down is 0 rows or more, not {cool_down}")
    levels = np.zeros(values.size)
    loudest: deque[int] = deque()  # rows of the last `cool_down`, of falling scores
    for row, score in enumerate(values.tolist()):
        while loudest and loudest[0] < row - cool_down:
            loudest.popleft()
        if math.isnan(score):
            continue
        if not loudest or score > values[loudest[0]]:
            levels[row] = max(score, 0.0)
        while loudest and values[loudest[-1]] <= score:
            loudest.pop()
        loudest.append(row)
    return levels


def _row(scores: npt.ArrayLike) -> Floats:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise InvalidArgument(f"scores are one row of numbers, not an array {values.shape}")
    return values
