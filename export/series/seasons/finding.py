"""Seasons of training data: whether there are any, and what is usual in each of their bins.

A season counts where it explains cycles that it was not learned from: each of several folds of whole days or weeks is
predicted from the others. So all rows teach what is usual, and what a network and its limit are fitted to are errors of
rows that their profile had not seen. The slow level is taken out meanwhile, so that no trend passes for a season.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.calendar import Calendar, Kind, Season
from aez.codec.detect.rhythm.seasons import Following, KnownLevel, Seasons
from aez.codec.detect.scaling import RESOLUTION, TINY, StreamScales, robust_centre, robust_scale
from aez.codec.series.core import Series
from aez.export.series.seasons.cycles import find_cycle
from aez.export.series.seasons.profiles import DAY, Folds, Grid, fill_grid, highest, middle, repeats_within
from aez.export.series.windows import Rows

__all__ = ["FittedSeasons", "find_seasons", "of_cycles", "season_windows"]

Floats = NDArray[np.float64]
#: Bins of a day, at most: 5 minutes.
DAY_BINS = 288
#: A day has so many rows at least, and a season so many cycles in the data.
FEWEST_ROWS, FEWEST_CYCLES = 8, 3
#: A season counts for a channel where it explains this share of what moves in cycles that it was not learned from.
EXPLAINED = 0.3
#: A week counts before a day, a level that multiplies before one that adds, where its errors are so much smaller.
_WEEK_BETTER, _SHARE_BETTER = 0.85, 0.97
#: A channel has a level that multiplies only where what is usual stays above this share of its mean.
_ABOVE_ZERO = 0.05
#: Widths are pooled over so many parts of a day, and stay above this share of their mean.
_PARTS, _NARROWEST = 12, 0.3
#: Values beyond this quantile, without any season, do not say how good one is.
_OUTER = 0.99
#: Errors beyond so many of their usual size do not make a width.
_WINSORISED = 4.0
#: The variance of what is spread evenly over one, to the minus one.
_UNIFORM = 12.0
_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class FittedSeasons:
    """What the model is to know, and of each series what is left: rows in widths from what was usual [time, channels].

    explained: of each channel, 0..1. window, tail: rows that suit it.
    """

    seasons: Seasons
    left: list[Rows]
    explained: Floats
    window: int
    tail: int


def find_seasons(
    series: Sequence[Series],
    rows: Sequence[Rows],
    period: float | None,
    timezone: str | None = None,
    holidays: Sequence[int] = (),
    kept: NDArray[np.bool_] | None = None,
) -> FittedSeasons | None:
    """The seasons of rows [time, channels], each an own series with its clock; None where nothing repeats clearly.

    `timezone` is that of people's days, by default what the source says, or UTC. `kept` [channels] are those whose rows
    are put into widths; others stay as they are and have no season. None: all. Raises InvalidArgument for no zone.
    """
    if not all(map(len, rows)):
        return None
    if all(one.time is None for one in series):
        return _without_clock(series, rows, kept)
    if period is None or any(one.time is None for one in series):
        return None
    each = min(DAY_BINS, round(DAY / period)) if period * FEWEST_ROWS <= DAY else 0
    if not each:
        return None
    zone = timezone or next((one.timezone for one in series if one.timezone), "UTC")
    calendar = Calendar((Season("day", each),), zone, tuple(holidays))
    walls = [calendar.wall(_time(one), one.timezone is None) for one in series]
    best: _Found | None = None
    kinds: tuple[tuple[Kind, int], ...] = (("day", 1), ("week", 7))
    for kind, days in kinds:
        grid = fill_grid(walls, rows, each, days, calendar.holidays)
        if grid.cycles < FEWEST_CYCLES:
            continue
        found = _judge(grid, replace(calendar, seasons=(Season(kind, each * days),)))
        found = found if kept is None else replace(found, explained=np.where(kept, found.explained, 0.0))
        if found.follows.any() and (best is None or _better(found, best)):
            best = found
    return None if best is None else _fit(best, series, rows, walls, period, kept)


def _without_clock(
    series: Sequence[Series], rows: Sequence[Rows], kept: NDArray[np.bool_] | None
) -> FittedSeasons | None:
    """A period of so many rows, as days of a clock that goes by the rows."""
    kept = np.ones(rows[0].shape[1], bool) if kept is None else kept
    cycle = find_cycle(rows, kept) if kept.any() else None
    if cycle is None:
        return None
    grid = fill_grid(cycle.walls, rows, cycle.bins, 1)
    found = _judge(grid, Calendar((Season("cycle", cycle.bins),)))
    found = replace(found, explained=np.where(kept, found.explained, 0.0))
    if grid.cycles < FEWEST_CYCLES or not found.follows.any():
        return None
    return _fit(found, series, rows, cycle.walls, DAY / cycle.bins, kept)


def _time(one: Series) -> NDArray[np.int64]:
    assert one.time is not None
    return one.time


@dataclass(frozen=True, eq=False)
class _Found:
    """How one kind of season does: mean square error of cycles that were not learned from, as [channels]."""

    grid: Grid
    calendar: Calendar
    loss: Floats
    explained: Floats
    multiplies: NDArray[np.bool_]
    folds: Folds

    @property
    def follows(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.explained >= EXPLAINED
        return found


def _better(one: _Found, other: _Found) -> bool:
    """Whether a longer season is worth its bins."""
    return bool(np.any(one.follows & (one.loss <= _WEEK_BETTER * other.loss)))


def _judge(grid: Grid, calendar: Calendar) -> _Found:
    """Predict each fold of cycles from the others, with levels that add and such that multiply.

    Errors are medians over weeks, so that a bad day does not say how good a season is.
    """
    plain = grid.without_season()
    limit = highest(np.abs(plain).reshape(-1, grid.channels), _OUTER)
    base = grid.by_block(np.square(np.clip(plain, -limit, limit)))
    folds = {}
    losses, shares = {}, {}
    none, every = np.zeros(grid.channels, bool), np.ones(grid.channels, bool)
    for multiplies in (none, every):
        folds[multiplies is every] = found = Folds.of(grid, multiplies)
        errors = np.clip(found.errors(grid, multiplies), -limit, limit)
        losses[multiplies is every] = middle(grid.by_block(np.square(errors)))
        shares[multiplies is every] = middle(grid.by_block(np.square(errors)) / np.maximum(base, TINY**2))
    shape = folds[False].whole
    with np.errstate(invalid="ignore"):
        positive = shape.min(0) > _ABOVE_ZERO * shape.mean(0)
        multiplies = positive & (losses[True] <= _SHARE_BETTER * losses[False])
        loss = np.where(multiplies, losses[True], losses[False])
        explained = np.nan_to_num(1 - np.where(multiplies, shares[True], shares[False]), nan=0.0)
    chosen = folds[False].merged(folds[True], multiplies)
    each = calendar.seasons[0].bins // grid.span
    explained = np.where((middle(base) > 0) & ~repeats_within(chosen.whole, each), explained, 0.0)
    return _Found(grid, calendar, loss, explained, multiplies, chosen)


def _fit(
    found: _Found,
    series: Sequence[Series],
    rows: Sequence[Rows],
    walls: Sequence[NDArray[np.int64]],
    period: float,
    kept: NDArray[np.bool_] | None,
) -> FittedSeasons:
    """Tables, widths and levels of the season that was chosen, and what it leaves of the rows."""
    grid, follows = found.grid, found.follows
    season = found.calendar.seasons[0]
    usual = [
        _usual(np.concatenate([one[:, place] for one in rows]).astype(np.float64))
        if kept is None or kept[place]
        else (0.0, 1.0)
        for place in range(grid.channels)
    ]
    centre, width = (np.array(part) for part in zip(*usual, strict=True))
    table = np.where(follows, found.folds.whole, centre)
    errors = found.folds.errors(grid, found.multiplies)
    spread = np.maximum(1.4826 * middle(np.abs(errors).reshape(-1, grid.channels)), _NARROWEST * np.sqrt(found.loss))
    first = np.where(follows, np.maximum(spread, _floor(centre)), width)
    day = round(DAY / period)
    weeks = season.kind == "week"
    seasons = Seasons(
        found.calendar,
        centre=(np.concatenate([centre[None], table]).astype(np.float32),),
        width=np.repeat(np.maximum(first, TINY)[None], season.bins + 1, axis=0).astype(np.float32),
        multiplies=found.multiplies & follows,
        follows=follows,
        memory=day * (7 if weeks else 3),
        block=max(3600 * _NS, round(period * _NS)),
    )
    levels = [_followed(seasons, found, *one)[0] for one in zip(range(len(series)), rows, walls, strict=True)]
    errors_of = [_errors(seasons, found, *one) for one in zip(rows, walls, levels, strict=True)]
    phases = np.concatenate([_phase(seasons, wall) for wall in walls])[:, 0].astype(np.int64)
    widths = _widths(np.concatenate(errors_of), phases, season, first)
    if season.kind == "cycle":  # whose phase is known to a bin, and rows begin anywhere within one
        slope = (np.roll(table, -1, axis=0) - np.roll(table, 1, axis=0)) / 2
        widths = np.sqrt(np.square(widths) + np.square(slope) / _UNIFORM)
    widths = np.where(follows, np.maximum(widths, _floor(centre)), width)
    # Where the phase is not known, rows are held against all phases together, by how far they are from each other.
    seasons = replace(seasons, width=np.concatenate([width[None], widths]).astype(np.float32))
    left, known = [], {}
    for number, (one, error, wall) in enumerate(zip(series, errors_of, walls, strict=True)):
        level, end = _followed(seasons, found, number, rows[number], wall)
        # Of several parts of one name the last is where it ended.
        known[one.name] = KnownLevel((int(wall[0]), int(wall[-1])), (level[0], end))
        # By the profile that has not seen the rows, from the level that the one of all gives.
        _, wide = seasons.usual(_phase(seasons, wall), level)
        left.append((error / wide).astype(np.float32))
    window, tail = max(2, min(32, round(day / 48))), max(2, min(16, round(day / 48)))
    return FittedSeasons(replace(seasons, streams=known), left, found.explained, window, tail)


def _usual(column: Floats) -> tuple[float, float]:
    finite = column[np.isfinite(column)]
    return (robust_centre(finite), robust_scale(finite)) if finite.size else (0.0, 1.0)


def _floor(centre: Floats) -> Floats:
    """Below this float32 does not resolve a width."""
    return np.maximum(RESOLUTION * np.abs(centre), TINY)


def _phase(seasons: Seasons, wall: NDArray[np.int64]) -> NDArray[np.float32]:
    return seasons.calendar.phases(wall, local=True)


def _start(found: _Found, number: int) -> Floats:
    """The level that a series begins with."""
    return np.where(found.follows, found.folds.start(found.grid, number), 0.0)


def _followed(
    seasons: Seasons, found: _Found, number: int, rows: Rows, wall: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The level as of each row, and the last one."""
    following = Following(seasons)
    following.level[0] = _start(found, number)
    none = np.zeros(len(rows), np.int64)
    levels, _ = following.take(none, wall, _phase(seasons, wall), rows)
    return levels, following.level[0].astype(np.float32)


