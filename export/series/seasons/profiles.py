"""What is usual by phase: a grid of cycles and bins, robust means over the cycles, and the slow level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aez.export.series.windows import Rows

__all__ = ["DAY", "Folds", "Grid", "fill_grid", "highest", "middle", "profile", "repeats_within"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DAY = 86_400
_DAY_NS = DAY * 1_000_000_000
#: Monday, 29 December 1969, in days.
_MONDAY = -3
#: Share of the bins of a cycle that counts as one.
_FULL = 0.8
#: Errors beyond so many of their usual size count as that.
_HUBER, _ROUNDS = 2.0, 5
#: Level and profile are found in turn so many times.
_TURNS = 3
#: A bin is averaged with its neighbours until so many values make it, over a 48th of a day at most.
_ENOUGH, _REACH = 12, 48
_FOLDS = 5
#: What comes back so often a day, and makes this share of what a profile moves by, is no matter of the hour.
_TIMES_A_DAY, _AS_WELL = 4, 0.8
#: Days over which the slow level is a median, where the data have enough of them, and where not.
_SLOW, _SHORT = 7, 3


@dataclass(frozen=True, eq=False)
class Grid:
    """Means of rows by cycle and bin. values: float64 [cycles, bins, channels], NaN where there is nothing.

    series, cycle: int64 [cycles], whose it is, and its number. day: float64 [cycles, bins], when, in days. span: days
    of a cycle. slow: days over which a level is a median.
    """

    values: Floats
    series: Ints
    cycle: Ints
    day: Floats
    span: int
    slow: int

    @property
    def channels(self) -> int:
        return int(self.values.shape[2])

    @property
    def cycles(self) -> int:
        """Different ones that are nearly whole."""
        full = np.isfinite(self.values).any(2).mean(1) > _FULL
        return len(set(self.cycle[full].tolist()))

    def by_block(self, values: Floats) -> Floats:
        """Means of values [cycles, bins, channels] over blocks of `slow` days of each series [blocks, channels]."""
        block = np.floor(self.day / self.slow).astype(np.int64)
        _, place = np.unique(
            np.stack([np.broadcast_to(self.series[:, None], block.shape), block]).reshape(2, -1),
            axis=1,
            return_inverse=True,
        )
        flat, place = values.reshape(-1, self.channels), place.ravel()
        there = np.isfinite(flat)
        sums = np.stack(
            [np.bincount(place, np.where(ok, one, 0.0)) for one, ok in zip(flat.T, there.T, strict=True)], 1
        )
        counts = np.stack([np.bincount(place, ok) for ok in there.T], 1)
        with np.errstate(invalid="ignore"):
            found: Floats = sums / counts
        return found

    def without_season(self) -> Floats:
        """What is left of the values when the slow level alone is taken out."""
        table = np.zeros(self.values.shape[1:])
        return self.values - self.level(table, np.zeros(self.channels, bool))

    def level(self, table: Floats, multiplies: NDArray[np.bool_]) -> Floats:
        """The slow level [cycles, bins, channels] beside a table [bins, channels]: medians, joined by lines."""
        lever = np.where(multiplies, table, 1.0)
        with np.errstate(all="ignore"):
            away = (self.values - table) / lever
            found = np.full(self.values.shape, np.nan)
            for number in np.unique(self.series):
                mine = self.series == number
                days, those = self.day[mine].ravel(), away[mine].reshape(-1, self.channels)
                block = np.floor((days - days.min()) / self.slow).astype(np.int64)
                # The last block is whole: what is left over goes to the one before it.
                block = np.minimum(block, max(0, int((days.max() - days.min()) / self.slow + 1e-9) - 1))
                numbers = np.unique(block)
                middles = np.array([days[block == one].mean() for one in numbers])
                medians = np.stack([middle(those[block == one]) for one in numbers])
                lines = np.stack([_line(days, middles, column) for column in medians.T], axis=1)
                found[mine] = lines.reshape(*self.day[mine].shape, self.channels)
        return found


def middle(values: Floats) -> Floats:
    """The median along the first axis of what is there; NaN where nothing is."""
    ranked = np.sort(values, axis=0)  # NaN last
    count = np.isfinite(values).sum(0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)
    found: Floats = np.add(*(np.take_along_axis(ranked, place[None], 0)[0] for place in (low, high))) / 2
    return found


def highest(values: Floats, share: float) -> Floats:
    """The value that this share along the first axis, of what is there, lies below; NaN where nothing is."""
    ranked = np.sort(values, axis=0)  # NaN last
    place = np.floor(np.maximum(np.isfinite(values).sum(0) - 1, 0) * share).astype(np.int64)
    found: Floats = np.take_along_axis(ranked, place[None], 0)[0]
    return found


def _line(at: Floats, places: Floats, values: Floats) -> Floats:
    """Straight lines through the values, continued at either end."""
    there = np.isfinite(values)
    if not there.any():
        return np.zeros(len(at))
    places, values = places[there], values[there]
    found = np.interp(at, places, values)
    if len(places) > 1:
        for end, inner, outside in ((0, 1, at < places[0]), (-1, -2, at > places[-1])):
            slope = (values[end] - values[inner]) / (places[end] - places[inner])
            found[outside] = values[end] + slope * (at[outside] - places[end])
    return found


def fill_grid(walls: Sequence[Ints], rows: Sequence[Rows], each: int, span: int, holidays: Sequence[int] = ()) -> Grid:
    """Rows [time, channels] of each series by local time (ns), `each` bins a day, cycles of `span` days.

    Holidays (days since 1970) are left out of weeks.
    """
    values, series, cycles, days = [], [], [], []
    total = sum((int(wall[-1]) - int(wall[0])) / _DAY_NS for wall in walls if len(wall))
    for number, (wall, part) in enumerate(zip(walls, rows, strict=True)):
        day = wall // _DAY_NS
        slot = wall % _DAY_NS * each // _DAY_NS + each * ((day - _MONDAY) % span)
        cycle = (day - _MONDAY) // span
        known, place = np.unique(cycle, return_inverse=True)
        cell = place.ravel() * (each * span) + slot
        kept = ~np.isin(day, np.array(holidays, np.int64)) if span > 1 else np.ones(len(day), bool)
        found = np.full((len(known) * each * span, part.shape[1]), np.nan)
        for channel, column in enumerate(part.astype(np.float64).T):
            there = np.isfinite(column) & kept
            counts = np.bincount(cell[there], minlength=len(found))
            sums = np.bincount(cell[there], column[there], len(found))
            np.divide(sums, counts, out=found[:, channel], where=counts > 0)
        values.append(found.reshape(len(known), each * span, -1))
        series.append(np.full(len(known), number))
        cycles.append(known)
        days.append(known[:, None] * span + _MONDAY + (np.arange(each * span) + 0.5) / each)
    slow = _SLOW if total >= FEWEST_WEEKS * 7 else _SHORT
    return Grid(
        np.concatenate(values), np.concatenate(series), np.concatenate(cycles), np.concatenate(days), span, slow
    )


FEWEST_WEEKS = 3


def profile(values: Floats, days: int) -> Floats:
    """Robust means over the cycles of values [cycles, bins, channels]: [bins, channels]; NaN where there is nothing."""
    with np.errstate(all="ignore"):
        mean = middle(values)
        spread = 1.4826 * middle(np.abs(values - mean).reshape(-1, values.shape[2]))
        for _ in range(_ROUNDS):
            away = np.clip(values - mean, -_HUBER * spread, _HUBER * spread)
            mean = mean + np.nansum(away, axis=0) / np.isfinite(values).sum(0)
    bins, cycles = values.shape[1], len(values)
    half = min(int(np.ceil((_ENOUGH / max(1, cycles) - 1) / 2)), bins // (days * _REACH))
    return _smooth(_filled(mean), max(0, half))


def _filled(table: Floats) -> Floats:
    """Bins without a value take the line between their neighbours, around the circle."""
    bins = len(table)
    for column in table.T:
        there = np.flatnonzero(np.isfinite(column))
        if not there.size:
            column[:] = 0.0
        elif there.size < bins:
            column[:] = np.interp(np.arange(bins), there, column[there], period=bins)
    return table


def repeats_within(table: Floats, each: int) -> NDArray[np.bool_]:
    """Whether what repeats in a table [bins, channels], `each` bins a day, is shorter than a day: [channels].

    It then comes back several times a day, which is no matter of the hour, and windows see it better.
    """
    days = table.reshape(-1, each, table.shape[1])
    day = days.mean(0)
    whole = np.var(table, axis=0)
    found = np.zeros(table.shape[1], bool)
    for parts in range(_TIMES_A_DAY, each // 2 + 1):
        if each % parts == 0:
            short = day.reshape(parts, each // parts, -1).mean(0)
            found |= np.var(short, axis=0) >= _AS_WELL * np.maximum(whole, 1e-300)
    return found


def _smooth(table: Floats, half: int) -> Floats:
    if not half:
        return table
    padded = np.concatenate([table[-half:], table, table[:half]])
    sums = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(padded, axis=0)])
    found: Floats = (sums[2 * half + 1 :] - sums[: -2 * half - 1]) / (2 * half + 1)
    return found


@dataclass(frozen=True, eq=False)
class Folds:
    """Profiles that each leave out a fold of cycles, and one of all. tables: [bins, channels] each; fold: [cycles].

    levels: the slow level beside each, [cycles, bins, channels].
    """

    tables: tuple[Floats, ...]
    levels: tuple[Floats, ...]
    whole: Floats
    fold: Ints

    @classmethod
    def of(cls, grid: Grid, multiplies: NDArray[np.bool_]) -> Folds:
        """Those of a grid; `multiplies` [channels]: the level is a share of what is usual."""
        numbers = np.unique(grid.cycle)
        count = min(_FOLDS, len(numbers))
        fold = np.searchsorted(numbers, grid.cycle) % count
        parts = [_alternate(grid, multiplies, fold != number) for number in range(count)]
        whole, _ = _alternate(grid, multiplies, np.ones(len(fold), bool))
        return cls(tuple(table for table, _ in parts), tuple(level for _, level in parts), whole, fold)

    def errors(self, grid: Grid, multiplies: NDArray[np.bool_]) -> Floats:
        """What the values are away from the profile that has not seen them and the slow level."""
        found = np.empty(grid.values.shape)
        for number, (table, level) in enumerate(zip(self.tables, self.levels, strict=True)):
            mine = self.fold == number
            found[mine] = grid.values[mine] - table - level[mine] * np.where(multiplies, table, 1.0)
        return found

    def merged(self, other: Folds, which: NDArray[np.bool_]) -> Folds:
        """These, with the channels `which` of the others."""
        tables = tuple(np.where(which, b, a) for a, b in zip(self.tables, other.tables, strict=True))
        levels = tuple(np.where(which, b, a) for a, b in zip(self.levels, other.levels, strict=True))
        return Folds(tables, levels, np.where(which, other.whole, self.whole), self.fold)

    def start(self, grid: Grid, number: int) -> Floats:
        """The level [channels] with which a series begins."""
        first = int(np.flatnonzero(grid.series == number)[0])
        found: Floats = self.levels[int(self.fold[first])][first, 0]
        return found

    def fold_of(self, grid: Grid, wall: Ints) -> Ints:
        """The fold of rows at these local times, ns."""
        cycle = (wall // _DAY_NS - _MONDAY) // grid.span
        numbers, first = np.unique(grid.cycle, return_index=True)
        return self.fold[first][np.clip(np.searchsorted(numbers, cycle), 0, len(numbers) - 1)]


def _alternate(grid: Grid, multiplies: NDArray[np.bool_], used: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(Profile of the used cycles [bins, channels], slow level of all [cycles, bins, channels])."""
    level = np.zeros(grid.values.shape)
    table = np.zeros(grid.values.shape[1:])
    for turn in range(_TURNS):
        if turn:
            level = grid.level(table, multiplies)
            if multiplies.any():
                level = np.maximum(level, np.where(multiplies, -0.9, -np.inf))
        flat = np.where(multiplies, grid.values / (1 + level), grid.values - level)
        table = profile(flat[used], grid.span)
    level = grid.level(table, multiplies)
    return table, level
