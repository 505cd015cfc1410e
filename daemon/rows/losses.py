"""Which samples of which streams are not scored, and which streams lose more of them than chance would have it.

Every sample that is left out is counted by stream and reason. A stream *loses* samples where a quarter of what came
lately was left out, or so many in a row that no sender repeats itself by accident; it is named once for each reason,
with what to do. This is for people: nothing that is scored depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from aez.daemon.rows.columns import Flags, Ints, StreamColumns, column

__all__ = ["REASONS", "Losses", "advice"]

#: Why samples are not scored; of `gaps` it is rows that had to be made up between them.
REASONS = ("late", "duplicate", "future", "no_channel", "gaps")
_GAPS, _NO_CHANNEL = REASONS.index("gaps"), REASONS.index("no_channel")
#: Samples that are judged together, the share of losses among them that is no chance, and of rows behind gaps.
_WINDOW, _SHARE, _GAP_SHARE = 32, 0.25, 0.6
#: So many windows in a row tell that a stream loses samples; or so many samples in a row, within ns, or at once.
_WINDOWS, _ROW, _ROW_NS, _ROW_AT_ONCE = 2, 8, 10 * 10**9, 256


class Losses(StreamColumns):
    """The losses of one model's streams."""

    count = column(np.int64)  #: [streams, reasons] since the stream is known
    losing = column(np.int8)  #: 1 + the place in REASONS of what it loses most samples by, 0 where it loses none
    since = column(np.int64)  #: when that began, ns since 1970 UTC by this machine's clock
    interval = column(np.float64, np.nan)  #: s between its samples, in the mean
    _seen = column(np.int64)  # samples in this window
    _rows = column(np.int64)  # rows in it
    _lost = column(np.int64)  # [streams, reasons] in it
    _since = column(np.int64)  # the newest time when it began
    _windows = column(np.int64)  # such windows in a row
    _row = column(np.int64)  # samples in a row that were left out
    _row_begun = column(np.int64)  # by a steady clock, ns
    _fresh = column(np.bool_)  # [streams, reasons] it loses samples, which is to be told
    _told = column(np.bool_)  # [streams, reasons]

    def __init__(self) -> None:
        size = (len(REASONS),)
        super().__init__(count=size, _lost=size, _fresh=size, _told=size)

    def take(self, samples: Ints, lost: Mapping[str, Ints], newest: Ints, now: int, rows: Ints | None = None) -> None:
        """Note what came.

        samples: the stream of each, int64 [n]; lost: by reason, the stream of each one of them that is left out, and
        of `gaps` of each row behind one; rows: the stream of each row that went out. newest: ns of all streams. now: a
        steady clock's ns.
        """
        seen = np.bincount(samples, minlength=self.size)
        heads = np.flatnonzero(seen)
        if not lost and not (self.losing[heads].any() or self._lost[heads].any()):  # as nearly always
            self._row[heads] = 0
            self._judge_quietly(heads, seen[heads], newest)
            return
        counts = np.zeros((len(heads), len(REASONS)), np.int64)
        for reason, streams in lost.items():
            counts[:, REASONS.index(reason)] = np.bincount(streams, minlength=self.size)[heads]
        self.count[heads] += counts
        left_out = counts[:, :_GAPS].sum(axis=1)
        if not (left_out.any() or counts.any() or (self._lost[heads] | self.losing[heads, None]).any()):
            self._row[heads] = 0
            self._judge_quietly(heads, seen[heads], newest)
            return
        new = heads[self._since[heads] == 0]
        self._since[new] = newest[new]
        self._seen[heads] += seen[heads]
        self._lost[heads] += counts
        if rows is not None:
            self._rows[heads] += np.bincount(rows, minlength=self.size)[heads]
        alone = left_out >= seen[heads]
        begins = heads[alone & (self._row[heads] == 0)]
        self._row_begun[begins] = now
        self._row[heads] = np.where(alone, self._row[heads] + seen[heads], 0)
        self._judge(heads, newest, now)

    def _judge_quietly(self, heads: Ints, seen: Ints, newest: Ints) -> None:
        """Of streams that lost nothing lately: where their window begins."""
        self._seen[heads] += seen
        full = heads[self._seen[heads] >= _WINDOW]
        self._seen[full] = self._rows[full] = self._windows[full] = 0
        self._since[full] = newest[full]

    def _judge(self, heads: Ints, newest: Ints, now: int) -> None:
        row = self._row[heads]
        in_a_row = (row >= _ROW_AT_ONCE) | ((row >= _ROW) & (now - self._row_begun[heads] >= _ROW_NS))
        full = (self._seen[heads] >= _WINDOW) | in_a_row
        heads, in_a_row = heads[full], in_a_row[full]
        if not len(heads):
            return
        seen, lost = self._seen[heads], self._lost[heads].astype(float)
        gaps = lost[:, _GAPS] / np.maximum(1, self._rows[heads])
        lost[:, _GAPS] = np.where(gaps >= _GAP_SHARE, seen * _SHARE, 0)
        told = lost.copy()
        told[~in_a_row, _NO_CHANNEL] = 0  # a sender may well tell of other things, too
        bad: Flags = told[:, :_GAPS].sum(axis=1) >= _SHARE * seen
        repeats = ~in_a_row & (told[:, :_GAPS].sum(axis=1) >= seen)  # a sender that repeats itself: nothing follows
        bad &= ~repeats
        bad |= gaps >= _GAP_SHARE
        self._windows[heads] = np.where(bad, self._windows[heads] + np.maximum(1, seen // _WINDOW), 0)
        loses = in_a_row | (self._windows[heads] >= _WINDOWS)
        worst = told.argmax(axis=1)
        known = self.losing[heads] > 0
        self.losing[heads] = np.where(loses, worst + 1, np.where(bad | repeats, self.losing[heads], 0))
        self.since[heads[loses & ~known]] = time.time_ns()
        self._fresh[heads[loses], worst[loses]] = True
        self.interval[heads] = (newest[heads] - self._since[heads]) / 1e9 / seen
        self._seen[heads] = self._rows[heads] = 0
        self._lost[heads], self._since[heads] = 0, newest[heads]

    def news(self) -> list[tuple[str, list[int]]]:
        """Streams that lose samples, or did since the last call, and were not told of yet, by reason."""
        fresh = self._fresh & ~self._told
        self._told |= fresh
        self._fresh[:] = False
        found = ((reason, np.flatnonzero(fresh[:, place]).tolist()) for place, reason in enumerate(REASONS))
        return [(reason, streams) for reason, streams in found if streams]

    def losers(self) -> dict[str, int]:
        """How many streams lose samples just now, by reason."""
        counts = np.bincount(self.losing, minlength=len(REASONS) + 1).tolist()
        return dict(zip(REASONS, counts[1:], strict=True))

    def state(self, stream: int) -> dict[str, int]:
        """What was counted, where anything was."""
        return {reason: number for reason, number in zip(REASONS, self.count[stream].tolist(), strict=True) if number}

    def restore(self, stream: int, state: Any) -> None:
        """Go on from what `state` gave; what cannot be read counts as nothing."""
        if isinstance(state, dict):
            found = [state.get(reason, 0) for reason in REASONS]
            self.count[stream] = [number if isinstance(number, int) and 0 <= number < 2**62 else 0 for number in found]


def advice(reason: str, interval: float, period: int | None) -> str:
    """What it is that happens, and what to do, for people; `period` in ns."""
    every = f"a sample every {interval:.3g} s" if interval > 0 else ""  # 0: all came at once
    rows = "each time a row" if period is None else f"a row every {period / 1e9:.3g} s"
    match reason:
        case "late":
            return (
                "its samples come behind rows that were scored already; if they come out of order give "
                "lateness_seconds, if they are local times name the timezone, and if its clock was ahead before: aez "
                "monitor streams reset"
            )
        case "duplicate":
            said = f" ({every}, {rows})" if every else ""
            return (
                f"more than one value comes for the same row and channel{said}; either period_seconds does not fit, or "
                "two senders use its name, or each message comes twice"
            )
        case "future":
            return (
                "samples lie far ahead of its others and none follow them; look at its sender's clock, jump_seconds is "
                "the bound"
            )
        case "no_channel":
            return (
                "its messages have a value for none of the model's channels; look at its sender where they are null, "
                "columns maps names that differ"
            )
        case _:
            said = f" ({every}, {rows})" if every else ""
            return f"most of its rows have to be made up{said}; period_seconds does not fit"