def _errors(seasons: Seasons, found: _Found, rows: Rows, wall: NDArray[np.int64], level: NDArray[np.float32]) -> Floats:
    """What the rows are away from what is usual, by profiles that have not seen their cycles [time, channels]."""
    fold = found.folds.fold_of(found.grid, wall)
    errors = np.empty(rows.shape)
    phase = _phase(seasons, wall)
    for number, table in enumerate(found.folds.tables):
        mine = fold == number
        own = np.where(found.follows, table, seasons.centre[0][1:])
        told = replace(seasons, centre=(np.concatenate([seasons.centre[0][:1], own]).astype(np.float32),))
        centre, _ = told.usual(phase[mine], level[mine])
        errors[mine] = rows[mine] - centre
    return errors


def _widths(errors: Floats, phase: NDArray[np.int64], season: Season, first: Floats) -> Floats:
    """The size of errors [n, channels] by phase, 1 to bins: [bins, channels]; pooled over a twelfth of a day."""
    days = 7 if season.kind == "week" else 1
    part = (phase - 1) * days * _PARTS // season.bins
    sizes = np.empty((days * _PARTS, errors.shape[1]))
    for number in range(len(sizes)):
        here = np.abs(errors[part == number])
        with np.errstate(all="ignore"):
            sizes[number] = 1.4826 * middle(here) if len(here) else np.nan
    usual = middle(sizes)
    sizes = np.where(np.isfinite(sizes) & (sizes > 0), sizes, np.where(usual > 0, usual, first))
    capped = np.minimum(np.abs(errors), _WINSORISED * sizes[part])
    there = np.isfinite(capped)
    squares = np.stack(
        [
            np.bincount(phase - 1, np.where(ok, c, 0.0) ** 2, season.bins)
            for c, ok in zip(capped.T, there.T, strict=True)
        ],
        1,
    )
    counts = np.stack([np.bincount(phase - 1, ok, season.bins) for ok in there.T], 1)
    half = max(1, season.bins // (days * _PARTS))
    mean = _around(squares, half) / np.maximum(_around(counts, half), 1e-9)
    whole = squares.sum(0) / np.maximum(counts.sum(0), 1.0)
    found: Floats = np.sqrt(np.maximum(np.where(_around(counts, half) > 0, mean, whole), _NARROWEST**2 * whole))
    return found


def _around(values: NDArray[np.number], half: int) -> Floats:
    """Sums over `half` bins to either side, around the circle; of [bins, channels]."""
    padded = np.concatenate([values[-half:], values, values[:half]])
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(padded, axis=0)])
    found: Floats = sums[2 * half + 1 :] - sums[: -2 * half - 1]
    return found


def season_windows(seasons: Seasons, windows: Rows) -> tuple[Rows, NDArray[np.float32], NDArray[np.float32]]:
    """Windows [n, time, channels] in widths in the sensors' units, and phases and levels to take them by."""
    count, time, _ = windows.shape
    bins = np.array([season.bins for season in seasons.calendar.seasons])
    begin = np.arange(count)[:, None] * 7919 % bins
    phase = ((begin[:, None] + np.arange(time)[:, None]) % bins + 1).astype(np.float32)
    every = [*(one.levels[1] for one in seasons.streams.values()), seasons.usual_level]
    level = np.stack([every[number % len(every)] for number in range(count)])
    flat = phase.reshape(-1, len(bins))
    centre, width = seasons.usual(flat, np.repeat(level, time, axis=0))
    raw = windows * width.reshape(windows.shape) + centre.reshape(windows.shape)
    return raw.astype(np.float32), phase, level


def of_cycles(scales: StreamScales | None, season: FittedSeasons | None) -> StreamScales | None:
    """The scales, of which a new stream learns its own from a whole cycle at least where there are seasons."""
    if scales is None or season is None:
        return scales
    return replace(scales, rows=max(scales.rows, season.seasons.cycle_rows))
