"""Seasons: what is usual at this time of the day, the week or the year, and the level that a stream has of late.

A model with seasons takes two inputs beside the window: the phase of each of its rows, a number of a bin of each season
(0 where it is not known), and the trailing level of each channel. Both come from here, whoever scores. The level
follows what is left when the seasons are taken out, by small steps that no single hour can make large, so that a trend
is followed within weeks and an anomaly does not hide itself.

Guarantee: phase and level of a row depend on the rows before it alone, not on how they were cut into calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aez.codec.detect.rhythm.calendar import Calendar, cycle_clock
from aez.codec.detect.rhythm.cycle import CycleState, backwards, evidence, moved_on, nearest
from aez.codec.detect.scaling import Scale

__all__ = [
    "NEUTRAL_LEVEL",
    "NEUTRAL_PHASE",
    "SEASON_CENTRE",
    "SEASON_WIDTH",
    "Beside",
    "Following",
    "KnownLevel",
    "SeasonInputs",
    "SeasonStream",
    "Seasons",
    "of_windows",
    "stacked",
]

Float = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
#: What stands for a phase and a level that nobody knows.
NEUTRAL_PHASE, NEUTRAL_LEVEL = 0.0, 0.0
#: Members of a bundle with the tables.
SEASON_CENTRE, SEASON_WIDTH = "season_centre", "season_width"
#: A row moves the level as if it were at most so many widths away; while a new stream's level is learned, so many.
CLIP, _FREELY = 3.0, 1e4
#: Steps are summed as whole numbers, so that their order does not matter.
_UNIT = 1 << 20
#: A level that multiplies leaves at least this of what is usual.
_LEAST = 0.05


class SeasonInputs(NamedTuple):
    """Of n windows: phase float32 [n, window, seasons], level float32 [n, channels]; without the n of a single one.

    scale: of models that take each stream's too, that of the windows, or of their one stream; the level is in widths.
    """

    phase: Float
    level: Float
    scale: Scale | None = None

    def at(self, which: int | slice | NDArray[np.integer]) -> SeasonInputs:
        """Those of one window, or of several, of many; copies."""
        scale = self.scale if self.scale is None or self.scale.centre.ndim == 1 else self.scale.at(which)
        return SeasonInputs(self.phase[which].copy(), self.level[which].copy(), scale)


#: What a model may take beside windows.
Beside = Scale | SeasonInputs


def of_windows(given: Beside | None, first: int, count: int, size: int) -> Beside | None:
    """What is given of the windows `first` and on, `count` of them, for a batch of a size; a scale is a stream's."""
    if not isinstance(given, SeasonInputs):
        return given
    return given.at(np.minimum(np.arange(first, first + size), first + count - 1))


def stacked(several: Sequence[Beside]) -> Beside:
    """Those of several single windows, which are of one kind, as that of as many."""
    scales = [one if isinstance(one, Scale) else one.scale for one in several]
    each = [one for one in scales if one is not None]
    scale = Scale(*(np.stack(parts) for parts in zip(*each, strict=True))) if each else None
    if scale is not None and isinstance(several[0], Scale):
        return scale
    inputs = [one for one in several if isinstance(one, SeasonInputs)]
    return SeasonInputs(np.stack([one.phase for one in inputs]), np.stack([one.level for one in inputs]), scale)


class KnownLevel(NamedTuple):
    """The levels [channels] of a training stream at its first and its last row, at these times by the wall's clock."""

    times: tuple[int, int]
    levels: tuple[Float, Float]

    def at(self, wall: int | None) -> Floats:
        """On the line between them, and beyond it as at the nearer end; None: the last."""
        begin, end = self.times
        share = 1.0 if wall is None or end <= begin else min(1.0, max(0.0, (wall - begin) / (end - begin)))
        return self.levels[0] + share * (self.levels[1].astype(np.float64) - self.levels[0])


