"""Which channels of a model's streams are missing or stuck, row by row, and what is to be left out of the score.

Guarantee: what is found depends on a stream's rows alone, not on how they were cut into calls.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aez.codec.errors import InvalidArgument
from aez.daemon.rows.aligned import Aligned
from aez.daemon.rows.columns import Flags, Ints, StreamColumns, any_of, behind, column
from aez.daemon.rows.columns import runs as runs_of
from aez.daemon.signals.notes import Kind, Note
from aez.daemon.signals.rules import SignalRules, absence_bound, is_sentinel, rest_bound
from aez.daemon.signals.runs import NEVER, Past, Runs, ends_of, follow, may_exceed

__all__ = ["ABSENT", "Found", "SignalWatch"]

Numbers = NDArray[np.float64]

#: Rows that are looked at together: what is found of them fits into the cache.
_BLOCK = 4096
_COUNTS = ("_still", "_since", "_absent", "_absent_since", "longest", "longest_absent")
_FLAGS = ("missing", "stuck", "_told")
#: Why a channel is missing, where nothing comes at all.
ABSENT = "no value comes"
_CAUSES = (ABSENT, "no reading comes")


class Found(NamedTuple):
    """What there is about some rows.

    rows: without what is no reading. notes: by place of the row before which it holds, and then what changed there.
    out: at each row which channels are to be left out of the score of its window, [n, channels]; None where none is.
    """

    rows: Aligned
    notes: dict[int, list[Note]]
    out: Flags | None


class SignalWatch(StreamColumns):
    """Watches the channels of the streams of one model.

    A channel that is missing or stuck is left out, and behind its end for as long as windows of `window` rows reach
    back to where it was: what it shows now and what it showed before would make one window of two.
    """

    _value = column(np.float32, np.nan)  # [streams, channels] the last value
    _still = column(np.int64)  # rows with a value since it changed
    _since = column(np.int64)  # the time of the first of them
    _absent = column(np.int64)  # rows without a value, since the last with one
    _absent_since = column(np.int64)  # the time of the first of them
    longest = column(np.int64)  #: longest rest that the stream's first rows showed, rows
    longest_absent = column(np.int64)  #: longest absence that they showed
    _learned = column(np.int64)  # rows that taught so far
    missing = column(np.bool_)  #: [streams, channels]
    stuck = column(np.bool_)  #: [streams, channels]
    _told = column(np.bool_)  # [streams, channels] those of them that are told of one by one
    frozen = column(np.bool_)  #: [streams] all that may move stand still
    _frozen_since = column(np.int64)
    left = column(np.int64)  #: [streams, channels] further rows for which it is left out though it goes on
    _busy = column(np.bool_)  # something of it is missing or stuck, or absent just now, or still left out

    def __init__(self, rules: SignalRules, window: int = 1) -> None:
        size = (len(rules.channels),)
        shapes = dict.fromkeys(("_value", "left", *_COUNTS, *_FLAGS), size)
        super().__init__(**shapes)
        self.rules, self._window = rules, window
        self._rests, self._absences = rules.rests(), rules.absences()
        self._sentinels = rules.sentinels()
        open_ = bool((np.isnan(self._rests) | np.isnan(self._absences)).any())
        self._learn = rules.learn if open_ else rules.warm_up  # rows of a stream that show something
        self._shown = rules.open_absences() & bool(self._learn)
        self._whole = np.where(np.isfinite(self._rests), self._rests, NEVER).astype(np.int64)

    def take(self, rows: Aligned) -> Found:
        """Take rows, sorted by stream."""
        unread = is_sentinel(rows.values, self._sentinels)
        if unread is not None:
            values = rows.values.copy()
            values[unread] = np.nan
            rows = replace(rows, values=values)
        first = runs_of(rows.stream)
        affected = self._affected(rows, first, rows.stream[first])
        found = Found(rows, {}, None)
        if not affected.any():
            return found
        places = np.flatnonzero(np.repeat(affected, behind(first, len(rows)) - first))
        out = np.zeros(rows.values.shape, bool)
        for at in range(0, len(places), _BLOCK):
            self._follow_all(rows, places[at : at + _BLOCK], unread, found.notes, out)
        return found._replace(out=out) if out.any() else found

    def _follow_all(
        self, rows: Aligned, places: Ints, unread: Flags | None, notes: dict[int, list[Note]], out: Flags
    ) -> None:
        """Take the rows at these places, sorted by stream; what is found goes into `notes` and `out`."""
        stream, came = rows.stream[places], rows.came[places]
        starts = runs_of(stream)
        runs = follow(rows.values[places], came, rows.time[places], starts, self._past(stream[starts]))
        ends = behind(starts, len(stream))
        calm = self._take_calm(stream, starts, ends, came, runs, places, out)
        for start, stop in zip(starts[~calm].tolist(), ends[~calm].tolist(), strict=True):
            part = slice(int(places[start]), int(places[stop - 1]) + 1)  # a stream's rows lie side by side
            none = None if unread is None else unread[part]
            found = self._follow(int(stream[start]), rows.part(part.start, part.stop), runs.part(start, stop), none)
            notes.update({part.start + place: changes for place, changes in found.notes.items()})
            out[part] = found.out

    def _take_calm(
        self, stream: Ints, starts: Ints, ends: Ints, came: Flags, runs: Runs, places: Ints, out: Flags
    ) -> Flags:
        """Take up the streams of which nothing changes in these rows; which of them these are, [streams]."""
        heads, sizes = stream[starts], ends - starts
        taught_by = np.add.reduceat(came.astype(np.int64), starts)
        learns = self._learned[heads] < self._learn
        calm = ~(learns & (self._learned[heads] + taught_by >= self._learn))
        rests, absences = self._bounds(heads)
        missing = runs.absent > np.repeat(absences, sizes, axis=0)
        stuck = (runs.still > np.repeat(rests, sizes, axis=0)) & ~missing
        turns = missing != np.repeat(self.missing[heads], sizes, axis=0)
        turns |= stuck != np.repeat(self.stuck[heads], sizes, axis=0)
        frozen = self.frozen[heads]
        if frozen.any():
            turns |= _thaws(runs.since, rests, sizes, frozen, self._frozen_since[heads])
        stopped = self.missing[heads] | self.stuck[heads] | frozen[:, None]
        left = self.left[heads]
        calm &= ~any_of(turns, starts)
        calm &= (stopped | (left == 0) | (left >= sizes[:, None])).all(axis=1)
        taught = heads[calm & learns]
        if taught.size:
            mine = calm & learns
            longest = np.maximum.reduceat(runs.still, starts, axis=0)[mine]
            absent = np.maximum.reduceat(runs.ended, starts, axis=0)[mine]
            self.longest[taught] = np.maximum(self.longest[taught], longest)
            self.longest_absent[taught] = np.maximum(self.longest_absent[taught], absent)
            self._learned[taught] += taught_by[mine]
        which = np.repeat(calm, sizes)
        out[places[which]] = np.repeat(stopped | (left > 0), sizes, axis=0)[which]
        left = np.where(stopped, self._window - 1, np.maximum(0, left - sizes[:, None]))
        self.left[heads[calm]] = left[calm]
        self._keep(heads[calm], runs, ends[calm] - 1)
        return np.asarray(calm)

    def _keep(self, heads: Ints, runs: Runs, last: Ints) -> None:
        """Where streams stand behind their last rows."""
        self._value[heads], self._still[heads], self._since[heads] = (
            runs.value[last],
            runs.still[last],
            runs.since[last],
        )
        self._absent[heads], self._absent_since[heads] = runs.absent[last], runs.absent_since[last]
        self._busy[heads] = self.frozen[heads] | (
            self.stuck[heads] | self.missing[heads] | (self._absent[heads] > 0) | (self.left[heads] > 0)
        ).any(axis=1)

    def _past(self, heads: Ints) -> Past:
        return Past(
            self._value[heads], self._still[heads], self._since[heads], self._absent[heads], self._absent_since[heads]
        )

    def _affected(self, rows: Aligned, first: Ints, heads: Ints) -> Flags:
        """The streams that need a closer look, [streams]; the others are brought up to date."""
        values, last = rows.values, behind(first, len(rows)) - 1
        affected = self._busy[heads]
        if np.isnan(values.min()):
            affected = affected | any_of(np.isnan(values), first)
        if affected.all():
            return affected
        same = np.empty(values.shape, bool)
        np.equal(values[1:], values[:-1], out=same[1:])
        same[first] = values[first] == self._value[heads]
        learns = self._learned[heads] < self._learn
        if same.any():
            bounds = self._whole
            if self._learn and not learns.all():
                mine = self._bounds(heads[~learns])[0].min(axis=0)
                bounds = np.where(np.isfinite(mine), mine, NEVER).astype(np.int64)
            if learns.any() and len(first) < len(rows):  # what one row shows stands behind it
                affected = affected | (learns & (last > first) & any_of(same, first))
            affected = affected | may_exceed(same, first, self._still[heads], bounds)
        quiet = heads[~affected]
        if not len(quiet):
            return affected
        still, since = ends_of(same, rows.time, first, self._past(heads))
        self._still[quiet], self._since[quiet] = still[~affected], since[~affected]
        self._value[quiet] = values[last[~affected]]
        taught = learns & ~affected
        if taught.any():  # all of their channels move with every row, or there is one row
            mine, more = heads[taught], (last - first + 1)[taught]
            self.longest[mine] = np.maximum(self.longest[mine], still[taught])
            self._learned[mine] = np.minimum(self._learn, self._learned[mine] + more)
        return affected

    def _bounds(self, heads: Ints) -> tuple[Numbers, Numbers]:
        """Rows that channels may stand still, and be without a value, [streams, channels]."""
        shape = (len(heads), len(self._rests))
        rests, absences = np.broadcast_to(self._rests, shape), np.broadcast_to(self._absences, shape)
        if self._learn:
            taught = (self._learned[heads] >= self._learn)[:, None]
            learned = rest_bound(self.longest[heads].astype(np.float64), float(self._learn))
            rests = np.where(np.isnan(rests), np.where(taught, learned, np.inf), rests)
            lacked = absence_bound(self.longest_absent[heads].astype(np.float64))
            shown = np.where(taught & self._shown, np.fmax(absences, lacked), absences)
            absences = np.where(np.isnan(shown), np.inf, shown)
        return rests, absences

    def _follow(self, number: int, rows: Aligned, runs: Runs, unread: Flags | None) -> _Stream:
        """Take the rows of one stream."""
        one = _Stream(runs, rows.time, rows.row, unread, {}, np.zeros(rows.values.shape, bool))
        count, taught = len(rows), 0
        if (left := self._learn - int(self._learned[number])) > 0:
            came = np.cumsum(rows.came)
            taught = min(int(np.searchsorted(came, left)) + 1, count)
            part = slice(0, taught)
            self._judge(number, one, part, *(bounds[0] for bounds in self._bounds(np.array([number]))))
            self._learn_from(number, runs, part, int(came[taught - 1]))
        if taught < count:
            part = slice(taught, count)
            self._judge(number, one, part, *(bounds[0] for bounds in self._bounds(np.array([number]))))
        last = np.maximum.accumulate(np.where(one.out, np.arange(count)[:, None], -self._window), axis=0)
        last = np.maximum(last, self.left[number] - self._window)  # before these rows, where there was one
        one.out[:] = np.arange(count)[:, None] - last < self._window
        self.left[number] = np.maximum(0, last[-1] + self._window - count)
        self._keep(np.array([number]), runs, np.array([count - 1]))
        return one

    def _learn_from(self, number: int, runs: Runs, part: slice, rows: int) -> None:
        self.longest[number] = np.maximum(self.longest[number], runs.still[part].max(axis=0))
        self.longest_absent[number] = np.maximum(self.longest_absent[number], runs.ended[part].max(axis=0))
        self._learned[number] += rows

    def _judge(self, number: int, one: _Stream, part: slice, rests: Numbers, absences: Numbers) -> None:
        """Find what stops and goes on in some rows of a stream under these bounds, and what is to be left out."""
        runs = one.runs
        missing = runs.absent[part] > absences
        stuck = (runs.still[part] > rests) & ~missing
        judged = np.isfinite(rests)
        was = np.concatenate([self.missing[number], self.stuck[number]])
        flags = np.vstack([was[None], np.hstack([missing, stuck])])
        turns = np.flatnonzero((flags[1:] != flags[:-1]).any(axis=1))
        frozen, frozen_at, at = bool(self.frozen[number]), 0, 0
        lacked, stood = self.missing[number].copy(), self._told[number].copy()
        while True:
            coming = turns[np.searchsorted(turns, at) :]
            row = int(coming[0]) if len(coming) else len(missing)
            if frozen:
                moved = (runs.since[part][at:, judged] > self._frozen_since[number]).any(axis=1)
                thaw = at + int(moved.argmax()) if moved.any() else len(missing)
                row = min(row, thaw)
            if row == len(missing):
                break
            place = part.start + row
            found = []
            if frozen and row == thaw:
                frozen = False
                one.out[part.start + frozen_at : place] = True
                found.append(one.whole(place, judged, int(self._frozen_since[number]), ended=True))
            now, others = stood if frozen else stuck[row], judged & ~missing[row] & ~stood
            if not frozen and _freezes(now & ~stood, runs.still[place], others):
                frozen, now, frozen_at = True, stood & now, row
                self._frozen_since[number] = runs.since[place][others].max()
                found.append(one.whole(place, others, int(self._frozen_since[number]), ended=False))
            found += one.changes("missing", place, lacked, missing[row]) + one.changes("stuck", place, stood, now)
            one.notes.setdefault(place, []).extend(found)
            lacked, stood, at = missing[row], now, row + 1
        one.out[part] |= stuck | missing
        if frozen:
            one.out[part.start + frozen_at : part.stop] = True
        self.frozen[number] = frozen
        self.missing[number], self.stuck[number], self._told[number] = missing[-1], stuck[-1], stood

    def bounds(self, number: int) -> tuple[Numbers, Numbers]:
        """Rows that a stream's channels may stand still, and be without a value, [channels]; infinity for any."""
        rests, absences = self._bounds(np.array([number]))
        return rests[0], absences[0]

    def let_go(self, number: int) -> None:
        """What is missing or stuck is found anew, at the stream's next row."""
        for name in (*_FLAGS, "frozen"):
            getattr(self, name)[number] = False

    def states(self, numbers: Ints) -> list[str]:
        """What is known of streams, as text."""
        more = np.stack([self._learned[numbers], self.frozen[numbers], self._frozen_since[numbers]], axis=1)
        parts = [more, *(getattr(self, name)[numbers] for name in (*_COUNTS, *_FLAGS, "_value"))]
        data = np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], axis=1)
        return [binascii.b2a_base64(row, newline=False).decode() for row in data]

    def restore(self, number: int, state: Any, left: Any = ()) -> None:
        """Go on from what `state` gave, and `left` [channels] where it is known. InvalidArgument for another state."""
        channels = len(self.rules.channels)
        sizes = [24, *[8 * channels] * len(_COUNTS), *[channels] * len(_FLAGS), 4 * channels]
        try:
            data = base64.b64decode(state, validate=True)
        except (TypeError, ValueError):
            data = b""
        if len(data) != sum(sizes):
            raise InvalidArgument("the saved state of a stream's channels cannot be read")
        ends = np.cumsum(sizes).tolist()
        parts = [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        self._learned[number], self.frozen[number], self._frozen_since[number] = np.frombuffer(parts[0], np.int64)
        for name, part in zip(_COUNTS, parts[1:], strict=False):
            getattr(self, name)[number] = np.frombuffer(part, np.int64)
        for name, part in zip(_FLAGS, parts[-1 - len(_FLAGS) :], strict=False):
            getattr(self, name)[number] = np.frombuffer(part, np.uint8) > 0
        self._value[number] = np.frombuffer(parts[-1], np.float32)
        stopped = self.stuck[number] | self.missing[number] | bool(self.frozen[number])
        known = np.array(left, np.int64) if len(left) == channels else np.zeros(channels, np.int64)
        self.left[number] = np.where(stopped, self._window - 1, np.clip(known, 0, self._window - 1))
        self._busy[number] = bool((stopped | (self._absent[number] > 0) | (self.left[number] > 0)).any())


class _Stream(NamedTuple):
    """Rows of one stream, and what is found about them. unread: values that were no readings, or None."""

    runs: Runs
    time: Ints
    row: Ints
    unread: Flags | None
    notes: dict[int, list[Note]]
    out: Flags

    def changes(self, kind: Kind, row: int, was: Flags, now: Flags) -> list[Note]:
        """What begins and ends at a row, of single channels."""
        return [
            *(self._note(kind, row, channel, ended=True) for channel in np.flatnonzero(was & ~now).tolist()),
            *(self._note(kind, row, channel, ended=False) for channel in np.flatnonzero(now & ~was).tolist()),
        ]

    def whole(self, row: int, channels: Flags, since: int, *, ended: bool) -> Note:
        """That all channels stand still, or no more."""
        names = tuple(np.flatnonzero(channels).tolist())
        rows = int(self.runs.still[row][channels].min())
        return Note(
            "stuck",
            names,
            since,
            int(self.time[row]),
            ended,
            "no channel moves",
            None,
            rows,
            int(self.row[row]),
            whole=True,
        )

    def _note(self, kind: Kind, row: int, channel: int, *, ended: bool) -> Note:
        runs, stuck = self.runs, kind == "stuck"
        since = (runs.since if stuck else runs.absent_since)[row, channel]
        lasted = (runs.still if stuck else runs.absent)[row, channel]
        unread = self.unread is not None and bool(self.unread[row, channel])
        cause = "it does not move" if stuck else _CAUSES[unread]
        value = float(runs.value[row, channel]) if stuck else None
        when = int(since), int(self.time[row])
        return Note(kind, (channel,), *when, ended, cause, value, int(lasted), int(self.row[row]), whole=False)


def _thaws(since: Ints, rests: Numbers, sizes: Ints, frozen: Flags, frozen_since: Ints) -> Flags:
    """Whether a channel of a stream that stood still as a whole moves, at each row, [n, channels]."""
    judged = np.isfinite(rests) & frozen[:, None]
    return np.repeat(judged, sizes, axis=0) & (since > np.repeat(frozen_since, sizes)[:, None])


def _freezes(fresh: Flags, still: Ints, judged: Flags) -> bool:
    """Whether all channels, two at least, have stood still for as long as those that are found to just now."""
    return bool(fresh.any() and judged.sum() > 1 and still[judged].min() >= still[fresh].min())
