"""The rows of an event, thinned out so that they never take more than a few kB."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.plain import JsonText
from aez.codec.errors import InvalidArgument

__all__ = ["CHANNELS", "POINTS", "Curve", "short", "shortened"]

Float = NDArray[np.float32]
#: Points and channels of a curve at most.
POINTS, CHANNELS = 128, 4
#: Powers of ten that a float64 holds exactly; and how near to the middle of two numbers a text has to tell the nearer.
_POWERS, _NEAR_HALF = np.array([float(10**exponent) for exponent in range(23)]), 1e-6
#: Fewer numbers are not worth looking at together.
_FEW = 80
#: Rows before the event.
_BEFORE = 60


class Curve:
    """The window in which an event opened and the rows since, of a few channels.

    Rows beyond `POINTS` are thinned out by halves; of those that fall together the one with the highest score stays.
    channels: places of the channels that are kept, at most `CHANNELS`.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        self.channels = tuple(channels)[:CHANNELS]
        self._stride = 1
        #: Row, time in ns, score or None, and the channels' values or None.
        self._points: list[list[Any]] = []
        self._written: list[str] = []  # the first of them as JSON

    def begin(self, row: int, time: int, window: Float, period: int | None) -> None:
        """Take the rows before `row`, whose window float32 [rows, channels] is; without a period they have no time."""
        before = shortened(window[:-1][-_BEFORE:][:, self.channels])
        for back, values in zip(range(len(before), 0, -1), before, strict=True):
            moment = None if period is None else time - back * period
            self._points.append([row - back, moment, None, *values])

    def add(self, row: int, time: int, shown: Sequence[float | None]) -> None:
        """Take the next row. shown: its score in limits and the values of the curve's channels, as `shortened`."""
        point = [row, time, *shown]
        if self._points and row // self._stride == self._points[-1][0] // self._stride:
            if _height(point) > _height(self._points[-1]):
                self._points[-1] = point
                del self._written[len(self._points) - 1 :]
            return
        self._points.append(point)
        while len(self._points) > POINTS:
            self._stride *= 2
            self._thin()

    def as_dict(self, names: Sequence[str], units: Sequence[str]) -> dict[str, Any]:
        """Plain data for JSON: row, time (ns), score (in limits), a list each; channels with name, unit and values."""
        rows, times, scores, *values = zip(*self._points, strict=True) if self._points else ((), (), ())
        channels = [
            {"name": names[place], "unit": units[place], "values": list(found)}
            for place, found in zip(self.channels, values, strict=False)
        ]
        return {"row": list(rows), "time": list(times), "score": list(scores), "channels": channels}

    def state(self) -> dict[str, Any]:
        """Everything it knows, as plain data for JSON."""
        return {"channels": list(self.channels), "stride": self._stride, "points": self._points}

    def text(self) -> JsonText:
        """The same as JSON; points that were written before are not written again."""
        if fresh := self._points[len(self._written) :]:
            self._written += [f"[{','.join('null' if one is None else repr(one) for one in point)}]" for point in fresh]
        points, channels = ",".join(self._written), ",".join(map(str, self.channels))
        return JsonText(f'{{"channels":[{channels}],"stride":{self._stride},"points":[{points}]}}')

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Curve:
        """What `state()` described. Raises InvalidArgument."""
        try:
            curve = cls([int(one) for one in state["channels"]])
            curve._stride = max(1, int(state["stride"]))
            curve._points = [list(point) for point in state["points"]][: POINTS + 1]
            if any(len(point) != 3 + len(curve.channels) for point in curve._points):
                raise InvalidArgument("the saved curve of an event has points of another width")
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"the saved curve of an event cannot be read: {error!r}") from error
        return curve

    def _thin(self) -> None:
        kept: list[list[Any]] = []
        for point in self._points:
            if kept and kept[-1][0] // self._stride == point[0] // self._stride:
                if _height(point) > _height(kept[-1]):
                    kept[-1] = point
            else:
                kept.append(point)
        self._points, self._written = kept, []


def short(value: float) -> float | None:
    """With five digits, which is what a person reads; None for what is missing."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def shortened(values: NDArray[np.floating]) -> list[list[float | None]]:
    """As `short`, of many values [n, m] at once."""
    given = np.asarray(values, np.float64)
    if given.size < _FEW:
        return [[short(value) for value in row] for row in given.tolist()]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        behind = 4 - np.floor(np.log10(np.abs(given)))  # digits behind the point
        sure = np.abs(behind) < len(_POWERS)
        power = _POWERS[np.where(sure, np.abs(behind), 0).astype(np.int64)]
        scaled = np.where(behind > 0, given * power, given / power)
        whole = np.rint(scaled)
        # Both are exact numbers, so that the one division or product is rounded as the text of the digits would be.
        rounded = np.where(behind > 0, whole / power, whole * power)
        sure &= (np.abs(np.abs(scaled - whole) - 0.5) > _NEAR_HALF) & (np.abs(whole) >= 10_000)
    found: list[list[float | None]] = rounded.tolist()
    for row, place in np.argwhere(~sure).tolist():
        found[row][place] = short(float(given[row, place]))
    return found


def _height(point: Sequence[Any]) -> float:
    return -math.inf if point[2] is None else float(point[2])