@dataclass(frozen=True, eq=False)
class Seasons:
    """What a model says of its seasons; of the tables row 0 is what is usual where the phase is not known.

    calendar: of its seasons the first is taken from the values, each further one added to the level. centre: of each
    season float32 [1 + bins, channels]. width: of the first [1 + bins, channels]. multiplies: channels whose level is a
    share of what is usual instead of an amount; follows: those that have seasons at all, and whose level is followed;
    bool [channels]. memory: rows in which the level comes to be another one. block: ns from one step of the level to
    the next. streams: the levels that training streams had, by name.
    """

    calendar: Calendar
    centre: tuple[Float, ...]
    width: Float
    multiplies: Flags
    follows: Flags
    memory: int
    block: int
    streams: Mapping[str, KnownLevel] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return len(self.follows)

    @property
    def count(self) -> int:
        """How many seasons there are."""
        return len(self.calendar.seasons)

    @property
    def cycle(self) -> int:
        """Rows of a period that has no clock; 0 where seasons go by the calendar."""
        first = self.calendar.seasons[0]
        return first.bins if first.kind == "cycle" else 0

    @property
    def cycle_rows(self) -> int:
        """Rows of a cycle, by how long the level remembers."""
        return self.cycle or self.memory // (1 if self.calendar.seasons[0].kind == "week" else 3)

    @property
    def learning(self) -> int:
        """Rows that a stream which was not in training teaches its level with."""
        return 2 * self.cycle or max(8, self.memory // 7)

    def usual(self, phase: Float, level: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """(Centre, width) [n, channels] of rows with these phases [n, seasons] and levels [n, channels]."""
        centre = self.centre[0][phase[:, 0].astype(np.int64)].astype(np.float64)
        moved = level.astype(np.float64)
        for number, table in enumerate(self.centre[1:], start=1):
            moved = moved + table[phase[:, number].astype(np.int64)]
        lever = np.where(self.multiplies, centre, 1.0)
        width = self.width[phase[:, 0].astype(np.int64)] * np.where(self.multiplies, np.maximum(1 + moved, _LEAST), 1.0)
        return centre + moved * lever, width

    def bounded(self, level: NDArray[np.floating]) -> Floats:
        """A level [..., channels] that leaves something of what is usual."""
        return np.where(self.multiplies, np.maximum(level, _LEAST - 1), level).astype(np.float64)

    @property
    def neutral(self) -> SeasonInputs:
        """What says nothing: phase [1, seasons], level [channels]."""
        phase = np.full((1, self.count), NEUTRAL_PHASE, np.float32)
        return SeasonInputs(phase, np.full(self.channels, NEUTRAL_LEVEL, np.float32))

    @cached_property
    def leverage(self) -> tuple[Floats, Floats]:
        """How much a row tells of the level: by phase of the first season [1 + bins, channels], and on average."""
        lever = np.where(self.multiplies, np.abs(self.centre[0].astype(np.float64)), 1.0) / self.width
        mean = np.sqrt(np.mean(np.square(lever[1:]), axis=0))
        return lever / np.maximum(mean, 1e-30), mean

    @property
    def usual_level(self) -> Float:
        """The median of the training streams' levels."""
        every = [one.levels[1] for one in self.streams.values()] or [np.zeros(self.channels, np.float32)]
        found: Float = np.median(every, axis=0).astype(np.float32)
        return found

    def known(self, stream: str, wall: int | None = None) -> Floats | None:
        """The level that a stream begins with, at a time by the wall's clock; None where it must be learned.

        One training stream stands for all.
        """
        only = next(iter(self.streams.values())) if len(self.streams) == 1 else self.streams.get(stream)
        return None if only is None else only.at(wall)


class Following:
    """The trailing levels of `streams` streams, as arrays that a caller may keep, grow and move.

    level: float64 [streams, channels]. steps, seen: int64 [streams, channels], of the block under way. block: int64
    [streams], its number. left: int64 [streams], rows that have still to teach a new stream's level.
    """

    def __init__(self, seasons: Seasons, streams: int = 1) -> None:
        self.seasons = seasons
        size = (streams, seasons.channels)
        self.level, self.steps, self.seen = np.zeros(size), np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.block, self.left = np.full(streams, -1, np.int64), np.zeros(streams, np.int64)

    def begin(self, number: int, name: str, wall: int | None = None) -> None:
        """A stream that is new, at a time by the wall's clock."""
        known = self.seasons.known(name, wall)
        self.level[number] = self.seasons.usual_level if known is None else known
        self.left[number] = self.seasons.learning if known is None else 0
        self.block[number], self.steps[number], self.seen[number] = -1, 0, 0

    def learn_first(self, time: Ints, phase: Float, values: NDArray[np.floating]) -> None:
        """Learn the level of stream 0, if that is new, from as many of these rows as teach it, before it is used."""
        rows = slice(0, int(self.left[0]))
        if not len(phase[rows]):
            return
        before = self.level.copy()
        self.take(np.zeros(len(phase[rows]), np.int64), time[rows], phase[rows], values[rows])
        self._step(np.zeros(1, np.int64))
        learned = self.left[0] == 0 or bool(np.any(self.level != before))
        self.left[0] = 0 if learned else self.left[0]
        self.block[0] = -1

    def take_cycles(
        self, number: int, state: CycleState, values: NDArray[np.floating]
    ) -> tuple[Ints, Ints, Float, Flags]:
        """Take rows [n, channels] of a stream without a clock, whose state moves.

        Gives place and number of each row [n], its level [n, channels], and whether it opens no event [n]: its level is
        still being learned, or the first period is not over.
        """
        seasons, bins = self.seasons, self.seasons.cycle
        every = np.arange(1, bins + 1, dtype=np.float32)[:, None]
        # The first period tells the phase alone.
        first = max(0, bins - state.seen)
        taught = np.concatenate([np.full((min(first, len(values)), values.shape[1]), np.nan), values[first:]])
        places, levels = np.empty(len(values), np.int64), np.empty((len(values), seasons.channels), np.float32)
        learning = np.arange(len(values)) < first
        start, own = 0, np.array([number])
        known: tuple[Floats, Floats] | None = None

        def follow(stop: int) -> None:
            part, place = slice(start, stop), places[start:stop]
            told = np.where(learning[part], 0, place % bins + 1)[:, None].astype(np.float32)
            found, new = self.take(np.repeat(own, stop - start), cycle_clock(place, bins), told, taught[part])
            levels[part], learning[part] = found, learning[part] | new

        for at, row in enumerate(values):
            odds = moved_on(state.odds)
            state.place = places[at] = nearest(state.place, int(np.argmax(odds)), bins)
            state.seen += 1
            changes = int(cycle_clock(places[at : at + 1], bins)[0] // seasons.block) != self.block[number]
            if known is None:
                known = seasons.usual(every, np.repeat(self.level[number][None], bins, axis=0))
            away = (row - known[0]) / known[1]
            state.odds = evidence(odds, np.where(seasons.follows, away, np.nan))
            if changes:  # the level is another one from here on
                if start < at:
                    follow(at)
                    start = at
                follow(at + 1)
                start, known = at + 1, None
        if start < len(values):
            follow(len(values))
        return places, state.seen - len(values) + 1 + np.arange(len(values)), levels, learning

    def take(self, stream: Ints, time: Ints, phase: Float, values: NDArray[np.floating]) -> tuple[Float, Flags]:
        """(The level [n, channels] as of each row, whether it was still being learned [n]); rows then move it.

        Rows are sorted by stream, then time (ns); phase [n, seasons]; values [n, channels], NaN = missing.
        """
        count = len(stream)
        levels, learning = np.empty((count, self.seasons.channels), np.float32), np.zeros(count, bool)
        if not count:
            return levels, learning
        block = time // self.seasons.block
        fresh = np.append(True, (stream[1:] != stream[:-1]) | (block[1:] != block[:-1]))
        starts = np.flatnonzero(fresh)
        ends = np.append(starts[1:], count)
        owner = stream[starts]
        first = np.append(True, owner[1:] != owner[:-1])
        rank = np.arange(len(starts)) - np.maximum.accumulate(np.where(first, np.arange(len(starts)), 0))
        turns = np.argsort(rank, kind="stable")
        cuts = np.searchsorted(rank[turns], np.arange(int(rank.max()) + 2))
        for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            mine = turns[low:high]
            self._turn(owner[mine], block[starts[mine]], starts[mine], ends[mine], phase, values, levels, learning)
        return levels, learning

    def _turn(
        self,
        streams: Ints,
        block: Ints,
        starts: Ints,
        ends: Ints,
        phase: Float,
        values: NDArray[np.floating],
        levels: Float,
        learning: Flags,
    ) -> None:
        """Take the rows starts[i]:ends[i] of each of these streams, all of one block."""
        self._step(streams[block != self.block[streams]])
        self.block[streams] = block
        if len(starts) == 1:
            rows: slice | Ints = slice(int(starts[0]), int(ends[0]))
            heads = np.zeros(1, np.int64)
            level = np.repeat(self.level[streams], int(ends[0] - starts[0]), axis=0)
            free = np.repeat(self.left[streams] > 0, int(ends[0] - starts[0]))
        else:
            lengths = ends - starts
            heads = np.append(0, np.cumsum(lengths)[:-1])
            rows = np.repeat(starts - heads, lengths) + np.arange(int(lengths.sum()))
            level = np.repeat(self.level[streams], lengths, axis=0)
            free = np.repeat(self.left[streams] > 0, lengths)
        levels[rows], learning[rows] = level, free
        here = phase[rows]
        centre, width = self.seasons.usual(here, level)
        away = (values[rows] - centre) / width
        there = np.isfinite(away)
        limit = np.where(free, _FREELY, CLIP)[:, None]
        weight = self.seasons.leverage[0][here[:, 0].astype(np.int64)]
        pushes = np.where(there, np.clip(np.where(there, away, 0.0), -limit, limit) * weight, 0.0)
        self.steps[streams] += np.add.reduceat(np.rint(pushes * _UNIT).astype(np.int64), heads, axis=0)
        self.seen[streams] += np.add.reduceat(there.astype(np.int64), heads, axis=0)

    def _step(self, streams: Ints) -> None:
        """The blocks of these streams are over."""
        if not len(streams):
            return
        seasons = self.seasons
        learned = np.maximum(0, seasons.learning - self.left[streams])[:, None]
        new = (self.left[streams] > 0)[:, None]
        memory = np.where(new, np.maximum(1, learned + self.seen[streams]), seasons.memory)
        step = self.steps[streams] / (_UNIT * memory * np.maximum(seasons.leverage[1], 1e-30))
        moved = self.level[streams] + np.where(seasons.follows, step, 0.0)
        self.level[streams] = seasons.bounded(moved)
        self.left[streams] = np.maximum(0, self.left[streams] - self.seen[streams].max(axis=1))
        self.steps[streams], self.seen[streams] = 0, 0


class SeasonStream:
    """The inputs of one stream's windows, row by row: what `aez score`, `SeriesDetector` and other programs ask.

    seasons: the model's. window: rows of a window. name: the stream's, which may have been in training. scale: the
    stream's, of models that take one.
    """

    def __init__(self, seasons: Seasons, window: int, name: str = "", scale: Scale | None = None) -> None:
        self.seasons, self.window, self.scale = seasons, window, scale
        self._following = Following(seasons)
        self._following.begin(0, name)
        self._name: str | None = name
        self._before = np.zeros((0, seasons.count), np.float32)
        self._cycle = CycleState(np.zeros(seasons.cycle))

    @property
    def level(self) -> Floats:
        """As of the next row, [channels]; in widths where the stream has a scale."""
        found: Floats = self._following.level[0]
        return found

    def take(self, values: NDArray[np.floating], time: Ints | None, local: bool = False) -> SeasonInputs:
        """Phases [n, window, seasons] and levels [n, channels] of the windows that end with each of the next rows.

        values: [n, channels], NaN = missing. time: int64 [n], ns since 1970 UTC, or what the clock on the wall shows
        where it is `local`; without times the phase is not known, and the level stays. Phases of rows before the first
        one are not known. A model with a cycle tells the phase by the rows alone.
        """
        if self.scale is not None:
            values = ((values - self.scale.centre) / self.scale.width).astype(np.float32)
        return SeasonInputs(*self._told(values, time, local), self.scale)

    def _told(self, values: NDArray[np.floating], time: Ints | None, local: bool) -> tuple[Float, Float]:
        """As `take`, of values in widths where the stream has a scale."""
        count = len(values)
        none = np.zeros(count, np.int64)
        if self.seasons.cycle:
            place, seen, level, _ = self._following.take_cycles(0, self._cycle, values)
            return backwards(place, seen, self.window, self.seasons.cycle), level
        if time is None:
            phase = np.full((count, self.seasons.count), NEUTRAL_PHASE, np.float32)
            level = np.repeat(self.level[None].astype(np.float32), count, axis=0)
        else:
            wall = self.seasons.calendar.wall(time, local)
            phase = self.seasons.calendar.phases(wall, local=True)
            if count and self._name is not None:
                self._following.begin(0, self._name, int(wall[0]))
                self._name = None
            self._following.learn_first(wall, phase, values)
            level, _ = self._following.take(none, wall, phase, values)
        lacking = max(0, self.window - 1 - len(self._before))
        padding = np.full((lacking, phase.shape[1]), NEUTRAL_PHASE, np.float32)
        every = np.concatenate([padding, self._before, phase])
        self._before = every[len(every) - self.window + 1 :] if self.window > 1 else every[:0]
        if not count:
            return np.empty((0, self.window, phase.shape[1]), np.float32), level
        return np.lib.stride_tricks.sliding_window_view(every, self.window, axis=0).swapaxes(1, 2), level
