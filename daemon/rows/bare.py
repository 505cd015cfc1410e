"""Samples that have none of the model's channels: whether they tell that all of a stream's channels are gone.

A stream may bring other things between its rows, in messages of their own, and some of them ahead of the rows, as
another measurement in one body. So such a sample counts as a row without values only where it lies further ahead of the
stream's last row with a value than such samples ever did before a row that came after all; in a stream that never had
any, where two rows are due.

Guarantee: what counts depends on a stream's samples and their order alone.
"""

from __future__ import annotations

import numpy as np

from aez.daemon.rows.columns import Flags, Ints, StreamColumns, column
from aez.daemon.rows.fronts import NEVER

__all__ = ["Bare"]

#: Periods that a row may be overdue: in a stream that brings nothing else, and, beyond what it showed, in others.
_DUE, _DUE_AMONG_OTHERS = 2, 10


class Bare(StreamColumns):
    """The samples without a channel of one model's streams. period: ns between rows; never without one."""

    real = column(np.int64, NEVER)  # the highest time of a sample with a channel, where there are others, too; ns
    other = column(np.int64, NEVER)  #: the highest time of one without
    lead = column(np.int64, -1)  # ns that such were ahead of a row that came after all, at most; -1 for never

    def __init__(self, period: int | None) -> None:
        super().__init__()
        self._period = period
        self._any = False  # there was one

    def take(self, stream: Ints, time: Ints, bare: Flags | None, newest: Ints) -> Flags | None:
        """Which samples count, in the order of arrival; None for all.

        bare: which of them have no channel, None for none. newest: of all streams, the highest time of a row so far.
        """
        if bare is None and not self._any:
            return None
        self._any, mixed = True, self.other[stream] > NEVER
        if bare is None and not mixed.any():
            return None
        flags = np.zeros(len(stream), bool) if bare is None else bare
        counts = ~flags
        concerned = np.unique(stream[mixed | flags])
        order = np.flatnonzero(np.isin(stream, concerned))
        order = order[np.argsort(stream[order], kind="stable")]
        for places in np.split(order, np.flatnonzero(np.diff(stream[order])) + 1):
            number = int(stream[places[0]])
            if self.other[number] == NEVER:
                self.real[number] = newest[number]
            counts[places] |= self._follow(number, time[places], flags[places])
        return counts

    def _follow(self, number: int, time: Ints, bare: Flags) -> Flags:
        """Take the samples of one stream."""
        real = np.maximum.accumulate(np.append(self.real[number], np.where(bare, NEVER, time)))
        other = np.maximum.accumulate(np.append(self.other[number], np.where(bare, time, NEVER)))
        ahead = np.where(~bare & (other[:-1] > NEVER), np.maximum(other[:-1] - time, 0), -1)
        lead = np.maximum.accumulate(np.append(self.lead[number], ahead))
        self.real[number], self.other[number], self.lead[number] = real[-1], other[-1], lead[-1]
        if self._period is None:
            return np.zeros(len(time), bool)
        due = np.where(lead[:-1] < 0, _DUE, _DUE_AMONG_OTHERS) * self._period + np.maximum(lead[:-1], 0)
        return np.asarray(bare & (real[:-1] > NEVER) & (time - np.maximum(real[:-1], NEVER) > due))

    def state(self, number: int) -> list[int] | None:
        """What is known of a stream, as plain data for JSON; None for nothing."""
        if self.other[number] == NEVER:
            return None
        return [int(self.real[number]), int(self.other[number]), int(self.lead[number])]

    def restore(self, number: int, state: object) -> None:
        """Go on from what `state` gave; what is none of it begins anew."""
        if isinstance(state, list) and len(state) == 3 and all(isinstance(one, int) for one in state):
            self._any, (self.real[number], self.other[number], self.lead[number]) = True, state
