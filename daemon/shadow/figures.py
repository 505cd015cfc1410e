"""A candidate compared with the model that watches, over the rows that both scored; all of it in limits of each.

Memory is bounded: scores are counted in fixed bins, events as they end, and what is kept of ended ones is a few for
each stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument

__all__ = ["MODEL", "SHADOW", "SIDES", "Comparison"]

#: The two that are compared: what watches, and the candidate.
SIDES = MODEL, SHADOW = ("model", "candidate")
QUANTILES = (0.5, 0.9, 0.99, 0.999)
#: Scores are counted in bins that are 2.3 % wide, from a thousandth of the limit to a thousand times it.
_DECADES, _BINS = 3, 600
#: Ended events of a stream that those of the other side are looked for among.
_KEPT = 16
_STREAMS_TOLD = 10


@dataclass
class _Span:
    """An event that has ended: rows from `start` to `end`; matched: whether the other side had one at that time."""

    start: int
    end: int
    matched: bool = False


class Comparison:
    """What is known so far; one thread adds to it.

    begun: ns since 1970 UTC by the machine's clock. skipped: rows that the candidate was too slow for.
    """

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.rows = self.skipped = self.both_above = 0
        self.first_time: int | None = None
        self.last_time: int | None = None
        self._above = dict.fromkeys(SIDES, 0)
        self._events = dict.fromkeys(SIDES, 0)
        self._ended = dict.fromkeys(SIDES, 0)
        self._matched = dict.fromkeys(SIDES, 0)
        self._bins = {side: np.zeros(_BINS, np.int64) for side in SIDES}
        self._streams: dict[str, dict[str, int]] = {}
        self._spans: dict[tuple[str, str], deque[_Span]] = {}

    def scored(self, model: NDArray[np.float32], shadow: NDArray[np.float32], times: NDArray[np.int64]) -> None:
        """Rows that both scored: scores in limits [n], and their times in ns."""
        if not len(model):
            return
        self.rows += len(model)
        first, last = int(times.min()), int(times.max())
        self.first_time = first if self.first_time is None else min(first, self.first_time)
        self.last_time = last if self.last_time is None else max(last, self.last_time)
        self.both_above += int(np.count_nonzero((model > 1) & (shadow > 1)))
        for side, scores in ((MODEL, model), (SHADOW, shadow)):
            self._above[side] += int(np.count_nonzero(scores > 1))
            places = (np.log10(np.maximum(scores, 1e-30)) + _DECADES) * (_BINS / (2 * _DECADES))
            self._bins[side] += np.bincount(np.clip(places.astype(np.int64), 0, _BINS - 1), minlength=_BINS)

    def opened(self, side: str, stream: str) -> None:
        """An event opened, or would have."""
        self._events[side] += 1
        self._streams.setdefault(stream, dict.fromkeys(SIDES, 0))[side] += 1

    def ended(self, side: str, stream: str, start: int, end: int) -> None:
        """It ended, perhaps once more: rows `start` to `end` of the stream were in it."""
        spans = self._spans.setdefault((side, stream), deque(maxlen=_KEPT))
        span = next((one for one in reversed(spans) if one.start == start), None)
        if span is None:
            span = _Span(start, end)
            self._ended[side] += 1
            spans.append(span)
        span.end, before = end, span.matched
        for other in SIDES:
            if other == side:
                continue
            for one in self._spans.get((other, stream), ()):
                if one.start <= end and start <= one.end:
                    span.matched = True
                    self._matched[other] += not one.matched
                    one.matched = True
        self._matched[side] += span.matched and not before

    def afresh(self, stream: str) -> None:
        """The stream's rows count from the beginning again."""
        for side in SIDES:
            self._spans.pop((side, stream), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for people and programs.

        Of each side: `events` that opened, `ended` among them, `overlap` (ended ones at whose time the other side had
        one), `above` (rows above the limit), and `quantiles` of the score in limits, null before the first row.
        streams: those with the most events that differ, each with how many of either side.
        """
        differ = sorted(self._streams.items(), key=lambda one: (-abs(one[1][MODEL] - one[1][SHADOW]), one[0]))
        return {
            "begun": self.begun,
            "first_time": self.first_time,
            "last_time": self.last_time,
            "rows": self.rows,
            "skipped": self.skipped,
            "both_above": self.both_above,
            **{side: self._side(side) for side in SIDES},
            "streams": [{"stream": name, **counts} for name, counts in differ[:_STREAMS_TOLD]],
        }

    def _side(self, side: str) -> dict[str, Any]:
        return {
            "events": self._events[side],
            "ended": self._ended[side],
            "overlap": self._matched[side],
            "above": self._above[side],
            "quantiles": {f"{one:g}": self._quantile(self._bins[side], one) for one in QUANTILES},
        }

    def _quantile(self, bins: NDArray[np.int64], share: float) -> float | None:
        if not self.rows:
            return None
        place = int(np.searchsorted(np.cumsum(bins), share * self.rows))
        middle = (min(place, _BINS - 1) + 0.5) * (2 * _DECADES / _BINS) - _DECADES
        return float(f"{10.0**middle:.3g}")

    def state(self) -> dict[str, Any]:
        """All that outlives the process, as plain data for JSON; ended events are not looked for among later ones."""
        return {
            "begun": self.begun,
            "rows": self.rows,
            "skipped": self.skipped,
            "both_above": self.both_above,
            "first_time": self.first_time,
            "last_time": self.last_time,
            "above": self._above,
            "events": self._events,
            "ended": self._ended,
            "matched": self._matched,
            "bins": {side: _sparse(bins) for side, bins in self._bins.items()},
            "streams": self._streams,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Comparison:
        """What `state()` described. Raises InvalidArgument for anything else."""
        try:
            found = cls(int(state["begun"]))
            found.rows, found.skipped = int(state["rows"]), int(state["skipped"])
            found.both_above = int(state["both_above"])
            found.first_time, found.last_time = state["first_time"], state["last_time"]
            for name in ("above", "events", "ended", "matched"):
                setattr(found, f"_{name}", {side: int(state[name][side]) for side in SIDES})
            for side in SIDES:
                places, counts = state["bins"][side]
                found._bins[side][np.array(places, np.int64)] = counts
            found._streams = {name: {side: int(one[side]) for side in SIDES} for name, one in state["streams"].items()}
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InvalidArgument(f"the figures of a comparison cannot be read: {error!r}") from error
        return found


def _sparse(bins: NDArray[np.int64]) -> tuple[Sequence[int], Sequence[int]]:
    places = np.flatnonzero(bins)
    return places.tolist(), bins[places].tolist()
