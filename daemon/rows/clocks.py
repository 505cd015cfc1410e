"""Clocks that are apart: of the gateways that bring a stream's channels, of two senders of one stream, of a machine.

A stream's samples come in one order of time, or in a few that run side by side: `_Track`s. Two of them whose distance
stays as it is while both go on are clocks apart. Where it shrinks, the one behind catches up: a backlog. Two that bring
the same channels may also be what came and what had been kept back, by turns, at the same distance for as long as that
lasts; they are told apart once one repeats the times of the other, or is ahead of this machine's clock. And the whole
of a stream may stay at one distance from this machine's clock.

Nothing that is scored depends on it. Of streams whose times rise as they should a look at the steps between them is all
that it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aez.daemon.rows.clock_words import FURTHEST, Apart, Side, likely, machine_apart, senders_apart, western
from aez.daemon.rows.columns import Flags, Float, Ints, StreamColumns, behind, column, entries, runs
from aez.daemon.rows.fronts import NEVER

__all__ = ["KINDS", "Clocks"]

#: What may be apart.
KINDS = ("channels", "senders", "machine")
_SECOND, _NONE = 10**9, Apart("", "")
#: Times are apart from so many ns on, and so many periods.
_APART, _APART_PERIODS = 120 * _SECOND, 4
#: So many changes from one track to the other, over so many times what a distance may vary by chance: ns, or periods.
_TURNS, _CHANCES, _CHANCE, _CHANCE_PERIODS = 16, 4, 5 * _SECOND, 2
#: A distance that changes by a larger share of what went by shrinks or grows.
_DRIFT = 0.1
#: Tracks of a stream, and runs of samples that are looked at in one call; the last of them.
_TRACKS, _RUNS = 4, 256
#: Two that took no turns for so long are one again, ns and periods.
_OVER, _OVER_PERIODS = 600 * _SECOND, 30
#: A stream's distance from this machine's clock is looked at for so long, ns and periods.
_LOOK, _LOOK_PERIODS = 30 * _SECOND, 8


@dataclass(eq=False)
class _Track:
    """Samples that follow one another. begun: from where on it covers time. heard: when it last came, a steady ns."""

    begun: int
    newest: int
    heard: int
    channels: Flags
    sources: set[str] = field(default_factory=set)


@dataclass(eq=False)
class _Pair:
    """Two tracks since their distance stays. distance: by which of them came last."""

    low: _Track
    high: _Track
    turns: int = 0
    distance: dict[bool, int] = field(default_factory=dict)
    begun: tuple[int, int] = (0, 0)
    since: int = 0  # a steady clock's ns

    @property
    def went(self) -> int:
        """How far both went on since, ns."""
        return min(self.low.newest - self.begun[0], self.high.newest - self.begun[1])

    @property
    def lives(self) -> bool:
        """Whether they go on about as fast as time does, and are not read from somewhere."""
        took = max(self.low.heard, self.high.heard) - self.since
        return took <= 2 * self.went and self.went <= 2 * took


@dataclass(eq=False)
class _Suspect:
    """A stream of which a sample lay far from the one before. turned: when it last changed tracks, a steady ns."""

    tracks: list[_Track]
    turned: int
    last: _Track | None = None
    pairs: dict[tuple[int, int], _Pair] = field(default_factory=dict)


class Clocks(StreamColumns):
    """The clocks of one model's streams. period: ns between rows, None without a clock.

    found: what is apart just now, as of the last `look`.
    """

    _last = column(np.int64, NEVER)  # the time of the sample that came last, ns
    _since = column(np.int64)  # from where on its times went on without a leap
    _heard = column(np.int64)  # when it came, a steady clock's ns
    _kept = column(np.bool_)  # it went with this machine's clock before
    _marked = column(np.bool_)  # it is off, as it was at:
    _mark_last = column(np.int64)
    _mark_heard = column(np.int64)
    _told = column(np.bool_)  # [streams, kinds]
    suspects: dict[int, _Suspect] = entries()
    found: dict[int, Apart] = entries()

    def __init__(self, period: int | None) -> None:
        super().__init__(_told=(len(KINDS),))
        every = period or 0
        self.apart = max(_APART, _APART_PERIODS * every)
        self._chance = max(_CHANCE, _CHANCE_PERIODS * every)
        self._over, self._look = max(_OVER, _OVER_PERIODS * every), max(_LOOK, _LOOK_PERIODS * every)

    def take(self, stream: Ints, time: Ints, values: Float, now: int) -> None:
        """Note samples, sorted by stream and in the order of arrival within each; `now` is a steady clock's ns."""
        if not len(stream):
            return
        first = runs(stream)
        heads, last = stream[first], behind(first, len(stream)) - 1
        before = np.empty_like(time)
        before[1:], before[first] = time[:-1], self._last[heads]
        new = before[first] == NEVER
        before[first[new]] = self._since[heads[new]] = time[first[new]]
        leaps = np.abs(time - before) > self.apart
        if self.suspects or leaps.any():
            odd = np.logical_or.reduceat(leaps, first)
            known = [number in self.suspects for number in heads.tolist()]
            for place in np.flatnonzero(odd | known).tolist():
                part = slice(int(first[place]), int(last[place]) + 1)
                self._follow(int(heads[place]), time[part], leaps[part], values[part], now)
        self._last[heads], self._heard[heads] = time[last], now

    def _follow(self, number: int, time: Ints, leaps: Flags, values: Float, now: int) -> None:
        suspect = self.suspects.get(number)
        if suspect is None:
            none = np.zeros(values.shape[1], bool)
            begun, newest, heard = (int(one[number]) for one in (self._since, self._last, self._heard))
            tracks = [] if newest == NEVER else [_Track(begun, newest, heard, none)]
            suspect = self.suspects[number] = _Suspect(tracks, now, tracks[0] if tracks else None)
        starts = np.flatnonzero(leaps)
        if len(starts):
            self._since[number] = time[starts[-1]]
        starts = (starts if len(starts) and starts[0] == 0 else np.append(0, starts))[-_RUNS:]
        ends = behind(starts, len(time)) - 1
        present = np.logical_or.reduceat(~np.isnan(values[starts[0] :]), starts - starts[0], axis=0)
        for start, end, channels in zip(time[starts].tolist(), time[ends].tolist(), present, strict=True):
            self._run(suspect, start, end, channels, now)

    def _run(self, suspect: _Suspect, start: int, end: int, channels: Flags, now: int) -> None:
        """Samples near one another, from one time to another."""
        near = min(suspect.tracks, key=lambda one: abs(start - one.newest), default=None)
        if near is None or abs(start - near.newest) > self.apart:
            near = _Track(start, start, now, np.zeros_like(channels))
            if len(suspect.tracks) == _TRACKS:
                suspect.tracks.remove(min(suspect.tracks, key=lambda one: one.heard))
            suspect.tracks.append(near)
            kept = set(map(id, suspect.tracks))
            suspect.pairs = {key: pair for key, pair in suspect.pairs.items() if kept.issuperset(key)}
        near.newest, near.heard = max(near.newest, end), now
        near.channels |= channels
        if suspect.last is not near and suspect.last in suspect.tracks and suspect.last is not None:
            self._turn(suspect, suspect.last, near, now)
            suspect.turned = now
        suspect.last = near

    def _turn(self, suspect: _Suspect, before: _Track, track: _Track, now: int) -> None:
        low, high = sorted((before, track), key=lambda one: one.newest)
        pair = suspect.pairs.setdefault((id(low), id(high)), _Pair(low, high))
        distance, way = high.newest - low.newest, track is high
        stays = abs(distance - pair.distance.setdefault(way, distance)) <= self._chance + _DRIFT * max(0, pair.went)
        if pair.turns and stays:
            pair.turns += 1
            return
        pair.turns, pair.distance, pair.begun, pair.since = 1, {way: distance}, (low.newest, high.newest), now
        for one in (low, high):
            one.channels, one.sources = np.zeros_like(one.channels), set()

    def note_source(self, number: int, source: str, time: int) -> None:
        """By which source a sample of a suspect came."""
        for track in self.suspects[number].tracks:
            if abs(track.newest - time) <= self.apart:
                track.sources.add(source)

    def look(self, wall: int, now: int, channels: Sequence[str]) -> None:
        """Judge what came; `wall` is this machine's clock, and `now` the steady one. channels: their names."""
        for number, suspect in list(self.suspects.items()):
            if now - suspect.turned > self._over:
                del self.suspects[number]
                self.found.pop(number, None)
            elif self.found.get(number, _NONE).kind in ("", "machine"):
                found = self._judged(suspect, wall - now, channels)
                self.found |= {} if found is None else {number: found}
        self._look_at_machines(wall - now, now)

    def _judged(self, suspect: _Suspect, since: int, channels: Sequence[str]) -> Apart | None:
        """What is apart; `since` is this machine's clock at 0 of the steady one."""
        certain = [pair for pair in suspect.pairs.values() if self._certain(pair)]
        if not certain:
            return None
        pair = max(certain, key=lambda one: one.turns)
        ahead = [one.newest - since - one.heard for one in (pair.low, pair.high)]
        low, high = (
            Side([channels[place] for place in np.flatnonzero(one.channels).tolist()], one.sources, off)
            for one, off in zip((pair.low, pair.high), ahead, strict=True)
        )
        distance = likely(min(pair.distance.values()), max(pair.distance.values()))
        if not (pair.low.channels & pair.high.channels).any():
            return senders_apart("channels", low, high, distance, self.apart, self._chance)
        repeats = pair.low.newest > pair.high.begun + self.apart
        impossible = ahead[1] > self.apart and abs(ahead[0]) <= self.apart
        if not (repeats or impossible):
            return None
        return senders_apart("senders", low, high, distance, self.apart, self._chance)

    def _certain(self, pair: _Pair) -> bool:
        enough = pair.turns >= _TURNS and pair.went >= _CHANCES * self._chance
        distance = min(pair.distance.values())
        # Days apart may also be two files that are read by turns.
        return enough and distance > self.apart and (distance <= FURTHEST or pair.lives)

    def _look_at_machines(self, since: int, now: int) -> None:
        """Streams whose times go with the clock of this machine, and are far from it."""
        heard = (self._heard > 0) & (now - self._heard <= self._over)
        ahead = np.where(heard, self._last - since - self._heard, 0)
        off = np.abs(ahead) > self.apart
        self._kept |= heard & ~off
        for number in [one for one, found in self.found.items() if found.kind == "machine" and not off[one]]:
            del self.found[number]
        self._marked &= off
        if not off.any():
            return
        took, went = self._heard - self._mark_heard, self._last - self._mark_last
        with_it = self._marked & (np.abs(went - took) <= self._chance + _DRIFT * took)
        fresh = off & ~with_it
        self._mark_last[fresh], self._mark_heard[fresh] = self._last[fresh], self._heard[fresh]
        self._marked[fresh] = True
        for number in np.flatnonzero(with_it & (took >= self._look)).tolist():
            distance, kept = int(ahead[number]), bool(self._kept[number])
            if number not in self.found and (distance > 0 or kept or western(distance, self._chance)):
                self.found[number] = machine_apart(distance, kept)

    def news(self) -> list[tuple[str, list[int]]]:
        """What is apart and was not told of yet: in words, of which streams."""
        said: dict[str, list[int]] = {}
        for number, found in self.found.items():
            kind = KINDS.index(found.kind)
            if not self._told[number, kind]:
                self._told[number, kind] = True
                said.setdefault(found.text, []).append(number)
        return list(said.items())

    def counts(self) -> dict[str, int]:
        """How many streams have clocks apart just now, by kind."""
        kinds = [found.kind for found in self.found.values()]
        return {kind: kinds.count(kind) for kind in KINDS}
