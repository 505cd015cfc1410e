"""When a channel of a model counts as missing, or as stuck, and which of its values are no readings."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.columns import Flags, Float

__all__ = ["LEARNED_ROWS", "SENTINELS", "Figures", "SignalRules", "absence_bound", "is_sentinel", "rest_bound"]

#: Values that devices and loggers write for "no reading": SCPI's infinities and not-a-number, and what drivers return.
#: They count only where they lie far outside what the channel showed in training.
SENTINELS = (9.9e37, -9.9e37, 9.91e37, -999.0, -9999.0, -99999.0)
#: Rows of a stream that teach what its model does not say, where `warm_up` is not longer.
LEARNED_ROWS = 500
#: Rows beyond the longest rest or absence, at least, and the share of a long one that is left it besides.
_MARGIN, _SHARE = 5, 0.25
#: A channel whose longest rest takes this share of the rows is one that rests.
_RESTS = 0.25
Numbers = NDArray[np.float64]


def rest_bound(longest: Numbers, rows: Numbers | float = math.inf) -> Numbers:
    """Rows without a move that may be; infinity for channels that rest: `longest` is, or takes a quarter of `rows`."""
    found: Numbers = longest + np.maximum(_MARGIN, np.floor(_SHARE * longest))
    return np.where(longest >= np.maximum(2.0, _RESTS * np.asarray(rows, float)), np.inf, found)


def absence_bound(longest: Numbers) -> Numbers:
    """Rows without a value that may be."""
    found: Numbers = longest + np.maximum(_MARGIN, np.floor(_SHARE * longest))
    return found


@dataclass(frozen=True)
class Figures:
    """What training showed of each channel, or may not have been noted: then None.

    rest: longest run of equal values in rows, infinity for channels that hardly move. absence: longest run of rows
    without a value. ranges: (lowest, highest) value. sentinels: of each channel the values that looked like none.
    """

    rest: Sequence[float] | None = None
    absence: Sequence[float] | None = None
    ranges: Sequence[tuple[float, float]] | None = None
    sentinels: Sequence[Sequence[float]] | None = None


@dataclass(frozen=True)
class SignalRules:
    """The rules for a model's channels. Raises InvalidArgument for patterns that fit no channel.

    stuck, missing: by pattern of channels the rows that one may stand still, or be without a value; infinity for any,
    NaN for what holds elsewhere; the first pattern that fits holds. Elsewhere the figures hold, or where there are none
    what a stream's first `learn` rows show. warm_up: rows of a stream that show how long its channels are without a
    value, where that is longer than in training. no_reading: values of any channel that are no readings, whatever its
    range. hold: by pattern the rows that a channel's last value stands for, where none comes. Where nothing else is
    said such a channel may be without a value for as long, and is never stuck: where nothing changes it says nothing.
    """

    channels: Sequence[str]
    figures: Figures = field(default_factory=Figures)
    stuck: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)
    no_reading: Sequence[float] = ()
    learn: int = LEARNED_ROWS
    warm_up: int = 0
    hold: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, given in (("stuck", self.stuck), ("missing", self.missing), ("hold", self.hold)):
            for pattern, rows in given.items():
                if not any(fnmatch.fnmatchcase(channel, pattern) for channel in self.channels):
                    raise InvalidArgument(f"{name} names channel {pattern!r}; the model has {', '.join(self.channels)}")
                if rows < (name != "hold"):  # of which 0 is none
                    raise InvalidArgument(f"{name} of {pattern!r} is 1 row or more, not {rows:g}")

    def rests(self) -> Numbers:
        """Rows that each channel may stand still, [channels]; NaN where its stream is to show it."""
        return self._bounds(self.stuck, self.figures.rest, rest_bound, np.where(self.holds() > 0, np.inf, np.nan))

    def absences(self) -> Numbers:
        """Rows that each channel may be without a value, [channels]; NaN where its stream is to show it."""
        return self._bounds(self.missing, self.figures.absence, absence_bound, self._held())

    def open_absences(self) -> Flags:
        """Channels of which nobody said how long they may be without a value, so that their stream may, [channels]."""
        return np.isnan(self._bounds(self.missing, None, absence_bound, self._held()))

    def holds(self) -> Numbers:
        """Rows that each channel's last value stands for, [channels]; 0 for none."""
        none = np.zeros(len(self.channels))
        return self._bounds(self.hold, None, absence_bound, none)

    def _held(self) -> Numbers:
        holds = self.holds()
        return np.where(holds > 0, holds, np.nan)

    def _bounds(
        self, given: Mapping[str, float], figures: Sequence[float] | None, bound: object, held: Numbers
    ) -> Numbers:
        """held: what holds in place of the figures, [channels]; NaN where these do."""
        found = np.full(len(self.channels), np.nan)
        if figures is not None:
            found = bound(np.array(figures, np.float64))  # type: ignore[operator]
        found = np.where(np.isnan(held), found, held)
        for place, channel in enumerate(self.channels):
            for pattern, rows in given.items():
                if fnmatch.fnmatchcase(channel, pattern):
                    if not math.isnan(rows):
                        found[place] = rows
                    break
        return found

    def sentinels(self) -> list[tuple[np.float32, Flags]]:
        """Values that are no readings, and of which channels, [channels]."""
        count = len(self.channels)
        found: dict[float, Flags] = {float(value): np.ones(count, bool) for value in self.no_reading}
        if self.figures.ranges is not None:
            low, high = np.array(self.figures.ranges, np.float64).reshape(count, 2).T
            width = np.maximum(high - low, 1e-3 * np.maximum(np.abs(low), np.abs(high)))
            for value in SENTINELS:
                mine = found.setdefault(value, np.zeros(count, bool))
                mine |= (value < low - width) | (value > high + width)
        for place, values in enumerate(self.figures.sentinels or ()):
            for value in values:
                found.setdefault(float(value), np.zeros(count, bool))[place] = True
        return [(np.float32(value), mine) for value, mine in found.items() if mine.any()]


def is_sentinel(values: Float, sentinels: Sequence[tuple[np.float32, Flags]]) -> Flags | None:
    """Which of values [n, channels] are no readings; None where none is."""
    if not len(values) or not sentinels:
        return None
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    found: Flags | None = None
    for value, mine in sentinels:
        if low <= value <= high:
            same = (values == value) & mine
            if same.any():
                found = same if found is None else found | same
    return found
