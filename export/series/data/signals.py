"""How signals of normal data stand still and come, for whoever has to tell later whether one has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.codec.common.words import listed
from aez.export.series.windows import Rows, Spans

__all__ = ["SignalFigures", "signal_figures", "without_sentinels"]

#: What devices and loggers write for "no reading": SCPI's infinities and not-a-number, rows of nines, ends of integers.
_SENTINELS = np.array(
    [9.9e37, -9.9e37, 9.91e37, -999, 999, -9999, 9999, -99999, 99999, -32768, 32767, 65535, -2147483648, 2147483647],
    np.float32,
)
#: They stand for no reading where they come so often, at one end, and so many times the width of the rest away from it.
_OFTEN, _AWAY = 2, 10.0
#: A channel whose longest rest takes this share of the rows is one that rests: no bound says when it is stuck.
_RESTS = 0.25


@dataclass(frozen=True)
class SignalFigures:
    """Of each channel the longest run of equal values (None for one that hardly moves) and of missing ones, in rows.

    sentinels: of each channel the values that stand for no reading.
    """

    rests: tuple[int | None, ...]
    absences: tuple[int, ...]
    sentinels: tuple[tuple[float, ...], ...]


def without_sentinels(
    series: Sequence[Rows], channels: Sequence[str]
) -> tuple[list[Rows], tuple[tuple[float, ...], ...], list[str]]:
    """The rows with NaN for values that stand for no reading; those of each channel; a sentence for each that has some.

    A value is one where it is of those that are in use, lies far away from all others of the channel, and came twice.
    """
    found, notices, cleaned = [], [], list(series)
    for place, name in enumerate(channels):
        column = np.concatenate([rows[:, place] for rows in series]) if series else np.empty(0, np.float32)
        mine = _sentinels(column[np.isfinite(column)])
        found.append(tuple(float(value) for value in mine))
        if not mine:
            continue
        cleaned = [_blanked(rows, place, mine) for rows in cleaned]
        said, count = listed([f"{value:g}" for value in mine]), int(np.isin(column, mine).sum())
        notices.append(
            f"{name} is {said} in {count:,} rows, far from all other values; that counts as no reading, later too"
        )
    return cleaned, tuple(found), notices


def _sentinels(column: NDArray[np.float32]) -> list[np.float32]:
    known, counts = np.unique(column[np.isin(column, _SENTINELS)], return_counts=True)
    rest = column[~np.isin(column, _SENTINELS)].astype(np.float64)
    if not known.size or not rest.size:
        return []
    low, high = rest.min(), rest.max()
    away = _AWAY * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-6)
    far = (known < low - away) | (known > high + away)
    return [value for value, often in zip(known, far & (counts >= _OFTEN), strict=True) if often]


def _blanked(rows: Rows, place: int, values: Sequence[np.float32]) -> Rows:
    hit = np.isin(rows[:, place], values)
    if hit.any():
        rows = rows.copy()
        rows[hit, place] = np.nan
    return rows


def signal_figures(
    series: Sequence[Rows], sentinels: Sequence[tuple[float, ...]], left_out: Sequence[Spans] = ()
) -> SignalFigures:
    """The figures of rows [time, channels] with NaN = missing, each an own series; rows `left_out` teach nothing."""
    channels = series[0].shape[1]
    rests, absences, most = np.zeros(channels, np.int64), np.zeros(channels, np.int64), 0
    for number, rows in enumerate(series):
        start = 0
        for low, high in [*sorted(left_out[number] if left_out else ()), (len(rows), len(rows))]:
            part = rows[start : max(start, low)]
            start = max(start, high)
            most = max(most, len(part))
            for channel in range(channels):
                column = part[:, channel]
                here = ~np.isnan(column)
                rests[channel] = max(rests[channel], _longest(np.diff(column[here]) == 0) + int(here.any()))
                absences[channel] = max(absences[channel], _between(here, np.asarray(~np.isnan(part).all(axis=1))))
    bounded = [None if rest >= max(2, _RESTS * most) else int(rest) for rest in rests.tolist()]
    return SignalFigures(tuple(bounded), tuple(absences.tolist()), tuple(sentinels))


def _longest(flags: NDArray[np.bool_]) -> int:
    """The longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _between(here: NDArray[np.bool_], came: NDArray[np.bool_]) -> int:
    """The most rows in which something came, and not this channel, between two of its values."""
    places = np.flatnonzero(here)
    lacked = np.cumsum(came & ~here)
    return int(np.diff(lacked[places]).max(initial=0))
