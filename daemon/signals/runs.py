"""How long each channel has stood still, or been without a value, at each row of some streams."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aez.daemon.rows.columns import Flags, Float, Ints, behind

__all__ = ["NEVER", "Past", "Runs", "ends_of", "follow", "may_exceed"]

#: Stands for no bound.
NEVER = 1 << 40
#: Rows in a row that are looked for at most; and that are looked back one by one.
_LONGEST_STEP, _FEW_STEPS = 64, 8


class Past(NamedTuple):
    """What was before some rows, of each of their streams: all [streams, channels].

    value: the last one, NaN where there was none. still: rows with a value since it last changed, and since: the time
    of the first of them. absent: rows without a value since the last that had one, and absent_since: the time of the
    first of them. All numbers are int64, times in ns.
    """

    value: Float
    still: Ints
    since: Ints
    absent: Ints
    absent_since: Ints


class Runs(NamedTuple):
    """As `Past`, at each row: all [rows, channels]; ended: how many rows without a value end here, 0 for none."""

    value: Float
    still: Ints
    since: Ints
    absent: Ints
    absent_since: Ints
    ended: Ints

    def part(self, start: int, end: int) -> Runs:
        """The rows from one place to another, as views."""
        one = slice(start, end)
        return Runs(
            self.value[one], self.still[one], self.since[one], self.absent[one], self.absent_since[one], self.ended[one]
        )


def follow(values: Float, came: Flags, time: Ints, first: Ints, past: Past) -> Runs:
    """Follow rows [n, channels], NaN = missing, sorted by stream; `first` tells where each stream's begin.

    came: which rows somebody sent, [n]; the others were made up, and count for nothing.
    """
    same = np.zeros(values.shape[1], bool)
    same |= (values[1:] == values[:-1]).any(axis=0) | (values[first] == past.value).any(axis=0)
    plain = ~(same | np.isnan(values.min(axis=0)) | (past.absent > 0).any(axis=0))
    if not plain.any():
        return _follow(values, came, time, first, past)
    # Channels that come and move with every row need no search.
    shape = values.shape
    found = Runs(
        values.copy(),
        np.ones(shape, np.int64),
        np.repeat(time, shape[1]).reshape(shape),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
    )
    if not plain.all():
        part = Past(*(one[:, ~plain] for one in past))  # type: ignore[arg-type]
        inner = _follow(values[:, ~plain], came, time, first, part)
        for whole, one in zip(found[1:], inner[1:], strict=True):
            np.asarray(whole)[:, ~plain] = one
        found.value[:, ~plain] = inner.value
    found.absent_since[:, plain] = past.absent_since[np.repeat(np.arange(len(first)), _sizes(first, shape[0]))][
        :, plain
    ]
    return found


def _sizes(first: Ints, count: int) -> Ints:
    """Rows of each stream."""
    return behind(first, count) - first


def _follow(values: Float, came: Flags, time: Ints, first: Ints, past: Past) -> Runs:
    """As `follow`; came: whether anything did, [n]."""
    count = len(values)
    place = np.arange(count)[:, None]
    start = np.repeat(first, _sizes(first, count))[:, None]
    number = np.repeat(np.arange(len(first)), _sizes(first, count))
    present = ~np.isnan(values)
    # The last row with a value, up to each row; before `start` where it lies in the past.
    latest = np.maximum.accumulate(np.where(present, place, -1), axis=0)
    inside = latest >= start
    value = np.where(inside, np.take_along_axis(values, np.maximum(latest, 0), axis=0), past.value[number])
    before = np.empty_like(value)
    before[1:], before[first] = value[:-1], past.value
    changed = present & ~(values == before)
    begun = np.maximum.accumulate(np.where(changed, place, -1), axis=0)
    fresh = begun >= start
    counted = np.cumsum(present, axis=0)
    zero = np.where(start > 0, counted[np.maximum(start[:, 0] - 1, 0)], 0)
    at_begin = np.take_along_axis(counted, np.maximum(begun, 0), axis=0)
    still = np.where(fresh, counted - at_begin + 1, past.still[number] + counted - zero)
    since = np.where(fresh, time[np.maximum(begun, 0)], past.since[number])
    # Rows that came without this channel, since the last with it.
    lacks = ~present & came.reshape(-1, 1)
    lacked = np.cumsum(lacks, axis=0)
    zero = np.where(start > 0, lacked[np.maximum(start[:, 0] - 1, 0)], 0)
    at_latest = np.take_along_axis(lacked, np.maximum(latest, 0), axis=0)
    absent = np.where(inside, lacked - at_latest, past.absent[number] + lacked - zero)
    absent_before = np.empty_like(absent)
    absent_before[1:], absent_before[first] = absent[:-1], past.absent
    begins = lacks & (absent_before == 0)
    opened = np.maximum.accumulate(np.where(begins, place, -1), axis=0)
    absent_since = np.where(opened >= start, time[np.maximum(opened, 0)], past.absent_since[number])
    return Runs(value, still, since, absent, absent_since, np.where(present, absent_before, 0))


def may_exceed(same: Flags, first: Ints, still: Ints, bounds: Ints) -> Flags:
    """Which streams, [streams], may have a channel that stands still for longer than its bound; never too few.

    same: whether a row's value is that of the row before, [rows, channels]. still: rows that each channel has stood
    still before, [streams, channels]. bounds: whole numbers from 1, [channels]; `NEVER` for channels that may rest.
    """
    if len(first) == len(same):  # a row each
        return np.asarray((same & (still + 1 > bounds)).any(axis=1))
    found = np.zeros(len(first), bool)
    longer = np.flatnonzero(same.any(axis=0) & (bounds < NEVER))
    # A run beyond its bound has `bound` such rows: either `steps` of them lie here in a row, or the others before.
    moving, steps, part, length = longer, np.full(len(bounds), len(same) + 1), same[:, longer], 1
    while longer.size and len(part):
        due = (bounds[longer] < 2 * length) | (length >= _LONGEST_STEP)
        steps[longer[due]] = length
        if due.any():
            last = np.flatnonzero(part[:, due].any(axis=1)) + length - 1
            found[np.searchsorted(first, last, "right") - 1] = True
            longer, part = longer[~due], part[:, ~due]
        part = part[length:] & part[:-length]
        length *= 2
    near = same[first][:, moving] & (still[:, moving] > (bounds - steps)[moving]) & ~found[:, None]
    head, place = np.nonzero(near)
    channel, ends = moving[place], behind(first, len(same))
    total, row = still[head, channel] + 1, first[head] + 1
    for _ in range(_LONGEST_STEP):
        found[head[total > bounds[channel]]] = True
        more = (row < ends[head]) & ~found[head]
        more &= same[np.minimum(row, len(same) - 1), channel]
        head, channel, total, row = head[more], channel[more], total[more] + 1, row[more] + 1
        if not head.size:
            break
    found[head] = True  # it goes on for long
    return found


def ends_of(same: Flags, time: Ints, first: Ints, past: Past) -> tuple[Ints, Ints]:
    """(still, since) behind the last row of each stream, as `follow` has them, where nothing is missing."""
    ends = behind(first, len(same))
    sizes = (ends - first)[:, None]
    trail, more = np.zeros((len(first), same.shape[1]), np.int64), same[ends - 1]
    for back in range(1, _FEW_STEPS + 1):
        trail += more
        more = more & (back < sizes) & same[np.maximum(ends - 1 - back, 0)]
        if not more.any():
            break
    else:
        for channel in np.flatnonzero(more.any(axis=0)).tolist():
            moves = np.append(-1, np.flatnonzero(~same[:, channel]))
            latest = np.maximum(moves[np.searchsorted(moves, ends) - 1], first - 1)
            trail[:, channel] = ends - 1 - latest
    whole = trail == sizes
    still = np.where(whole, past.still + sizes, trail + 1)
    return still, np.where(whole, past.since, time[np.maximum(ends[:, None] - 1 - trail, 0)])
